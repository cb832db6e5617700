"""The gateway's keys over several lives of the operator: none is lost, none changed, and nothing foreign touched."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from mooring.domain.webhooks.keys import Document, from_master
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import install, make_app, put_app, put_secret
from tests.cluster.operator.test_installation_confined import confined
from tests.cluster.operator.webhooks import (
    BASE,
    KEY,
    KIND,
    NAME,
    add,
    app_of,
    document,
    drop,
    forge,
    made,
    running_with_app,
    until_told,
    url_of,
    version_of,
)
from tests.cluster.process import SYSTEM, Mooring, running_operator
from tests.cluster.token_life import until


@pytest.fixture(scope="module")
def system(kube: Kube) -> People:
    """Return the administrator."""
    return People(kube, SYSTEM)


def test_a_restart_writes_nothing_and_knows_the_apps(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People, namespace: str
) -> None:
    people, app = People(kube, namespace), make_app(hub)
    install(hub, app)
    put_app(people, app, webhookSecret="a-secret-that-outlives-a-restart")
    people.apply(KIND, "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        until_told(system, lambda it: app_of(it, people) is not None, "the App")
        people.until(KIND, "it", lambda it: url_of(it) is not None, "an address")
        before = people.settled("it", kind=KIND)
        first.stop()
        assert made(first) == 1
        version = version_of(system)
        with running_operator(lab, kube, tmp_path, MOORING_PUBLIC_BASE_URL=BASE) as second:
            until_looked_at(second, 1)
            # Not even for a moment was it without an address.
            after = people.get(KIND, "it")
            assert after is not None
            assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
            assert version_of(system) == version
            assert "is written" not in second.log.rpartition("leads now")[2]
            assert made(second) == 1  # the record of both


def until_looked_at(mooring: Mooring, objects: int) -> None:
    """Wait until the operator has looked at so many objects, and nothing is left to do."""

    def metric(name: str) -> float:
        text = mooring.ask("/metrics").text
        return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)))

    deadline = time.monotonic() + PATIENCE
    while metric("mooring_reconcile_results_total") < objects or metric("mooring_queue_depth"):
        assert time.monotonic() < deadline, mooring.log[-4000:]
        time.sleep(0.1)


def test_a_foreign_secret_is_left_alone(lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People) -> None:
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        first.stop()
        system.delete("Secret", NAME)
        put_secret(system, NAME, {KEY: "somebody's"})
        version = version_of(system)
        with running_operator(lab, kube, tmp_path) as mooring:
            mooring.until_logged("was not made by Mooring")
            people_can_work(mooring)
            assert version_of(system) == version
            system.delete("Secret", NAME)
            until_told(system, lambda it: bool(it.apps), "keys of Mooring's own")
            assert mooring.log.count("was not made by Mooring") == 1


def test_one_that_cannot_be_read_is_told_and_left(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People
) -> None:
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        first.stop()
        system.patch("Secret", NAME, {"data": {KEY: "YQ=="}})
        version = version_of(system)
        with running_operator(lab, kube, tmp_path) as mooring:
            mooring.until_logged("cannot be used, and no webhooks are taken")
            people_can_work(mooring)
            assert version_of(system) == version


def people_can_work(mooring: Mooring) -> None:
    """Expect the operator to be in service."""
    mooring.until_logged("reconciling begins")
    assert mooring.ask("/readyz").status_code == 200


def test_keys_are_derived_and_the_addresses_stay(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    masters = {version: bytes([version]) * 32 for version in (1, 2)}
    (keys / "1").write_bytes(masters[1])
    home = tmp_path / "home"
    home.mkdir()
    with running_with_app(lab, kube, hub, home, system, MOORING_MASTER_KEY_DIR=str(keys)) as mooring:
        first = until_told(system, lambda it: bool(it.apps), "keys").keys
        assert first == from_master({1: masters[1]})
        (keys / "new").write_bytes(masters[2])
        (keys / "new").rename(keys / "2")
        second = until_told(system, lambda it: 2 in it.keys.hook_keys, "a second version").keys
        assert second == from_master(masters)
        assert second.id_key == first.id_key
        # The record of a write comes after it.
        until(lambda: made(mooring) == 2, "the record of both")
        mooring.stop()
        # The first version goes: the ids of addresses would come from the second one now.
        (keys / "1").unlink()
        with running_operator(lab, kube, home, MOORING_MASTER_KEY_DIR=str(keys)):
            third = until_told(system, lambda it: 1 not in it.keys.hook_keys, "the second version alone").keys
            assert third.id_key == first.id_key


def test_it_is_kept_without_a_right_outside_its_namespaces(
    lab: Lab, kube: Kube, tmp_path: Path, system: People, namespace: str
) -> None:
    system.delete("Secret", NAME)
    with confined(lab, kube, tmp_path, People(kube, namespace)) as mooring:
        before = until_told(system, lambda it: bool(it.keys.hook_keys), "keys")
        for spoil in (drop, forge, add):
            spoil(system)
            system.until("Secret", NAME, lambda it: whole(it) == before, "what it was")
        assert "lacks the right" not in mooring.log
    system.delete("Secret", NAME)


def whole(secret: Object | None) -> Document | None:
    """Return what the Secret tells, where nothing else is in it."""
    data: dict[str, Any] = (secret or {}).get("data") or {}
    return document(secret) if set(data) == {KEY} else None

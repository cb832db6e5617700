"""`mooring release`, before an uninstall: nothing waits for Mooring any more, and what people have is as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Lab
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator import hooking
from tests.cluster.operator.apps import install, make_account, make_app, output, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.hooking import Site, until_hooked
from tests.cluster.operator.pushes import Shop
from tests.cluster.process import SYSTEM, Mooring, free_lease, start_operator

HOOK, TOKENS = "mooring.dev/hook", "mooring.dev/tokens"
KINDS = ("Project", "GitHubInstallation", "GitHubUser", "Deployment", "Secret")


@pytest.fixture(scope="module")
def site(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the operator, with an address for GitHub."""
    admin = hub.token(hooking.random_name("admin"), "alice")
    with hooking.running(lab, kube, hub, tmp_path_factory.mktemp("release"), admin) as found:
        yield found


@pytest.fixture(scope="module")
def mooring(site: Site) -> Mooring:
    """Return the operator that `people` work with."""
    return site.mooring


def release(site: Site, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it under the operator's Role, beside the operator."""
    return subprocess.run(
        [sys.executable, "-m", "mooring", "release", *options],
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def finalizers(people: People) -> set[str]:
    """Return what keeps the objects of a namespace."""
    objects = [obj for kind in ("Project", "GitHubInstallation") for obj in people.list(kind)]
    return {one for obj in objects for one in obj["metadata"].get("finalizers", [])}


def contents(people: People) -> dict[tuple[str, str], Any]:
    """Return all that people, and Mooring for them, have in a namespace, without what every write changes."""
    return {(kind, obj["metadata"]["name"]): _lasting(obj) for kind in KINDS for obj in people.list(kind)}


def _lasting(obj: Object) -> Any:
    metadata = {name: obj["metadata"].get(name) for name in ("uid", "generation", "labels", "annotations")}
    return {**{name: obj.get(name) for name in ("spec", "status", "data")}, "metadata": metadata}


def is_counted(user: Object | None) -> bool:
    """Tell whether a GitHubUser knows of one Project."""
    counts: Object = ((user or {}).get("status") or {}).get("projects") or {}
    return sum(counts.values(), 0) == 1


def test_an_uninstall_leaves_nothing_stuck_and_keeps_all(
    site: Site, people: People, hub: Hub, fresh: TokenMaker
) -> None:
    app, account = make_app(hub), make_account(hub, "shop")
    install(hub, app, account.login)
    put_app(people, app)
    installation = {"account": account.login, "appSecretRef": {"name": "app"}, "outputs": [output("out")]}
    people.apply("GitHubInstallation", "it", installation)
    people.until("Secret", "out", lambda secret: secret is not None, "a token")
    shop = Shop.open(people, hub, fresh())
    hook = until_hooked(people)["hookId"]
    people.patch("Project", shop.name, {"metadata": {"finalizers": [HOOK, "example.com/theirs"]}})
    people.until("GitHubUser", "default", is_counted, "the count of its Project, which comes seconds later")
    site.until_idle()
    # Nothing is written by a sweep either: there is none (see tests.cluster.looking).
    assert finalizers(people) == {HOOK, TOKENS, "example.com/theirs"}
    before = contents(people)

    done = release(site)

    assert done.returncode == 0, done.stderr
    assert finalizers(people) == {"example.com/theirs"}
    # Nothing rolled, nothing was lost, and the audit record says what stays.
    assert contents(people) == before
    assert f'"action":"hook.left","hook":{hook},' in done.stdout
    # The operator that led has ended, and the next one stands by: it adds nothing again.
    assert site.mooring.process.wait(PATIENCE) == 1
    waiting = start_operator(site.environment, site.folder)
    try:
        waiting.until_logged("stands by as")
        people.delete("GitHubInstallation", "it")
        people.until("GitHubInstallation", "it", lambda obj: obj is None, "its end")
        assert finalizers(people) == {"example.com/theirs"}
    finally:
        waiting.kill()
    # What Mooring made for itself goes with its account, but for the keys that the addresses of webhooks come from.
    system = People(site.kube, SYSTEM)
    owners = [system.get(*one) for one in (("Lease", "mooring-operator"), ("Secret", "mooring-webhook"))]
    assert ["ownerReferences" in (obj or {})["metadata"] for obj in owners] == [True, False]
    system.delete("ServiceAccount", "mooring-operator")
    system.until("Lease", "mooring-operator", lambda lease: lease is None, "its end")
    assert system.get("Secret", "mooring-webhook") is not None
    people.patch("Project", shop.name, {"metadata": {"finalizers": None}})
    free_lease(site.kube)

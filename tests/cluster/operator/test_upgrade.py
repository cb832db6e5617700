"""Another release of Mooring takes over: no pod is made anew for it, and what an earlier one stored still works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster import next_release
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    policy,
    start_operator,
    wait_ready,
)
from tests.fixtures import kept
from tests.fixtures.backup import Store, put_back, take, take_its_own
from tests.fixtures.world import (
    POLICY,
    leave,
    people,
    put_app,
    until_counted,
    until_done,
    until_ready,
    world,
)

VERSION = "mooring.dev/template-version"
NOW, LATER = str(next_release.VERSION - 1), str(next_release.VERSION)
GLOBAL = "user-default-global-secrets"


@pytest.fixture(scope="module")
def environment(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of the operators of this module."""
    folder = tmp_path_factory.mktemp("upgrade")
    install_roles(kube)
    free_lease(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    return operator_environment(lab, kubeconfig)


@contextmanager
def running(environment: Mapping[str, str], folder: Path, module: str = "mooring", **more: str) -> Iterator[Mooring]:
    """Run a release of the operator until the end of the block; it is ready when the block begins."""
    path = f"{ROOT / 'operator'}:{ROOT}"
    mooring = start_operator({**environment, "PYTHONPATH": path, **more}, folder, module)
    try:
        wait_ready(mooring)
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()


def pods(people: People) -> dict[str, Any]:
    """Return what the pods of each Project are made of."""
    return {found["metadata"]["name"]: found["spec"]["template"] for found in people.list("Deployment")}


def versions_of(people: People) -> dict[str, str]:
    """Return the template version of each Deployment."""
    found = {it["metadata"]["name"]: it["metadata"]["annotations"] for it in people.list("Deployment")}
    return {name: annotations.get(VERSION, "1") for name, annotations in found.items()}


def image_is(wanted: str) -> Any:
    """Return a check of a Deployment's image."""
    return lambda found: found["spec"]["template"]["spec"]["containers"][0]["image"] == wanted


def test_an_upgrade_rolls_nothing_and_takes_effect_with_the_next_rollout(
    kube: Kube, namespace: str, environment: dict[str, str], fresh: TokenMaker, tmp_path: Path
) -> None:
    people = People(kube, namespace)
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    with running(environment, tmp_path):
        for name in ("edited", "scaled", "changed", "left"):
            people.apply("Project", name, {"workload": {"image": "nginx", "replicas": 1}})
        for name in ("edited", "scaled", "changed", "left"):
            people.settled(name)
    before = pods(people)
    assert set(versions_of(people).values()) == {NOW}

    with running(environment, tmp_path, "tests.cluster.next_release"):
        # Each is looked at, and written, for a reason that is none to roll.
        people.patch("Project", "scaled", {"spec": {"workload": {"replicas": 2}}})
        container = {"containers": [{"name": "workload", "image": "busybox"}]}
        path = people.path("Deployment", "edited-default")
        edit = {"spec": {"template": {"spec": container}}}
        status, answer = kube.request("PATCH", path, edit, "application/strategic-merge-patch+json")
        assert status == 200, answer
        assert answer["spec"]["template"] != before["edited-default"]
        people.until("Deployment", "scaled-default", lambda found: bool(found and found["spec"]["replicas"] == 2))
        people.until("Deployment", "edited-default", image_is("nginx"))
        for name in ("edited", "scaled", "changed", "left"):
            people.settled(name)
        assert pods(people) == before
        assert set(versions_of(people).values()) == {NOW}

        people.patch("Project", "changed", {"spec": {"workload": {"image": "nginx:2"}}})
        people.apply("Project", "new", {"workload": {"image": "nginx"}})
        people.settled("new")
        people.until("Deployment", "changed-default", image_is("nginx:2"))
        people.settled("changed")
        told = versions_of(people)
        assert (told.pop("changed-default"), told.pop("new-default")) == (LATER, LATER)
        assert set(told.values()) == {NOW}
        for name, template in pods(people).items():
            second = name in {"changed-default", "new-default"}
            assert (template["spec"].get(next_release.FIELD) == next_release.VALUE) is second, name
    after = pods(people)

    with running(environment, tmp_path):
        # Back again: what only the later release can render is left as it is, until there is a reason to roll.
        people.patch("Project", "left", {"spec": {"workload": {"image": "nginx:2"}}})
        people.until("Deployment", "left-default", image_is("nginx:2"))
        people.settled("left")
        assert {**pods(people), "left-default": None} == {**after, "left-default": None}
        people.patch("Project", "changed", {"spec": {"workload": {"image": "nginx:3"}}})
        people.until("Deployment", "changed-default", image_is("nginx:3"))
        assert versions_of(people)["changed-default"] == NOW


# --- what an earlier release stored ---


def written(obj: Object) -> list[Any]:
    """Return what Mooring wrote of an object, and when."""
    return [entry for entry in obj["metadata"].get("managedFields", []) if entry["manager"].startswith("mooring")]


def lasting(obj: Object) -> dict[str, Any]:
    """Return an object without what Kubernetes itself keeps in it."""
    metadata = {name: it for name, it in obj["metadata"].items() if name not in {"resourceVersion", "managedFields"}}
    notes = metadata.get("annotations") or {}
    metadata["annotations"] = {
        name: it for name, it in notes.items() if not name.startswith("deployment.kubernetes.io")
    }
    rest = {**obj, "metadata": metadata}
    if not obj["apiVersion"].startswith("mooring.dev"):
        rest.pop("status", None)
    return without_life(rest)


def holds_installation_token(obj: Object) -> bool:
    """Tell whether it is a Secret with a token that ends within the hour."""
    return "mooring.dev/token-request" in (obj["metadata"].get("annotations") or {})


def without_life(obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what becomes of an installation's token while time goes by."""
    if holds_installation_token(obj):
        life = {"mooring.dev/issued-at", "mooring.dev/expires-at", "mooring.dev/token-fingerprint"}
        notes = {name: it for name, it in obj["metadata"]["annotations"].items() if name not in life}
        return {
            **obj,
            "data": set(obj["data"]) - {"ca.crt", "origin"},
            "metadata": {**obj["metadata"], "annotations": notes},
        }
    if obj["kind"] == "GitHubInstallation":
        return {**obj, "status": {name: it for name, it in obj["status"].items() if name != "tokenExpiresAt"}}
    return obj


@pytest.mark.parametrize("release", kept.releases())
def test_what_an_earlier_release_stored_goes_on_and_nothing_rolls(
    release: str, lab: Lab, kube: Kube, environment: dict[str, str], tmp_path: Path
) -> None:
    backup = kept.load(release)
    tenants = [obj for obj in backup if kept.is_of_a_tenant(obj)]
    somebody, store = people(kube), Store(lab)
    drop_its_own(kube)
    try:
        with world(tmp_path, public=release != BEFORE) as found, policy(kube, POLICY):
            put_back(store, backup, somebody)
            put_app(somebody, found.key)
            with running(environment, tmp_path, **found.settings()) as mooring:
                until_done(mooring, sum(obj["kind"] in kept.OWN for obj in backup))
                until_ready(somebody)
                users = [obj for obj in backup if obj["kind"] == "GitHubUser"]
                until_counted(somebody, {it["metadata"]["name"]: it["status"]["projects"] for it in users})
            assert "\n".join(compare(tenants, take(somebody), KNOWN.get(release, as_it_is))) == ""
            assert "\n".join(its_own_that_differs(backup, take_its_own(kube))) == ""
    finally:
        store.close()
        leave(somebody)
        drop_its_own(kube)


def drop_its_own(kube: Kube) -> None:
    """Remove what an operator of another test has for itself."""
    for kind, name in kept.ITS_OWN.items():
        People(kube, SYSTEM).delete(kind, name)


def its_own_that_differs(backup: list[Object], found: list[Object]) -> Iterator[str]:
    """Find what the operator changed of what it has for itself; the Lease, which it took, is another matter."""
    now = {obj["kind"]: obj for obj in found}
    for before in backup:
        if not kept.is_of_a_tenant(before) and before["kind"] != "Lease":
            after = now[before["kind"]]
            first, last = ({**lasting(obj), "written": written(obj)} for obj in (before, after))
            yield from differing(first, last, before["kind"])


def differing(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Find where two objects differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from differing(before.get(name), after.get(name), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differing(*pair, f"{path}[{number}]")
    elif before != after:
        yield f"{path}: {before} -> {after}"


# What is stored when a source is proven anew, as the first start with keys has to.
PROOFS = frozenset({"proof", "pinProof", "pinnedSha", "provenAt", "specName"})
# What earlier releases did not tell of: who brings pushes.
WEBHOOKS, READY = "webhook", "WebhookReady"


def without_proofs(value: Any) -> Any:
    """Return what there is beside signatures, beside what is said of webhooks, and beside the time of a write."""
    if isinstance(value, list):
        return [without_proofs(entry) for entry in value if not isinstance(entry, dict) or entry.get("type") != READY]
    if not isinstance(value, dict):
        return value
    owned = {f"f:{name}" for name in (*PROOFS, WEBHOOKS)} | {f'k:{{"type":"{READY}"}}'}
    left_out = {*PROOFS, WEBHOOKS, *owned, "time"}
    return {name: without_proofs(entry) for name, entry in value.items() if name not in left_out}


def as_it_is(value: Any) -> Any:
    """Return all of it: nothing is written for nothing."""
    return value


# What has to be written once, for want of it in a release.
# Before 0.1 nothing was signed that had been proven, and nothing was said of webhooks: one write for each.
BEFORE = "before-0.1"
KNOWN = {BEFORE: without_proofs}


def compare(backup: list[Object], found: list[Object], relevant: Any) -> list[str]:
    """Hold what is there against what was: equal to the letter."""
    now = {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}
    assert set(now) == {(obj["kind"], obj["metadata"]["name"]) for obj in backup}
    wrong = []
    for before in backup:
        after = now[before["kind"], before["metadata"]["name"]]
        first, last = lasting(before), lasting(after)
        if not holds_installation_token(before) and before["kind"] not in {"GitHubInstallation", "GitHubUser"}:
            first, last = {**first, "written": written(before)}, {**last, "written": written(after)}
        if before["kind"] == "Project":
            first, last = relevant(first), relevant(last)
        wrong += [f"{before['kind']} {before['metadata']['name']}{it}" for it in differing(first, last)]
    return wrong

"""What Mooring manages is mended when somebody damages it; what it did not make is never touched."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.cluster.conftest import Kube
from tests.cluster.harness import Object, People, condition
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import Mooring, policy

GLOBAL = "user-default-global-secrets"
SUFFIX = "repair.example.com"
KINDS = ("Secret", "Deployment", "Service", "Ingress")
# What the brief for a repair says: from the edit to the object as it was.
REPAIR_SECONDS = 2.0
# After which no machine is to blame.
MOST_SECONDS = 10.0
# Repairs that are taken for accidents, before Mooring steps back.
QUICK_REPAIRS = 3


@pytest.fixture(scope="module", autouse=True)
def publishing(mooring: Mooring, kube: Kube) -> Iterator[None]:
    """Let Projects publish."""
    with policy(kube, {"ingress": {"hostSuffixes": [SUFFIX]}}):
        yield


def spec(name: str) -> dict[str, Any]:
    """Return the spec of a Project that has all four children."""
    return {
        "workload": {
            "image": "nginx",
            "replicas": 1,
            "env": [{"name": "GREETING", "value": "hello"}],
            "ports": [{"containerPort": 8080}],
        },
        "expose": {"host": f"{name}.{SUFFIX}"},
    }


def child(project: str, kind: str) -> str:
    """Return the name of a child."""
    return f"{project}-default-token" if kind == "Secret" else f"{project}-default"


def view(obj: Object | None) -> dict[str, Any] | None:
    """Return of an object what Mooring answers for: not who wrote it when, nor what Kubernetes fills in."""
    if obj is None:
        return None
    metadata = obj["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith("mooring.dev/")}
    spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in {"clusterIP", "clusterIPs"}}
    return {
        "labels": metadata.get("labels"),
        "annotations": annotations,
        "owners": metadata.get("ownerReferences"),
        "spec": spec,
        "data": obj.get("data"),
        "type": obj.get("type"),
        "immutable": obj.get("immutable"),
    }


def encoded(text: str) -> str:
    """Return a text as it stands in a Secret."""
    return base64.b64encode(text.encode()).decode()


LABEL = "mooring.dev/project"
CONTAINERS = "/spec/template/spec/containers/0"


def _on_template(annotation: str) -> str:
    return "/spec/template/metadata/annotations/" + annotation.replace("/", "~1")


Edit = list[dict[str, Any]] | dict[str, Any] | None
# Project, kind, and what is done to the child: None deletes it, a list is a JSON patch, a mapping a merge patch.
DAMAGES: dict[str, tuple[str, Edit]] = {
    **{f"gone-{kind.lower()}": (kind, None) for kind in KINDS},
    **{f"label-off-{kind.lower()}": (kind, {"metadata": {"labels": {LABEL: None}}}) for kind in KINDS},
    **{f"manager-off-{kind.lower()}": (kind, {"metadata": {"labels": None}}) for kind in KINDS},
    **{
        f"owner-{kind.lower()}": (
            kind,
            [{"op": "replace", "path": "/metadata/ownerReferences/0/blockOwnerDeletion", "value": False}],
        )
        for kind in KINDS
    },
    "label-changed": ("Deployment", {"metadata": {"labels": {LABEL: "another"}}}),
    "secret-value": ("Secret", {"data": {"token": encoded("ghp_" + "x" * 36)}}),
    "secret-extra": ("Secret", {"data": {"more": encoded("more")}}),
    "secret-empty": ("Secret", {"data": None}),
    "secret-frozen": ("Secret", {"immutable": True}),
    "image": ("Deployment", [{"op": "replace", "path": f"{CONTAINERS}/image", "value": "evil"}]),
    "env-removed": ("Deployment", [{"op": "remove", "path": f"{CONTAINERS}/env"}]),
    "env-changed": ("Deployment", [{"op": "replace", "path": f"{CONTAINERS}/env/0/value", "value": "bye"}]),
    "replicas": ("Deployment", {"spec": {"replicas": 3}}),
    "checksum": ("Deployment", [{"op": "remove", "path": _on_template("mooring.dev/token-checksum")}]),
    "trigger": ("Deployment", [{"op": "replace", "path": _on_template("mooring.dev/trigger"), "value": "Push"}]),
    "mark": ("Deployment", {"metadata": {"annotations": {"mooring.dev/applied": "0" * 16}}}),
    "marks": ("Deployment", {"metadata": {"annotations": None}}),
    "port": ("Service", [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]),
    "selector": ("Service", {"spec": {"selector": {"app": "another"}}}),
    "host": ("Ingress", [{"op": "replace", "path": "/spec/rules/0/host", "value": "evil.example.com"}]),
}


def damage(people: People, kind: str, name: str, edit: Edit) -> None:
    """Do it."""
    if edit is None:
        people.delete(kind, name)
        return
    content_type = "application/json-patch+json" if isinstance(edit, list) else "application/merge-patch+json"
    status, answer = people.kube.request("PATCH", people.path(kind, name), edit, content_type)
    assert status == 200, answer


def seconds_to_mend(people: People, name: str) -> float:
    """Do one of the damages, and return how long it is there."""
    kind, edit = DAMAGES[name]
    before = people.get(kind, child(name, kind))
    wanted = view(before)
    assert before is not None
    assert wanted is not None
    began = time.monotonic()
    damage(people, kind, child(name, kind), edit)
    again = _is_again(wanted, before["metadata"]["resourceVersion"])
    people.until(kind, child(name, kind), again, f"what it was before {name}", seconds=MOST_SECONDS)
    return time.monotonic() - began


def test_damage_is_mended_at_once(people: People, fresh: TokenMaker) -> None:
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    for name in DAMAGES:
        people.apply("Project", name, spec(name))
    people.until_every("Project", dict.fromkeys(DAMAGES, _is_ready))
    late = [name for name in DAMAGES if seconds_to_mend(people, name) > REPAIR_SECONDS]
    # The machine may have been busy with something else once; what is always late is late again.
    assert [name for name in late if seconds_to_mend(people, name) > REPAIR_SECONDS] == []
    # A repair is no reason for a new revision, and leaves no trace in the status.
    projects = people.until_every("Project", dict.fromkeys(DAMAGES, _is_ready))
    assert {len(projects[name]["status"]["history"]) for name in DAMAGES} == {1}


def _is_ready(project: Object | None) -> bool:
    return condition(project or {}, "Ready").get("status") == "True"


def _is_again(wanted: Mapping[str, Any], version: str) -> Callable[[Object | None], bool]:
    """Tell whether an object is as it was; the damage itself must have been seen, so its version has to differ."""
    return lambda obj: obj is not None and obj["metadata"]["resourceVersion"] != version and view(obj) == wanted


def test_what_others_add_stays(people: People, fresh: TokenMaker) -> None:
    """Another manager's label, annotation, owner and sidecar are theirs."""
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    people.apply("Project", "shop", spec("theirs"))
    people.settled("shop")
    other = people.create("ConfigMap", {"metadata": {"name": "other"}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": other["metadata"]["uid"]}
    for kind in KINDS:
        damage(
            people,
            kind,
            child("shop", kind),
            [
                {"op": "add", "path": "/metadata/labels/team", "value": "a"},
                {"op": "add", "path": "/metadata/ownerReferences/-", "value": owner},
            ],
        )
    # Something of ours is damaged afterwards; when that is mended, Mooring has seen all of it.
    for kind in KINDS:
        damage(people, kind, child("shop", kind), {"metadata": {"labels": {LABEL: None}}})
        found = people.until(kind, child("shop", kind), lambda o: o is not None and LABEL in o["metadata"]["labels"])
        assert found is not None
        assert found["metadata"]["labels"]["team"] == "a"
        assert [o["kind"] for o in found["metadata"]["ownerReferences"]] == ["Project", "ConfigMap"]


def foreign(kind: str, name: str) -> Object:
    """Return an object of somebody else's that has the name of a child, and looks much like it."""
    labels = {"app.kubernetes.io/managed-by": "mooring", "mooring.dev/project": "another", "app": "theirs"}
    pod = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "c", "image": "theirs"}]}}
    backend = {"service": {"name": "theirs", "port": {"number": 80}}}
    rule = {"host": "theirs.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    bodies: dict[str, dict[str, Any]] = {
        "Secret": {"data": {"token": encoded("theirs")}},
        "Deployment": {
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": pod},
        },
        "Service": {"spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}},
        "Ingress": {"spec": {"rules": [rule]}},
    }
    # Half of them carry our labels: those prove nothing.
    marked = {"labels": labels} if kind in {"Secret", "Service"} else {}
    return {"metadata": {"name": name, **marked}, **bodies[kind]}


def is_untouched(before: Object, after: Object | None) -> bool:
    """Tell whether nobody but its owner, and Kubernetes in its status, wrote to an object."""
    if after is None:
        return False
    managers = {entry["manager"] for entry in after["metadata"]["managedFields"]}
    return view(after) == view(before) and "mooring" not in managers


def test_others_in_the_way(people: People, fresh: TokenMaker) -> None:
    """Foreign objects under all four names, and somebody who keeps undoing: Mooring steps back, and says so."""
    token = fresh()
    people.secret(GLOBAL, token)
    people.apply("GitHubUser", "default", {})
    theirs = {kind: people.create(kind, foreign(kind, child(f"no-{kind.lower()}", kind))) for kind in KINDS}
    for kind in KINDS:
        people.apply("Project", f"no-{kind.lower()}", spec(f"no-{kind.lower()}"))
    people.apply("Project", "fought", spec("fought"))
    people.settled("fought")
    blocked = {f"no-{kind.lower()}": kind for kind in KINDS}
    for name, kind in blocked.items():
        project = people.until_condition(name, "Ready", "False", "Conflict")
        assert condition(project, "Stalled")["status"] == "True"
        assert kind in condition(project, "Ready")["message"]
    # Everything else of a blocked Project is there, but for pods that would take somebody else's value for their token.
    there = {(name, kind) for name in blocked for kind in KINDS if _is_ours(people.get(kind, child(name, kind)))}
    missing = {(name, kind) for name in blocked for kind in KINDS} - there
    assert missing == {*((name, kind) for name, kind in blocked.items()), ("no-secret", "Deployment")}

    # A fight: as soon as the Secret is right, somebody makes it wrong.
    repairs = _fight(people, child("fought", "Secret"), token, times=QUICK_REPAIRS)
    assert repairs == QUICK_REPAIRS
    project = people.until_condition("fought", "Ready", "False", "Contested")
    assert condition(project, "Reconciling")["status"] == "True"
    assert "Secret" in condition(project, "Ready")["message"]
    wrong = people.get("Secret", child("fought", "Secret"))
    assert wrong is not None

    # The foreign objects go, one after the other; each Project goes on by itself.
    for name, kind in blocked.items():
        assert is_untouched(theirs[kind], people.get(kind, child(name, kind)))
        people.delete(kind, child(name, kind))
    people.until_every("Project", dict.fromkeys(blocked, _is_ready))
    assert {name: people.workload_token(name) for name in blocked} == dict.fromkeys(blocked, token)
    assert {name: people.rollouts(name) for name in blocked} == dict.fromkeys(blocked, 1)

    # Mooring had stepped back from the fight all the while; then it tries once more, and nobody is against it.
    mended = people.until("Secret", child("fought", "Secret"), lambda s: _value(s) == token, "the right token")
    assert mended is not None
    assert _moment(mended) - _moment(wrong) >= 10
    people.until("Project", "fought", _is_ready)


def _is_ours(obj: Object | None) -> bool:
    return obj is not None and any(owner["kind"] == "Project" for owner in obj["metadata"].get("ownerReferences", []))


def _value(secret: Object | None) -> str | None:
    return base64.b64decode((secret or {}).get("data", {}).get("token", "")).decode() or None


def _moment(obj: Object) -> float:
    """Return when an object was last written, in seconds."""
    times = [entry["time"] for entry in obj["metadata"]["managedFields"]]
    return max(time.mktime(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")) for moment in times)


def _fight(people: People, secret: str, token: str, *, times: int) -> int:
    """Spoil a Secret whenever it is right, until nobody mends it for a while; count how often somebody did."""
    repairs = 0
    for _ in range(times + 1):
        people.patch("Secret", secret, {"data": {"token": encoded("ghp_" + "z" * 36)}})
        if repairs == times:
            return repairs
        people.until("Secret", secret, lambda s: _value(s) == token, "the right token")
        repairs += 1
    return repairs


def test_foreign_objects_that_come_between_check_and_write(people: People, fresh: TokenMaker, kube: Kube) -> None:
    """Project and foreign object are made at one moment; whoever is second gives way, and nothing is overwritten."""
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    delay = 0.01
    kinds = {f"race-{number}": KINDS[number % 2] for number in range(24)}
    made: dict[str, Object] = {}
    with ThreadPoolExecutor(1) as somebody:
        for name, kind in kinds.items():
            people.apply("Project", name, spec(name))
            answer = somebody.submit(_make_after, kube, people.path(kind), foreign(kind, child(name, kind)), delay)
            status, body = answer.result()
            assert status in {201, 409}, body
            if status == 201:
                made[name] = body
            # Whoever was first, the next one comes nearer to the moment at which both are.
            delay = delay * 1.4 if status == 201 else delay / 1.4

    def is_settled(name: str) -> Callable[[Object | None], bool]:
        def there(project: Object | None) -> bool:
            if name not in made:
                return _is_ready(project)
            return condition(project or {}, "Ready").get("reason") == "Conflict"

        return there

    people.until_every("Project", {name: is_settled(name) for name in kinds})
    for name, before in made.items():
        assert is_untouched(before, people.get(kinds[name], child(name, kinds[name]))), name
    # Both came first at times: else this was no race.
    assert 0 < len(made) < len(kinds)


def _make_after(kube: Kube, path: str, body: Object, delay: float) -> tuple[int, Object]:
    time.sleep(delay)  # not for a condition: the moment is what matters
    return kube.request("POST", path, body)

"""Two field managers own different parts of one object, because every list and map has the right type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.kinds.api import Objects
from tests.cluster.kinds.objects import Object, an_object

IMAGE = "registry.example.com/acme/shop:1.2"
READ = {"contents": "read"}
CONDITION = {"status": "True", "reason": "Ok", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}


@dataclass(frozen=True)
class Shared:
    """What two managers apply to one object, and how to find each one's part in it."""

    kind: str
    first: Object
    second: Object
    part: Callable[[Object], Any]
    both: Any
    only_first: Any


def _names(*way: str, key: str = "name") -> Callable[[Object], Any]:
    def read(spec: Object) -> list[Any]:
        node: Any = spec
        for step in way:
            node = node[step]
        return [item[key] for item in node]

    return read


def _project(**workload: Any) -> Object:
    return {"workload": {"image": IMAGE, **workload}}


def _env(name: str) -> Object:
    return _project(env=[{"name": name, "value": "x"}])


def _output(name: str) -> Object:
    return {"account": "acme", "outputs": [{"secretName": name, "format": "Token"}]}


def _token(name: str) -> Object:
    return {"tokens": [{"name": name, "owners": [name], "secretRef": {"name": name}}]}


SHARED = {
    "env": Shared("Project", _env("A"), _env("B"), _names("workload", "env"), ["A", "B"], ["A"]),
    "ports": Shared(
        "Project",
        _project(ports=[{"containerPort": 80}]),
        _project(ports=[{"containerPort": 80, "protocol": "UDP"}]),
        _names("workload", "ports", key="protocol"),
        ["TCP", "UDP"],
        ["TCP"],
    ),
    "replicas": Shared(
        "Project",
        _project(),
        {"workload": {"replicas": 3}},
        lambda spec: spec["workload"].get("replicas"),
        3,
        None,
    ),
    "node labels are one": Shared(
        "Project",
        _project(nodeSelector={"a": "b"}),
        {"deploy": {"auto": False}},
        lambda spec: (spec["workload"]["nodeSelector"], spec.get("deploy")),
        ({"a": "b"}, {"auto": False}),
        ({"a": "b"}, None),
    ),
    "outputs": Shared(
        "GitHubInstallation", _output("a"), _output("b"), _names("outputs", key="secretName"), ["a", "b"], ["a"]
    ),
    "permissions": Shared(
        "GitHubInstallation",
        {"account": "acme", "permissions": READ},
        {"permissions": {"checks": "write"}},
        lambda spec: spec["permissions"],
        {**READ, "checks": "write"},
        READ,
    ),
    "repositories": Shared(
        "GitHubInstallation",
        {"account": "acme", "repositories": ["acme/a"]},
        {"repositories": ["acme/b"]},
        lambda spec: spec["repositories"],
        ["acme/a", "acme/b"],
        ["acme/a"],
    ),
    "tokens": Shared("GitHubUser", _token("a"), _token("b"), _names("tokens"), ["a", "b"], ["a"]),
}


@pytest.mark.parametrize("name", list(SHARED))
def test_two_managers_own_parts_of_one_spec(objects: Objects, name: str) -> None:
    shared = SHARED[name]
    called = f"shared-{name.replace(' ', '-')}"

    for manager, spec in (("first", shared.first), ("second", shared.second)):
        status, answer = objects.apply(an_object(shared.kind, spec, called), manager)
        assert status in {200, 201}, answer
    assert shared.part(objects.read(shared.kind, called)["spec"]) == shared.both

    status, answer = objects.apply(an_object(shared.kind, shared.first, called), "first")
    assert status == 200, answer
    assert shared.part(objects.read(shared.kind, called)["spec"]) == shared.both, "the second manager's part is gone"

    status, answer = objects.apply(an_object(shared.kind, {}, called), "second")
    assert status == 200, answer
    assert shared.part(objects.read(shared.kind, called)["spec"]) == shared.only_first


def test_what_another_manager_owns_is_a_conflict(objects: Objects) -> None:
    objects.apply(an_object("Project", _project(replicas=1), "contested"), "first")

    status, answer = objects.apply(an_object("Project", {"workload": {"replicas": 2}}, "contested"), "second")

    assert status == 409, answer
    assert "first" in answer["message"]
    assert ".spec.workload.replicas" in answer["message"]


def test_a_reference_has_one_owner(objects: Objects) -> None:
    objects.apply(an_object("Project", {**_project(), "userRef": {"name": "jane"}}, "reference"), "first")

    status, answer = objects.apply(
        an_object("Project", {"userRef": {"name": "jane", "namespace": "other"}}, "reference"), "second"
    )

    assert status == 409, answer


def test_two_writers_of_status_keep_each_others_conditions(objects: Objects) -> None:
    objects.create(an_object("Project", _project(), "conditions"))

    for manager, kind in (("first", "Ready"), ("second", "Deployed")):
        body = {**an_object("Project", {}, "conditions"), "status": {"conditions": [{"type": kind, **CONDITION}]}}
        del body["spec"]
        status, answer = objects.apply_status(body, manager)
        assert status == 200, answer

    assert _names("conditions", key="type")(objects.read("Project", "conditions")["status"]) == ["Ready", "Deployed"]

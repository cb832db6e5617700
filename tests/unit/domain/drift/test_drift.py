"""Drift: nothing that was asked for goes missing unseen, and nothing that others added is seen."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mooring.domain.drift import PATH_CHARACTERS_MAX, PATHS_MAX, differences
from tests.unit.domain.manifests.cases import CASES, TOKEN

MANIFESTS = [manifest for name in sorted(CASES) for manifest in CASES[name].manifests()]
Step = str | int
WHOLE = ("selector", "nodeSelector")
# What the API server keeps nothing of: to remove these changes nothing.
DROPPED = ("value", "initialDelaySeconds")


def container(**fields: Any) -> dict[str, Any]:
    """A Deployment with one container."""
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "workload", **fields}]}}}}


def leaves(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """The paths of all values that hold no others."""
    below: list[tuple[Step, Any]] = []
    if isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list):
        below = list(enumerate(value))
    if not below:
        yield path
    for step, child in below:
        yield from leaves(child, (*path, step))


def at(value: Any, path: tuple[Step, ...]) -> Any:
    """The value at a path."""
    for step in path:
        value = value[step]
    return value


def owned(manifest: dict[str, Any]) -> list[tuple[Step, ...]]:
    """The leaves but for the words that say what kind of object it is."""
    return [path for path in leaves(manifest) if path[0] not in {"apiVersion", "kind"}]


@st.composite
def leaf_of_a_manifest(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """A manifest and one of its leaves."""
    manifest = draw(st.sampled_from(MANIFESTS))
    return manifest, draw(st.sampled_from(owned(manifest)))


# --- properties ---


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: str(manifest["kind"]))
def test_an_object_does_not_differ_from_itself(manifest: dict[str, Any]) -> None:
    assert differences(manifest, copy.deepcopy(manifest)) == []


@given(leaf_of_a_manifest(), st.sampled_from(["other", 987654321, True, {"x": 1}, ["x"]]))
def test_every_changed_leaf_is_found(chosen: tuple[dict[str, Any], tuple[Step, ...]], other: Any) -> None:
    manifest, path = chosen
    before = at(manifest, path)
    # More in an empty object is an addition, and the same again is no change.
    assume(not (before == {} and isinstance(other, dict)) and before is not other)
    live = copy.deepcopy(manifest)
    at(live, path[:-1])[path[-1]] = other

    assert differences(manifest, live)


@given(leaf_of_a_manifest())
def test_every_removed_leaf_is_found(chosen: tuple[dict[str, Any], tuple[Step, ...]]) -> None:
    manifest, path = chosen
    live = copy.deepcopy(manifest)
    was_dropped_anyway = path[-1] in DROPPED and not at(manifest, path)
    was_default = path[-1] == "protocol" and at(manifest, path) == "TCP"
    del at(live, path[:-1])[path[-1]]

    assert bool(differences(manifest, live)) != (was_dropped_anyway or was_default)


@given(leaf_of_a_manifest(), st.sampled_from(["extra", "zzz", "0"]), st.sampled_from(["x", 1, {"y": "z"}, [1]]))
def test_what_others_add_beside_is_not_seen(
    chosen: tuple[dict[str, Any], tuple[Step, ...]], name: str, value: Any
) -> None:
    manifest, path = chosen
    live = copy.deepcopy(manifest)
    secrets_data = live.get("data")
    for length in range(len(path)):
        parent, is_whole = at(live, path[:length]), path[length - 1 : length] in [(key,) for key in WHOLE]
        if isinstance(parent, dict) and parent is not secrets_data and not is_whole:
            parent[name] = value

    assert differences(manifest, live) == []


@pytest.mark.parametrize("name", WHOLE)
def test_one_more_key_in_a_selector_is_seen(name: str) -> None:
    manifest = {"kind": "Service", "spec": {name: {"app": "shop"}}}
    live = {"kind": "Service", "spec": {name: {"app": "shop", "tier": "web"}}}

    assert differences(manifest, live) == [f"spec.{name}"]
    assert differences({"kind": "Service", "spec": {}}, live) == []


@given(st.sampled_from(MANIFESTS))
def test_the_order_of_items_with_a_name_does_not_count(manifest: dict[str, Any]) -> None:
    live = copy.deepcopy(manifest)
    pod = live.get("spec", {}).get("template", {}).get("spec", {})
    for owner, name in [(pod, "volumes"), *((c, n) for c in pod.get("containers", ()) for n in ("env", "ports"))]:
        if name in owner:
            owner[name] = [{"name": "of-another", "containerPort": 1}, *reversed(owner[name])]

    assert differences(manifest, live) == []


# --- how the API server keeps things ---


@pytest.mark.parametrize(
    ("desired", "live", "same"),
    [
        ("0.5", "500m", True),
        (1, "1", True),
        ("1024Mi", "1Gi", True),
        ("1.5e8", "150M", True),
        ("1E3", "1k", True),
        ("1E", "1000P", True),
        (".5", "0.5", True),
        ("0.0000000001", "1m", True),
        ("1.0000000001", "1001m", True),
        ("9Ei", "9223372036854775807", True),
        ("9999999999999999999999", "9999999999999999999999", True),
        ("1e30", "1e31", False),
        ("1e999999999999999999", "1e999999999999999999", True),
        ("1e999999999999999999", "1e99999999999999999", False),
        ("1Gi", "1G", False),
        ("100m", "100Mi", False),
        ("1", "junk", False),
    ],
)
def test_quantities_are_compared_by_value(desired: int | str, live: str, same: bool) -> None:
    found = differences(
        container(resources={"limits": {"memory": desired}}), container(resources={"limits": {"memory": live}})
    )

    assert found == ([] if same else ["spec.template.spec.containers[workload].resources.limits.memory"])


def test_only_a_list_of_resources_is_rounded_to_thousandths() -> None:
    desired = {"emptyDir": {"sizeLimit": "1n"}}

    assert differences(desired, {"emptyDir": {"sizeLimit": "0.000000001"}}) == []
    assert differences(desired, {"emptyDir": {"sizeLimit": "1m"}}) == ["emptyDir.sizeLimit"]


def test_what_looks_like_a_quantity_elsewhere_is_text() -> None:
    desired = {"metadata": {"annotations": {"a": "1Gi"}}}

    assert differences(desired, {"metadata": {"annotations": {"a": "1024Mi"}}}) == ["metadata.annotations.a"]


@pytest.mark.parametrize(
    "fields",
    [
        {"command": []},
        {"env": [{"name": "A", "value": ""}]},
        {"readinessProbe": {"initialDelaySeconds": 0}},
        {"workingDir": None},
        {"resources": {}},
    ],
)
def test_what_the_api_server_drops_may_be_absent(fields: dict[str, Any]) -> None:
    live = container(env=[{"name": "A"}], readinessProbe={"periodSeconds": 10})

    assert differences(container(**fields), live) == []


def test_an_empty_object_that_says_something_may_not_be_absent() -> None:
    desired = {"spec": {"volumes": [{"name": "w", "emptyDir": {}}]}}

    assert differences(desired, {"spec": {"volumes": [{"name": "w", "hostPath": {"path": "/"}}]}}) == [
        "spec.volumes[w].emptyDir"
    ]


def test_an_absent_protocol_is_tcp() -> None:
    desired = {"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}}
    live = {"spec": {"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}

    assert differences(desired, live) == []


def test_a_port_may_be_written_as_text() -> None:
    desired = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}

    assert differences(desired, {"spec": {"ports": [{"port": 80, "targetPort": "8080"}]}}) == []
    assert differences(desired, {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}) == [
        "spec.ports[80/TCP].targetPort"
    ]


def test_of_two_variables_with_one_name_the_last_counts() -> None:
    ours, theirs = {"name": "GITHUB_TOKEN", "value": "a"}, {"name": "GITHUB_TOKEN", "value": "b"}

    assert differences(container(env=[ours]), container(env=[theirs, ours])) == []
    assert differences(container(env=[ours]), container(env=[ours, theirs])) != []


@pytest.mark.parametrize("live", [["a"], ["a", "b", "c"], ["b", "a"]])
def test_arguments_are_one_whole(live: list[str]) -> None:
    assert differences(container(args=["a", "b"]), container(args=live)) != []


def test_true_is_not_one() -> None:
    assert differences({"immutable": True}, {"immutable": 1}) == ["immutable"]


# --- secrets, and what the paths say ---


def test_a_secret_holds_what_was_asked_for_and_nothing_else() -> None:
    desired = {"kind": "Secret", "data": {"token": "YQ=="}}

    assert differences(desired, {"kind": "Secret", "data": {"token": "YQ==", "ghp_oops": "Yg=="}}) == ["data"]
    assert differences(desired, {"kind": "Secret", "data": {"token": "Yg=="}}) == ["data.token"]
    assert differences(desired, {"kind": "Secret"}) == ["data"]
    assert differences({"kind": "Secret", "data": {}}, {"kind": "Secret"}) == []


@given(leaf_of_a_manifest(), st.sampled_from([TOKEN, {TOKEN: TOKEN}, [TOKEN]]))
def test_paths_tell_no_values(chosen: tuple[dict[str, Any], tuple[Step, ...]], secret: Any) -> None:
    manifest, path = chosen
    live = copy.deepcopy(manifest)
    at(live, path[:-1])[path[-1]] = secret

    assert TOKEN not in "".join(differences(manifest, live))


def test_paths_are_few_and_short() -> None:
    desired = {"metadata": {"labels": {f"example.com/{'x' * 300}{number}": "y" for number in range(100)}}}
    found = differences(desired, {"metadata": {}})

    assert found == ["metadata.labels"]
    found = differences(desired, {"metadata": {"labels": {"other": "label"}}})
    assert len(found) == PATHS_MAX
    assert max(map(len, found)) <= PATH_CHARACTERS_MAX


def test_keys_that_are_no_plain_words_stand_in_brackets() -> None:
    assert differences({"metadata": {"labels": {"a.b/c": "d"}}}, {"metadata": {"labels": {"e": "f"}}}) == [
        "metadata.labels[a.b/c]"
    ]

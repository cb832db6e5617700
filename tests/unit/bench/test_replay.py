"""What the floor sends: taken from what the product wrote, for other objects, in an even mix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import replay
from bench.floor import Request, request
from bench.replay import Target, Unknown
from bench.site import Asked

TO = Target("https://server", {"Authorization": "Bearer x"})
PLACE = "/apis/apps/v1/namespaces/other/deployments"


def deployment() -> dict[str, Any]:
    """Return a Deployment of which the product applied a part, and others the rest."""
    fields = {
        "f:metadata": {"f:labels": {"f:ours": {}}, "f:ownerReferences": {'k:{"uid":"u-1"}': {}}},
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}},
                    "f:tolerations": {},
                }
            },
            "f:words": {'v:"one"': {}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "p0-default",
            "namespace": "many-0",
            "uid": "u-9",
            "resourceVersion": "7",
            "labels": {"ours": "1", "theirs": "2"},
            "ownerReferences": [{"uid": "u-1", "name": "p0", "kind": "Project"}],
            "managedFields": [
                {"manager": "people", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                {"manager": "mooring", "operation": "Update", "fieldsV1": {"f:status": {}}},
                {"manager": "mooring", "operation": "Apply", "fieldsV1": fields},
            ],
        },
        "spec": {
            "paused": False,
            "words": ["one", "two"],
            "template": {
                "spec": {
                    "containers": [{"name": "b", "image": "x"}, {"name": "a", "image": "y", "imagePullPolicy": "z"}],
                    "tolerations": [{"key": "k"}],
                }
            },
        },
        "status": {"replicas": 1},
    }


def test_a_body_has_what_the_product_applied_and_nothing_else() -> None:
    assert replay.applied(deployment()) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "p0-default",
            "namespace": "many-0",
            "labels": {"ours": "1"},
            "ownerReferences": [{"uid": "u-1", "name": "p0", "kind": "Project"}],
        },
        "spec": {
            "words": ["one"],
            "template": {"spec": {"containers": [{"name": "a", "image": "y"}], "tolerations": [{"key": "k"}]}},
        },
    }
    nobodys = {**deployment(), "metadata": {**deployment()["metadata"], "managedFields": []}}
    with pytest.raises(Unknown, match="p0-default"):
        replay.applied(nobodys)


def test_it_is_moved_to_other_objects() -> None:
    moved = replay.moved(replay.applied(deployment()), {"many-0": "other", "u-1": "u-2"})
    assert (moved["metadata"]["namespace"], moved["metadata"]["ownerReferences"][0]["uid"]) == ("other", "u-2")
    assert moved["metadata"]["name"] == "p0-default"


def test_the_first_write_is_held_to_no_object_and_later_ones_differ() -> None:
    body = {"metadata": {"name": "p0-default"}}
    only = sent(replay.child(TO, body, PLACE, 0, 1))
    first, second = (sent(replay.child(TO, body, PLACE, number, 2)) for number in (0, 1))
    assert only["metadata"]["resourceVersion"] == "1"
    assert "resourceVersion" not in first["metadata"]
    assert first != second
    project = {"metadata": {"name": "p0"}, "status": {"conditions": [{"type": "Ready", "message": "m"}]}}
    statuses = [sent(replay.status(TO, project, PLACE, number, 2)) for number in (0, 1)]
    assert statuses[0] != statuses[1] == {"status": project["status"]}


def sent(one: Request) -> dict[str, Any]:
    """Return the body of a request."""
    assert one.body is not None
    found: dict[str, Any] = json.loads(one.body)
    return found


def test_writes_of_the_same_object_are_numbered() -> None:
    def asked(name: str) -> Asked:
        return Asked("patch", "projects", "status", name, "many-0", "", "", "")

    found = [(one.name, number, of) for one, number, of in replay.numbered(map(asked, "aba"))]
    assert found == [("a", 0, 2), ("b", 0, 1), ("a", 1, 2)]


def test_each_kind_of_request_is_spread_over_the_whole() -> None:
    writes = [request("PATCH", f"https://server/{number}") for number in range(6)]
    reads = [request("GET", f"https://hub/{number}") for number in range(2)]
    mixed = replay.mixed([writes, reads])
    assert [one.url.path for one in mixed if one.method == "PATCH"] == [f"/{number}" for number in range(6)]
    halves = [sum(one.method == "GET" for one in half) for half in (mixed[:4], mixed[4:])]
    assert halves == [1, 1]


def test_a_floor_that_leaves_out_much_is_none() -> None:
    replay.check_left_out(98, {"DELETE /installation/token": 2})
    with pytest.raises(Unknown, match="DELETE"):
        replay.check_left_out(97, {"DELETE /installation/token": 3})

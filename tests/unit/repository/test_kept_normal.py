"""What is kept has nothing of chance in it: two runs at other times, with other uids and tokens, come out the same."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mooring.domain.fingerprints import fingerprint
from tests.fixtures import kept
from tests.fixtures.normal import BEGINNING, DONE, ENDED, normal, stamp, uid_of

OWNER = uid_of("GitHubInstallation", "stored", "acme")


def code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def run(number: int) -> list[dict[str, Any]]:
    """Return what a run might leave; the number is its chance."""
    now = datetime.now(UTC) - timedelta(seconds=100 * number)
    at, past = stamp(now), stamp(now - timedelta(seconds=50 + number))
    token, uid = f"ghs_{number}aBc" * 9, f"00000000-0000-0000-0000-{number:012}"
    entries = [
        {"manager": "mooring", "operation": "Apply", "time": at},
        {"manager": "kube-controller-manager", "operation": "Update", "time": at},
        {"manager": "people", "operation": "Apply", "time": past},
    ]
    metadata = {"namespace": "stored", "uid": uid, "resourceVersion": str(number), "creationTimestamp": at}
    docker = {"auths": {"containers.example.com": {"password": token, "auth": code(f"x-access-token:{token}")}}}
    notes = {
        "mooring.dev/token-fingerprint": fingerprint(OWNER, token),
        "mooring.dev/expires-at": stamp(now + timedelta(hours=1)),
        "mooring.dev/issued-at": at,
    }
    owner = {**metadata, "uid": uid.replace("0000-", "1111-"), "name": "shop"}
    return [
        {
            "apiVersion": "mooring.dev/v1alpha1",
            "kind": "Project",
            "metadata": {**owner, "managedFields": entries[:: 1 if number % 2 else -1]},
            "status": {
                "history": [{"sha": "b", "deployedAt": at}, {"sha": "a", "deployedAt": past}],
                "revision": {"sha": "b", "deployedAt": at},
                "conditions": [{"lastTransitionTime": past, "message": f"Since {past}, until {at}."}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                **metadata,
                "name": "ci",
                "annotations": notes,
                "labels": {"mooring.dev/installation": "acme"},
                "ownerReferences": [{"uid": owner["uid"]}],
            },
            "data": {"token": code(token), ".dockerconfigjson": code(json.dumps(docker))},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata, "name": "shop", "uid": f"{uid}-s"},
            "spec": {"clusterIP": f"10.96.0.{number}", "clusterIPs": [f"10.96.0.{number}"]},
            "status": {"loadBalancer": {}},
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**metadata, "name": "mooring-operator", "uid": f"{uid}-l"},
            "spec": {"renewTime": at.replace("Z", f".{number:06}Z")},
        },
    ]


def test_two_runs_come_out_the_same() -> None:
    assert run(1) != run(2)
    first, second = normal(run(1)), normal(run(2))
    assert first == second
    project, secret, service, lease = first
    done, minute = stamp(DONE), timedelta(minutes=1)
    assert [one["deployedAt"] for one in project["status"]["history"]] == [
        stamp(BEGINNING + 2 * minute),
        stamp(BEGINNING + minute),
    ]
    assert project["status"]["revision"] == project["status"]["history"][0]
    assert project["status"]["conditions"][0]["message"] == f"Since {done}, until {done}."
    assert [entry["manager"] for entry in project["metadata"]["managedFields"]] == ["mooring", "people"]
    assert secret["metadata"]["ownerReferences"] == [{"uid": uid_of("Project", "stored", "shop")}]
    notes = secret["metadata"]["annotations"]
    assert notes["mooring.dev/expires-at"] == stamp(DONE + timedelta(hours=1))
    # A reader would find the token to be the one that is told of.
    assert notes["mooring.dev/token-fingerprint"] == fingerprint(OWNER, ENDED)
    assert base64.b64decode(secret["data"]["token"]).decode() == ENDED
    assert "status" not in service
    # Kubernetes reads no other form of it.
    assert re.fullmatch(r".*:00\.000000Z", lease["spec"]["renewTime"])


@pytest.mark.parametrize("release", kept.releases("crds"))
def test_what_is_kept_is_of_that_form(release: str) -> None:
    found = kept.load(release)
    for obj in found:
        metadata = obj["metadata"]
        assert metadata["uid"] == uid_of(obj["kind"], metadata["namespace"], metadata["name"])
        assert metadata["resourceVersion"] == "1"
    moments = set(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", json.dumps(found)))
    late = DONE + timedelta(hours=1)
    assert moments
    assert all(BEGINNING <= datetime.fromisoformat(one) <= late for one in moments), sorted(moments)

"""Writes against the real API server: each is held to what was observed, and touches nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mooring.cluster.client import KubernetesCluster
from mooring.ports import AlreadyExists, Changed
from tests.cluster.conftest import Kube

NOBODY = "11111111-1111-1111-1111-111111111111"


def secret(namespace: str, name: str = "child", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": data or {"token": "YQ=="},
    }


def path_of(namespace: str, name: str = "child") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def post(kube: Kube, manifest: dict[str, Any]) -> dict[str, Any]:
    status, made = kube.request("POST", f"/api/v1/namespaces/{manifest['metadata']['namespace']}/secrets", manifest)
    assert status == 201, made
    return made


async def test_a_first_write_makes_what_is_not_there(cluster: KubernetesCluster, namespace: str) -> None:
    assert await cluster.read("Secret", namespace, "child") is None
    made = await cluster.create(secret(namespace))
    assert await cluster.read("Secret", namespace, "child") == made
    assert "managedFields" not in made["metadata"]


async def test_a_first_write_leaves_what_is_there_alone(cluster: KubernetesCluster, namespace: str, kube: Kube) -> None:
    assert await cluster.read("Secret", namespace, "child") is None
    foreign = post(kube, secret(namespace, theirs="eA=="))  # it appears between the check and the write
    with pytest.raises(AlreadyExists, match=f"Secret {namespace}/child"):
        await cluster.create(secret(namespace))
    assert kube.request("GET", path_of(namespace))[1] == foreign


async def test_an_identical_foreign_object_is_left_alone_too(
    cluster: KubernetesCluster, namespace: str, kube: Kube
) -> None:
    foreign = post(kube, secret(namespace))
    with pytest.raises(AlreadyExists):
        await cluster.create(secret(namespace))
    assert kube.request("GET", path_of(namespace))[1] == foreign


async def test_of_many_first_writes_at_once_one_wins(cluster: KubernetesCluster, namespace: str) -> None:
    wishes = [secret(namespace, number=f"{number:02}==") for number in range(10)]
    outcomes = await asyncio.gather(*(cluster.create(wish) for wish in wishes), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(made) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 9
    assert await cluster.read("Secret", namespace, "child") == made[0]


async def test_a_first_write_into_no_namespace(cluster: KubernetesCluster, namespace: str) -> None:
    with pytest.raises(Changed):
        await cluster.create(secret(f"{namespace}-missing"))


async def test_an_apply_takes_back_what_the_first_write_had(cluster: KubernetesCluster, namespace: str) -> None:
    made = await cluster.create(secret(namespace, keeps="YQ==", goes="Yg=="))
    applied = await cluster.apply(secret(namespace, keeps="YQ=="), uid=made["metadata"]["uid"])
    assert applied["data"] == {"keeps": "YQ=="}


async def test_an_apply_keeps_what_others_added_and_repairs_what_they_changed(
    cluster: KubernetesCluster, namespace: str, kube: Kube
) -> None:
    made = await cluster.create(secret(namespace))
    patch = {"metadata": {"labels": {"theirs": "stays"}}, "data": {"token": "eHg="}}
    assert kube.request("PATCH", path_of(namespace), patch, "application/merge-patch+json")[0] == 200
    applied = await cluster.apply(secret(namespace), uid=made["metadata"]["uid"])
    assert applied["metadata"]["labels"] == {"theirs": "stays"}
    assert applied["data"] == {"token": "YQ=="}


async def test_an_apply_for_another_uid_changes_nothing(cluster: KubernetesCluster, namespace: str, kube: Kube) -> None:
    foreign = post(kube, secret(namespace, theirs="eA=="))
    with pytest.raises(Changed):
        await cluster.apply(secret(namespace), uid=NOBODY)
    assert kube.request("GET", path_of(namespace))[1] == foreign


async def test_an_apply_makes_nothing_anew(cluster: KubernetesCluster, namespace: str, kube: Kube) -> None:
    with pytest.raises(Changed):
        await cluster.apply(secret(namespace, "never-there"), uid=NOBODY)
    made = await cluster.create(secret(namespace))
    assert kube.request("DELETE", path_of(namespace))[0] == 200
    with pytest.raises(Changed):
        await cluster.apply(secret(namespace), uid=made["metadata"]["uid"])
    assert kube.request("GET", f"/api/v1/namespaces/{namespace}/secrets")[1]["items"] == []


async def test_a_delete_takes_exactly_what_was_observed(cluster: KubernetesCluster, namespace: str, kube: Kube) -> None:
    made = await cluster.create(secret(namespace))
    uid, old = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    patch = {"metadata": {"labels": {"new": "label"}}}
    changed = kube.request("PATCH", path_of(namespace), patch, "application/merge-patch+json")[1]
    version = changed["metadata"]["resourceVersion"]
    for wrong_uid, wrong_version in ((uid, old), (NOBODY, version)):
        with pytest.raises(Changed):
            await cluster.delete("Secret", namespace, "child", uid=wrong_uid, resource_version=wrong_version)
    assert kube.request("GET", path_of(namespace))[1] == changed
    await cluster.delete("Secret", namespace, "child", uid=uid, resource_version=version)
    assert await cluster.read("Secret", namespace, "child") is None
    await cluster.delete("Secret", namespace, "child", uid=uid, resource_version=version)  # gone is fine


class TestStatus:
    """The status of one of our kinds."""

    KIND = "GitHubUser"

    @pytest.fixture
    def user(self, kube: Kube, namespace: str) -> dict[str, Any]:
        body = {"apiVersion": "mooring.dev/v1alpha1", "kind": self.KIND, "metadata": {"name": "u"}, "spec": {}}
        status, made = kube.request("POST", f"/apis/mooring.dev/v1alpha1/namespaces/{namespace}/githubusers", body)
        assert status == 201, made
        return made

    async def _write(
        self,
        cluster: KubernetesCluster,
        user: dict[str, Any],
        status: dict[str, Any],
        version: str | None,
        uid: str = "",
    ) -> dict[str, Any]:
        metadata = user["metadata"]
        return await cluster.write_status(
            "GitHubUser",
            metadata["namespace"],
            metadata["name"],
            status,
            uid=uid or metadata["uid"],
            resource_version=version,
        )

    async def test_fields_are_merged_and_none_removes_one(
        self, cluster: KubernetesCluster, user: dict[str, Any]
    ) -> None:
        version = user["metadata"]["resourceVersion"]
        first = await self._write(cluster, user, {"login": "octo", "tokenSet": True}, version)
        second = await self._write(cluster, user, {"login": None, "githubId": 7}, None)
        assert first["status"] == {"login": "octo", "tokenSet": True}
        assert second["status"] == {"tokenSet": True, "githubId": 7}
        assert await cluster.read_own("GitHubUser", user["metadata"]["namespace"], "u") == second

    async def test_an_old_version_is_refused(self, cluster: KubernetesCluster, user: dict[str, Any]) -> None:
        version = user["metadata"]["resourceVersion"]
        first = await self._write(cluster, user, {"login": "first"}, version)
        with pytest.raises(Changed):
            await self._write(cluster, user, {"login": "second"}, version)
        assert await cluster.read_own("GitHubUser", user["metadata"]["namespace"], "u") == first

    async def test_another_object_is_refused(self, cluster: KubernetesCluster, user: dict[str, Any]) -> None:
        with pytest.raises(Changed):
            await self._write(cluster, user, {"login": "other"}, None, uid=NOBODY)
        assert await cluster.read_own("GitHubUser", user["metadata"]["namespace"], "u") == {
            **user,
            "metadata": {key: value for key, value in user["metadata"].items() if key != "managedFields"},
        }

    async def test_a_missing_object_is_refused(self, cluster: KubernetesCluster, user: dict[str, Any]) -> None:
        gone = {**user, "metadata": {**user["metadata"], "name": "gone"}}
        for version in (None, user["metadata"]["resourceVersion"]):
            with pytest.raises(Changed):
                await self._write(cluster, gone, {"login": "x"}, version)

    async def test_without_a_version_writers_of_other_parts_all_get_through(
        self, cluster: KubernetesCluster, user: dict[str, Any]
    ) -> None:
        parts: list[dict[str, Any]] = [{"login": "octo"}, {"tokenSet": True}, {"githubId": 7}]
        await asyncio.gather(*(self._write(cluster, user, part, None) for part in parts))
        stored = await cluster.read_own("GitHubUser", user["metadata"]["namespace"], "u")
        assert stored
        assert stored["status"] == {"login": "octo", "tokenSet": True, "githubId": 7}


async def test_an_event_tells_about_its_subject(cluster: KubernetesCluster, namespace: str, kube: Kube) -> None:
    subject = post(kube, secret(namespace, "a" * 253))
    await cluster.emit(subject, warning=True, reason="TokenInvalid", message="é" * 2000)
    events = kube.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")[1]["items"]
    assert len(events) == 1
    event = events[0]
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "TokenInvalid", "Reconcile")
    assert (event["reportingController"], event["reportingInstance"]) == ("mooring.dev/operator", "test-instance")
    assert event["regarding"]["uid"] == subject["metadata"]["uid"]
    assert len(event["note"].encode()) <= 1024
    assert event["note"].endswith("é…")


async def test_an_event_that_cannot_be_posted_is_no_error(cluster: KubernetesCluster, namespace: str) -> None:
    subject = secret(f"{namespace}-missing")
    subject["metadata"]["uid"] = NOBODY
    await cluster.emit(subject, warning=False, reason="Ready", message="lost")


async def test_a_config_map_may_be_missing(cluster: KubernetesCluster, namespace: str) -> None:
    assert await cluster.read_config_map(namespace, "missing") is None

"""What the gateway asks of the adapter: writes held to a version and soon given up, and whether news arrive."""

from __future__ import annotations

import asyncio
import time

import pytest

from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.limits import WatchTimings
from mooring.cluster.watch import Scope, Watch
from mooring.domain.errors import Transient
from mooring.ports import Changed, Object
from mooring.services.clock import SystemClock
from tests.cluster.adapter.support import PATIENCE, Proxy, Recorder, running
from tests.cluster.conftest import Kube
from tests.cluster.harness import People

PUSH = {"sha": "a" * 40, "ref": "refs/heads/main", "delivery": "d1", "receivedAt": "2026-01-01T00:00:00Z"}
QUICK = WatchTimings(backoff_seconds=(0.05, 0.1))


@pytest.fixture
def people(kube: Kube, namespace: str) -> People:
    people = People(kube, namespace)
    people.apply("Project", "shop", {"workload": {"image": "nginx"}})
    return people


async def record(cluster: KubernetesCluster, people: People, name: str, version: str, seconds: float = PATIENCE) -> str:
    fields = {"push": PUSH}
    return await cluster.merge_recorded(
        "Project", people.namespace, name, fields, resource_version=version, seconds=seconds
    )


async def read(cluster: KubernetesCluster, people: People, name: str, seconds: float = PATIENCE) -> Object | None:
    return await cluster.read_recorded("Project", people.namespace, name, seconds=seconds)


async def test_a_record_is_merged_onto_the_version_that_was_seen(cluster: KubernetesCluster, people: People) -> None:
    seen = people.patch("Project", "shop", {"status": {"url": "https://shop"}}, subresource="status")
    version = seen["metadata"]["resourceVersion"]
    now = await record(cluster, people, "shop", version)
    made = await read(cluster, people, "shop")
    assert made is not None
    assert (made["status"]["push"], made["status"]["url"]) == (PUSH, "https://shop")
    assert made["metadata"]["resourceVersion"] == now
    with pytest.raises(Changed):
        await record(cluster, people, "shop", version)
    kept = people.get("Project", "shop")
    assert kept is not None
    assert kept["status"]["push"] == PUSH
    assert "mooring-gateway" in {entry["manager"] for entry in kept["metadata"]["managedFields"]}


async def test_of_what_was_recorded_nothing_is_sent_back(
    proxy: Proxy, proxied: Connection, people: People, cluster: KubernetesCluster
) -> None:
    by_proxy = KubernetesCluster(proxied, SystemClock(), instance="test")
    seen = await read(cluster, people, "shop")
    assert seen is not None
    await record(by_proxy, people, "shop", seen["metadata"]["resourceVersion"])
    assert b"PartialObjectMetadata" in proxy.received
    assert PUSH["sha"].encode() not in proxy.received
    # What would be found is there to be found.
    await read(by_proxy, people, "shop")
    assert PUSH["sha"].encode() in proxy.received


async def test_what_is_gone_is_changed_or_nothing(cluster: KubernetesCluster, people: People) -> None:
    with pytest.raises(Changed):
        await record(cluster, people, "gone", "10")
    assert await read(cluster, people, "gone") is None


async def test_a_server_that_is_silent_is_given_up_soon(proxy: Proxy, proxied: Connection, people: People) -> None:
    cluster = KubernetesCluster(proxied, SystemClock(), instance="test")
    proxy.close_door()
    began = time.monotonic()
    with pytest.raises(Transient, match="in time"):
        await record(cluster, people, "shop", "10", 0.2)
    with pytest.raises(Transient, match="in time"):
        await read(cluster, people, "shop", 0.2)
    assert time.monotonic() - began < PATIENCE / 2


async def until(watch: Watch, *, current: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while watch.is_current is not current:  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.01)


async def test_a_watch_that_is_broken_is_not_current(proxy: Proxy, proxied: Connection, people: People) -> None:
    watch = Watch(proxied, Scope(RESOURCES["Project"], people.namespace, contents=True), Recorder(), timings=QUICK)
    assert not watch.is_current

    async with running(watch):
        await until(watch, current=True)
        proxy.close_door()
        await until(watch, current=False)
        proxy.open_door()
        await until(watch, current=True)

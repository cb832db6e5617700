"""Watches against the real API server: what is told, what is kept from us, and what they survive."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from mooring.cluster import watch as watch_module
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.limits import Limits, WatchTimings
from mooring.cluster.watch import Scope, Watch
from tests.cluster.adapter.support import Proxy, Recorder, running
from tests.cluster.conftest import Kube

QUICK = WatchTimings(server_seconds=(60.0, 60.0), inactivity_seconds=1.0, backoff_seconds=(0.05, 0.2))
PLANTED = "planted-value-of-a-secret"


def secret(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": "Opaque",
        "data": {"token": base64.b64encode(PLANTED.encode()).decode()},
    }


def watch_secrets(connection: Connection, namespace: str, told: Recorder, **scope: Any) -> Watch:
    return Watch(connection, Scope(RESOURCES["Secret"], namespace, **scope), told, timings=QUICK, random=Random(1))  # noqa: S311 - spreads load, guards nothing


async def test_tells_what_is_there_comes_changes_and_goes(
    connection: Connection, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.create(secret(namespace, "there"))
    told = Recorder()
    async with running(watch_secrets(connection, namespace, told)):
        assert told.of("ADDED") == ["there"]
        made = await cluster.create(secret(namespace, "comes"))
        await told.until(lambda: told.of("ADDED") == ["there", "comes"])
        await cluster.apply(secret(namespace, "comes", **{"mooring.dev/project": "p"}), uid=made["metadata"]["uid"])
        await told.until(lambda: told.of("MODIFIED") == ["comes"])
        assert [seen.listed for seen in told.all] == [True, False, False]
        assert told.all[-1].labels == {"mooring.dev/project": "p"}
        assert told.all[-1].uid == made["metadata"]["uid"]
        last = await cluster.read("Secret", namespace, "comes")
        assert last
        version = last["metadata"]["resourceVersion"]
        assert told.all[-1].resource_version == version
        await cluster.delete("Secret", namespace, "comes", uid=last["metadata"]["uid"], resource_version=version)
        await told.until(lambda: told.of("DELETED") == ["comes"])
        assert told.all[-1].labels == {"mooring.dev/project": "p"}


async def test_no_content_of_a_secret_ever_arrives(
    proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.create(secret(namespace, "listed"))
    told = Recorder()
    async with running(watch_secrets(proxied, namespace, told)):
        made = await cluster.create(secret(namespace, "watched"))
        await cluster.apply(secret(namespace, "watched", a="b"), uid=made["metadata"]["uid"])
        await told.until(lambda: told.of("MODIFIED") == ["watched"])
    value = base64.b64encode(PLANTED.encode())
    assert b"watched" in proxy.received
    assert value not in proxy.received
    # The search itself finds it where it is: the same watch, asked for contents.
    everything = Recorder()
    async with running(watch_secrets(proxied, namespace, everything, contents=True)):
        assert value in proxy.received
    assert all(seen.obj is None for seen in told.all)
    assert all(seen.obj and seen.obj["kind"] == "Secret" and "data" in seen.obj for seen in everything.all)
    assert PLANTED not in repr(everything.all)
    assert value.decode() not in repr(everything.all)


@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_goes_on_after_a_connection_died_openly_or_silently(
    how: str, proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.create(secret(namespace, "before"))
    told = Recorder()
    async with running(watch_secrets(proxied, namespace, told)):
        getattr(proxy, how)()
        await cluster.create(secret(namespace, "after"))
        await told.until(lambda: told.of("ADDED") == ["before", "after"])
    assert proxy.sent.count(b"limit=500") == 1, "it goes on from where it was, and does not list again"


async def test_what_was_missed_is_told_after_listing_again(
    proxied: Connection, proxy: Proxy, namespace: str, kube: Kube
) -> None:
    # One of our kinds: the API server remembers it from its definition on, so it does forget the version that is asked.
    path = RESOURCES["GitHubUser"].collection(namespace)
    old = {name: _make_user(kube, path, name) for name in ("goes", "changes", "stays", "replaced")}
    told = Recorder()
    async with running(Watch(proxied, Scope(RESOURCES["GitHubUser"], namespace), told, timings=QUICK)):
        told.all.clear()
        proxy.close_door()
        proxy.outdated = True
        for name in ("goes", "replaced"):
            assert kube.request("DELETE", f"{path}/{name}")[0] == 200
        for name in ("replaced", "comes"):
            _make_user(kube, path, name)
        patch = {"metadata": {"labels": {"new": "label"}}}
        assert kube.request("PATCH", f"{path}/changes", patch, "application/merge-patch+json")[0] == 200
        proxy.open_door()
        await told.until(lambda: "goes" in told.of("DELETED"))
    assert b"too old resource version" in proxy.received, "the API server itself said that it was too late"
    assert sorted((seen.event, seen.name) for seen in told.all) == [
        ("ADDED", "comes"),
        ("ADDED", "replaced"),
        ("DELETED", "goes"),
        ("DELETED", "replaced"),
        ("MODIFIED", "changes"),
    ]
    gone = {seen.name: seen for seen in told.all if seen.event == "DELETED"}
    assert gone["goes"].labels == {"mooring.dev/project": "goes"}
    assert gone["replaced"].uid == old["replaced"]


def _make_user(kube: Kube, path: str, name: str) -> str:
    body = {
        "apiVersion": "mooring.dev/v1alpha1",
        "kind": "GitHubUser",
        "metadata": {"name": name, "labels": {"mooring.dev/project": name, "other": "x"}},
        "spec": {},
    }
    status, made = kube.request("POST", path, body)
    assert status == 201, made
    return str(made["metadata"]["uid"])


async def test_fifteen_hundred_objects_come_in_pages(
    proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str
) -> None:
    await asyncio.gather(*(cluster.create(secret(namespace, f"s-{number}")) for number in range(1500)))
    told = Recorder()
    async with running(watch_secrets(proxied, namespace, told)):
        assert len(set(told.of("ADDED"))) == len(told.all) == 1500
    assert proxy.sent.count(b"limit=500") == 3


async def test_pages_that_are_too_large_get_smaller(
    proxy: Proxy, cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    for number in range(40):
        manifest = secret(namespace, f"s-{number}")
        manifest["metadata"]["annotations"] = {"filler": "x" * 20_000}
        await cluster.create(manifest)
    small = await Connection.open({"KUBECONFIG": proxy.kubeconfig(tmp_path / "small")}, Limits(page_bytes=400_000))
    told = Recorder()
    try:
        async with running(watch_secrets(small, namespace, told)):
            assert len(told.all) == 40
    finally:
        await small.close()
    sizes = [int(size) for size in re.findall(rb"limit=(\d+)", proxy.sent)]
    assert sizes[0] == 500
    assert 10 <= sizes[-1] < 20


async def test_one_object_with_contents(connection: Connection, cluster: KubernetesCluster, namespace: str) -> None:
    await cluster.create(secret(namespace, "other"))
    told = Recorder()
    scope = {"fields": "metadata.name=app", "contents": True}
    async with running(watch_secrets(connection, namespace, told, **scope)):
        assert told.all == []
        await cluster.create(secret(namespace, "app"))
        await told.until(lambda: told.of("ADDED") == ["app"])
        obj = told.all[0].obj
    assert obj
    assert base64.b64decode(obj["data"]["token"]).decode() == PLANTED
    assert "managedFields" not in obj["metadata"]


async def several(cluster: KubernetesCluster, namespace: str) -> list[str]:
    names = [f"s-{number}" for number in range(5)]
    for name in names:
        await cluster.create(secret(namespace, name))
    return names


@pytest.mark.parametrize("later", [True, False], ids=["whole objects later, too", "metadata later"])
async def test_whole_objects_come_as_a_stream_at_first(
    proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str, *, later: bool
) -> None:
    names, told = await several(cluster, namespace), Recorder()
    scope = {"contents": True} if later else {"contents_at_first": True}
    async with running(watch_secrets(proxied, namespace, told, **scope)):
        assert told.of("ADDED") == names
        assert all(seen.listed and seen.obj is not None for seen in told.all)
        await cluster.create(secret(namespace, "comes"))
        await told.until(lambda: told.of("ADDED") == [*names, "comes"])
        assert (told.all[-1].listed, told.all[-1].obj is not None) == (False, later)
        # Another list is one of pages.
        proxy.outdated = True
        proxy.cut()
        await cluster.create(secret(namespace, "later"))
        await told.until(lambda: told.of("ADDED") == [*names, "comes", "later"])
    assert proxy.sent.count(b"sendInitialEvents=true") == 1
    assert len(told.all) == len(names) + 2


@pytest.mark.parametrize("lines", [0, 3], ids=["refused", "broken off"])
async def test_what_cannot_be_streamed_comes_in_pages(
    lines: int, connection: Connection, cluster: KubernetesCluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, told = await several(cluster, namespace), Recorder()
    whole = watch_module._lines  # noqa: SLF001 - where a connection ends is nothing that a server can be asked for
    begun: list[bool] = []

    async def some(response: Any, most: int) -> AsyncIterator[bytes]:
        left, number = (lines if not begun else None), 0
        begun.append(True)
        async for line in whole(response, most):
            if left is not None and number == left:
                raise aiohttp.ServerDisconnectedError
            number += 1
            yield line

    monkeypatch.setattr(watch_module, "_lines", some)
    async with running(watch_secrets(connection, namespace, told, contents=True)):
        assert told.of("ADDED") == names
    assert len(told.all) == len(names)


async def test_a_selector_by_label(connection: Connection, cluster: KubernetesCluster, namespace: str) -> None:
    await cluster.create(secret(namespace, "ours", team="a"))
    await cluster.create(secret(namespace, "theirs", team="b"))
    told = Recorder()
    async with running(watch_secrets(connection, namespace, told, labels="team=a")):
        assert told.of("ADDED") == ["ours"]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "Ingress", "ServiceAccount", "Namespace", "ConfigMap"])
async def test_every_kind_can_be_watched_cluster_wide(kind: str, connection: Connection, namespace: str) -> None:
    told = Recorder()
    async with running(Watch(connection, Scope(RESOURCES[kind]), told, timings=QUICK)):
        assert {seen.kind for seen in told.all} <= {kind}
        if kind == "Namespace":
            assert ("", namespace) in {(seen.namespace, seen.name) for seen in told.all}


async def test_a_watch_that_the_server_ends_is_resumed(
    proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str
) -> None:
    timings = WatchTimings(server_seconds=(1.0, 1.0), backoff_seconds=(0.05, 0.2), settled_seconds=0.5)
    told = Recorder()
    watch = Watch(proxied, Scope(RESOURCES["Secret"], namespace), told, timings=timings)
    async with running(watch):
        for number in range(3):
            await asyncio.sleep(0.7)  # longer than one watch takes, all together
            await cluster.create(secret(namespace, f"s-{number}"))
        await told.until(lambda: len(told.of("ADDED")) == 3)
    assert proxy.sent.count(b"watch=true") >= 2
    assert proxy.sent.count(b"limit=500") == 1

"""A watch goes on, whatever becomes of the news that it tells, and whatever answers in the API server's place."""

from __future__ import annotations

import asyncio
import logging
from random import Random

import pytest

from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Answer, Connection
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.limits import WatchTimings
from mooring.cluster.watch import Scope, Seen, Watch
from tests.cluster.adapter.support import Proxy, Recorder, running

QUICK = WatchTimings(server_seconds=(60.0, 60.0), inactivity_seconds=5.0, backoff_seconds=(0.05, 0.2))


def secret(namespace: str, name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "type": "Opaque"}


class Stumbling(Recorder):
    """Takes news, but for the first of an object, with which it fails."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.stumbled: list[str] = []

    def __call__(self, seen: Seen) -> None:
        """Take news, or fail."""
        if seen.name == self._name and seen.event not in self.stumbled:
            self.stumbled.append(seen.event)
            self._news.set()
            raise RuntimeError("a defect")
        super().__call__(seen)


def watch(connection: Connection, namespace: str, told: Recorder, timings: WatchTimings = QUICK) -> Watch:
    return Watch(connection, Scope(RESOURCES["Secret"], namespace), told, timings=timings, random=Random(1))  # noqa: S311 - spreads load


async def test_a_defect_in_whoever_takes_news_ends_nothing(
    proxied: Connection, proxy: Proxy, cluster: KubernetesCluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        await cluster.create(secret(namespace, name))
    told = Stumbling("a")
    async with running(watch(proxied, namespace, told)):
        await told.until(lambda: told.of("ADDED") == ["b"])
        made = await cluster.create(secret(namespace, "c"))
        await told.until(lambda: told.of("ADDED") == ["b", "c"])
        assert f"Secret {namespace}/a" in caplog.text
        # The next list tells of it again, also where it is gone by then.
        proxy.outdated = True
        proxy.cut()
        await told.until(lambda: "a" in told.of("ADDED"))
        read = await cluster.read("Secret", namespace, "a")
        assert read is not None
        version, uid = read["metadata"]["resourceVersion"], read["metadata"]["uid"]
        await cluster.delete("Secret", namespace, "a", uid=uid, resource_version=version)
        proxy.cut()
        await told.until(lambda: "DELETED" in told.stumbled)
        proxy.outdated = True
        proxy.cut()
        await told.until(lambda: told.of("DELETED") == ["a"])
    assert made["metadata"]["name"] == "c"


@pytest.mark.parametrize("body", [b'{"metadata":{},"items":[{}]}', b'{"metadata":[],"items":3}', b'{"metadata":null}'])
async def test_what_answers_in_the_api_servers_place_ends_nothing(
    connection: Connection,
    namespace: str,
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    honest, answers = connection.page, [body, body]

    async def page(path: str, *, accept: str, seconds: float) -> Answer:
        return Answer(200, {}, answers.pop()) if answers else await honest(path, accept=accept, seconds=seconds)

    monkeypatch.setattr(connection, "page", page)
    told = Recorder()
    one = watch(connection, namespace, told)
    async with asyncio.timeout(10):
        async with running(one):
            await one.synced.wait()
    assert "is not the API server" in caplog.text

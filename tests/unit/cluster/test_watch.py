"""Up to which version a watch has told everything. The rest is shown on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson

from mooring.cluster.connection import Answer
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.limits import WatchTimings
from mooring.cluster.watch import Scope, Seen, Watch

NEVER = WatchTimings(backoff_seconds=(60.0, 60.0))


class Line:
    """A list with a version, and a stream of some events. It stands for no API server."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    async def page(self, *_: Any, **__: Any) -> Answer:
        """Return a list of nothing."""
        return Answer(200, {}, orjson.dumps({"metadata": {"resourceVersion": "5"}, "items": []}))

    @asynccontextmanager
    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Open a stream that ends when all was said."""

        async def chunks() -> AsyncIterator[bytes]:
            for event in self._events:
                yield orjson.dumps(event) + b"\n"

        yield SimpleNamespace(status=200, content=SimpleNamespace(iter_any=chunks))


async def version_after(*events: dict[str, Any]) -> str:
    """Return up to which version a watch has told everything, when its stream has ended."""
    told: list[Seen] = []
    line: Any = Line(*events)
    watch = Watch(line, Scope(RESOURCES["GitHubUser"]), told.append, timings=NEVER)
    assert watch.version == ""
    task = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await watch.synced.wait()
        # Enough turns for all that was said: it is all there.
        for _ in range(20):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return watch.version


def event(kind: str, version: str) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": version}
    return {"type": kind, "object": {"metadata": metadata}}


async def test_a_watch_that_is_too_old_to_go_on_has_told_what_it_has_told() -> None:
    too_old = {"type": "ERROR", "object": {"code": 410}}
    assert await version_after(too_old) == "5"
    assert await version_after(event("ADDED", "7"), too_old) == "7"
    assert await version_after(event("BOOKMARK", "9"), {"type": "ADDED", "object": {}}) == "9"

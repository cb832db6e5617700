"""Up to which version a watch has told all, and what it takes for a line. The rest is shown on a real API server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.cluster import watch as module
from mooring.cluster.connection import Answer, AnswerTooLarge
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


async def lines_of(text: bytes, ends: list[int], most: int = 100) -> list[bytes]:
    """Return the lines of a text that comes in pieces, each up to one of some places."""

    async def chunks() -> AsyncIterator[bytes]:
        for begin, end in itertools.pairwise([0, *sorted(ends), len(text)]):
            yield text[begin:end]

    response: Any = SimpleNamespace(content=SimpleNamespace(iter_any=chunks))
    return [bytes(line) async for line in module._lines(response, most)]  # noqa: SLF001 - a connection cuts as it likes


@given(st.lists(st.integers(0, 16), max_size=6))
def test_lines_are_the_same_wherever_a_connection_cuts_them(ends: list[int]) -> None:
    assert asyncio.run(lines_of(b"one\ntwo\n\nthree\nrest", ends)) == [b"one", b"two", b"three"]


async def test_a_line_without_an_end_is_given_up() -> None:
    with pytest.raises(AnswerTooLarge):
        await lines_of(b"x" * 30, [10, 20], most=25)
    assert await lines_of(b"x" * 20 + b"\n" + b"y" * 20, [10, 20, 30], most=25) == [b"x" * 20]

"""The session that Kopf uses: nothing is done again and again without a pause."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import kopf
import pytest
from yarl import URL

from mooring.handlers.session import SETTLED_SECONDS, WAITS, Pace, paced


class Time:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def pace(self) -> Pace:
        """Return a pace that keeps to it."""
        return Pace(lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


async def ask(pace: Pace, path: str, *, closed: bool = False) -> None:
    """Ask as Kopf does, but that nothing is sent."""

    async def handler(_: Any) -> Any:
        return None

    made = paced(kopf.ConnectionInfo(server="https://cluster.example"), pace).aiohttp_session
    if closed:
        await made.close()
    (middleware,) = made._middlewares  # noqa: SLF001 - what a request goes through
    request = SimpleNamespace(url=URL(f"https://cluster.example{path}"), session=made)
    try:
        await middleware(cast("aiohttp.ClientRequest", request), handler)
    finally:
        await made.close()


async def test_a_session_that_was_closed_meanwhile_says_so() -> None:
    with pytest.raises(RuntimeError, match="Session is closed"):
        await ask(Time().pace(), "/projects?watch=true", closed=True)


async def test_watches_that_end_at_once_are_opened_ever_more_slowly() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(100):
        await ask(pace, "/projects?watch=true")
    assert len(time.slept) >= 90
    assert sum(time.slept) > 100
    assert max(time.slept) <= WAITS[1]


async def test_a_watch_that_lived_makes_good_for_those_before() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(20):
        await ask(pace, "/projects?watch=true")
    time.now += SETTLED_SECONDS + 1
    await ask(pace, "/projects?watch=true")
    time.slept.clear()
    await ask(pace, "/projects?watch=true")
    (slept,) = time.slept
    assert slept <= WAITS[0]


async def test_a_good_watch_a_list_and_another_kind_do_not_wait() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(3):
        await ask(pace, "/projects?watch=true")
        await ask(pace, "/githubusers?watch=true")
        await ask(pace, "/projects?limit=200")
        await ask(pace, "/projects?limit=200")
        time.now += SETTLED_SECONDS + 1
    assert time.slept == []


async def test_the_session_is_as_kopf_would_make_it() -> None:
    info = kopf.ConnectionInfo(server="https://cluster.example", token="t", scheme="Bearer", default_namespace="n")
    made = paced(info, Pace())
    try:
        assert (made.server, made.default_namespace) == ("https://cluster.example", "n")
        assert made.aiohttp_session.headers["Authorization"] == "Bearer t"
        assert made.aiohttp_session.trust_env is False
    finally:
        await made.aiohttp_session.close()
        await asyncio.sleep(0)

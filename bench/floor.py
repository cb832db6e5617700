"""The floor: a bare client that sends requests which are already serialised, as fast as one aiohttp session can.

It reads answers and looks at their status, no more: nothing is decoded, decided or kept.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from bench.figures import percentile

T = TypeVar("T")
IN_FLIGHT = (1, 16, 64)
# What share of the requests is sent at each: one at a time is the slowest by far, and seldom the best.
SHARES = (0.1, 0.45, 0.45)
SECONDS = 60.0
NOT_MODIFIED = 304


class Refused(Exception):
    """A server refused what the floor sent, so its time says nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent."""

    method: str
    url: URL
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    # The answer that is right beside success.
    status: int = NOT_MODIFIED


@dataclass(frozen=True, slots=True)
class Timing:
    """How long some requests took: all together, and each."""

    seconds: float
    latencies: tuple[float, ...] = field(repr=False)
    in_flight: int

    @property
    def rate(self) -> float:
        """Return the requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def p50(self) -> float:
        """Return the median of the seconds that a request took."""
        return percentile(self.latencies, 0.5)

    @property
    def p99(self) -> float:
        """Return the seconds that 99 % of the requests did not exceed."""
        return percentile(self.latencies, 0.99)


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    status: int = NOT_MODIFIED,
) -> Request:
    """Make a request of an address that is already encoded."""
    of_body = {"Content-Type": content_type} if body is not None else {}
    return Request(method, URL(url, encoded=True), {**of_body, **(headers or {})}, body, status)


@asynccontextmanager
async def session(*authorities: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that trusts some authorities (PEM) alone, and bounds nothing."""
    context = ssl.create_default_context(cadata="\n".join(authorities)) if authorities else True
    connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as opened:
        yield opened


async def warm(client: aiohttp.ClientSession, reads: Iterable[Request], in_flight: int) -> None:
    """Open the connections that the clock is not to see: so many to the server of each of these reads."""
    async with asyncio.TaskGroup() as group:
        for read in reads:
            for _ in range(in_flight):
                group.create_task(_send(client, read))


async def drive(client: aiohttp.ClientSession, requests: Sequence[Request], in_flight: int) -> Timing:
    """Send all requests, so many at once; raise Refused where one is not answered as it should be."""
    left, latencies = iter(requests), []

    async def work() -> None:
        for each in left:
            began = time.perf_counter()
            await _send(client, each)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return Timing(time.perf_counter() - began, tuple(latencies), in_flight)


async def _send(client: aiohttp.ClientSession, one: Request) -> None:
    async with client.request(one.method, one.url, data=one.body, headers=one.headers, allow_redirects=False) as answer:
        content = await answer.read()
        if answer.status >= 300 and answer.status != one.status:
            # Of a refusal the API server's own words; it quotes names and no values.
            raise Refused(f"{one.method} {one.url.path}: {answer.status} {content[:300]!r}")


async def best_of(
    client: aiohttp.ClientSession,
    requests: Sequence[Request],
    reads: Sequence[Request],
    in_flight: Sequence[int] = IN_FLIGHT,
) -> Timing:
    """Send a share of the requests at each number in flight, and return the timing of the quickest.

    No request is sent twice: a second write of the same would change nothing, and cost the server less.
    """
    timings, sent = [], 0
    shares = SHARES if len(in_flight) == len(SHARES) else (1 / len(in_flight),) * len(in_flight)
    for number, share in zip(in_flight, shares, strict=True):
        some = requests[sent : sent + max(1, round(share * len(requests)))]
        sent += len(some)
        if not some:
            continue
        await warm(client, reads, number)
        timings.append(await drive(client, some, number))
    return max(timings, key=lambda timing: timing.rate)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it on the quickest loop there is."""
    uvloop = import_module("uvloop") if find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        return runner.run(work)

"""The floor sends everything once, never more at once than it says, and stops where a server refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bench import floor
from bench.arriving import observe
from bench.floor import Refused, request


class Server:
    """Notes what comes, and how much of it at once."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.most = 0
        self.url = ""
        self._now = 0

    async def answer(self, asked: web.Request) -> web.Response:
        """Take a moment, so that those which are sent at once meet here."""
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        self.paths.append(asked.path)
        return web.Response(status=404 if asked.path == "/missing" else 200)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Serve until the end of the block."""
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def test_every_request_is_sent_once_over_all_numbers_in_flight() -> None:
    async with serving() as server, floor.session() as client:
        requests = [request("POST", f"{server.url}/{number}", b"{}") for number in range(50)]
        best = await floor.best_of(client, requests, [request("GET", f"{server.url}/warm")], (1, 4))
        sent = [path for path in server.paths if path != "/warm"]
        assert sorted(sent) == sorted(f"/{number}" for number in range(50))
        assert server.most <= 4
        assert len(best.latencies) == 25
        assert best.rate == pytest.approx(25 / best.seconds)


async def test_a_refusal_ends_it_unless_the_product_got_it_too() -> None:
    async with serving() as server, floor.session() as client:
        await floor.drive(client, [request("GET", f"{server.url}/missing", status=404)], 1)
        with pytest.raises(ExceptionGroup) as raised:
            await floor.drive(client, [request("GET", f"{server.url}/missing")], 1)
        assert raised.group_contains(Refused, match="/missing: 404")


def test_it_is_over_when_the_last_of_all_is_done() -> None:
    def obj(name: str, *, done: bool) -> dict[str, object]:
        return {"metadata": {"namespace": "n", "name": name}, "done": done}

    changes = [obj("x", done=False), obj("a", done=True), obj("a", done=True), obj("b", done=True), obj("c", done=True)]
    left = iter(changes)
    observe(left, 2, lambda one: bool(one["done"]))
    assert [one["metadata"] for one in left] == [{"namespace": "n", "name": "c"}]
    with pytest.raises(AssertionError, match="only 3 of 4"):
        observe(iter(changes), 4, lambda one: bool(one["done"]))

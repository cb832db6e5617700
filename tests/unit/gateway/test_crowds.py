"""Many at a time: connections, bodies, failed signatures, deliveries of one repository. Others get through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from mooring.gateway.limits import KIB, MIB
from mooring.observability.gateway_metrics import Cut, Outcome
from mooring.ports import Verdict
from tests.unit.gateway.support import (
    APP,
    CALM,
    PATIENCE,
    PUSH,
    TRUSTED,
    Gateway,
    Line,
    Receiver,
    as_json,
    connected,
    gateway,
    head,
    is_served,
    lines,
    posting,
    push,
    reached,
    signed,
    wait_until_cut,
)

# --- many ---


@asynccontextmanager
async def many(edge: Gateway, count: int) -> AsyncIterator[list[Line]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(edge)) for _ in range(count)]


async def test_of_too_many_connections_the_one_that_waits_for_longest_goes() -> None:
    async with gateway(replace(CALM, connections=4)) as edge, many(edge, 4) as first:
        # The oldest of them has just been answered: it is not the one that waits for longest any more.
        await first[0].write(posting(PUSH))
        assert await first[0].answer() is not None
        async with many(edge, 1) as newer:
            assert await first[1].is_closed()
            await newer[0].write(posting(PUSH))
            assert await newer[0].answer() is not None
            await first[0].write(posting(PUSH))
            assert await first[0].answer() is not None
        assert edge.cut(Cut.CROWDED) == 1


async def test_a_request_that_is_being_recorded_is_not_closed_for_others() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(replace(CALM, connections=2), receiver) as edge, many(edge, 2) as busy:
        for line in busy:
            await line.write(posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            while len(receiver.taken) < 2:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        async with connected(edge) as third:
            assert await third.is_closed()
        assert receiver.held is not None
        receiver.held.set()
        assert [answer.status for line in busy if (answer := await line.answer())] == [202, 202]


async def test_a_push_gets_through_while_connections_are_opened_without_end() -> None:
    limits = replace(CALM, connections=16)
    async with gateway(limits) as edge:
        async with many(edge, 300):
            async with asyncio.timeout(PATIENCE):
                assert await is_served(edge)
            assert edge.gauge("connections") <= 16
        assert edge.cut(Cut.CROWDED) >= 280


async def test_of_small_bodies_the_slowest_makes_room() -> None:
    limits = replace(CALM, small_lane=256 * KIB)
    async with gateway(limits) as edge, many(edge, 6) as slow:
        for number, line in enumerate(slow, 1):
            await line.write(head(APP, lines(PUSH, content_length="100000")) + b"x" * 60_000)
            if number <= 4:
                await reached(edge, number * 60_000)
        await wait_until_cut(edge, Cut.EVICTED, 2)
        assert await slow[0].is_closed()
        assert await slow[1].is_closed()
        assert edge.gauge("body_bytes") <= 256 * KIB
        assert await is_served(edge)


async def test_large_bodies_keep_no_small_one_out() -> None:
    limits = replace(CALM, large_lane=4 * MIB)
    async with gateway(limits) as edge, many(edge, 3) as large:
        for line in large:
            await line.write(head(APP, lines(PUSH, content_length=str(3 * MIB))) + b"x" * (2 * MIB))
        await wait_until_cut(edge, Cut.EVICTED)
        assert await is_served(edge)
        assert edge.gauge("body_bytes") <= 4 * MIB


async def test_a_flood_of_unsigned_requests_keeps_nobody_out() -> None:
    async with gateway(replace(CALM, failures_burst=3)) as edge, many(edge, 8) as flooding:
        tasks = [asyncio.create_task(flood(line, posting(PUSH, x_hub_signature_256=None))) for line in flooding]
        async with asyncio.timeout(PATIENCE):
            assert await is_served(edge)
        for task in tasks:
            task.cancel()
        assert len(edge.record.lines) == 1


async def flood(line: Line, request: bytes) -> None:
    while True:
        await line.write(request)
        await line.answer()


# --- limits of tries ---


async def test_a_known_address_with_too_many_failures_is_refused_before_its_body() -> None:
    limits = replace(CALM, failures_burst=3, failures_a_second=0.001, always_read=0)
    evil, good = "203.0.113.7", "198.51.100.1"
    async with gateway(limits, trusted_proxies=TRUSTED) as edge:
        wrong = {"x_hub_signature_256": signed(b"another")}
        failed = [await edge.post(PUSH, x_forwarded_for=evil, **wrong) for _ in range(3)]
        assert [answer.status for answer in failed if answer] == [401, 401, 401]
        async with connected(edge) as line:
            await line.write(head(APP, lines(PUSH, x_forwarded_for=f"8.8.8.8, {evil}", expect="100-continue")))
            answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.outcome) == (429, "limited")
        assert int(answer.headers["Retry-After"]) > 100
        assert edge.count("push", Outcome.LIMITED) == 1
        # Others have their own.
        for address in (good, "2001:db8::1", None):
            other = await edge.post(PUSH, x_forwarded_for=address)
            assert other is not None
            assert other.status == 202


async def test_who_is_known_to_bring_what_is_signed_is_not_refused_for_what_is_not() -> None:
    """Anyone can have GitHub send what fails, from the addresses that all of its deliveries come from."""
    limits = replace(CALM, failures_burst=1, failures_a_second=0.001, always_read=0)
    github = {"x_forwarded_for": "140.82.112.5"}
    async with gateway(limits, trusted_proxies=TRUSTED) as edge:
        first = await edge.post(PUSH, **github)
        failed = [await edge.post(PUSH, x_hub_signature_256=signed(b"another"), **github) for _ in range(3)]
        last = await edge.post(PUSH, **github)
        assert [answer.status for answer in (first, *failed, last) if answer] == [202, 401, 429, 429, 202]


async def test_small_deliveries_are_verified_whoever_sends_them() -> None:
    limits = replace(CALM, failures_burst=1, failures_a_second=0.001)
    github = {"x_forwarded_for": "140.82.112.5"}
    large = as_json(push(padding="x" * limits.always_read))
    async with gateway(limits, trusted_proxies=TRUSTED) as edge:
        failed = [await edge.post(PUSH, x_hub_signature_256=None, **github) for _ in range(3)]
        refused, fine = await edge.post(large, **github), await edge.post(PUSH, **github)
        assert [answer.status for answer in (*failed, refused, fine) if answer] == [401, 429, 429, 429, 202]


async def test_behind_one_private_address_only_what_fails_is_refused() -> None:
    limits = replace(CALM, failures_burst=2, failures_a_second=0.001, always_read=0)
    async with gateway(limits) as edge:
        # What a header says is no matter where the peer is no trusted proxy.
        wrong = {"x_hub_signature_256": signed(b"another"), "x_forwarded_for": "203.0.113.7"}
        failed = [await edge.post(PUSH, **wrong) for _ in range(4)]
        assert [answer.status for answer in failed if answer] == [401, 401, 429, 429]
        assert await is_served(edge)


async def test_what_is_signed_has_its_limit_by_repository_and_hook() -> None:
    limits = replace(CALM, signed_burst=3, signed_a_second=0.001)
    async with gateway(limits) as edge:
        answers = [await edge.post(PUSH) for _ in range(5)]
        assert [answer.status for answer in answers if answer] == [202, 202, 202, 429, 429]
        limited = answers[-1]
        assert limited is not None
        assert limited.outcome == "limited"
        assert int(limited.headers["Retry-After"]) > 100
        other = await edge.post(as_json(push(repository=8)))
        assert other is not None
        assert other.status == 202
        # Whoever sends too much fills no record with it.
        assert [line["outcome"] for line in edge.record.lines] == ["recorded"] * 4


async def test_one_repository_does_not_take_all_that_is_under_way() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(replace(CALM, at_once=2), receiver) as edge, many(edge, 3) as lines_of_one:
        for line in lines_of_one:
            await line.write(posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            while edge.count("push", Outcome.LIMITED) < 1:  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)
        assert len(receiver.taken) == 2
        assert receiver.held is not None
        receiver.held.set()
        answers = [await line.answer() for line in lines_of_one]
        assert sorted(answer.status for answer in answers if answer) == [202, 202, 429]
        # They are under way no more.
        receiver.verdict = Verdict(200, "duplicate", "it is recorded already")
        again = await edge.post(PUSH)
        assert again is not None
        assert again.status == 200

"""How a connection goes on: what is answered at once, what waits, when it is closed, and how the server ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import cast

import pytest

from mooring.gateway.request import Request
from mooring.observability.gateway_metrics import Cut
from mooring.ports import Event, Hook, Verdict
from tests.unit.gateway.support import (
    APP,
    CALM,
    HASTY,
    PATIENCE,
    PUSH,
    Receiver,
    Record,
    connected,
    gateway,
    head,
    is_served,
    lines,
    posting,
    signed,
)

IGNORED = Verdict(200, "ignored", "nobody follows it")


@dataclass
class AtOnce(Receiver):
    """Knows at once what becomes of a delivery, or fails at once."""

    def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict | Awaitable[Verdict]:  # type: ignore[override]
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@pytest.mark.parametrize(("verdict", "status"), [(IGNORED, 200), (KeyError("a defect"), 503)])
async def test_what_has_not_to_be_stored_is_answered_at_once(verdict: Verdict | Exception, status: int) -> None:
    async with gateway(receiver=AtOnce(verdict=verdict)) as edge, connected(edge) as line:
        for _ in range(3):
            await line.write(posting(PUSH))
            answer = await line.answer()
            assert answer is not None
            assert answer.status == status
            assert parsedate_to_datetime(answer.headers["Date"]).tzinfo is not None
        assert len(edge.record.lines) == 3


@dataclass
class Failing(Record):
    """Fails as long as it is told to."""

    fails: bool = True

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        if self.fails:
            raise KeyError("a defect")
        super().record(action, kind=kind, namespace=namespace, name=name, **facts)


@pytest.mark.parametrize("receiver", [AtOnce(), Receiver()])
async def test_a_defect_costs_one_connection_and_nothing_that_is_counted(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    record = Failing()
    async with gateway(replace(CALM, app_at_once=1), receiver, record=record) as edge:
        for _ in range(2):
            assert await edge.post(PUSH) is None
            await edge.eventually("connections", 0)
        assert "a defect" in caplog.text
        record.fails = False
        assert await is_served(edge)


async def test_a_defect_while_a_request_is_read_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def add(_: Request, piece: bytes, most: int) -> bool:
        raise KeyError("a defect")

    monkeypatch.setattr(Request, "add", add)
    async with gateway() as edge:
        answer = await edge.post(PUSH)
        assert answer is not None
        assert answer.status == 400
        assert "a defect" in caplog.text


async def test_what_comes_behind_a_push_that_is_recorded_is_answered_after_it() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(receiver=receiver) as edge, connected(edge) as line:
        # The second one begins in the bytes of the first, and ends later.
        await line.write(posting(PUSH) + posting(PUSH)[:100])
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        await line.write(posting(PUSH)[100:] + posting(PUSH, "/nothing"))
        await asyncio.sleep(0.05)
        assert len(receiver.taken) == 1
        assert receiver.held is not None
        receiver.held.set()
        answers = [await line.answer() for _ in range(3)]
        assert [answer.status for answer in answers if answer] == [202, 202, 404]


async def test_what_is_broken_behind_a_push_does_not_take_its_answer() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(receiver=receiver) as edge, connected(edge) as line:
        await line.write(posting(PUSH) + b"GARBAGE\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        assert receiver.held is not None
        receiver.held.set()
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.headers.get("Connection")) == (202, "close")
        assert await line.is_closed()


async def test_the_same_for_who_speaks_http_1_0() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(posting(PUSH, connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.headers["Connection"]) == (202, "close")
        assert await line.is_closed()


async def test_a_connection_is_closed_where_its_request_says_so() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(posting(PUSH, connection="close"))
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.headers["Connection"]) == (202, "close")
        assert await line.is_closed()


async def test_an_answer_to_head_has_no_body() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(head(APP, {"host": "x"}, "HEAD") + posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            assert (await line.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 202


async def test_who_reads_no_answers_is_answered_no_more() -> None:
    async with gateway(CALM) as edge, connected(edge) as line:
        cast("asyncio.Transport", line.writer.transport).pause_reading()
        sock = line.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = head("/nothing", lines(b"", content_length="0"))
        writing = asyncio.create_task(line.write(request * 200_000))
        async with asyncio.timeout(PATIENCE):
            while edge.cut(Cut.PIPELINED) < 1:  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)
        await writing
        assert await is_served(edge)


async def test_who_gets_an_answer_before_the_end_of_a_body_is_waited_for_no_longer_than_a_while() -> None:
    async with gateway(replace(HASTY, header_seconds=PATIENCE, idle_seconds=PATIENCE)) as edge, connected(edge) as line:
        await line.write(head(APP, lines(PUSH, x_hub_signature_256=None)))
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
        # What comes still is thrown away, and then the connection is.
        await line.write(PUSH * 100)
        await edge.eventually("connections", 0)


async def test_to_stop_answers_what_is_under_way_and_closes_the_rest() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(receiver=receiver) as edge, connected(edge) as idle, connected(edge) as busy:
        await idle.write(posting(PUSH, x_github_event="ping"))
        assert await idle.answer() is not None
        await busy.write(posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        stopping = asyncio.create_task(edge.server.stop())
        assert await idle.is_closed()
        assert not stopping.done()
        assert receiver.held is not None
        receiver.held.set()
        answer = await busy.answer()
        assert answer is not None
        assert (answer.status, answer.headers["Connection"]) == (202, "close")
        await stopping


async def test_to_stop_waits_no_longer_than_a_push_may_take() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(replace(CALM, take_seconds=0.05), receiver) as edge, connected(edge) as line:
        # The body of this one does not come.
        await line.write(head(APP, lines(PUSH, x_hub_signature_256=signed(PUSH))) + PUSH[:10])
        await edge.eventually("connections", 1)
        async with asyncio.timeout(PATIENCE):
            while not edge.gauge("body_bytes"):  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)
        await edge.server.stop()
        assert await line.is_closed()

"""Connections that are closing, and stay so for as long as their sender reads no answer: bounded as all others are."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from mooring.gateway.connections import Connection, Gate
from mooring.gateway.deliveries import Deliveries
from mooring.gateway.limits import Limits
from mooring.gateway.quotas import Quotas
from mooring.observability.gateway_metrics import Cut, GatewayMetrics
from tests.unit.gateway.support import APP, CALM, PATIENCE, PUSH, Receiver, Record, head, lines, posting, signed

NOTHING = head("/nothing", {"host": "x"})
# Its answers are more than the system takes of them unread, and fewer than what stops the answering.
MANY = NOTHING * 40


@dataclass
class Edge:
    """What the connections of a server share, without the server: its sockets cannot be made small."""

    limits: Limits
    now: float = 1000.0
    receiver: Receiver = field(default_factory=Receiver)
    record: Record = field(default_factory=Record)
    ends: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = GatewayMetrics()
        self.gate = Gate(self.limits, self.metrics, lambda: self.now)
        self.deliveries = Deliveries(
            self.limits,
            self.receiver,
            self.record,
            self.metrics,
            Quotas(self.limits, lambda: self.now),
            namespace="mooring-system",
            trusted_proxies=(),
        )

    async def connect(self) -> tuple[socket.socket, asyncio.Transport]:
        """Return a sender's end, and our transport."""
        far, near = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.ends.append(far)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: Connection(self.gate, self.deliveries), sock=near)
        return far, transport

    async def stuck(self, request: bytes) -> asyncio.Transport:
        """Have somebody send a request behind others, end their side, and read nothing."""
        far, transport = await self.connect()
        far.sendall(MANY)
        await until(lambda: transport.get_write_buffer_size() > 0)
        far.sendall(request)
        far.shutdown(socket.SHUT_WR)
        await until(transport.is_closing)
        return transport

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"mooring_gateway_{name}", labels)


async def until(is_so: object) -> None:
    assert callable(is_so)
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - what asyncio does is told by nothing
            await asyncio.sleep(0.001)


@asynccontextmanager
async def edge(limits: Limits = CALM) -> AsyncIterator[Edge]:
    found = Edge(limits)
    try:
        yield found
    finally:
        await found.gate.end(0)
        await asyncio.sleep(0)
        for end in found.ends:
            end.close()


async def test_one_that_is_closing_makes_room_for_others() -> None:
    async with edge(replace(CALM, connections=1)) as found:
        await found.stuck(b"")
        for _ in range(3):
            await found.connect()
        assert found.value("connections") == 1
        assert found.value("cut_total", why=Cut.CROWDED) == 3


async def test_what_came_of_a_body_is_held_no_longer_than_that_of_others() -> None:
    async with edge() as found:
        await found.stuck(head(APP, lines(PUSH)) + PUSH[:-1])
        assert found.value("body_bytes")
        found.now += found.limits.body_seconds + 1
        found.gate.sweep()
        assert (found.value("body_bytes"), found.value("connections")) == (0, 0)
        assert found.value("cut_total", why=Cut.LATE) == 1


async def test_one_whose_push_was_recorded_meanwhile_is_forgotten() -> None:
    async with edge() as found:
        found.receiver.held = asyncio.Event()
        await found.stuck(posting(PUSH, x_hub_signature_256=signed(PUSH)))
        await until(lambda: found.receiver.taken)
        found.receiver.held.set()
        await until(lambda: found.record.lines)
        assert found.record.lines[0]["outcome"] == "recorded"
        found.now += found.limits.idle_seconds + 1
        found.gate.sweep()
        assert found.value("connections") == 0


async def test_who_is_gone_is_forgotten_without_a_collection_of_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        async with edge() as found:
            for request in (
                posting(PUSH),
                posting(PUSH)[:-1],
                NOTHING,
                NOTHING[:-1],
                head("/nothing", {}),
                b"GARBAGE\r\n\r\n",
            ):
                far, _ = await found.connect()
                far.sendall(request)
            await until(lambda: found.receiver.taken)
            for far in found.ends:
                far.close()
            await until(lambda: found.value("connections") == 0)
        assert not [each for each in gc.get_objects() if isinstance(each, Connection)]
    finally:
        gc.enable()


async def test_behind_the_last_answer_of_a_connection_nothing_is_taken() -> None:
    async with edge() as found:
        far, _ = await found.connect()
        old = posting(PUSH, connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
        far.sendall(posting(PUSH, "/nothing", connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0") + old)
        await until(lambda: found.value("connections") == 0)
        assert not found.receiver.taken

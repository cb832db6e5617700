"""The connections: how many there are, how long each may take for what, and what each of them holds.

A connection reads into a buffer that all share, has its bytes parsed by llhttp, and answers in the same turn wherever
nothing has to be waited for. What a parser does not bound is bounded here: the time that headers or a body take, what
is sent without being of use, what is sent before the answer to what came first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from mooring.gateway.answers import CONTINUE, Answer, as_bytes
from mooring.gateway.deliveries import Deliveries
from mooring.gateway.headers import LOOKED_AT
from mooring.gateway.lanes import Lanes
from mooring.gateway.limits import KIB, Limits
from mooring.gateway.request import Request
from mooring.observability.gateway_metrics import Cut, GatewayMetrics, Outcome

log = logging.getLogger(__name__)

# Of one read. asyncio's own is sixteen times as much, which a thousand connections could make us hold at once.
READ_BYTES = 16 * KIB
# Answers that nobody reads; beyond that nothing more is answered on a connection.
_UNREAD_BYTES = 16 * KIB
# Requests behind one that waits; a read may have hundreds, of which each holds many times its bytes.
_MOST_WAITING = 8
_LONGEST_TARGET = 2 * KIB
_LONGEST_FIELD = 4 * KIB
_MOST_FIELDS = 64

_NO_HTTP = Answer(400, Outcome.MALFORMED, "this is no HTTP request that can be read")
_NO_BODY = Answer(400, Outcome.MALFORMED, "the body is not what its headers say")


class _Malformed(Exception):
    """The parser took what is nothing that we take."""


class Gate:
    """All connections, and what is done about those that take too long."""

    def __init__(self, limits: Limits, metrics: GatewayMetrics, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.metrics = metrics
        self.clock = clock
        self.lanes = Lanes(limits)
        # One for all: what was read is copied out of it before anything else is read.
        self.buffer = bytearray(READ_BYTES)
        # Whether connections are closed as soon as they have their answer.
        self.is_ending = False
        self._open: set[Connection] = set()
        self._empty = asyncio.Event()
        # Those without a complete request, the one that has been so for longest first.
        self._incomplete: dict[Connection, None] = {}
        metrics.watch_connections(lambda: len(self._open))
        metrics.watch_body_bytes(lambda: self.lanes.held)

    def enter(self, connection: Connection) -> None:
        """Take a connection in; where there are too many, the one that waits for longest makes room."""
        self._open.add(connection)
        if len(self._open) > self.limits.connections:
            next(iter(self._incomplete), connection).cut(Cut.CROWDED)

    def leave(self, connection: Connection) -> None:
        """Forget a connection. To do it twice is fine."""
        self._open.discard(connection)
        self._incomplete.pop(connection, None)
        if not self._open:
            self._empty.set()

    def waits(self, connection: Connection) -> None:
        """Note that a connection has no complete request from now on."""
        if connection in self._open:
            self._incomplete.pop(connection, None)
            self._incomplete[connection] = None

    def is_served(self, connection: Connection) -> None:
        """Note that a connection's request is complete: it is not closed for others any more."""
        self._incomplete.pop(connection, None)

    def sweep(self) -> None:
        """Close what takes too long."""
        now = self.clock()
        for connection in list(self._incomplete):
            connection.check(now)

    async def end(self, seconds: float) -> None:
        """Close all connections, those with a request once it is answered, and all of them after so many seconds."""
        self.is_ending = True
        for connection in list(self._open):
            connection.end()
        if self._open:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                log.warning("%d connections were closed without an answer", len(self._open))
        for connection in list(self._open):
            connection.abort()


class Connection(asyncio.BufferedProtocol):
    """One connection. It reads into a buffer of ours, which bounds each read."""

    def __init__(self, gate: Gate, deliveries: Deliveries) -> None:
        self._gate = gate
        self._deliveries = deliveries
        # None once the connection is gone: each of both keeps the other.
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = "unknown"
        # What was parsed and is not answered, in its order; of the last one something may be missing.
        self._requests: deque[Request] = deque()
        # Where an answer is waited for, or those before are not read.
        self._task: asyncio.Task[None] | None = None
        self._is_clogged = False
        # What came meanwhile, and is not parsed before.
        self._ahead = bytearray()
        # When the present request's headers began, and how long they are; None where none has.
        self._head_since: float | None = None
        self._head_bytes = 0
        self._idle_since = 0.0
        # Whether what came is nothing that could be parsed: the connection is good for nothing but an answer.
        self._is_broken = False
        # Until when a rest that nobody wants is read and thrown away, so that its sender gets to see the answer.
        self._lingers_until: float | None = None

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # That of uvloop is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_UNREAD_BYTES)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else "unknown"
        self._idle_since = self._head_since = self._gate.clock()
        self._gate.enter(self)
        self._gate.waits(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End."""
        self._drop()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        """Return where to read to."""
        return self._gate.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if self._is_over:
            return
        data = bytes(memoryview(self._gate.buffer)[:nbytes])
        if not self._is_busy and not self._ahead:
            self._parse(data)
            return
        self._ahead += data
        if len(self._ahead) > self._gate.limits.header_bytes:
            self.cut(Cut.PIPELINED)

    def pause_writing(self) -> None:
        """Note that the answers are not read: no more is answered."""
        self._is_clogged = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_clogged = False
        self._go_on()

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._requests.append(Request(self._head_since or self._gate.clock()))

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        head = self._requests[-1].head
        head.target += url
        if len(head.target) > _LONGEST_TARGET or not head.target.startswith(b"/"):
            raise _Malformed

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of what comes behind a body nothing is taken."""
        request = self._requests[-1]
        if request.has_head:
            return
        head = request.head
        head.count += 1
        if head.count > _MOST_FIELDS or len(name) > _LONGEST_FIELD or len(value) > _LONGEST_FIELD:
            raise _Malformed
        known = LOOKED_AT.get(name)
        if known is None:
            known = LOOKED_AT.get(name.lower())
        if known:
            head.keep(known, value)

    def on_headers_complete(self) -> None:
        """Note that the headers are there."""
        request, fields, parser = self._requests[-1], self._requests[-1].head.fields, self._parser
        assert parser is not None  # noqa: S101 - it is what calls this
        is_new = parser.get_http_version() == "1.1"
        if (b"host" not in fields and is_new) or b"host" in request.head.doubled or parser.should_upgrade():
            # What follows an upgrade is no HTTP, and nobody speaks anything else here.
            raise _Malformed
        length = fields.get(b"content-length")
        coding = fields.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            # Whoever stands before us might read it otherwise.
            raise _Malformed
        request.head.length = int(length or b"0") if coding is None else None
        request.head.method = parser.get_method()
        request.keeps = is_new and parser.should_keep_alive()
        request.has_head = True
        self._head_since, self._head_bytes = None, 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        request = self._requests[-1]
        if not request.add(body, self._gate.limits.largest_body):
            request.refuse(self._deliveries.oversized())

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self._requests[-1].is_complete = True

    # --- from bytes to an answer ---

    @property
    def _is_busy(self) -> bool:
        return self._task is not None or self._is_clogged

    @property
    def _is_over(self) -> bool:
        """Tell whether nothing is taken or answered any more."""
        return self._lingers_until is not None or self._transport is None or self._transport.is_closing()

    def _parse(self, data: bytes) -> None:
        """Have bytes parsed, and answer what is complete then. No request is under way but the one whose body comes."""
        held = self._requests[0].holding if self._requests else None
        if held is not None:
            held.grow(len(data))
            if self._is_over:
                return  # it was cut off to make room
        elif not self._requests or not self._requests[0].has_head:
            self._head_since = self._gate.clock() if self._head_since is None else self._head_since
            self._head_bytes += len(data)
        assert self._parser is not None  # noqa: S101 - the connection is there
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as problem:
            self._is_broken = True
            if isinstance(problem, HttpParserCallbackError) and not isinstance(problem.__context__, _Malformed):
                log.exception("a request could not be taken")
        self._advance(len(data))
        if self._is_busy and len(self._requests) > _MOST_WAITING:
            self.cut(Cut.PIPELINED)

    def _advance(self, came: int = 0) -> None:
        """Answer what can be answered, one after the other."""
        while self._requests and self._requests[0].has_head and not self._is_busy:
            self._step(self._requests[0], came)
            if self._is_over or (self._requests and self._requests[0].holding is not None):
                return
        if self._is_busy:
            return
        if self._is_broken:
            self._answer(self._requests[0] if self._requests else Request(0), _NO_HTTP)
        elif self._requests and self._head_since is None:
            self._head_since = self._gate.clock()
        elif self._head_bytes > self._gate.limits.header_bytes:
            self.cut(Cut.HEADERS)

    def _step(self, request: Request, came: int) -> None:
        """Do what can be done for a request whose headers are there."""
        if not request.is_looked_at:
            self._deliveries.look(request, self._peer)
        if request.refusal is not None:
            self._answer(request, request.refusal)
        elif request.is_complete:
            self._serve(request)
        elif self._is_broken:
            self._answer(request, _NO_BODY)
        else:
            self._hold(request, came)

    def _hold(self, request: Request, came: int) -> None:
        """Wait for the rest of a body, which holds what came of it from now on."""
        limits, holding = self._gate.limits, request.holding
        if holding is None:
            holding = self._gate.lanes.enter(
                self._gate.clock(), announced=request.head.length, evicted=lambda: self.cut(Cut.EVICTED)
            )
            holding.content += request.body
            request.body, request.holding = holding.content, holding
            holding.grow(max(came, request.came))
            if self._transport is not None and b"expect" in request.head.fields:
                self._transport.write(CONTINUE)
        elif holding.arrived - request.came > limits.overhead_bytes + limits.overhead_part * request.came:
            # Tiny chunks and long trailers cost time and memory.
            self.cut(Cut.PADDED)

    def _serve(self, request: Request) -> None:
        if request.holding is not None:
            request.holding.complete()
        found = self._deliveries.serve(request, self._peer)
        if isinstance(found, Answer):
            self._answer(request, found)
            return
        self._gate.is_served(self)
        self._task = asyncio.get_running_loop().create_task(self._wait(request, found))

    async def _wait(self, request: Request, found: Awaitable[Answer]) -> None:
        """Answer when the answer is there."""
        try:
            answer = await found
        except BaseException:
            self._forget(request)
            raise
        finally:
            self._task = None
        try:
            self._answer(request, answer)
            self._go_on()
        except Exception:
            # As asyncio does where a protocol fails: else nobody would look at the connection any more.
            log.exception("a connection could not go on")
            self.abort()

    def _go_on(self) -> None:
        """Take up what came meanwhile."""
        if not (self._is_over or self._is_busy):
            self._advance()
        if self._ahead and not (self._is_over or self._is_busy):
            data = bytes(self._ahead)
            self._ahead.clear()
            self._parse(data)

    def _answer(self, request: Request, answer: Answer) -> None:
        """Answer a request, count it and forget it; where something of it is to come, nobody waits for that."""
        gate, now = self._gate, self._gate.clock()
        self._forget(request)
        self._deliveries.tell(request, answer.outcome, now)
        # Also where it is closing, which takes as long as its sender reads nothing.
        self._idle_since = now
        gate.waits(self)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        close = not request.keeps or not request.is_complete or gate.is_ending or self._is_broken
        is_head = request.head.method == b"HEAD"
        transport.write(as_bytes(answer, int(time.time()), close=close, bodiless=is_head))
        if close and (not request.is_complete or self._is_broken):
            self._linger(transport, now)
        elif close:
            transport.close()

    def _forget(self, request: Request) -> None:
        request.let_go()
        for place in request.places:
            place.leave()
        request.places.clear()
        if self._requests and self._requests[0] is request:
            self._requests.popleft()

    def _linger(self, transport: asyncio.Transport, now: float) -> None:
        self._lingers_until = now + self._gate.limits.linger_seconds
        self._requests.clear()
        self._ahead.clear()
        if transport.can_write_eof():
            transport.write_eof()

    # --- limits ---

    def check(self, now: float) -> None:
        """Close the connection where it takes too long."""
        limits = self._gate.limits
        if self._lingers_until is not None:
            if now > self._lingers_until:
                self.abort()
        elif self._requests and self._requests[0].holding is not None:
            self._check_pace(self._requests[0], now)
        elif self._head_since is not None:
            if now - self._head_since > limits.header_seconds:
                self.cut(Cut.HEADERS)
        elif now - self._idle_since > limits.idle_seconds:
            self.abort()

    def _check_pace(self, request: Request, now: float) -> None:
        limits, holding = self._gate.limits, request.holding
        assert holding is not None  # noqa: S101 - the caller looked
        elapsed = now - holding.began
        if elapsed > limits.body_seconds:
            self.cut(Cut.LATE)
        elif holding.arrived < limits.least_rate * (elapsed - limits.grace_seconds):
            self.cut(Cut.SLOW)

    def cut(self, why: Cut) -> None:
        """Close the connection in the middle, without an answer. To do it twice is fine.

        One that is closing is open until its answers were read, and holds what it holds: it goes as well.
        """
        if self._transport is not None:
            self._gate.metrics.cut(why)
            self.abort()

    def abort(self) -> None:
        """Close the connection now."""
        transport = self._transport
        self._drop()
        if transport is not None:
            transport.abort()

    def end(self) -> None:
        """Close the connection where nothing is to be answered."""
        is_idle = self._task is None and not (self._requests and self._requests[0].has_head)
        if self._transport is not None and is_idle:
            self._transport.close()

    def _drop(self) -> None:
        """Give everything back; whoever works on a complete request goes on."""
        self._transport = self._parser = None
        self._gate.leave(self)
        self._ahead.clear()
        if self._task is None and self._requests and self._requests[0].is_looked_at:
            request = self._requests[0]
            if request.holding is not None:
                request.holding.abandon()
            self._forget(request)
            self._deliveries.tell(request, Outcome.GONE, self._gate.clock())
        self._requests.clear()

"""The connections: how many there are, how long each may take for what, and what each of them holds.

aiohttp bounds a header's length and a stream's buffer. It has no limit for the time that headers or a body take, none
for connections, and none for what all of them hold together; those are here, around its protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web

from mooring.gateway.answers import Answer, Request, as_response
from mooring.gateway.lanes import Holding, Lanes
from mooring.gateway.limits import KIB, Limits
from mooring.observability.gateway_metrics import Cut, GatewayMetrics, Outcome

log = logging.getLogger(__name__)

# Of one read. asyncio's own is sixteen times as much, which a thousand connections could make us hold at once.
READ_BYTES = 16 * KIB
_LONGEST_LINE = 2 * KIB
_LONGEST_FIELD = 4 * KIB
_MOST_FIELDS = 64


class Gate:
    """All connections, and what is done about those that take too long."""

    def __init__(self, limits: Limits, metrics: GatewayMetrics, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.metrics = metrics
        self.clock = clock
        self.lanes = Lanes(limits)
        # One for all: what was read is copied out of it before anything else is read.
        self.buffer = bytearray(READ_BYTES)
        self._open: set[Connection] = set()
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


class Connection(web.RequestHandler, asyncio.BufferedProtocol):
    """One connection: aiohttp's protocol, watched. It reads into a buffer of ours, which bounds each read."""

    __slots__ = (
        "_answered",
        "_body",
        "_content",
        "_gate",
        "_head_since",
        "_idle_since",
        "_is_held",
        "_unclaimed",
        "is_broken",
    )

    def __init__(self, manager: web.Server, gate: Gate, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._gate = gate
        # When the present request's headers began; None where none has.
        self._head_since: float | None = None
        self._idle_since = 0.0
        # Bytes that belong to no request that is under way.
        self._unclaimed = 0
        self._is_held = False
        # Of the request that is under way, or was last: its body and what that holds.
        self._content: StreamReader | None = None
        self._body: Holding | None = None
        # How many requests have been answered.
        self._answered = 0
        # Whether what came as a body is none: the connection is good for nothing but an answer.
        self.is_broken = False

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._idle_since = self._head_since = self._gate.clock()
        self._gate.enter(self)
        self._gate.waits(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._drop()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        """Return where to read to."""
        return self._gate.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.data_received(bytes(memoryview(self._gate.buffer)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Count what comes, and have it parsed. aiohttp calls it too, with nothing, to parse what it held back."""
        seen = self._request_count
        if self._is_body_under_way():
            assert self._body is not None  # noqa: S101 - just looked
            self._body.grow(len(data))
        elif self._body is not None or self._is_between():
            self._unclaimed += len(data)
            if data and self._head_since is None:
                self._head_since = self._gate.clock()
        if self.transport is None or self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_body_under_way():
            if self._request_count > seen:
                self._break_off()
            self._check_padding()
        elif self._body is None and self._request_count > self._answered:
            # Until its handler begins, nothing counts what it holds: then it must not grow.
            self.transport.pause_reading()
            self._is_held = True
        elif self._unclaimed > self._gate.limits.header_bytes:
            self._check_unclaimed()

    # --- what the handler of a request calls ---

    def begin(self, request: web.BaseRequest) -> None:
        """Note that a request's headers are there."""
        self._content = request.content

    def expect_body(self, announced: int | None) -> bytearray:
        """Begin to hold a body, with what came along with its headers; return where it belongs."""
        now = self._gate.clock()
        self._body = self._gate.lanes.enter(now, announced=announced, evicted=lambda: self.cut(Cut.EVICTED))
        count, self._unclaimed = self._unclaimed, 0
        content = self._body.content
        self._body.grow(count)
        self._let_go()
        return content

    def body_is_complete(self) -> None:
        """Note that the body was read to its end."""
        if self._body is not None:
            self._body.complete()
        self._gate.is_served(self)

    def release_body(self) -> None:
        """Give back what the body held."""
        if self._body is not None:
            self._body.release()

    def end(self) -> None:
        """Note that a request is answered."""
        self.release_body()
        self._body = None
        self._answered += 1
        self._unclaimed = 0
        self._head_since = None
        self._idle_since = self._gate.clock()
        self._gate.waits(self)
        self._let_go()

    # --- limits ---

    def check(self, now: float) -> None:
        """Close the connection where it takes too long."""
        limits = self._gate.limits
        if self._is_body_under_way():
            self._check_pace(now)
        elif self._head_since is not None:
            if now - self._head_since > limits.header_seconds:
                self.cut(Cut.HEADERS)
        elif now - self._idle_since > limits.idle_seconds:
            self._drop()
            self.force_close()

    def cut(self, why: Cut) -> None:
        """Close the connection in the middle, without an answer. To do it twice is fine."""
        if self.transport is None or self.transport.is_closing():
            return
        self._gate.metrics.cut(why)
        self._drop()
        self.transport.abort()
        self._empty()

    def _check_pace(self, now: float) -> None:
        limits = self._gate.limits
        assert self._body is not None  # noqa: S101 - the caller looked
        elapsed = now - self._body.began
        if elapsed > limits.body_seconds:
            self.cut(Cut.LATE)
        elif self._body.arrived < limits.least_rate * (elapsed - limits.grace_seconds):
            self.cut(Cut.SLOW)

    def _check_padding(self) -> None:
        """Cut off who sends little in much: tiny chunks and long trailers cost time and memory."""
        if self._body is None or self._content is None:
            return
        useful = self._content.total_bytes
        if self._body.arrived - useful > self._gate.limits.overhead_bytes + useful:
            self.cut(Cut.PADDED)

    def _check_unclaimed(self) -> None:
        """Cut off who sends headers without an end, or requests while there is no answer to the one before."""
        if self._body is not None:
            self.cut(Cut.PIPELINED)
        elif self._is_between() and self._request_count == self._answered:
            # Else a request was parsed already, and what was counted is its body; its handler is about to begin.
            self.cut(Cut.HEADERS)

    def _let_go(self) -> None:
        """Read on, unless aiohttp itself has a reason not to."""
        held, self._is_held = self._is_held, False
        if held and self.transport is not None and not (self._reading_paused or self._buffer_paused):
            self.transport.resume_reading()

    def _break_off(self) -> None:
        """End a body that the parser gave up: it says so with a further message, and not to who reads the body."""
        self.is_broken = True
        if self._content is not None:
            self._content.feed_eof()

    def _empty(self) -> None:
        """Throw away what nobody has read: a lost connection is kept by its exception until garbage is collected."""
        content = self._content
        if content is not None and content.exception() is None and content.total_bytes and not content.at_eof():
            with suppress(RuntimeError):
                # Its reader waits, therefore there is nothing.
                content.read_nowait()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.abandon()
        self._gate.leave(self)

    def _is_between(self) -> bool:
        """Tell whether no request is under way, nor the rest of one that nobody wants."""
        return self._body is None and (self._content is None or self._content.is_eof())

    def _is_body_under_way(self) -> bool:
        return self._body is not None and self._content is not None and not self._content.is_eof()

    # --- what cannot be parsed ---

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature
    ) -> web.StreamResponse:
        """Answer what is no HTTP, without a log line: anybody can send it. aiohttp's own answer would quote it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is under way already")
        if status >= 500:
            log.error("a request could not be answered", exc_info=exc)
            answer = Answer(503, Outcome.UNAVAILABLE, "something went wrong here", self._gate.limits.retry_seconds)
        else:
            answer = Answer(400, Outcome.MALFORMED, "this is no HTTP request that can be read")
        self._gate.metrics.answered(None, str(answer.outcome))
        return as_response(answer, close=True)


class GuardedServer(web.Server):
    """aiohttp's low-level server, whose connections are watched."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], gate: Gate, **options: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(handler, request_factory=_request, loop=loop)
        self._gate = gate
        self._guarded_loop = loop
        limits = gate.limits
        self._options = {
            "access_log": None,
            # Nothing is inflated: the signature is over what was sent, and so is every limit.
            "auto_decompress": False,
            "keepalive_timeout": limits.idle_seconds + limits.header_seconds,
            "lingering_time": limits.linger_seconds,
            "max_field_size": _LONGEST_FIELD,
            "max_headers": _MOST_FIELDS,
            "max_line_size": _LONGEST_LINE,
            "read_bufsize": READ_BYTES,
            **options,
        }

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, self._gate, loop=self._guarded_loop, **self._options)


def _request(
    message: Any, payload: StreamReader, protocol: web.RequestHandler, writer: Any, task: asyncio.Task[None]
) -> Request:
    return Request(message, payload, protocol, writer, task, asyncio.get_running_loop())

"""A sender of prepared requests that is not what limits: one thread, plain sockets, bytes that were made before.

Each connection has one request under way, and sends the next one as soon as its answer is there: so many are in flight
as there are connections, as with `wrk`. A client library would take longer for a request than what is measured here.
"""

from __future__ import annotations

import itertools
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# Seconds without any answer at all after which nobody waits any more.
PATIENCE = 30.0
_READ = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")

Address = tuple[str, int]


class Broken(Exception):
    """What was to be measured does not answer, or not as HTTP."""


@dataclass
class Sent:
    """What became of a number of requests."""

    seconds: float = 0.0
    # Of each request, from the first byte that was sent to the last byte of its answer.
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    # The bodies of some answers, for whoever wants to know why.
    samples: list[bytes] = field(default_factory=list)
    # Of this process: where it is near `seconds`, the sender is what was measured.
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return how many were answered in a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Return how many seconds that share of the requests took at most."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def prepared(path: str, body: bytes, headers: Mapping[str, str], *, host: str = "gateway") -> bytes:
    """Return a POST as it stands on the wire, with as many headers as GitHub sends."""
    lines = {
        "Host": host,
        "User-Agent": "GitHub-Hookshot/0000000",
        "Accept": "*/*",
        "X-GitHub-Hook-ID": "1",
        **headers,
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def send(addresses: Sequence[Address], requests: Iterable[bytes], in_flight: int) -> Sent:
    """Send all requests, over so many connections that go to one address after the other."""
    sent, waiting = Sent(), iter(requests)
    began, cpu = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        lines = [_Line(address, sent) for address in itertools.islice(itertools.cycle(addresses), in_flight)]
        try:
            for line in lines:
                selector.register(line.socket, selectors.EVENT_READ, line)
                line.send_next(waiting)
            while any(line.is_busy for line in lines):
                ready = selector.select(PATIENCE)
                if not ready:
                    raise Broken(f"no answer came for {PATIENCE:.0f} s after {len(sent.latencies)} requests")
                for key, _ in ready:
                    if key.data.receive():
                        key.data.send_next(waiting)
        finally:
            for line in lines:
                line.socket.close()
    sent.seconds, sent.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return sent


class _Line:
    """One connection."""

    def __init__(self, address: Address, sent: Sent) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_busy = False
        self._sent = sent
        self._began = 0.0
        self._answer = b""

    def send_next(self, waiting: Iterator[bytes]) -> None:
        request = next(waiting, None)
        self.is_busy = request is not None
        if request is not None:
            self._began = time.perf_counter()
            self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what came; tell whether the answer is complete."""
        piece = self.socket.recv(_READ)
        if not piece:
            raise Broken(f"a connection was closed after {len(self._sent.latencies)} requests: {self._answer[:200]!r}")
        self._answer += piece
        head, end, body = self._answer.partition(_HEAD_END)
        if not end:
            return False
        length = _LENGTH.search(head)
        if length is None:
            raise Broken(f"an answer without a length came: {head[:200]!r}")
        if len(body) < int(length[1]):
            return False
        self._sent.latencies.append(time.perf_counter() - self._began)
        self._sent.statuses[int(head[9:12])] += 1
        if len(self._sent.samples) < 3:
            self._sent.samples.append(body)
        self._answer = b""
        return True

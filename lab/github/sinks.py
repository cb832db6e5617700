"""A place where no credential may arrive: it answers to whatever is spoken to it, and keeps every byte.

One port takes plain HTTP, HTTPS under a lab's CA, requests to a proxy, CONNECT and SOCKS 5; what comes through a tunnel
is read as well. It runs in threads, so that it serves tests of any kind, and those that block.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.github import tls

SECONDS = 30.0
"""How long a client may say nothing."""
LARGEST = 2**20
"""Bytes of one request that are waited for."""
# An invitation: who has a credential for this place will show it now.
INVITATION = (
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="GitHub"\r\nContent-Length: 0\r\n'
    b"Connection: close\r\n\r\n"
)
_TLS, _SOCKS = b"\x16", b"\x05"
_TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(slots=True)
class Visit:
    """One connection: how it was spoken, layer by layer, and all that came, after decryption."""

    spoken: list[str] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)


class Sink:
    """A running sink."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.visits: list[Visit] = []
        self._came = threading.Condition()
        # What a request is answered with.
        self.answer: Callable[[bytes], bytes] = lambda _: INVITATION

    @property
    def host(self) -> str:
        """Return host and port, as in a URL."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "", *, scheme: str = "https", userinfo: str = "") -> str:
        """Return where it is reached."""
        return f"{scheme}://{userinfo}{'@' if userinfo else ''}{self.host}{path}"

    @property
    def spoken(self) -> list[str]:
        """Return how each visitor spoke: http, tls/http, http/tls/http through a tunnel, and so on."""
        return ["/".join(visit.spoken) for visit in list(self.visits)]

    @property
    def data(self) -> bytes:
        """Return all that ever came, visit by visit."""
        return b"\n\n".join(bytes(visit.data) for visit in list(self.visits))

    def receive(self) -> Visit:
        """Begin to write down another visit."""
        with self._came:
            self.visits.append(visit := Visit())
            self._came.notify_all()
        return visit

    def wait(self) -> None:
        """Wait until somebody has come: a visitor may be gone before that is written down."""
        with self._came:
            assert self._came.wait_for(lambda: self.visits, SECONDS), "nobody came"  # noqa: S101 - for tests

    def forget(self) -> None:
        """Forget who came."""
        self.visits.clear()


@contextmanager
def running(authority: Path) -> Iterator[Sink]:
    """Run a sink until the end of the block; `authority` is the folder of the CA that its clients trust."""
    with tempfile.TemporaryDirectory(prefix="sink-") as folder:
        context, _ = tls.server_context(Path(folder), "127.0.0.1", authority=authority)
        with _Server(("127.0.0.1", 0), _Handler) as server:
            server.context = context
            server.sink = Sink(server.server_address[1])
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sink", daemon=True)
            thread.start()
            try:
                yield server.sink
            finally:
                server.shutdown()
                thread.join(SECONDS)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    context: ssl.SSLContext
    sink: Sink


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        visit = self.server.sink.receive()
        self.request.settimeout(SECONDS)
        # Who leaves early has said what he had to say.
        with contextlib.suppress(OSError):
            self._listen(self.request, visit)

    def _listen(self, stream: socket.socket, visit: Visit) -> None:
        """Find out how it is spoken, as often as there is another layer below."""
        first = stream.recv(1, socket.MSG_PEEK)
        if first == _TLS:
            visit.spoken.append("tls")
            with self.server.context.wrap_socket(stream, server_side=True) as secure:
                self._converse(secure, visit)
        elif first == _SOCKS:
            visit.spoken.append("socks")
            self._pass_socks(stream, visit)
            self._listen(stream, visit)
        elif first:
            self._converse(stream, visit)

    def _converse(self, stream: socket.socket, visit: Visit) -> None:
        visit.spoken.append("http")
        head = _until(stream, visit, b"\r\n\r\n")
        if head.startswith(b"CONNECT "):
            stream.sendall(_TUNNEL)
            if not isinstance(stream, ssl.SSLSocket):
                self._listen(stream, visit)
            return
        lines = head.lower().split(b"\r\n")
        if b"expect: 100-continue" in lines:
            stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = head.partition(b"\r\n\r\n")[2]
        if b"transfer-encoding: chunked" in lines:
            while not body.endswith(b"0\r\n\r\n") and (more := _some(stream, visit)):
                body += more
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(body) < min(length, LARGEST) and (more := _some(stream, visit)):
            body += more
        stream.sendall(self.server.sink.answer(head))

    def _pass_socks(self, stream: socket.socket, visit: Visit) -> None:
        """Agree to no authentication, and to connect to wherever."""
        _some(stream, visit)
        stream.sendall(b"\x05\x00")
        _some(stream, visit)
        stream.sendall(b"\x05\x00\x00\x01" + bytes(6))


def _some(stream: socket.socket, visit: Visit) -> bytes:
    found = stream.recv(65536)
    visit.data += found
    return found


def _until(stream: socket.socket, visit: Visit, end: bytes) -> bytes:
    found = b""
    while end not in found and len(found) < LARGEST and (more := _some(stream, visit)):
        found += more
    return found

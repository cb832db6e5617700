"""Proxies between GitHub and the gateway: one that does what the page demands, and those that it warns of."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from tests.cluster.conftest import PATIENCE

Headers = list[tuple[str, str]]
# Path, headers and body; what comes out is sent on.
Change = Callable[[str, Headers, bytes], tuple[str, Headers, bytes]]
SIGNATURE, CONTENT = "X-Hub-Signature-256", "Content-Type"


def faithful(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Change nothing."""
    return path, headers, body


def below_a_path(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Take away the path that the gateway's address has."""
    return path.removeprefix("/mooring"), headers, body


def writes_json_anew(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Parse the body, and write it as oneself would."""
    return path, headers, json.dumps(json.loads(body), indent=1).encode()


def drops_the_signature(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Take a header away that one does not know."""
    return path, [each for each in headers if each[0].lower() != SIGNATURE.lower()], body


def packs(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Change the encoding."""
    return path, [*headers, ("Content-Encoding", "gzip")], gzip.compress(body)


def changes_the_type(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Name another type."""
    kept = [each for each in headers if each[0].lower() != CONTENT.lower()]
    return path, [*kept, (CONTENT, "text/plain")], body


def doubles_a_header(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Have one header twice."""
    return path, [*headers, *(each for each in headers if each[0].lower() == "x-github-event")], body


def changes_the_path(path: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Keep the path of another place."""
    return f"/mooring{path}", headers, body


class Proxy(ThreadingHTTPServer):
    """A proxy that listens on loopback."""

    daemon_threads = True

    def __init__(self, gateway: str, change: Change | None, claims: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gateway, self.change, self.claims = urlsplit(gateway), change, claims
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    _OWN: ClassVar[frozenset[str]] = frozenset({"host", "connection", "content-length", "x-forwarded-for"})

    def do_POST(self) -> None:
        """Send a request on, and its answer back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.change is None:  # from http to https
            return self._answer(301, b"", {"Location": f"https://example.com{self.path}"})
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in self._OWN]
        path, headers, body = self.server.change(self.path, headers, body)
        where = self.server.gateway
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        try:
            connection.putrequest("POST", path)
            # Whoever sends may write what he likes; a proxy adds whom it has before it.
            told = self.headers.get("X-Forwarded-For")
            forwarded = ", ".join(filter(None, [told, self.server.claims]))
            for name, value in (*headers, ("X-Forwarded-For", forwarded), ("Content-Length", str(len(body)))):
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            self._answer(answer.status, answer.read(), {})
        finally:
            connection.close()
        return None

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""


@contextmanager
def proxy(gateway: str, change: Change | None, claims: str = "192.0.2.1") -> Iterator[str]:
    """Run a proxy that says that everything comes from an address; None changes nothing and sends elsewhere."""
    server = Proxy(gateway, change, claims)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()

"""What changes something at GitHub leaves this process only while it leads; what only reads, always."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from mooring.domain.leadership import NotLeading
from mooring.github.limits import LIMITS
from mooring.github.network import JudgedAddresses, OriginTransport
from mooring.guarded import LARGE_BODY
from tests.unit.github.certificates import local_server

ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
NO_CONTENT = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"


class Permits:
    """Permits so often, and then no more: as if the process had been stopped in between."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotLeading


class Server:
    """Keeps what came."""

    def __init__(self) -> None:
        self.came = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request, and answer."""
        try:
            while b"\r\n\r\n" not in self.came:
                if not (part := await reader.read(4096)):
                    return
                self.came += part
            writer.write(NO_CONTENT if self.came.startswith(b"HEAD") else ANSWER)
            # What is on its way still comes.
            while part := await reader.read(65536):
                self.came += part
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Server, int, ssl.SSLContext]]:
    """Run a server of this machine that a context trusts."""
    server = Server()
    own, trusting = local_server(folder)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=own) as listening:
        yield server, listening.sockets[0].getsockname()[1], trusting


async def send(folder: Path, method: str, permits: int, body: bytes | None = None) -> tuple[bytes, bool]:
    """Send a request; return what came, and whether it was refused."""
    async with serving(folder) as (server, port, tls):
        url = f"https://127.0.0.1:{port}"
        addresses = JudgedAddresses(lambda _name, _port: True, seconds=5)
        transport = OriginTransport(url, addresses=addresses, tls=tls, limits=LIMITS, permit=Permits(permits))
        refused = False
        try:
            await transport.handle_async_request(httpx.Request(method, f"{url}/x", content=body))
        except NotLeading:
            refused = True
        finally:
            await transport.shut()
    return bytes(server.came), refused


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("permits", [0, 1])
async def test_nothing_is_sent_by_who_does_not_lead(tmp_path: Path, method: str, permits: int) -> None:
    assert await send(tmp_path, method, permits, b"{}") == (b"", True)
    assert await send(tmp_path, method, permits) == (b"", True)


@pytest.mark.parametrize("size", [2, LARGE_BODY + 10])
async def test_a_body_is_kept_back_where_leading_ended_on_the_way(tmp_path: Path, size: int) -> None:
    sent, refused = await send(tmp_path, "POST", 2, b"planted" * size)
    assert refused
    assert b"planted" not in sent


async def test_who_leads_changes_and_who_does_not_may_look(tmp_path: Path) -> None:
    sent, refused = await send(tmp_path, "POST", 3, b'{"planted": 1}')
    assert not refused
    assert b"planted" in sent
    sent, refused = await send(tmp_path, "GET", 0)
    assert not refused
    assert sent.startswith(b"GET /x")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reading_asks_nobody(tmp_path: Path, method: str) -> None:
    assert not (await send(tmp_path, method, 0))[1]

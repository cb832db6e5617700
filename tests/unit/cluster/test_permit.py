"""What changes something leaves this process only while it leads: asked before a connection is made, and after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from mooring.cluster.connection import Connection
from mooring.domain.leadership import NotLeading
from mooring.guarded import LARGE_BODY

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


@asynccontextmanager
async def server() -> AsyncIterator[tuple[int, bytearray]]:
    """Listen, answer whoever asks, and keep what came."""
    came = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            came.extend(chunk)
            if came.endswith((b"\r\n\r\n", b"}")):
                writer.write(ANSWER)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], came


@asynccontextmanager
async def connected(folder: Path, port: int, permit: Callable[[], None]) -> AsyncIterator[Connection]:
    """Connect with a guard."""
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG.format(port=port))
    connection = await Connection.open({"KUBECONFIG": str(path)}, permit=permit)
    try:
        yield connection
    finally:
        await connection.close()


def never() -> None:
    raise NotLeading


class Once:
    """Permits so often, and then no more: as if the process had been stopped in between."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotLeading


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_is_sent_by_who_does_not_lead(tmp_path: Path, method: str) -> None:
    async with server() as (port, came), connected(tmp_path, port, never) as connection:
        for body in (b"{}", None):
            with pytest.raises(NotLeading):
                await connection.request(method, "/x", body)
        assert came == b""
        # Who stands by may look.
        assert (await connection.request("GET", "/x")).status == 200


@pytest.mark.parametrize("size", [2, LARGE_BODY + 10])
async def test_the_body_is_kept_back_where_leading_ended_on_the_way(tmp_path: Path, size: int) -> None:
    body = b"{" + b"x" * (size - 2) + b"}"
    async with server() as (port, came), connected(tmp_path, port, Once(1)) as connection:
        with pytest.raises(aiohttp.ClientError):
            await connection.request("PATCH", "/x", body)
        assert b"}" not in came
    async with server() as (port, came), connected(tmp_path, port, Once(2)) as connection:
        assert (await connection.request("PATCH", "/x", body)).status == 200
        assert came.endswith(body)

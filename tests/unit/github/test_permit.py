"""What changes something at GitHub leaves this process only while it leads; what only reads, always."""

from __future__ import annotations

import ssl
from typing import Any, cast

import httpcore
import httpx
import pytest

from mooring.domain.leadership import NotLeading
from mooring.github.limits import LIMITS
from mooring.github.network import GuardedBackend, OriginTransport

URL = "https://api.example.com"
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


class Wire(httpcore.AsyncMockBackend):
    """A network that keeps what was sent."""

    def __init__(self) -> None:
        super().__init__([ANSWER])
        self.sent = bytearray()

    async def connect_tcp(self, *given: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        stream = cast("Any", await super().connect_tcp(*given, **more))
        stream.write = self._write
        return cast("httpcore.AsyncNetworkStream", stream)

    async def _write(self, content: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's own
        self.sent += content


class Permits:
    """Permits so often, and then no more: as if the process had been stopped in between."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotLeading


async def send(method: str, permits: int, body: bytes | None = None) -> tuple[bytes, bool]:
    """Send a request; return what left, and whether it was refused."""
    wire = Wire()
    transport = OriginTransport(
        URL,
        backend=cast("GuardedBackend", wire),
        tls=ssl.create_default_context(),
        limits=LIMITS,
        permit=Permits(permits),
    )
    try:
        await transport.handle_async_request(httpx.Request(method, f"{URL}/x", content=body))
    except NotLeading:
        return bytes(wire.sent), True
    finally:
        await transport.shut()
    return bytes(wire.sent), False


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("permits", [0, 1])
async def test_nothing_is_sent_by_who_does_not_lead(method: str, permits: int) -> None:
    assert await send(method, permits, b"{}") == (b"", True)
    assert await send(method, permits) == (b"", True)


async def test_a_body_is_kept_back_where_leading_ended_on_the_way() -> None:
    sent, refused = await send("POST", 2, b'{"planted": 1}')
    assert refused
    assert b"planted" not in sent


async def test_who_leads_changes_and_who_does_not_may_look() -> None:
    sent, refused = await send("POST", 3, b'{"planted": 1}')
    assert not refused
    assert b"planted" in sent
    sent, refused = await send("GET", 0)
    assert not refused
    assert sent.startswith(b"GET /x")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reading_asks_nobody(method: str) -> None:
    assert not (await send(method, 0))[1]

"""How bytes reach an origin: the name is resolved and judged here, and the connection goes to the judged address.

One `OriginTransport` serves one origin and refuses requests for any other, whoever made them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any

import httpcore
import httpx

from mooring.domain import origins
from mooring.github.limits import Limits

Resolve = Callable[[str, int], Awaitable[list[str]]]
MayBePrivate = Callable[[str, int], bool]
# Raises one of `domain.errors` where this process may not change anything now.
Permit = Callable[[], None]

SAFE = frozenset({"GET", "HEAD"})


class AddressRefused(Exception):
    """A host's name leads to an address that the administrator has not allowed. Nothing was sent."""


class WrongOrigin(Exception):
    """A request was about to leave its origin. Nothing was sent."""


class Unreadable(Exception):
    """An answer is longer or packed otherwise than we take."""


async def resolve(name: str, port: int) -> list[str]:
    """Return the addresses of a host, in the system's order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def always() -> None:
    """Permit everything."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, unless the host may be private. Between check and use nothing is resolved."""

    def __init__(self, may_be_private: MayBePrivate, *, resolver: Resolve = resolve) -> None:
        self._may_be_private = may_be_private
        self._resolve = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection to the first address that answers."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise httpcore.ConnectError("the name cannot be resolved") from error
        if not self._may_be_private(host, port) and not all(origins.is_public(address) for address in addresses):
            raise AddressRefused
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class OriginTransport(httpx.AsyncBaseTransport):
    """The connections to one origin. Credentials are in the requests, never here."""

    def __init__(
        self,
        url: str,
        *,
        backend: GuardedBackend,
        tls: ssl.SSLContext,
        limits: Limits,
        permit: Permit = always,
    ) -> None:
        self._host = origins.host_of(url)
        self._limits = limits
        self._permit = permit
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.connections,
            max_keepalive_connections=limits.idle_connections,
            keepalive_expiry=limits.idle_for,
            http1=True,
            http2=False,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its whole answer, within the limits."""
        url = request.url
        there = origins.Host(url.raw_host.decode("ascii"), url.port or origins.HTTPS)
        if url.scheme != "https" or there != self._host or url.userinfo:
            raise WrongOrigin
        if request.method not in SAFE:
            self._permit()
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port or origins.HTTPS, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=await request.aread(),
                extensions=self._extensions(request),
            )
        )
        try:
            body = await self._body(answer)
        finally:
            await answer.aclose()
        return httpx.Response(status_code=answer.status, headers=answer.headers, content=body)

    def _extensions(self, request: httpx.Request) -> dict[str, Any]:
        """Have a request that changes something asked about when its head, and when its body, is about to be sent.

        Until then a connection had to be made, and the process may have been stopped for any time.
        """
        if request.method in SAFE:
            return dict(request.extensions)

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.endswith((".send_request_headers.started", ".send_request_body.started")):
                self._permit()

        return {**request.extensions, "trace": trace}

    async def _body(self, answer: httpcore.Response) -> bytes:
        packed = [value for name, value in answer.headers if name.lower() == b"content-encoding"]
        if any(value.lower() != b"identity" for value in packed):
            # We ask for plain bodies: a small packed one could grow to any size in memory.
            raise Unreadable("a packed body")
        body = bytearray()
        stream: AsyncIterable[bytes] = answer.aiter_stream()
        async for part in stream:
            body += part
            if len(body) > self._limits.body:
                raise Unreadable(f"a body of more than {self._limits.body} bytes")
        return bytes(body)

    async def aclose(self) -> None:
        """Do nothing: githubkit closes its transport after each request, and this one serves many."""

    async def shut(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

"""How bytes reach an origin: the name is resolved and judged here, and the connection goes to the judged address.

One `OriginTransport` serves one origin and refuses requests for any other, whoever made them. It stands where httpx has
its own connections, since those cost more time than all else that a request takes (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from types import SimpleNamespace

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.tracing import TraceConfig, TraceRequestHeadersSentParams
from yarl import URL

from mooring.domain import origins
from mooring.domain.leadership import NotLeading
from mooring.github.limits import Limits
from mooring.guarded import SAFE, Permit, always, guarded

Resolve = Callable[[str, int], Awaitable[list[str]]]
MayBePrivate = Callable[[str, int], bool]

# What aiohttp would add by itself. What is asked for, and by whom, is said by whoever asks.
_UNASKED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# Bytes of one line of an answer's head: GitHub's longest are links to pages.
_LINE = 64 * 1024


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


class JudgedAddresses(AbstractResolver):
    """Gives public addresses only, unless the host may be private. Between check and use nothing is resolved."""

    def __init__(self, may_be_private: MayBePrivate, *, seconds: float, resolver: Resolve = resolve) -> None:
        self._may_be_private = may_be_private
        self._seconds = seconds
        self._resolve = resolver

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's own signature
    ) -> list[ResolveResult]:
        """Return the addresses of a name, or raise AddressRefused."""
        try:
            async with asyncio.timeout(self._seconds):
                addresses = await self._resolve(host, port)
        except UnicodeError as error:
            raise OSError("the name cannot be resolved") from error
        self.judge(host, port, *addresses)
        return [_result(host, port, address) for address in addresses]

    def judge(self, host: str, port: int, *addresses: str) -> None:
        """Raise AddressRefused unless a host may have these addresses."""
        if not self._may_be_private(host, port) and not all(origins.is_public(address) for address in addresses):
            raise AddressRefused

    async def close(self) -> None:
        """Do nothing: it holds nothing."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET if ip_address(address.partition("%")[0]).version == 4 else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


class OriginTransport(httpx.AsyncBaseTransport):
    """The connections to one origin. Credentials are in the requests, never here."""

    def __init__(
        self,
        url: str,
        *,
        addresses: JudgedAddresses,
        tls: ssl.SSLContext,
        limits: Limits,
        permit: Permit = always,
    ) -> None:
        self._host = origins.host_of(url)
        self._addresses = addresses
        self._limits = limits
        self._permit = permit
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls,
                resolver=addresses,
                use_dns_cache=False,  # each connection is judged
                limit=limits.connections,
                keepalive_timeout=limits.idle_for,
            ),
            timeout=aiohttp.ClientTimeout(
                total=limits.total_timeout, sock_connect=limits.connect_timeout, sock_read=limits.read_timeout
            ),
            trace_configs=[_asking(permit)],
            skip_auto_headers=_UNASKED,
            max_line_size=_LINE,
            max_field_size=_LINE,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its whole answer, within the limits."""
        url = request.url
        there = origins.Host(url.raw_host.decode("ascii"), url.port or origins.HTTPS)
        if url.scheme != "https" or there != self._host or url.userinfo:
            raise WrongOrigin
        if request.method not in SAFE:
            self._permit()
        if _is_address(there.name):
            # It is used as it is, without a look-up.
            self._addresses.judge(there.name, there.port, there.name)
        body = await request.aread()
        try:
            async with self._session.request(
                request.method,
                URL(str(url), encoded=True),
                data=guarded(body, self._permit) if body else None,
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                allow_redirects=False,
            ) as answer:
                content = await self._content(answer)
                return httpx.Response(status_code=answer.status, headers=list(answer.raw_headers), content=content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, NotLeading):
                # The body was kept back.
                raise error.__cause__ from None
            raise _translated(error) from error

    async def _content(self, answer: aiohttp.ClientResponse) -> bytes:
        if any(value.lower() != "identity" for value in answer.headers.getall("Content-Encoding", ())):
            # We ask for plain bodies: a small packed one could grow to any size in memory.
            answer.close()
            raise Unreadable("a packed body")
        content = bytearray()
        async for part in answer.content.iter_any():
            content += part
            if len(content) > self._limits.body:
                answer.close()
                raise Unreadable(f"a body of more than {self._limits.body} bytes")
        return bytes(content)

    async def aclose(self) -> None:
        """Do nothing: githubkit closes its transport after each request, and this one serves many."""

    async def shut(self) -> None:
        """Close the connections."""
        await self._session.close()


def _asking(permit: Permit) -> TraceConfig:
    """Have a request that changes something asked about when its head is about to be sent.

    Until then a connection had to be made, and the process may have been stopped for any time. A body asks by itself.
    """

    async def on_head(_session: object, context: SimpleNamespace, about: TraceRequestHeadersSentParams) -> None:
        if hasattr(context, "was_sent"):
            # aiohttp would send it again on another connection; whoever counts requests has counted one.
            raise aiohttp.ClientConnectionError("the connection broke")
        context.was_sent = True
        if about.method not in SAFE:
            permit()

    config = TraceConfig()
    config.on_request_headers_sent.append(on_head)
    return config


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _translated(error: Exception) -> httpx.TransportError:
    """Say what happened as httpx does, which is what everything above knows."""
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(str(error))
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        return httpx.ConnectError(str(error))
    return httpx.RemoteProtocolError(str(error))

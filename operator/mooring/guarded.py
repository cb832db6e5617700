"""Bodies of requests that ask whether they may be sent when they are about to be.

Until then a connection had to be made, and the process may have been stopped for any time. Without its body a request
does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload, BytesPayload, Payload

# Raises one of `domain.errors` where this process may not change anything now.
Permit = Callable[[], None]
# Methods that change nothing, so that nobody is asked.
SAFE = frozenset({"GET", "HEAD"})
LARGE_BODY = 1024 * 1024  # bytes


def always() -> None:
    """Permit everything."""


def guarded(body: bytes, permit: Permit) -> Payload:
    """Return a body as aiohttp wants it: a large one as a file, which it sends in pieces; a small one as it is."""
    large = len(body) > LARGE_BODY
    return _GuardedFile(BytesIO(body), permit) if large else _GuardedBytes(body, permit)


class _GuardedBytes(BytesPayload):
    """A small body."""

    def __init__(self, body: bytes, permit: Permit) -> None:
        super().__init__(body)
        self._permit = permit

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send it, or raise."""
        self._permit()
        await super().write_with_length(writer, content_length)


class _GuardedFile(BytesIOPayload):
    """The same for a large one."""

    def __init__(self, body: BytesIO, permit: Permit) -> None:
        super().__init__(body)
        self._permit = permit

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send it, or raise."""
        self._permit()
        await super().write_with_length(writer, content_length)

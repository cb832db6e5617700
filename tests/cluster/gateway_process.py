"""The gateway's server in a process of its own, so that its memory can be measured: `python -m` it, and read its port.

What it receives is told to nobody: the receiver takes a little time for each delivery, as a write would.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys

from mooring.gateway import GatewayServer
from mooring.observability.gateway_metrics import GatewayMetrics
from mooring.ports import Event, Hook, Verdict
from mooring.settings import Listen

SECRET = b"It's a Secret to Everybody"
WRITE_SECONDS = 0.05


class Receiver:
    """Implements `ports.Receiver`."""

    def not_ready(self) -> str | None:
        """Be ready."""
        return None

    def hook(self, path_id: str | None) -> Hook | None:
        """Know the operator's own App alone."""
        return Hook("operator", "https://api.github.com", (SECRET,), frozenset(), "") if path_id is None else None

    async def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict:
        """Record it after a while."""
        await asyncio.sleep(WRITE_SECONDS)
        return Verdict(202, "recorded", "it is recorded")


class Nowhere:
    """Implements `ports.Audit`."""

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        """Drop the line."""


async def serve() -> None:
    """Serve until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = GatewayServer(Listen("127.0.0.1", 0), Receiver(), GatewayMetrics(), Nowhere(), namespace="mooring-system")
    async with server:
        os.write(1, f"{server.port}\n".encode())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())

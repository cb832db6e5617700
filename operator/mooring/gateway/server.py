"""The gateway's server: it listens, and hands what is verified to a receiver."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from mooring import ports
from mooring.gateway.addresses import Network
from mooring.gateway.connections import Connection, Gate
from mooring.gateway.deliveries import Deliveries
from mooring.gateway.limits import Limits
from mooring.gateway.quotas import Quotas
from mooring.observability.gateway_metrics import GatewayMetrics
from mooring.settings import CannotListenError, Listen

log = logging.getLogger(__name__)

VARIABLE = "MOORING_GATEWAY_LISTEN"
# As many as may come at a time without being sent away by the system, which makes them wait for a second.
_BACKLOG = 1024


class GatewayServer:
    """Serves from `start` (or `async with`) to `stop`."""

    def __init__(
        self,
        listen: Listen,
        receiver: ports.Receiver,
        metrics: GatewayMetrics,
        audit: ports.Audit,
        *,
        namespace: str,
        trusted_proxies: Sequence[Network] = (),
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listen = listen
        limits = limits or Limits()
        self._gate = Gate(limits, metrics, clock)
        self._deliveries = Deliveries(
            limits,
            receiver,
            audit,
            metrics,
            Quotas(limits, clock),
            namespace=namespace,
            trusted_proxies=trusted_proxies,
        )
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raise CannotListenError where the port cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._gate, self._deliveries),
                self._listen.host,
                self._listen.port,
                backlog=_BACKLOG,
                reuse_address=True,
            )
        except OSError as problem:
            raise CannotListenError(self._listen, problem, variable=VARIABLE) from None
        self._sweeper = asyncio.create_task(self._sweep(), name="gateway connections")
        log.info("the gateway listens on %s", Listen(self._listen.host, self.port))

    async def stop(self) -> None:
        """Close the port, and finish the answers under way. To stop twice is fine."""
        server, self._server = self._server, None
        sweeper, self._sweeper = self._sweeper, None
        if server is not None:
            server.close()
            # Those under way may be answered, which the receiver does in time.
            await self._gate.end(self._gate.limits.take_seconds)
            await server.wait_closed()
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.wait([sweeper])

    @property
    def port(self) -> int:
        """The port in use, which the system chose where the setting says 0."""
        if self._server is None:
            raise RuntimeError("the gateway's server does not run")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._gate.limits.sweep_seconds)
            try:
                self._gate.sweep()
            except Exception:
                # Without it nobody who is slow would be cut off any more.
                log.exception("the connections could not be looked at")

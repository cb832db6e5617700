"""`/healthz`, `/readyz` and `/metrics`. It runs in the event loop of the process: a loop that hangs answers nothing,
which a probe takes for a no.
"""

import logging
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from mooring.observability.health import Health
from mooring.settings import CannotListenError, Listen

log = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0
_KEEPALIVE_SECONDS = 30.0
_LARGEST_REQUEST = 4096


class AdminServer:
    """Serves from `start` (or `async with`) to `stop`."""

    def __init__(self, listen: Listen, registry: CollectorRegistry, health: Health, *, variable: str) -> None:
        self._listen = listen
        self._registry = registry
        self._health = health
        # The setting to name when the port cannot be had.
        self._variable = variable
        self._runner: web.AppRunner | None = None
        ready = Gauge("mooring_ready", "1 where /readyz answers 200, 0 where something is missing.", registry=registry)
        ready.set_function(lambda: float(not health.not_ready()))

    async def start(self) -> None:
        """Listen; raise CannotListenError where the port cannot be had."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_GRACE_SECONDS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._listen.host, self._listen.port).start()
        except OSError as problem:
            await runner.cleanup()
            raise CannotListenError(self._listen, problem, variable=self._variable) from None
        self._runner = runner
        log.info("the admin server listens on %s", Listen(self._listen.host, self.port))

    async def stop(self) -> None:
        """Finish the answers under way, and close the port. To stop twice is fine."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port in use, which the system chose where the setting says 0."""
        if self._runner is None:
            raise RuntimeError("the admin server does not run")
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.router.add_get("/healthz", self._healthz, allow_head=False)
        application.router.add_get("/readyz", self._readyz, allow_head=False)
        application.router.add_get("/metrics", self._metrics, allow_head=False)
        application.on_response_prepare.append(_plain_headers)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        return _verdict(self._health.not_alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(self._health.not_ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _verdict(wrong: list[str]) -> web.Response:
    return web.Response(text="".join(f"{line}\n" for line in wrong) or "ok\n", status=503 if wrong else 200)


async def _plain_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of versions, and let nobody keep an answer."""
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"

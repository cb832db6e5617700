"""Puts the lab's GitHub together: one HTTPS port for REST, git and web, one loopback port for the control API."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path

from aiohttp import web

from lab.github import rest, tls
from lab.github.context import CONTEXT, Context
from lab.github.control import Control
from lab.github.deliveries import Deliverer
from lab.github.events import Sender
from lab.github.faults import Faults
from lab.github.githttp import GitServer
from lab.github.gitstore import GitStore
from lab.github.journal import Handler, Journal
from lab.github.lag import LaggingGit
from lab.github.lfs import LargeFiles
from lab.github.model import Addresses
from lab.github.pages import Pages
from lab.github.tags import Tags
from lab.github.webhook_contract import WebhookContract
from lab.github.world import LabClock, World

API_PREFIX = "/api/v3"
BODY_LIMIT = 32 * 2**20
SHUTDOWN_SECONDS = 0.5
BACKLOG = 1024
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}

logger = logging.getLogger("lab.github.server")


@dataclass(frozen=True, slots=True)
class Options:
    """Where a server lives and listens. Port 0 is any free one."""

    folder: Path
    token: str
    address: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    # Under which name clients reach it, where that is not the address that it listens on.
    advertised: str | None = None
    # Whom webhook deliveries trust beside the machine's own authorities.
    hook_ca: Path | None = None


class Server:
    """A running GitHub. `start` and `stop` are called once each."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._runners: list[web.AppRunner] = []
        self._sockets: list[socket.socket] = []
        # Unset as long as `start` has not come so far.
        self._deliverer: Deliverer | None = None

    @property
    def addresses(self) -> Addresses:
        """Return where it answers."""
        return self.context.world.addresses

    async def start(self) -> None:
        """Take the ports, build all parts, serve."""
        options = self._options
        name = options.advertised or options.address
        main, control = self._bind(options.address, options.port), self._bind("127.0.0.1", options.control_port)
        addresses = Addresses(
            web=f"https://{_host(name)}:{main.getsockname()[1]}",
            control=f"http://127.0.0.1:{control.getsockname()[1]}",
        )
        secure, self.ca_file = tls.server_context(options.folder / "tls", name)
        self._build(addresses)
        await self._serve(self._app(), main, secure)
        await self._serve(self.control.app(), control, None)

    async def stop(self) -> None:
        """Close the ports and end what is under way."""
        for runner in self._runners:
            await runner.cleanup()
        for taken in self._sockets:
            taken.close()
        if self._deliverer is not None:
            await self._deliverer.close()

    def _bind(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            taken = socket.create_server((address, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise OSError(error.errno, f"can't listen on {_host(address)}:{port}: {error.strerror}") from error
        self._sockets.append(taken)
        return taken

    def _build(self, addresses: Addresses) -> None:
        self.world = World(addresses, LabClock())
        self.faults = Faults(self.world)
        self.journal = Journal(self.world)
        self.tags = Tags(self.world, self.journal)
        self.store = GitStore(self._options.folder / "git")
        self.deliverer = Deliverer(self.world, self.faults, ca_file=self._options.hook_ca)
        self._deliverer = self.deliverer
        violations: list[str] = []
        sender = Sender(self.world, self.store, self.deliverer, WebhookContract(violations))
        git = LaggingGit(self.store, self.faults, self.world)
        self.context = Context(self.world, git, sender, self.deliverer, violations)
        sender.bind(self.context)
        self.control = Control(
            self.context,
            self.store,
            self.faults,
            self.journal,
            self.deliverer,
            tags=self.tags,
            token=self._options.token,
        )

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[self.journal.middleware, _disk_trouble, self.faults.middleware, *rest.middlewares()],
            client_max_size=BODY_LIMIT,
        )
        app[CONTEXT] = self.context
        app.on_response_prepare.append(self._date)
        rest.routes.add_to(app, prefix=API_PREFIX)
        git = GitServer(self.context, self.store)
        git.add_to(app)
        self.large_files = LargeFiles(git, self.addresses)
        self.large_files.add_to(app)
        Pages(self.context).add_to(app)
        return app

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        """Date every answer by the lab's clock, as GitHub does by its own: clients reckon with it."""
        response.headers["Date"] = format_datetime(self.world.clock.now(), usegmt=True)

    async def _serve(self, app: web.Application, listener: socket.socket, secure: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listener, ssl_context=secure).start()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Server]:
    """Run a server for as long as the block lasts."""
    options.folder.mkdir(parents=True, exist_ok=True)
    server = Server(options)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@web.middleware
async def _disk_trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in one line that the folder is full, to the client (git shows it) and in the log."""
    try:
        return await handler(request)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        logger.error("%s %s: the lab's folder can't be written: %s", request.method, request.path, error.strerror)  # noqa: TRY400 - the stack says no more
        return web.Response(status=507, text=f"The lab's folder can't be written: {error.strerror}\n")


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name

"""What tests hold in their hands: the running GitHub, its control API, a trusting client, a real git, a receiver."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.lab.github.running import CONTROL_TOKEN, GitHub

PATIENCE = 30.0


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process or the clock brings about, and no interface announces."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a git command ended."""

    code: int
    out: str
    err: str


class Forge:
    """The lab's GitHub with a git beside it. `server` gives the insides, for what no interface tells."""

    def __init__(self, github: GitHub, session: aiohttp.ClientSession, folder: Path) -> None:
        self.github = github
        self.server = github.server
        self.session = session
        self.folder = folder

    @property
    def api(self) -> str:
        """Where REST answers, without a trailing slash."""
        return self.server.addresses.api

    @property
    def web(self) -> str:
        """Where git and web answer."""
        return self.server.addresses.web

    async def control(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> Any:
        """Call the control API; fails when the status is not the expected one (unset: any success)."""
        url = self.server.addresses.control + path
        headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            found = await answer.json()
        assert answer.status == expect if expect is not None else answer.status < 300, (answer.status, found)
        return found

    async def seed(self, **document: Any) -> Any:
        """Seed, and return the ids and secrets."""
        return await self.control("POST", "/seed", document)

    async def fault(self, kind: str, **spec: Any) -> int:
        """Set a fault and return its number."""
        answer = await self.control("POST", "/faults", {"kind": kind, **spec})
        number: int = answer["faults"][0]["id"]
        return number

    async def get(self, path: str, token: str | None = None, **more: Any) -> tuple[int, Any]:
        """Read from the REST API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.get(self.api + path, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    def remote(self, full_name: str, token: str | None = None) -> str:
        """Return the address to clone from, with a token inside."""
        scheme, _, host = self.web.partition("://")
        return f"{scheme}://x-access-token:{token}@{host}/{full_name}.git" if token else f"{self.web}/{full_name}.git"

    async def git(self, *arguments: str, cwd: Path | None = None, fails: bool = False) -> Ran:
        """Run git as a person would, and check that it succeeds (or fails)."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSL_CAINFO": str(self.server.ca_file),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
            **{f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _PERSON.items()},
        }
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=cwd or self.folder, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        ran = Ran(process.returncode or 0, out.decode().strip(), err.decode().strip())
        assert (ran.code != 0) == fails, ran
        return ran

    async def clone(self, full_name: str, token: str | None = None) -> Path:
        """Clone into a new folder."""
        folder = self.folder / f"clone-{len(list(self.folder.iterdir()))}"
        await self.git("clone", "-q", self.remote(full_name, token), str(folder))
        return folder

    async def commit(self, folder: Path, files: dict[str, str | None], message: str = "Change") -> str:
        """Commit files in a clone (None removes one) and return the commit."""
        for path, text in files.items():
            if text is None:
                await self.git("rm", "-q", path, cwd=folder)
                continue
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            await self.git("add", path, cwd=folder)
        await self.git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
        return (await self.git("rev-parse", "HEAD", cwd=folder)).out


_PERSON = {"NAME": "Ann", "EMAIL": "ann@example.com"}


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """Which event it was."""
        return self.headers["X-GitHub-Event"]

    @property
    def guid(self) -> str:
        """Its delivery id."""
        return self.headers["X-GitHub-Delivery"]

    @property
    def payload(self) -> Any:
        """What it said."""
        return json.loads(self.body)


class Receiver:
    """A real web server that keeps what it is sent. `answer` is its status, `gate` lets it answer."""

    def __init__(self) -> None:
        self.url = ""
        self.answer = 200
        self.headers: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.came: asyncio.Queue[Received] = asyncio.Queue()

    async def next(self) -> Received:
        """Return the next request; fails when none comes."""
        return await asyncio.wait_for(self.came.get(), PATIENCE)

    async def take(self, request: web.Request) -> web.Response:
        """Keep a request."""
        await self.came.put(Received(dict(request.headers), await request.read()))
        await self.gate.wait()
        return web.Response(status=self.answer, headers=self.headers, text="kept")


@asynccontextmanager
async def receiving(secure: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secure).start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"{'https' if secure else 'http'}://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()

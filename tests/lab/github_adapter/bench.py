"""What the tests hold in their hands: adapters, the lab's control API, a server that misbehaves, a port that counts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.github import tls
from lab.github.server import Server
from mooring.domain import origins
from mooring.domain.errors import Trouble
from mooring.domain.origins import AllowedHosts
from mooring.github import GitHubAdapter
from mooring.github.limits import LIMITS, Limits
from mooring.ports import Origin

CONTROL_TOKEN = "control-token"
NAMESPACE = "team-a"
RESULTS = ("ok", "not_found", "unauthorized", "forbidden", "primary_limit", "secondary_limit", "error")


@dataclass
class MovableClock:
    """The machine's clock, some time ahead."""

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead

    def move(self, seconds: float) -> None:
        """Go ahead."""
        self.ahead += timedelta(seconds=seconds)


def origin(api_url: str) -> Origin:
    """Return where an API answers."""
    return Origin(api_url, origins.web_url(api_url))


@dataclass
class Adapted:
    """An adapter and its metrics."""

    adapter: GitHubAdapter
    registry: CollectorRegistry

    def counted(self) -> dict[str, int]:
        """Return how many requests had which result; those without any are left out."""
        found = {r: self.registry.get_sample_value("mooring_github_requests_total", {"result": r}) for r in RESULTS}
        return {result: int(count) for result, count in found.items() if count}


@dataclass
class Bench:
    """The lab's GitHub and adapters to it."""

    server: Server
    clock: MovableClock
    made: list[Adapted] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        """Return where the lab's API answers."""
        return origin(self.server.addresses.api)

    def adapt(
        self,
        *,
        api: str | None = None,
        hosts: AllowedHosts | None = None,
        ca_file: Path | None = None,
        trusting: bool = True,
        limits: Limits = LIMITS,
    ) -> Adapted:
        """Return a new adapter that knows nothing yet."""
        url, registry = api or self.origin.api_url, CollectorRegistry()
        allowed = hosts or AllowedHosts.of([], api=url)
        adapter = GitHubAdapter(
            clock=self.clock,
            hosts=lambda: allowed,
            registry=registry,
            version="0.0.0-test",
            api_url=url,
            ca_file=(ca_file or self.server.ca_file) if trusting else None,
            limits=limits,
        )
        self.made.append(Adapted(adapter, registry))
        return self.made[-1]

    async def close(self) -> None:
        """Close every adapter."""
        for adapted in self.made:
            await adapted.adapter.aclose()

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; anything but success fails the test."""
        headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
        url = self.server.addresses.control
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
            answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def status(self, path: str, token: str) -> int:
        """Return the status that a plain client gets."""
        trust = ssl.create_default_context(cafile=str(self.server.ca_file))
        async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=30) as client:
            answer = await client.get(self.origin.api_url + path, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    async def fault(self, kind: str, **spec: Any) -> None:
        """Set a fault."""
        await self.control("POST", "/faults", {"kind": kind, **spec})

    async def requests(self) -> list[tuple[str, str]]:
        """Return path and credential of every API request so far."""
        entries = (await self.control("GET", "/journal"))["entries"]
        return [(entry["path"].removeprefix("/api/v3"), entry["credential"]) for entry in entries]

    async def world(self) -> World:
        """Make the world that most tests use."""
        made = await self.control("POST", "/seed", WORLD)
        values = {name: token["value"] for name, token in made["tokens"].items()}
        web, empty, secret, fork = (
            found.id
            for owner, name in (("acme", "web"), ("acme", "empty"), ("acme", "secret"), ("mallory", "web"))
            if (found := self.server.world.repository(owner, name)) is not None
        )
        return World(self, values, web, empty, secret, fork)

    def tip(self, repository: int, branch: str) -> Awaitable[str | None]:
        """Return a branch's commit as git has it."""
        return self.server.context.git.branch(self.server.world.repositories[repository], branch)


WORLD: dict[str, Any] = {
    "users": [{"login": "jane"}, {"login": "mallory"}],
    "organizations": [{"login": "acme", "members": {"jane": "admin"}}],
    "repositories": [
        {"owner": "acme", "name": "web", "files": {"a.txt": "1"}, "branches": {"feature/x#1": {"b.txt": "2"}}},
        {"owner": "acme", "name": "empty"},
        {"owner": "acme", "name": "secret", "private": True, "files": {"a.txt": "1"}},
        {"owner": "mallory", "name": "web", "fork_of": "acme/web"},
    ],
    "tokens": [
        {"name": "jane", "user": "jane", "scopes": ["repo", "read:org"], "expires_in": 86400},
        {"name": "other", "user": "jane", "scopes": ["repo"]},
        {"name": "mallory", "user": "mallory", "scopes": ["repo"]},
        {"name": "narrow", "user": "jane", "kind": "fine-grained", "owner": "acme", "repositories": ["acme/web"]},
        {
            "name": "fine",
            "user": "jane",
            "kind": "fine-grained",
            "owner": "acme",
            "permissions": {"metadata": "read", "contents": "read"},
        },
        {
            "name": "blind",
            "user": "jane",
            "kind": "fine-grained",
            "owner": "acme",
            "permissions": {"metadata": "read"},
        },
    ],
}


@dataclass
class World:
    """What was made: tokens by name, repositories by id."""

    bench: Bench
    tokens: dict[str, str]
    web: int
    empty: int
    secret: int
    fork: int

    async def commit(self, repository: int, branch: str, text: str) -> str:
        """Commit on a branch as somebody who may, and return the commit."""
        lab = self.bench.server.world
        found = lab.repositories[repository]
        user = "mallory" if lab.owner(found).login == "mallory" else "jane"
        change = {"branch": branch, "files": {"a.txt": text}, "message": text}
        body = {"repository": lab.full_name(found), "user": user, **change}
        pushed = await self.bench.control("POST", "/push", body)
        return str(pushed["after"])


async def trouble(asked: Awaitable[object]) -> Trouble:
    """Return what a question raised; fails when it was answered."""
    try:
        answer = await asked
    except Trouble as found:
        return found
    raise AssertionError(f"no trouble, but {answer!r}")


@dataclass
class Rogue:
    """A TLS server with a trusted certificate that answers what a test wants, and keeps what it was sent."""

    url: str
    ca_file: Path
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    seen: list[web.Request] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator[Rogue]:
        """Serve as long as the block lasts."""

        async def nothing(_: web.Request) -> web.StreamResponse:
            return web.json_response({})

        secure, ca_file = tls.server_context(folder, "127.0.0.1")
        rogue = cls("", ca_file, nothing)

        async def handle(request: web.Request) -> web.StreamResponse:
            rogue.seen.append(request)
            return await rogue.answer(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secure).start()
            rogue.url = f"https://127.0.0.1:{runner.addresses[0][1]}/api/v3"
            yield rogue
        finally:
            await runner.cleanup()


@asynccontextmanager
async def counting() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Give a port, and what came in there: one entry a connection."""
    came: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(b"")
        came[-1] = await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came

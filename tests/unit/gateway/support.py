"""What the tests of the gateway's edge share: a receiver that notes what it is given, and requests byte by byte."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from mooring.domain.webhooks import events
from mooring.gateway import GatewayServer, Limits
from mooring.observability.gateway_metrics import Cut, GatewayMetrics, Outcome
from mooring.ports import Event, Hook, Verdict
from mooring.settings import Listen

ANYWHERE = Listen("127.0.0.1", 0)
APP = "/webhooks/github"
TENANT_ID = "abcdefghijklmnopqrstuvwxyz234567"
TENANT = f"{APP}/{TENANT_ID}"
SECRETS = (b"the newest secret", b"the present secret", b"the last secret")
ORIGIN = "https://api.github.com"
# Where 127.0.0.1 is a proxy, a test says who sends.
TRUSTED = (ip_network("127.0.0.0/8"),)
# For what has to happen in the end; a slow machine is no failure.
PATIENCE = 20

# Nothing here is waited for in seconds: what is slow is cut off at once.
HASTY = Limits(
    header_seconds=0.3,
    idle_seconds=0.3,
    linger_seconds=0.2,
    sweep_seconds=0.02,
    body_seconds=0.6,
    grace_seconds=0.2,
)
# For what does not happen in a test: no deadline is near.
CALM = replace(Limits(), linger_seconds=0.2, header_seconds=60, idle_seconds=60, body_seconds=60, grace_seconds=60)


@dataclass
class Receiver:
    """Implements `ports.Receiver`: notes what it takes."""

    missing: str | None = None
    verdict: Verdict | Exception = field(default_factory=lambda: Verdict(202, "recorded", "it is recorded"))
    taken: list[tuple[str, Event, str]] = field(default_factory=list)
    # Where it is set, deliveries of this hook wait for it.
    held: asyncio.Event | None = None
    secrets: tuple[bytes, ...] = SECRETS
    # Whose deliveries those are.
    held_owners: frozenset[str] = frozenset({"", "team-a"})

    def not_ready(self) -> str | None:
        return self.missing

    def hook(self, path_id: str | None) -> Hook | None:
        if path_id not in {None, TENANT_ID}:
            return None
        name = "operator" if path_id is None else "team-a/app"
        secrets, owner = (self.secrets, "") if path_id is None else ((b"the tenant's",), "team-a")
        return Hook(name, ORIGIN, secrets, frozenset(), owner)

    async def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict:
        self.taken.append((hook.name, event, delivery))
        if self.held is not None and hook.owner in self.held_owners:
            await self.held.wait()
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@dataclass
class Record:
    """Implements `ports.Audit`."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        self.lines.append({"action": str(action), "kind": kind, "namespace": namespace, "name": name, **facts})


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def outcome(self) -> str:
        content = json.loads(self.body)
        assert set(content) == {"outcome", "message"}
        assert content["message"]
        return str(content["outcome"])


@dataclass
class Gateway:
    """A server with all that it was given."""

    server: GatewayServer
    receiver: Receiver
    metrics: GatewayMetrics
    record: Record

    def count(self, event: str, outcome: Outcome) -> float:
        value = self.metrics.registry.get_sample_value(
            "mooring_deliveries_total", {"event": event, "outcome": outcome.value}
        )
        assert value is not None
        return value

    def cut(self, why: Cut) -> float:
        value = self.metrics.registry.get_sample_value("mooring_gateway_cut_total", {"why": why.value})
        assert value is not None
        return value

    def gauge(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"mooring_gateway_{name}")
        assert value is not None
        return value

    async def eventually(self, name: str, value: float) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.gauge(name) != value:  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)

    async def send(self, request: bytes) -> Answered | None:
        """Send bytes on a connection of their own; None where there was no answer."""
        async with connected(self) as line:
            await line.write(request)
            return await line.answer()

    async def post(self, body: bytes, path: str = APP, **changed: str | None) -> Answered | None:
        return await self.send(posting(body, path, **changed))


@asynccontextmanager
async def gateway(
    limits: Limits = CALM, receiver: Receiver | None = None, record: Record | None = None, **more: Any
) -> AsyncIterator[Gateway]:
    receiver, metrics, record = receiver or Receiver(), GatewayMetrics(version="test"), record or Record()
    server = GatewayServer(ANYWHERE, receiver, metrics, record, namespace="mooring-system", limits=limits, **more)
    async with server:
        yield Gateway(server, receiver, metrics, record)
    # Whatever a test did, nothing is left over.
    assert metrics.registry.get_sample_value("mooring_gateway_body_bytes") == 0
    assert metrics.registry.get_sample_value("mooring_gateway_connections") == 0


@dataclass
class Line:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            async with asyncio.timeout(PATIENCE):
                await self.writer.drain()
        except ConnectionError:
            pass  # The answer, if there is one, says why.

    async def answer(self) -> Answered | None:
        """Read an answer; None where the connection was closed without one."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self.reader.readuntil(b"\r\n\r\n")
                status, *lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines if line)
                body = await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        return Answered(int(status.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Wait for the connection's end; tell whether nothing came before it."""
        try:
            async with asyncio.timeout(PATIENCE):
                return not await self.reader.read(1)
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(to: Gateway) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", to.server.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def signed(body: bytes, secret: bytes = SECRETS[0]) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def lines(body: bytes, **changed: str | None) -> dict[str, str]:
    """Return a delivery's headers; a name is written with `_`, and None leaves the header out."""
    wanted: dict[str, str | None] = {
        "host": "mooring.example.com",
        "content_type": "application/json",
        "content_length": str(len(body)),
        "x_github_event": "push",
        "x_github_delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x_hub_signature_256": signed(body),
        **changed,
    }
    return {name.replace("_", "-"): value for name, value in wanted.items() if value is not None}


def head(path: str, headers: Mapping[str, str], method: str = "POST") -> bytes:
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")


def posting(body: bytes, path: str = APP, **changed: str | None) -> bytes:
    return head(path, lines(body, **changed)) + body


def push(repository: int = 7, **changed: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": "a" * 40,
        "after": "b" * 40,
        "repository": {"id": repository, "pushed_at": 1700000000, "full_name": "octo/app"},
        "installation": {"id": 11},
        "sender": {"login": "mona"},
        "commits": [{"id": "b" * 40, "message": "say more"}],
        **changed,
    }


def as_json(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload).encode()


PUSH = as_json(push())
assert events.read("push", push()) is not None


async def wait_until_cut(edge: Gateway, why: Cut, count: float = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while edge.cut(why) < count:  # noqa: ASYNC110 - a metric has nothing to wait for
            await asyncio.sleep(0.01)


async def is_served(edge: Gateway) -> bool:
    answer = await edge.post(PUSH)
    return answer is not None and answer.status == 202


async def reached(edge: Gateway, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while edge.gauge("body_bytes") < count:  # noqa: ASYNC110 - a metric has nothing to wait for
            await asyncio.sleep(0.01)

"""GitHub's own examples of deliveries, each sent to the gateway's server: all of them are answered as payloads are."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import aiohttp

from lab.github import documents
from mooring.domain.webhooks import events
from mooring.gateway import GatewayServer
from mooring.observability.audit import AuditLog
from mooring.observability.gateway_metrics import GatewayMetrics
from mooring.ports import Hook, Verdict
from mooring.settings import Listen

SECRET = b"It's a Secret to Everybody"
READ = {events.PUSH, *events.NOTICES}


class Receiver:
    """Implements `ports.Receiver`: notes what it takes."""

    def __init__(self) -> None:
        self.taken: list[events.Event] = []

    def not_ready(self) -> str | None:
        return None

    def hook(self, path_id: str | None) -> Hook | None:
        return Hook("operator", "https://api.github.com", (SECRET,), frozenset(), "")

    async def take(self, hook: Hook, event: events.Event, *, delivery: str) -> Verdict:
        self.taken.append(event)
        return Verdict(202, "recorded", "it is recorded")


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Return all examples with their events, those of GitHub Enterprise Server among them."""
    folder = documents.folder(documents.PACKAGES[documents.WEBHOOK_EXAMPLES])
    kinds = [kind for file in sorted(folder.glob("*/index.json")) for kind in json.loads(file.read_bytes())]
    return [(kind["name"], example) for kind in kinds for example in kind["examples"]]


async def test_every_example_is_answered_as_its_event_is() -> None:
    receiver, found = Receiver(), examples()
    server = GatewayServer(Listen("127.0.0.1", 0), receiver, GatewayMetrics(), AuditLog(), namespace="mooring-system")
    expected: list[events.Event | None] = []
    async with server, aiohttp.ClientSession() as client:
        for event, example in found:
            body = json.dumps(example).encode()
            headers = {
                "Content-Type": "application/json",
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
                "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest(),
            }
            address = f"http://127.0.0.1:{server.port}/webhooks/github"
            async with client.post(address, data=body, headers=headers) as answer:
                told = (answer.status, (await answer.json())["outcome"])
            if event in READ:
                assert told == (202, "recorded"), example
                # What is read of the whole payload is read of what the server hands on.
                expected.append(events.read(event, example))
            else:
                assert told == ((200, "ping") if event == "ping" else (200, "ignored")), event

    assert receiver.taken == expected
    assert {"push", "ping", "installation", "installation_repositories", "repository"} <= {event for event, _ in found}

"""What each request is answered: in which order things are looked at, and that nothing of a request comes back."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from mooring.domain.webhooks.events import Push
from mooring.gateway import GatewayServer, deliveries
from mooring.observability.gateway_metrics import GatewayMetrics, Outcome
from mooring.ports import Verdict
from mooring.settings import CannotListenError, Listen
from tests.unit.gateway.support import (
    APP,
    CALM,
    PATIENCE,
    PUSH,
    SECRETS,
    TENANT,
    Gateway,
    Receiver,
    Record,
    as_json,
    connected,
    gateway,
    head,
    lines,
    posting,
    push,
    signed,
)

UNKNOWN = f"{APP}/{'q' * 32}"
OTHER_PATHS = (
    "/",
    "/webhooks",
    f"{APP}/",
    UNKNOWN,
    f"{APP}/short",
    f"{TENANT}/more",
    f"{APP}%2f",
    "/healthz",
    "/metrics",
)


def has_plain_headers(headers: Any) -> bool:
    return "Server" not in headers and headers["Cache-Control"] == "no-store" and "json" in headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "name", "secret"),
    [
        (APP, "operator", SECRETS[0]),
        (APP, "operator", SECRETS[1]),
        ("/api/integrations/github/webhook", "operator", SECRETS[2]),
        ("/api/github/webhook", "operator", SECRETS[0]),
        (f"{APP}?installation=1", "operator", SECRETS[0]),
        (TENANT, "team-a/app", b"the tenant's"),
    ],
)
async def test_a_signed_push_is_handed_on_and_told(path: str, name: str, secret: bytes) -> None:
    async with gateway() as edge:
        answer = await edge.post(PUSH, path, x_hub_signature_256=signed(PUSH, secret))

        assert answer is not None
        assert (answer.status, json.loads(answer.body)) == (202, {"outcome": "recorded", "message": "it is recorded"})
        assert has_plain_headers(answer.headers)
        # Nothing else of the payload is handed on.
        pushed_at = datetime.fromtimestamp(1_700_000_000, UTC)
        said = Push(7, "refs/heads/main", "b" * 40, "a" * 40, pushed_at, "mona")
        delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
        assert edge.receiver.taken == [(name, said, delivery)]
        assert edge.record.lines == [
            {
                "action": "delivery.received",
                "kind": "Gateway",
                "namespace": "mooring-system",
                "name": name,
                "delivery": delivery,
                "event": "push",
                "outcome": "recorded",
            }
        ]
        assert edge.count("push", Outcome.RECORDED) == 1
        assert edge.metrics.registry.get_sample_value("mooring_delivery_seconds_count") == 1


@pytest.mark.parametrize("wrong", ["sha256=" + "0" * 64, signed(PUSH, b"the tenant's"), signed(PUSH + b" ")])
async def test_a_wrong_signature_is_refused_and_leaves_no_line(wrong: str) -> None:
    async with gateway() as edge:
        answer = await edge.post(PUSH, x_hub_signature_256=wrong)

        assert answer is not None
        assert (answer.status, answer.outcome) == (401, "unsigned")
        assert (edge.receiver.taken, edge.record.lines) == ([], [])
        assert edge.count("push", Outcome.UNSIGNED) == 1
        assert edge.metrics.registry.get_sample_value("mooring_delivery_seconds_count") == 0


async def test_of_several_secrets_that_in_use_is_tried_first_and_a_wrong_signature_costs_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[bytes] = []

    def digest(secret: bytes, body: bytes, name: str) -> bytes:
        tried.append(secret)
        return hmac.digest(secret, body, name)

    monkeypatch.setattr(deliveries, "hmac", SimpleNamespace(digest=digest, compare_digest=hmac.compare_digest))
    newest, present, last = SECRETS

    async def tries(edge: Gateway, secret: bytes, status: int) -> list[bytes]:
        tried.clear()
        answer = await edge.post(PUSH, x_hub_signature_256=signed(PUSH, secret))
        assert answer is not None
        assert answer.status == status
        return list(tried)

    async with gateway() as edge:
        assert await tries(edge, newest, 202) == [newest]
        assert await tries(edge, last, 202) == [newest, present, last]
        assert await tries(edge, last, 202) == [last]
        assert await tries(edge, b"wrong", 401) == [last, newest, present]
        assert await tries(edge, present, 202) == [last, newest, present]
        assert await tries(edge, newest, 202) == [present, newest]
        assert await tries(edge, b"wrong", 401) == [newest, present, last]


async def test_githubs_own_example_of_a_signature_is_verified() -> None:
    """Its documentation gives this one; what is signed is no payload, which is found out after that."""
    secret, body = b"It's a Secret to Everybody", b"Hello, World!"
    digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    for secrets in ((secret,), (b"another", b"", secret)):
        async with gateway(receiver=Receiver(secrets=secrets)) as edge:
            told = [
                await edge.post(body, x_hub_signature_256=f"sha256={signature}")
                for signature in (digits, digits[::-1], hmac.digest(b"", body, "sha256").hex())
            ]
            assert [each.status for each in told if each] == [400, 401, 401]


async def test_hexadecimal_digits_may_be_large_ones() -> None:
    async with gateway() as edge:
        answer = await edge.post(PUSH, x_hub_signature_256="sha256=" + signed(PUSH)[7:].upper())
        assert answer is not None
        assert answer.status == 202


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_what_is_not_there_is_answered_in_the_same_words(path: str) -> None:
    async with gateway() as edge:
        answers = [await edge.post(PUSH, path), await edge.post(PUSH, "/nothing", x_hub_signature_256=None)]
        assert all(answer is not None and answer.status == 404 for answer in answers)
        assert {answer.body for answer in answers if answer} == {answers[0].body if answers[0] else b""}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", [APP, TENANT, UNKNOWN])
async def test_other_methods_are_refused_alike_at_known_and_unknown_ids(path: str, method: str) -> None:
    async with gateway() as edge:
        async with connected(edge) as line:
            await line.write(head(path, {"host": "x"}, method))
            async with asyncio.timeout(PATIENCE):
                answer = await line.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nAllow: POST\r\n" in answer


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        # The content type comes first.
        ({"content_type": "application/x-www-form-urlencoded", "x_github_event": None}, 415),
        ({"content_type": None}, 415),
        ({"content_type": "application/jsonp"}, 415),
        ({"content_type": "text/json"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_encoding": "identity, br"}, 415),
        # Then what GitHub always sends.
        ({"x_github_event": None, "x_hub_signature_256": None}, 400),
        ({"x_github_event": "Push"}, 400),
        ({"x_github_event": "push push"}, 400),
        ({"x_github_event": "p" * 65}, 400),
        ({"x_github_event": ""}, 400),
        ({"x_github_delivery": None}, 400),
        ({"x_github_delivery": "d" * 65}, 400),
        ({"x_github_delivery": "a_b"}, 400),
        ({"x_github_delivery": "\u00e9"}, 400),
        # Then the signature, then the size.
        ({"x_hub_signature_256": None, "content_length": "99999999"}, 401),
        ({"x_hub_signature_256": None, "x_hub_signature": "sha1=" + "0" * 40}, 401),
        ({"x_hub_signature_256": "sha1=" + "0" * 40}, 401),
        ({"x_hub_signature_256": "sha256=" + "0" * 63}, 401),
        ({"x_hub_signature_256": "sha256=" + "g" * 64}, 401),
        ({"x_hub_signature_256": signed(PUSH) + ", " + signed(PUSH)}, 401),
        ({"x_hub_signature_256": "SHA256=" + signed(PUSH)[7:]}, 401),
        ({"content_length": str(25 * 1024 * 1024 + 1)}, 413),
        ({"expect": "everything"}, 417),
        # These are fine.
        ({"content_type": "Application/JSON; charset=utf-8"}, 202),
        ({"content_encoding": "identity"}, 202),
        ({"x_hub_signature": "sha1=" + "0" * 40}, 202),
        ({"x_github_delivery": "d"}, 202),
        ({"x_github_event": "projects_v2_item"}, 200),
    ],
)
async def test_headers_are_looked_at_before_anything_is_read(changed: dict[str, Any], status: int) -> None:
    async with gateway() as edge:
        answer = await edge.post(PUSH, **changed)

        assert answer is not None
        assert answer.status == status
        assert has_plain_headers(answer.headers)
        assert len(edge.receiver.taken) == (status == 202)
        assert len(edge.record.lines) == (status in {200, 202})


@pytest.mark.parametrize("name", ["X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256"])
async def test_a_header_that_decides_may_be_there_once(name: str) -> None:
    async with gateway() as edge:
        headers = lines(PUSH)
        doubled = head(APP, {**headers, name: headers[name.lower()]}) + PUSH
        answer = await edge.send(doubled)
        assert answer is not None
        assert (answer.status, answer.outcome) == (400, "malformed")
        assert edge.receiver.taken == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe{}",
        b'{"a":1,"a":2}',
        b'{"ref":"x","ref":"y"}',
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"a":1e999}' * 2,
        b'{"a":NaN}',
        b"ref=refs/heads/main",
    ],
)
@pytest.mark.parametrize("event", ["push", "ping", "star"])
async def test_what_is_signed_and_no_payload_is_malformed(event: str, body: bytes) -> None:
    async with gateway() as edge:
        answer = await edge.post(body, x_github_event=event)

        assert answer is not None
        assert (answer.status, answer.outcome) == (400, "malformed")
        assert edge.receiver.taken == []
        assert [line["outcome"] for line in edge.record.lines] == ["malformed"]


WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**60,
    "",
    "x",
    "\n",
    [],
    [1],
    {},
    {"id": {}},
    {"login": 1},
    {"id": "7"},
)
FINE_PUSH = {("sender", "null"), ("repository.pushed_at", "null"), ("sender.login", '"x"'), ("ref", '"x"')}
NOTICE = {"action": "created", "installation": {"id": 11}, "repository": {"id": 7}}


def mutations(payload: dict[str, Any], *paths: str) -> list[tuple[str, str]]:
    return [(path, json.dumps(value)) for path in paths for value in WRONG]


def mutated(payload: dict[str, Any], path: str, value: str) -> dict[str, Any]:
    name, _, inner = path.partition(".")
    if not inner:
        return {**payload, name: json.loads(value)}
    return {**payload, name: {**payload[name], inner: json.loads(value)}}


async def test_every_field_that_is_used_is_refused_with_every_wrong_type() -> None:
    paths = ("ref", "before", "after", "repository", "repository.id", "repository.pushed_at", "sender", "sender.login")
    answered: dict[tuple[str, str], int] = {}
    async with gateway() as edge, connected(edge) as line:
        for path, value in mutations(push(), *paths):
            await line.write(posting(as_json(mutated(push(), path, value))))
            answer = await line.answer()
            assert answer is not None
            answered[path, value] = answer.status

    # A time may be any number of seconds since 1970.
    fine = FINE_PUSH | {("repository.pushed_at", "0")}
    assert {mutation for mutation, status in answered.items() if status == 202} == fine
    assert {status for mutation, status in answered.items() if mutation not in fine} == {400}


@pytest.mark.parametrize("event", ["installation", "installation_repositories", "installation_target", "repository"])
async def test_notices_with_wrong_ids_are_refused(event: str) -> None:
    required = "repository" if event == "repository" else "installation"
    async with gateway() as edge, connected(edge) as line:
        for path, value in mutations(NOTICE, "installation", "repository", "installation.id", "repository.id"):
            await line.write(posting(as_json(mutated(NOTICE, path, value)), x_github_event=event))
            answer = await line.answer()
            assert answer is not None
            is_fine = value == "null" and path in {"installation", "repository"} and path != required
            assert answer.status == (202 if is_fine else 400), (path, value)


async def test_ping_and_other_events_are_answered_here() -> None:
    async with gateway() as edge:
        ping = await edge.post(b'{"zen":"Design for failure.","hook_id":1}', x_github_event="ping")
        star = await edge.post(as_json({"action": "created", "repository": {"id": 7}}), x_github_event="star")

        assert ping is not None
        assert star is not None
        assert (ping.status, ping.outcome) == (200, "ping")
        assert (star.status, star.outcome) == (200, "ignored")
        assert edge.receiver.taken == []
        assert [line["outcome"] for line in edge.record.lines] == ["ping", "ignored"]
        assert (edge.count("ping", Outcome.PING), edge.count("other", Outcome.IGNORED)) == (1, 1)


@pytest.mark.parametrize(
    ("verdict", "status", "outcome", "again"),
    [
        (Verdict(200, "duplicate", "it is recorded already"), 200, "duplicate", False),
        (Verdict(200, "ignored", "no Project follows it"), 200, "ignored", False),
        (Verdict(429, "limited", "too much"), 429, "limited", True),
        (Verdict(503, "unavailable", "not recorded"), 503, "unavailable", True),
        (Verdict(500, "recorded", "no status of a receiver's"), 503, "unavailable", True),
        # What is no payload never comes to a receiver.
        (Verdict(400, "malformed", "no status of a receiver's"), 503, "unavailable", True),
        (Verdict(200, "ignored", 'with "quotes"\r\nX-Injected: 1'), 200, "ignored", False),
    ],
)
async def test_a_verdict_is_what_is_answered(verdict: Verdict, status: int, outcome: str, *, again: bool) -> None:
    async with gateway(receiver=Receiver(verdict=verdict)) as edge:
        answer = await edge.post(PUSH)
        assert answer is not None
        assert (answer.status, answer.outcome) == (status, outcome)
        assert ("Retry-After" in answer.headers) == again
        assert "X-Injected" not in answer.headers


async def test_a_defect_is_logged_once_and_answered_503(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway(receiver=Receiver(verdict=KeyError("a defect"))) as edge:
        with caplog.at_level(logging.ERROR):
            answer = await edge.post(PUSH)

        assert answer is not None
        assert (answer.status, answer.outcome) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        (logged,) = caplog.records
        assert logged.exc_info is not None
        assert logged.exc_info[0] is KeyError
        assert b"defect" not in answer.body
        # The next one is served.
        edge.receiver.verdict = Verdict(202, "recorded", "it is recorded")
        again = await edge.post(PUSH)
        assert again is not None
        assert again.status == 202


async def test_before_it_is_ready_nothing_is_read_and_nothing_is_said_to_be_unknown() -> None:
    async with gateway(receiver=Receiver(missing="the keys are not there")) as edge, connected(edge) as line:
        for path in (APP, TENANT, UNKNOWN):
            answer = await edge.post(PUSH, path)
            assert answer is not None
            assert (answer.status, answer.outcome) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert b"keys" not in answer.body
        # Only the headers were sent.
        await line.write(head(APP, lines(PUSH)))
        unread = await line.answer()
        assert unread is not None
        assert unread.status == 503
        assert await line.is_closed()


@pytest.mark.parametrize("secrets", [(), (b"",)])
async def test_without_a_secret_nothing_is_accepted(secrets: tuple[bytes, ...]) -> None:
    async with gateway(receiver=Receiver(secrets=secrets)) as edge:
        answer = await edge.post(PUSH, x_hub_signature_256=signed(PUSH, b""))
        assert answer is not None
        assert (answer.status, edge.receiver.taken) == (503, [])


async def test_a_fourth_secret_is_good_for_nothing() -> None:
    async with gateway(receiver=Receiver(secrets=(*SECRETS, b"an old one"))) as edge:
        answer = await edge.post(PUSH, x_hub_signature_256=signed(PUSH, b"an old one"))
        assert answer is not None
        assert answer.status == 401


async def test_a_receiver_that_hangs_is_not_waited_for() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(replace(CALM, take_seconds=0.05), receiver) as edge:
        answer = await edge.post(PUSH)
        assert answer is not None
        assert (answer.status, answer.outcome) == (503, "unavailable")


async def test_one_connection_carries_many_deliveries() -> None:
    async with gateway() as edge, connected(edge) as line:
        for number in range(20):
            await line.write(posting(as_json(push(repository=number + 1))))
            answer = await line.answer()
            assert answer is not None
            assert answer.status == 202
        assert edge.gauge("connections") == 1
        assert [said.repository_id for _, said, _ in edge.receiver.taken] == list(range(1, 21))


async def test_a_port_in_use_is_one_clear_line() -> None:
    async with gateway() as edge:
        second = GatewayServer(
            Listen("127.0.0.1", edge.server.port), Receiver(), GatewayMetrics(), Record(), namespace="mooring-system"
        )
        with pytest.raises(CannotListenError, match="the port is in use; stop its user, or set MOORING_GATEWAY_LISTEN"):
            await second.start()
        await second.stop()


async def test_after_its_stop_the_port_is_free() -> None:
    async with gateway() as edge:
        port = edge.server.port
        await edge.server.stop()
        with pytest.raises(RuntimeError):
            _ = edge.server.port
        with socket.create_server(("127.0.0.1", port)):
            pass

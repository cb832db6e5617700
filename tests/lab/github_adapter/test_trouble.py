"""What the adapter makes of limits, failures and servers that mean harm."""

import asyncio
import gzip
import logging
import re
import ssl
import traceback
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web
from prometheus_client import generate_latest

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.origins import AllowedHosts, Host
from mooring.domain.reasons import Reason
from mooring.github import network
from mooring.github.limits import LIMITS
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, counting, origin, trouble

LIMITED: list[tuple[str, dict[str, Any], int, str]] = [
    ("primary-limit", {"status": 403, "seconds": 600}, 601, "primary_limit"),
    ("primary-limit", {"status": 429, "seconds": 600}, 601, "primary_limit"),
    ("secondary-limit", {"status": 403, "retry_after": 7}, 8, "secondary_limit"),
    ("secondary-limit", {"status": 429, "retry_after": 7}, 8, "secondary_limit"),
    ("secondary-limit", {"status": 403}, 61, "secondary_limit"),
    ("secondary-limit", {"status": 429}, 61, "secondary_limit"),
    ("status", {"status": 429}, 61, "secondary_limit"),
]


@pytest.mark.parametrize(("kind", "spec", "seconds", "result"), LIMITED)
async def test_limits(bench: Bench, kind: str, spec: dict[str, Any], seconds: int, result: str) -> None:
    """The credential rests until the time that GitHub names, and others go on."""
    world, adapted = await bench.world(), bench.adapt()
    token = world.tokens["jane"]
    await bench.fault(kind, credential="jane", count=1, **spec)
    for name in ("acme/web", "acme/secret"):
        found = await trouble(adapted.adapter.repository(bench.origin, token, name, namespace=NAMESPACE))
        assert isinstance(found, Waiting)
        assert found.reason == Reason.RATE_LIMITED
        assert timedelta(seconds=seconds - 3) < found.until - bench.clock.now() <= timedelta(seconds=seconds)
    assert adapted.counted() == {result: 1}
    await adapted.adapter.repository(bench.origin, world.tokens["other"], "acme/web", namespace=NAMESPACE)
    bench.clock.move(seconds)
    await adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE)


async def test_a_refusal_is_not_a_limit(bench: Bench) -> None:
    """403 without any sign of a limit is a matter for a person."""
    world, adapted = await bench.world(), bench.adapt()
    await bench.fault("status", status=403, message="Resource not accessible", headers={"X-RateLimit-Remaining": "9"})
    token = world.tokens["jane"]
    found = await trouble(adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE))
    assert isinstance(found, Stalled)
    assert found.reason == Reason.REPOSITORY_NOT_FOUND
    assert adapted.counted() == {"forbidden": 1}


async def test_a_spent_share(bench: Bench) -> None:
    """The namespace waits for its own; another one does not."""
    world = await bench.world()
    adapted = bench.adapt(limits=replace(LIMITS, namespace_burst=3, namespace_rate=0.1))
    token = world.tokens["jane"]

    async def look(namespace: str) -> None:
        await adapted.adapter.head(bench.origin, token, world.web, "main", namespace=namespace)

    for _ in range(3):
        await look(NAMESPACE)
    found = await trouble(look(NAMESPACE))
    assert isinstance(found, Waiting)
    assert found.reason == Reason.BUDGET_SPENT
    await look("team-b")
    assert adapted.counted() == {"ok": 4}
    bench.clock.move(11)
    await look(NAMESPACE)


FAILING: list[tuple[str, dict[str, Any]]] = [
    *(("status", {"status": status}) for status in (500, 502, 503, 504, 400)),
    ("drop", {}),
    ("drop", {"after_work": True}),
    ("truncate", {}),
    ("latency", {"seconds": 5}),
]


@pytest.mark.parametrize(("kind", "spec"), FAILING)
async def test_failures_pass(bench: Bench, kind: str, spec: dict[str, Any]) -> None:
    """Each is transient, is not tried again by itself, and leaves nothing behind that harms the next request."""
    world = await bench.world()
    adapted = bench.adapt(limits=replace(LIMITS, total_timeout=2.0) if kind == "latency" else LIMITS)
    token = world.tokens["jane"]
    await bench.fault(kind, count=1, **spec)
    found = await trouble(adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert found.reason == Reason.GITHUB_UNAVAILABLE
    assert adapted.counted() == {"error": 1}
    await adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE)


async def test_a_server_that_is_away(bench: Bench) -> None:
    """A closed port and an unknown certificate are transient; the latter gets no request."""
    world = await bench.world()
    token = world.tokens["jane"]
    async with counting() as (port, _):
        away = f"https://127.0.0.1:{port}/api/v3"
    found = await trouble(bench.adapt(api=away).adapter.identify(origin(away), token, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert "cannot be reached" in found.message
    distrusting = bench.adapt(trusting=False).adapter
    found = await trouble(distrusting.identify(bench.origin, token, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert "certificate" in found.message
    assert await bench.requests() == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_credential_follows_a_redirect_elsewhere(bench: Bench, status: int) -> None:
    """Not to another port, not to another host, not to http, not outside the API."""
    world = await bench.world()
    token = world.tokens["jane"]
    async with counting() as (port, came):
        for location in (
            f"https://127.0.0.1:{port}/api/v3/repos/acme/web",
            f"http://127.0.0.1:{port}/",
            f"//127.0.0.1:{port}/api/v3/",
            f"https://localhost:{port}/api/v3/",
            f"{bench.origin.web_url}/acme/web",
        ):
            await bench.control("DELETE", "/faults")
            await bench.fault("redirect", location=location, status=status)
            adapted = bench.adapt()
            found = await trouble(adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE))
            assert isinstance(found, Transient)
            assert sum(adapted.counted().values()) == 1
        assert came == []


async def test_redirects_end(bench: Bench) -> None:
    """One within the API is followed, a second one is not."""
    world, adapted = await bench.world(), bench.adapt()
    await bench.fault("redirect", location=f"{bench.origin.api_url}/repos/acme/web", status=301)
    token = world.tokens["jane"]
    found = await trouble(adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert len(await bench.requests()) == 2


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_private_address_is_not_reached(bench: Bench, name: str) -> None:
    """Unless the administrator listed the host, nothing connects to it."""
    token = "ghp_" + "a" * 36
    async with counting() as (port, came):
        api = f"https://{name}:{port}/api/v3"
        allowed = AllowedHosts(allowed=frozenset({Host(name, port)}), listed=frozenset())
        adapted = bench.adapt(api=api, hosts=allowed)
        found = await trouble(adapted.adapter.identify(origin(api), token, namespace=NAMESPACE))
        assert isinstance(found, Stalled)
        assert found.reason == Reason.HOST_NOT_ALLOWED
        assert (came, adapted.counted()) == ([], {})
        listed = AllowedHosts.of([f"{name}:{port}"])
        listing = bench.adapt(api=api, hosts=listed, limits=replace(LIMITS, total_timeout=1.0))
        await trouble(listing.adapter.identify(origin(api), token, namespace=NAMESPACE))
        assert len(came) == 1
        assert token.encode() not in came[0]


async def test_other_hosts(bench: Bench) -> None:
    """What the policy does not name gets nothing, however it is written."""
    async with counting() as (port, came):
        adapted = bench.adapt()
        for api in (f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port}", "https://a@127.0.0.1", "nonsense", ""):
            asked = adapted.adapter.identify(replace(bench.origin, api_url=api), "ghp_" + "a" * 36, namespace=NAMESPACE)
            found = await trouble(asked)
            assert found.reason == Reason.HOST_NOT_ALLOWED
        assert (came, adapted.counted()) == ([], {})


JANE = b'{"id": 1, "login": "jane"}'
ANSWERS: list[tuple[bytes, dict[str, str], str]] = [
    (JANE + b" " * 2_000_000, {}, "more than 1000000 bytes"),
    (gzip.compress(JANE), {"Content-Encoding": "gzip"}, "packed"),
    (b"<html>", {}, "not JSON"),
    (b"[" * 900_000, {}, "not JSON"),
    (b"[]", {}, "without a valid id"),
    (b'{"id": "1", "login": "jane"}', {}, "without a valid id"),
    (b'{"id": 1, "login": null}', {}, "without a valid login"),
]


@pytest.mark.parametrize(
    ("body", "headers", "told"), ANSWERS, ids=["long", "packed", "html", "deep", "list", "text-id", "no-login"]
)
async def test_answers_that_are_none(
    bench: Bench, rogue: Rogue, body: bytes, headers: dict[str, str], told: str
) -> None:
    """Too long, packed, no JSON, the wrong JSON: transient, and told in our words."""

    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    rogue.answer = give
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file, limits=replace(LIMITS, body=1_000_000))
    found = await trouble(adapted.adapter.identify(origin(rogue.url), "ghp_" + "a" * 36, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert told in found.message


async def test_a_body_that_drips(bench: Bench, rogue: Rogue) -> None:
    """The time for a request is bounded as a whole, however slowly bytes come."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" ")
            await asyncio.sleep(0.05)  # no event of the server tells
        return response

    rogue.answer = drip
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file, limits=replace(LIMITS, total_timeout=0.5))
    found = await trouble(adapted.adapter.identify(origin(rogue.url), "ghp_" + "a" * 36, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert "did not answer" in found.message


async def test_what_is_sent(bench: Bench, rogue: Rogue) -> None:
    """Our name, the API's version, the token once, no packed bodies, no cookies that came before."""

    async def greet(_: web.Request) -> web.StreamResponse:
        answer = web.json_response({"id": 1, "login": "jane"})
        answer.set_cookie("session", "planted")
        return answer

    rogue.answer = greet
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    tokens = ["ghp_" + letter * 36 for letter in "ab"]
    for token in tokens:
        await github.identify(origin(rogue.url), token, namespace=NAMESPACE)
    for request, token in zip(rogue.seen, tokens, strict=True):
        assert request.headers.getall("Authorization") == [f"token {token}"]
        assert request.headers["User-Agent"] == "mooring/0.0.0-test"
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert request.headers["Accept"] == "application/vnd.github+json"
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in request.headers


async def test_no_token_comes_out(
    bench: Bench, rogue: Rogue, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in a log at debug level, nor in an exception with its causes, nor in a metric, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    token = "ghp_" + "Secret00" * 4 + "abcd"

    async def echo(request: web.Request) -> web.StreamResponse:
        said = f"bad {request.headers['Authorization']}\x1b[31m\nand more"
        if "moved" in request.path:
            return web.Response(status=301, headers={"Location": f"{rogue.url}/elsewhere?token={token}"})
        if "cut" in request.path and request.transport is not None:
            request.transport.abort()
        return web.json_response({"message": said}, status=500 if "broken" in request.path else 403)

    rogue.answer = echo
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file)
    # Whoever turns these up still gets no header of a request out of them.
    for name in ("httpx", "httpcore"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING
    told = []
    for name in ("plain", "broken", "moved", "cut"):
        asked = adapted.adapter.repository(origin(rogue.url), token, f"acme/{name}", namespace=NAMESPACE)
        found = await trouble(asked)
        told.append("".join(traceback.format_exception(found, chain=True)) + repr(found) + repr(vars(found)))
    told += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    told += [generate_latest(adapted.registry).decode(), repr(adapted.adapter), *capfd.readouterr()]
    assert len(rogue.seen) == 5
    assert any("[redacted]" in text for text in told), "the log has no trace of what was refused"
    assert not any("Secret00" in text for text in told)
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f]", record.getMessage()) for record in caplog.records)


async def test_githubs_words_are_for_the_log(bench: Bench, rogue: Rogue, caplog: pytest.LogCaptureFixture) -> None:
    """What a server says is in the operator's log, and not in what a tenant reads."""
    caplog.set_level(logging.INFO)

    async def say(_: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "planted words"}, status=403)

    rogue.answer = say
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    found = await trouble(github.repository(origin(rogue.url), None, "acme/web", namespace=NAMESPACE))
    assert isinstance(found, Trouble)
    assert "planted" not in found.message
    assert "planted words" in caplog.text


async def test_closing_in_the_middle(bench: Bench) -> None:
    """A question under way ends with the adapter."""
    world, adapted = await bench.world(), bench.adapt()
    await bench.fault("latency", seconds=30)
    asked = asyncio.create_task(adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE))
    async with asyncio.timeout(30):
        while not (await bench.control("GET", "/faults"))["faults"][0]["hits"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # no event of the server tells
    await adapted.adapter.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_transport_serves_its_origin_alone(bench: Bench) -> None:
    """Also where everything above it were mistaken."""
    addresses = network.JudgedAddresses(lambda _name, _port: True, seconds=1)
    transport = network.OriginTransport(
        bench.origin.api_url, addresses=addresses, tls=ssl.create_default_context(), limits=LIMITS
    )
    async with counting() as (port, came):
        for url in (
            f"https://127.0.0.1:{port}/",
            f"http://127.0.0.1:{port}/",
            "https://u@127.0.0.1/",
            "https://a.example/",
        ):
            with pytest.raises(network.WrongOrigin):
                await transport.handle_async_request(httpx.Request("GET", url))
        assert came == []
    await transport.shut()


async def test_a_slow_host_delays_no_other(bench: Bench) -> None:
    """A namespace whose every request to one server hangs is answered by another one at once."""
    world = await bench.world()
    free = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await free.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as silent:
        host = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        both = AllowedHosts.of([host], api=bench.origin.api_url)
        github = bench.adapt(hosts=both, limits=replace(LIMITS, namespace_in_flight=2)).adapter
        names = [f"acme/r{number}" for number in range(6)]
        asked = [github.repository(origin(f"https://{host}"), None, name, namespace=NAMESPACE) for name in names]
        hanging = [asyncio.create_task(trouble(question)) for question in asked]
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await github.repository(bench.origin, world.tokens["jane"], "acme/web", namespace=NAMESPACE)
        assert not any(task.done() for task in hanging)
        free.set()
        found = await asyncio.gather(*hanging)
    assert {type(each) for each in found} == {Transient}

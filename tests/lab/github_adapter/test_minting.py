"""Tokens of installations: what they are for, what they reach, how they end, and what happens when GitHub will not."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.github.limits import LIMITS
from mooring.ports import App
from tests.lab.github_adapter.app_world import SEED, app_world, credentials, mints
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, counting, origin, trouble

ALL: dict[str, Any] = {"repository_ids": None, "permissions": None, "namespace": NAMESPACE}
TOKEN = "ghs_" + "Secret00" * 4 + "abcd"


async def test_a_token_and_what_it_may_do(bench: Bench) -> None:
    """As asked for, and nothing more; its times are GitHub's; it works, and no two are one."""
    world, adapted = await app_world(bench), bench.adapt()
    github = adapted.adapter
    wide = await github.mint(world.moor, world.acme, **ALL)
    assert wide.repository_ids is None
    assert wide.permissions == {"contents": "write", "issues": "read", "metadata": "read"}
    asked: dict[str, Any] = {"repository_ids": frozenset({world.web}), "permissions": {"contents": "read"}}
    narrow = await github.mint(world.moor, world.acme, **asked, namespace=NAMESPACE)
    assert (narrow.repository_ids, narrow.permissions) == (
        frozenset({world.web}),
        {"contents": "read", "metadata": "read"},
    )
    assert abs(narrow.issued_at - datetime.now(UTC)) < timedelta(seconds=3)
    assert abs(narrow.expires_at - narrow.issued_at - timedelta(hours=1)) <= timedelta(seconds=1)
    again = await asyncio.gather(*(github.mint(world.moor, world.acme, **ALL) for _ in range(3)))
    assert len({each.token for each in (wide, narrow, *again)}) == 5
    assert mints(adapted) == {"ok": 5}
    reached = [await github.covered(bench.origin, each.token, namespace=NAMESPACE) for each in (wide, narrow)]
    assert reached == [{world.web: "acme/web", world.api: "acme/api"}, {world.web: "acme/web"}]
    assert await github.covered_count(bench.origin, wide.token, namespace=NAMESPACE) == 2
    assert wide.token not in repr(wide)


@pytest.mark.parametrize("skew", [-3600, 3600])
async def test_the_times_of_a_token_are_githubs(bench: Bench, skew: int) -> None:
    """Also where our own clock is an hour off, and with the first request of all."""
    world, adapted = await app_world(bench), bench.adapt()
    bench.clock.move(skew)
    minted = await adapted.adapter.mint(world.moor, world.acme, **ALL)
    assert abs(minted.issued_at - datetime.now(UTC)) < timedelta(seconds=3)
    assert abs(minted.issued_at - adapted.adapter.time_at(bench.origin)) < timedelta(seconds=3)
    assert world.minted() == 1


async def test_what_a_token_cannot_be_for(bench: Bench) -> None:
    """More than there is, in GitHub's eyes; nothing and too much, in ours: to GitHub an empty list is everything."""
    world, adapted = await app_world(bench), bench.adapt()
    refused: list[dict[str, Any]] = [
        {"repository_ids": frozenset({999_999})},
        {"repository_ids": frozenset({world.web, 999_999})},
        {"permissions": {"issues": "write"}},
        {"permissions": {"administration": "read"}},
    ]
    unsent: list[dict[str, Any]] = [
        {"repository_ids": frozenset()},
        {"permissions": {}},
        {"repository_ids": frozenset(range(1, 502))},
    ]
    for scope in (*refused, *unsent):
        found = await trouble(adapted.adapter.mint(world.moor, world.acme, **{**ALL, **scope}))
        assert (type(found), found.reason) == (Stalled, Reason.SCOPE_REFUSED)
        assert "parent installation" not in found.message
    assert mints(adapted) == {"refused": len(refused) + len(unsent)}
    assert (len(await bench.requests()), world.minted()) == (len(refused), 0)


async def test_installations_that_give_no_token(bench: Bench) -> None:
    """Suspended, removed, and another App's."""
    world, adapted = await app_world(bench), bench.adapt()
    github = adapted.adapter
    live = await world.mint(github)
    await bench.control("POST", f"/installations/{world.acme}/suspend", {})
    assert (await trouble(world.mint(github))).reason == Reason.INSTALLATION_SUSPENDED
    for ask in (github.covered, github.covered_count):
        assert (await trouble(ask(bench.origin, live, namespace=NAMESPACE))).reason == Reason.INSTALLATION_SUSPENDED
    await bench.control("POST", f"/installations/{world.acme}/delete", {})
    assert (await trouble(world.mint(github))).reason == Reason.INSTALLATION_NOT_FOUND
    found = await trouble(github.mint(world.moor, world.mallory, **ALL))
    assert (type(found), found.reason) == (Stalled, Reason.INSTALLATION_NOT_FOUND)
    assert mints(adapted) == {"ok": 1, "refused": 3}


async def test_an_end(bench: Bench) -> None:
    """Once, twice, for one that never was, for one whose installation is suspended: all success."""
    world, github = await app_world(bench), bench.adapt().adapter
    token, other = await world.mint(github), await world.mint(github)
    for _ in range(2):
        await github.revoke(bench.origin, token, namespace=NAMESPACE)
    assert await bench.status("/installation/repositories", token) == 401
    assert await bench.status("/installation/repositories", other) == 200
    assert (await trouble(github.covered(bench.origin, token, namespace=NAMESPACE))).reason == Reason.TOKEN_INVALID
    await github.revoke(bench.origin, TOKEN, namespace=NAMESPACE)
    await bench.control("POST", f"/installations/{world.acme}/suspend", {})
    await github.revoke(bench.origin, other, namespace=NAMESPACE)
    for status in (404, 403):
        await bench.fault("status", status=status, count=1)
        await github.revoke(bench.origin, other, namespace=NAMESPACE)


async def test_an_end_that_did_not_come(bench: Bench) -> None:
    """A failure and a limit are no success; nothing but a token is sent."""
    world, github = await app_world(bench), bench.adapt().adapter
    token = await world.mint(github)
    await bench.fault("status", status=502, methods=["DELETE"], count=1)
    assert isinstance(await trouble(github.revoke(bench.origin, token, namespace=NAMESPACE)), Transient)
    await bench.fault("redirect", location=f"{bench.origin.api_url}/user", status=307, methods=["DELETE"], count=1)
    assert isinstance(await trouble(github.revoke(bench.origin, token, namespace=NAMESPACE)), Transient)
    await bench.fault("secondary-limit", retry_after=9, methods=["DELETE"], count=1)
    assert isinstance(await trouble(github.revoke(bench.origin, token, namespace=NAMESPACE)), Waiting)
    assert (await trouble(github.revoke(bench.origin, "hunter2", namespace=NAMESPACE))).reason == Reason.NOT_A_TOKEN
    assert await bench.status("/installation/repositories", token) == 200


FAILING: list[tuple[str, dict[str, Any], int]] = [
    *(("status", {"status": status}, 0) for status in (500, 502, 503, 400)),
    ("drop", {}, 0),
    ("drop", {"after_work": True}, 1),
    ("truncate", {}, 1),
    ("latency", {"seconds": 5}, 0),
]


@pytest.mark.parametrize(("kind", "spec", "made"), FAILING)
async def test_failures(bench: Bench, kind: str, spec: dict[str, Any], made: int) -> None:
    """Transient; whether GitHub has made a token or not, it is asked for no other one by itself."""
    world = await app_world(bench)
    adapted = bench.adapt(limits=replace(LIMITS, total_timeout=2.0) if kind == "latency" else LIMITS)
    await bench.fault(kind, path=world.token_path, count=1, **spec)
    found = await trouble(world.mint(adapted.adapter))
    assert (type(found), found.reason) == (Transient, Reason.GITHUB_UNAVAILABLE)
    assert (adapted.counted(), world.minted()) == ({"error": 1}, made)
    await world.mint(adapted.adapter)
    assert mints(adapted) == {"error": 1, "ok": 1}


@pytest.mark.parametrize(
    ("kind", "spec", "seconds"),
    [
        ("secondary-limit", {"status": 403, "retry_after": 7}, 8),
        ("secondary-limit", {"status": 429}, 61),
        ("primary-limit", {"status": 403, "seconds": 600}, 601),
    ],
)
@pytest.mark.parametrize("skew", [0, 3600])
async def test_limits(bench: Bench, kind: str, spec: dict[str, Any], seconds: int, skew: int) -> None:
    """The App's key rests, whatever it would ask; other keys, and tokens that it made, go on."""
    world, adapted = await app_world(bench), bench.adapt()
    github = adapted.adapter
    bench.clock.move(skew)
    token = await world.mint(github)
    before = len(await bench.requests())
    await bench.fault(kind, path=world.token_path, count=1, **spec)
    for question in (world.mint(github), world.mint(github), github.app(world.moor, namespace="team-b")):
        found = await trouble(question)
        assert isinstance(found, Waiting)
        assert found.reason == Reason.RATE_LIMITED
        assert timedelta(seconds=seconds - 4) < found.until - bench.clock.now() <= timedelta(seconds=seconds + 1)
    assert len(await bench.requests()) == before + 1
    assert mints(adapted) == {"ok": 1, "limited": 2}
    await github.app(world.other, namespace=NAMESPACE)
    await github.covered(bench.origin, token, namespace=NAMESPACE)
    bench.clock.move(seconds + 1)
    await world.mint(github)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_jwt_follows_a_redirect(bench: Bench, status: int) -> None:
    """Not elsewhere, and where a token would be made not even within the API."""
    world = await app_world(bench)
    async with counting() as (port, came):
        inside = f"{bench.origin.api_url}/app/installations/{world.jane}/access_tokens"
        for location in (f"https://127.0.0.1:{port}/api/v3/app", f"http://127.0.0.1:{port}/", inside):
            await bench.control("DELETE", "/faults")
            await bench.fault("redirect", location=location, status=status, path=world.token_path)
            assert isinstance(await trouble(world.mint(bench.adapt().adapter)), Transient)
        await bench.control("DELETE", "/faults")
        await bench.fault("redirect", location=f"https://127.0.0.1:{port}/api/v3/app", status=status)
        assert isinstance(await trouble(bench.adapt().adapter.app(world.moor, namespace=NAMESPACE)), Transient)
        assert (came, len(credentials(bench))) == ([], 0)


GOOD: dict[str, Any] = {
    "token": TOKEN,
    "permissions": {"contents": "read", "metadata": "read"},
    "repositories": [{"id": 1}, {"id": 2}],
}
WRONG: list[tuple[dict[str, Any], type, bool]] = [
    ({"permissions": {"contents": "write", "metadata": "read"}}, Stalled, True),
    ({"permissions": {"contents": "read", "issues": "read"}}, Stalled, True),
    ({"repositories": [{"id": 1}]}, Stalled, True),
    ({"repositories": [{"id": 1}, {"id": 2}, {"id": 3}]}, Stalled, True),
    ({"repositories": None}, Transient, True),
    ({"expires_at": "never"}, Transient, True),
    ({"token": "ghp_" + "a" * 36}, Transient, False),
    ({"token": "hunter2"}, Transient, False),
]


@pytest.mark.parametrize(("change", "kind", "ended"), WRONG)
@pytest.mark.parametrize("away", [False, True])
async def test_a_token_that_is_not_as_asked(
    bench: Bench,
    rogue: Rogue,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    kind: type,
    ended: bool,
    away: bool,
) -> None:
    """Wider, narrower, unreadable: nobody gets it; it is ended at once, also without a share; a failure is told."""
    caplog.set_level(logging.DEBUG)
    world = await app_world(bench)
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def make(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return web.Response(status=502 if away else 204)
        return web.json_response({"expires_at": end, **GOOD, **change}, status=201)

    rogue.answer = make
    limits = replace(LIMITS, namespace_burst=1, namespace_rate=0.001)
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file, limits=limits)
    app: App = replace(world.moor, origin=origin(rogue.url))
    scope: dict[str, Any] = {"repository_ids": frozenset({1, 2}), "permissions": {"contents": "read"}}
    found = await trouble(adapted.adapter.mint(app, 7, **scope, namespace=NAMESPACE))
    assert type(found) is kind
    assert kind is Transient or found.reason == Reason.SCOPE_REFUSED
    assert mints(adapted) == {"refused" if kind is Stalled else "error": 1}
    sent = [(request.method, request.headers["Authorization"].split(" ")[0]) for request in rogue.seen]
    assert sent == [("POST", "Bearer"), ("DELETE", "token")][: 1 + ended]
    assert rogue.seen[-1].headers["Authorization"] == f"token {TOKEN}" or not ended
    assert ("could not be revoked" in caplog.text) is (ended and away)
    assert "Secret00" not in caplog.text + found.message


async def test_what_is_sent_to_make_a_token(bench: Bench, rogue: Rogue) -> None:
    """Only what was asked for: ids, never names."""
    world, bodies = await app_world(bench), []

    async def make(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({"message": "no"}, status=422)

    rogue.answer = make
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    app = replace(world.moor, origin=origin(rogue.url))
    for scope in ({}, {"repository_ids": frozenset({2, 1})}, {"permissions": {"contents": "read"}}):
        await trouble(github.mint(app, 7, **{**ALL, **scope}))
    assert bodies == [{}, {"repository_ids": [1, 2]}, {"permissions": {"contents": "read"}}]


@pytest.mark.parametrize("count", [29, 99, 250])
async def test_many_repositories(bench: Bench, count: int) -> None:
    """All pages, with numbers that never change; the count takes one request."""
    many = {"owner": "acme", "name": "r-{n}", "count": count}
    world, adapted = await app_world(bench, {**SEED, "repositories": [*SEED["repositories"], many]}), bench.adapt()
    token = await world.mint(adapted.adapter)
    before = len(await bench.requests())
    reached = await adapted.adapter.covered(bench.origin, token, namespace=NAMESPACE)
    assert len(reached) == count + 2
    assert reached[world.web] == "acme/web"
    assert len(await bench.requests()) - before == -(-(count + 2) // 100)
    assert await adapted.adapter.covered_count(bench.origin, token, namespace=NAMESPACE) == count + 2
    assert len(await bench.requests()) - before == -(-(count + 2) // 100) + 1


async def test_one_namespace_leaves_an_installation_to_others(bench: Bench) -> None:
    """All tokens of an installation draw on one share of a namespace; of another installation, and of others, not."""
    world = await app_world(bench)
    github = bench.adapt(limits=replace(LIMITS, installation_burst=3, installation_rate=0.001)).adapter
    first, second = await world.mint(github), await world.mint(github)
    jane = (await github.mint(world.moor, world.jane, **ALL)).token

    async def look(token: str, namespace: str = NAMESPACE) -> None:
        await github.covered_count(bench.origin, token, namespace=namespace)

    for token in (first, second, first):
        await look(token)
    for token in (first, second):
        found = await trouble(look(token))
        assert (type(found), found.reason) == (Waiting, Reason.BUDGET_SPENT)
    await look(first, "team-b")
    await look(jane)
    await world.mint(github)


async def test_tokens_from_before_a_restart_share(bench: Bench) -> None:
    """Nobody knows any more which installation they are of."""
    world = await app_world(bench)
    tokens = [await world.mint(bench.adapt().adapter) for _ in range(3)]
    github = bench.adapt(limits=replace(LIMITS, installation_burst=2, installation_rate=0.001)).adapter
    for token in tokens[:2]:
        await github.covered_count(bench.origin, token, namespace=NAMESPACE)
    found = await trouble(github.covered_count(bench.origin, tokens[2], namespace=NAMESPACE))
    assert found.reason == Reason.BUDGET_SPENT

"""Hooks of repositories: made, put right, removed, and what a token may not do told from what is gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.hooking import HookWish
from mooring.github.limits import LIMITS
from tests.lab.github_adapter.bench import Bench, Rogue, counting, origin, trouble
from tests.lab.github_adapter.hook_world import HOUR, NOWHERE, SECRET, WISH, Asking, hook_world

GONE = 10**9
QUESTIONS = ["hook", "change", "attempts", "repeat", "remove"]


@pytest.mark.parametrize("token", ["admin", "fine-admin"])
async def test_a_hook_from_making_to_removing(bench: Bench, token: str) -> None:
    """One request each, by the repository's number; what comes back is what the lab has."""
    world, github = await hook_world(bench), bench.adapt().adapter
    asking = world.at(github.webhooks, token, world.bare)
    assert await asking.hooks() == ()
    made = await asking.make()
    assert (made.url, made.events, made.active) == (NOWHERE, {"push", "repository"}, True)
    assert (made.content_type, made.insecure_ssl) == ("json", False)
    assert world.stored(made.id).secret == SECRET
    await bench.server.deliverer.settled()
    assert [each.id for each in await asking.hooks()] == [made.id]
    assert await asking.hook(made.id) == (await asking.hooks())[0]
    await asking.remove(made.id)
    assert world.stored(made.id) is None
    base = f"/repositories/{world.bare}/hooks"
    listing = ("GET", f"{base}?per_page=100")
    assert await world.journal() == [
        listing,
        ("POST", base),
        listing,
        ("GET", f"{base}/{made.id}"),
        listing,
        ("DELETE", f"{base}/{made.id}"),
    ]


async def test_changing_keeps_the_secret(bench: Bench) -> None:
    """Whatever somebody did to it, one request makes it what it should be, secret, events and all."""
    world, github = await hook_world(bench), bench.adapt().adapter
    stored = world.stored()
    stored.active, stored.content_type, stored.insecure_ssl, stored.events = False, "form", True, ["create"]
    changed = await world.at(github.webhooks).change(world.hook)
    assert (changed.active, changed.content_type, changed.insecure_ssl) == (True, "json", False)
    assert changed.events == {"push", "repository"}
    assert world.stored().secret == SECRET
    assert await world.journal() == [("PATCH", f"/repositories/{world.web}/hooks/{world.hook}")]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_hook_that_is_gone(bench: Bench, question: str) -> None:
    """It is nothing, none, or done; the list of hooks is asked once to be sure, and only then."""
    world, github = await hook_world(bench), bench.adapt().adapter
    every = world.at(github.webhooks).every(GONE, GONE, bench.clock.now() - HOUR)
    expected: dict[str, object] = {"attempts": ()}
    for name, asking in every.items():
        if name == question:
            assert await asking == expected.get(name)
        else:
            asking.close()  # type: ignore[attr-defined]  # never asked
    journal = await world.journal()
    assert len(journal) == 2
    assert journal[1] == ("GET", f"/repositories/{world.web}/hooks?per_page=100")


FORBIDDEN = [
    *((token, question) for token in ("none", "bob", "fine-none") for question in ("hooks", "make", *QUESTIONS)),
    *((token, question) for token in ("reader", "fine-reader") for question in ("make", "change", "repeat", "remove")),
    ("writer", "remove"),
]


@pytest.mark.parametrize(("token", "question"), FORBIDDEN)
async def test_a_token_that_lacks_the_right(bench: Bench, token: str, question: str) -> None:
    """It is told what to give, whatever GitHub's answer is, and nothing is changed."""
    world, github = await hook_world(bench), bench.adapt().adapter
    attempt = world.delivered(bench.clock.now(), 500)
    asking = world.at(github.webhooks, token)
    every = {
        "hooks": asking.hooks(),
        "make": asking.make(),
        **asking.every(world.hook, attempt, bench.clock.now() - HOUR),
    }
    chosen = every.pop(question)
    for other in every.values():
        other.close()  # type: ignore[attr-defined]  # never asked
    found = await trouble(chosen)
    assert isinstance(found, Stalled)
    assert found.reason == Reason.HOOKS_FORBIDDEN
    assert "Webhooks: read and write" in found.message
    assert "admin:repo_hook" in found.message
    assert len(await world.journal()) <= 2
    assert world.stored().secret == "old"


@pytest.mark.parametrize("question", ["change", "repeat", "remove"])
async def test_a_plain_refusal_is_no_sign_that_a_hook_is_gone(bench: Bench, question: str) -> None:
    """Nothing more is asked: who may not do it, does not learn it."""
    world, github = await hook_world(bench), bench.adapt().adapter
    asking = world.at(github.webhooks, "fine-reader")
    await bench.fault("status", status=403, message="Resource not accessible", methods=["POST", "PATCH", "DELETE"])
    found = await trouble(_changing(asking, question, GONE, GONE))
    assert found.reason == Reason.HOOKS_FORBIDDEN
    assert len(await world.journal()) == 1


async def test_a_reader_reads(bench: Bench) -> None:
    """What it may."""
    world, github = await hook_world(bench), bench.adapt().adapter
    world.delivered(bench.clock.now(), 500)
    for token in ("reader", "fine-reader", "writer"):
        asking = world.at(github.webhooks, token)
        assert [each.id for each in await asking.hooks()] == [world.hook]
        assert (await asking.hook(world.hook)).id == world.hook
        assert len(await asking.attempts(world.hook, bench.clock.now() - HOUR)) == 1


async def test_no_room(bench: Bench) -> None:
    """Twenty hooks of an event are all that GitHub takes."""
    world, github = await hook_world(bench), bench.adapt().adapter
    asking = world.at(github.webhooks, repository=world.bare)
    for number in range(20):
        await asking.make(HookWish(f"{NOWHERE}{number}", SECRET, ("push",)))
    found = await trouble(asking.make())
    assert isinstance(found, Stalled)
    assert (found.reason, len(await asking.hooks())) == (Reason.HOOK_LIMIT, 20)


async def test_a_twin(bench: Bench) -> None:
    """Whoever is told that there is one lists again, and finds it."""
    world, github = await hook_world(bench), bench.adapt().adapter
    found = await trouble(world.at(github.webhooks).make())
    assert isinstance(found, Transient)
    assert "already" in found.message
    assert [each.url for each in await world.at(github.webhooks).hooks()] == [NOWHERE]


async def test_an_address_that_is_not_taken(bench: Bench) -> None:
    """The administrator is told what to look at."""
    world, github = await hook_world(bench), bench.adapt().adapter
    found = await trouble(world.at(github.webhooks).make(HookWish("ftp://x.example", SECRET)))
    assert isinstance(found, Transient)
    assert "MOORING_PUBLIC_BASE_URL" in found.message


CHANGING = ["make", "change", "remove", "repeat"]


def _changing(asking: Asking, name: str, hook: int, attempt: int) -> Awaitable[Any]:
    every: dict[str, Callable[[], Awaitable[Any]]] = {
        "make": lambda: asking.make(replace(WISH, url=f"{NOWHERE}/new")),
        "change": lambda: asking.change(hook),
        "remove": lambda: asking.remove(hook),
        "repeat": lambda: asking.repeat(hook, attempt),
    }
    return every[name]()


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize(
    ("kind", "spec"), [("status", {"status": 502}), ("drop", {"after_work": True}), ("truncate", {})]
)
async def test_what_may_have_been_done_is_not_repeated(bench: Bench, name: str, kind: str, spec: Any) -> None:
    """One request, whatever becomes of its answer."""
    world, adapted = await hook_world(bench), bench.adapt()
    attempt = world.delivered(bench.clock.now(), 500)
    await bench.fault(kind, **spec)
    asking = world.at(adapted.adapter.webhooks)
    # Where there is no body to cut, it is done.
    with suppress(Transient):
        await _changing(asking, name, world.hook, attempt)
    assert len(await world.journal()) == 1


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("status", [301, 307, 308])
async def test_what_changes_something_follows_no_redirect(bench: Bench, name: str, status: int) -> None:
    """Neither elsewhere nor within the API; and a secret never leaves for another host."""
    world = await hook_world(bench)
    attempt = world.delivered(bench.clock.now(), 500)
    async with counting() as (port, came):
        for location in (f"https://127.0.0.1:{port}/api/v3/x", f"{bench.origin.api_url}/user"):
            await bench.control("DELETE", "/faults")
            await bench.fault("redirect", location=location, status=status)
            asking = world.at(bench.adapt().adapter.webhooks)
            assert isinstance(await trouble(_changing(asking, name, world.hook, attempt)), Transient)
        assert (len(await world.journal()), came) == (2, [])


async def test_a_namespace_pays(bench: Bench) -> None:
    """Also for the question whether a hook is gone."""
    world = await hook_world(bench)
    github = bench.adapt(limits=replace(LIMITS, namespace_burst=1, namespace_rate=0.001)).adapter
    found = await trouble(world.at(github.webhooks).hook(GONE))
    assert isinstance(found, Waiting)
    assert found.reason == Reason.BUDGET_SPENT


@pytest.mark.parametrize("question", ["hooks", "make", *QUESTIONS])
async def test_a_refused_token_is_not_a_missing_right(bench: Bench, question: str) -> None:
    """Nor is a rate limit."""
    world = await hook_world(bench)
    for kind, spec, reason in (
        ("status", {"status": 401}, Reason.TOKEN_INVALID),
        ("secondary-limit", {"status": 403}, Reason.RATE_LIMITED),
    ):
        await bench.fault(kind, count=1, **spec)
        asking = world.at(bench.adapt().adapter.webhooks)
        every = {
            "hooks": asking.hooks(),
            "make": asking.make(),
            **asking.every(world.hook, GONE, bench.clock.now() - HOUR),
        }
        chosen = every.pop(question)
        for other in every.values():
            other.close()  # type: ignore[attr-defined]  # never asked
        assert (await trouble(chosen)).reason == reason


async def test_equal_questions_are_one(bench: Bench) -> None:
    """Of those that come while one is under way, all share the next: none gets an answer older than its question."""
    world, github = await hook_world(bench), bench.adapt().adapter
    asking = world.at(github.webhooks)
    assert len({await each for each in asyncio.as_completed([asking.hooks() for _ in range(20)])}) == 1
    assert len(await world.journal()) <= 2


@pytest.mark.parametrize("name", ["make", "change"])
async def test_no_secret_comes_out(
    bench: Bench, rogue: Rogue, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """Whatever a server repeats."""
    caplog.set_level(logging.DEBUG)
    statuses = iter([401, 403, 404, 422, 500, 301, 201])

    async def echo(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response([])
        said = {"message": f"{(await request.read()).decode()} {request.headers['Authorization']}"}
        return web.json_response(said, status=next(statuses), headers={"Location": "https://evil.example/"})

    rogue.answer = echo
    token = "ghp_" + "a" * 36
    told = [repr(WISH)]
    for _ in range(7):
        github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
        asking = Asking(github.webhooks, origin(rogue.url), token, 7)
        try:
            told.append(repr(await _changing(asking, name, 7, 7)))
        except Trouble as found:
            told += [repr(found), repr(vars(found)), str(found.__context__), str(found.__cause__)]
    told += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    told += [*capfd.readouterr()]
    assert any("[redacted]" in text for text in told), "the log has no trace of what was refused"
    assert not [text for text in told if SECRET in text or token in text]


async def test_pages_of_hooks(bench: Bench) -> None:
    """All of them; a hook on the second page is there."""
    world, github = await hook_world(bench), bench.adapt().adapter
    hooks = [{"url": f"{NOWHERE}/{number}", "events": [f"e{number}"]} for number in range(130)]
    await bench.control("POST", "/seed", {"repositories": [{"owner": "acme", "name": "many", "hooks": hooks}]})
    many = bench.server.world.repository("acme", "many")
    assert many is not None
    asking = world.at(github.webhooks, "writer", many.id)
    listed = await asking.hooks()
    assert len({each.id for each in listed}) == 130
    assert len(await world.journal()) == 2
    assert (await trouble(asking.remove(listed[-1].id))).reason == Reason.HOOKS_FORBIDDEN

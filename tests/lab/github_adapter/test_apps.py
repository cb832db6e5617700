"""What an App's key proves, and which installations it finds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from aiohttp import web
from prometheus_client import generate_latest

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.github import GitHubAdapter
from mooring.github.limits import LIMITS
from mooring.ports import App
from tests.lab.github_adapter.app_world import JUNK, KEYS, SEED, AppWorld, app_world, public, with_key
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, counting, origin, trouble
from tests.unit.github.keys import PKCS8, pem

Question = Callable[[GitHubAdapter, AppWorld, App], Awaitable[Any]]
QUESTIONS: dict[str, Question] = {
    "app": lambda github, _, app: github.app(app, namespace=NAMESPACE),
    "installation": lambda github, world, app: github.installation(app, world.acme, namespace=NAMESPACE),
    "account": lambda github, _, app: github.find_installation(app, account="acme", namespace=NAMESPACE),
    "repository": lambda github, _, app: github.find_installation(app, repository="acme/web", namespace=NAMESPACE),
    "installations": lambda github, _, app: github.installations(app, namespace=NAMESPACE),
    "mint": lambda github, world, app: world.mint(github, app),
}


async def test_an_app_and_its_installations(bench: Bench) -> None:
    """By number, by account whatever its kind and letters, by repository, and all of them."""
    world, github = await app_world(bench), bench.adapt().adapter
    assert (await github.app(world.moor, namespace=NAMESPACE)).slug == "moor"
    found = await github.installation(world.moor, world.acme, namespace=NAMESPACE)
    assert (found.id, found.app_id, found.account_login) == (world.acme, world.moor.app_id, "acme")
    assert (found.selection, found.events, found.suspended) == ("all", ("push",), False)
    find = github.find_installation
    assert (await find(world.moor, account="ACME", namespace=NAMESPACE)).id == world.acme
    assert (await find(world.moor, account="jane", namespace=NAMESPACE)).id == world.jane
    assert (await find(world.moor, repository="Acme/web", namespace=NAMESPACE)).id == world.acme
    listed = await github.installations(world.moor, namespace=NAMESPACE)
    assert {each.id for each in listed} == {world.acme, world.jane}


@pytest.mark.parametrize("form", ["pkcs8", "escaped"])
async def test_other_forms_of_a_key(bench: Bench, form: str) -> None:
    """They are the same key."""
    world, github = await app_world(bench), bench.adapt().adapter
    text = pem(KEYS["moor"], PKCS8) if form == "pkcs8" else world.moor.private_key.replace("\n", "\\n")
    assert (await github.app(with_key(world.moor, text), namespace=NAMESPACE)).id == world.moor.app_id


@pytest.mark.parametrize("name", QUESTIONS)
async def test_what_is_no_key_is_not_sent(bench: Bench, name: str) -> None:
    """Nothing leaves, and the value is not told."""
    world, adapted = await app_world(bench), bench.adapt()
    for app in (with_key(world.moor, "hunter2"), replace(world.moor, app_id=0)):
        found = await trouble(QUESTIONS[name](adapted.adapter, world, app))
        assert (type(found), found.reason) == (Stalled, Reason.APP_KEY_MALFORMED)
        assert "hunter2" not in found.message
    assert (await bench.requests(), adapted.counted()) == ([], {})


@pytest.mark.parametrize("order", ["good-first", "junk-first", "at-once"])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_junk_key_gets_nothing_that_a_good_one_has(bench: Bench, name: str, order: str) -> None:
    """The App's id is the same; so, at worst, is the name of the Secret. Each sends what it signed itself."""
    world, adapted = await app_world(bench), bench.adapt()
    ask, junk = QUESTIONS[name], with_key(world.moor, JUNK, source=world.moor.source)

    async def refused() -> None:
        found = await trouble(ask(adapted.adapter, world, junk))
        assert (type(found), found.reason) == (Stalled, Reason.APP_REFUSED)

    if order == "at-once":
        await asyncio.gather(refused(), *(ask(adapted.adapter, world, world.moor) for _ in range(3)), refused())
    for junk_turn in (order == "junk-first", order != "junk-first"):
        await (refused() if junk_turn else ask(adapted.adapter, world, world.moor))
    await ask(adapted.adapter, world, world.moor)
    entries = (await bench.control("GET", "/journal"))["entries"]
    refusals = [entry for entry in entries if entry["status"] == 401]
    assert 1 <= len(refusals) <= 2
    assert any(entry["status"] < 300 for entry in entries)
    assert adapted.counted()["unauthorized"] == len(refusals)


async def test_another_apps_key_and_another_apps_id(bench: Bench) -> None:
    """Neither proves anything; nor does an id that no App has."""
    world, github = await app_world(bench), bench.adapt().adapter
    for app in (
        with_key(world.moor, world.other.private_key),
        replace(world.moor, app_id=world.other.app_id),
        replace(world.moor, app_id=999_999_999),
    ):
        for ask in QUESTIONS.values():
            found = await trouble(ask(github, world, app))
            assert (type(found), found.reason) == (Stalled, Reason.APP_REFUSED)


async def test_a_junk_key_makes_few_requests(bench: Bench) -> None:
    """However much is asked with it, for a while; then it is tried again, since a key can be added at GitHub."""
    world, adapted = await app_world(bench), bench.adapt()
    junk = with_key(world.moor, JUNK)
    ask = adapted.adapter.installation
    asked = [trouble(ask(junk, number, namespace=NAMESPACE)) for number in range(1, 500)]
    assert {found.reason for found in await asyncio.gather(*asked)} == {Reason.APP_REFUSED}
    assert sum(adapted.counted().values()) <= LIMITS.namespace_in_flight
    before = len(await bench.requests())
    bench.clock.move(31)
    bench.server.world.apps[world.moor.app_id].public_keys.append(public(KEYS["junk"]))
    assert (await adapted.adapter.app(junk, namespace=NAMESPACE)).id == world.moor.app_id
    assert len(await bench.requests()) <= before + 2


async def test_a_key_that_was_removed(bench: Bench) -> None:
    """What was remembered of it goes with GitHub's first refusal."""
    world, github = await app_world(bench), bench.adapt().adapter
    await github.app(world.moor, namespace=NAMESPACE)
    await github.installations(world.moor, namespace=NAMESPACE)
    bench.server.world.apps[world.moor.app_id].public_keys.clear()
    for name in ("installation", "app", "installations"):
        assert (await trouble(QUESTIONS[name](github, world, world.moor))).reason == Reason.APP_REFUSED


@pytest.mark.parametrize("skew", [-86_400, -3600, -120, 120, 3600, 86_400])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_clocks_that_differ(bench: Bench, skew: int, name: str) -> None:
    """The first request of all may be refused; it is signed anew once, and then every one is right."""
    world, adapted = await app_world(bench), bench.adapt()
    bench.clock.move(skew)
    await QUESTIONS[name](adapted.adapter, world, world.moor)
    assert adapted.counted().get("unauthorized", 0) <= 1
    there = adapted.adapter.time_at(bench.origin)
    assert abs(there - datetime.now(UTC)) < timedelta(seconds=3)
    before = adapted.counted().get("unauthorized", 0)
    await adapted.adapter.installation(world.moor, world.jane, namespace=NAMESPACE)
    assert adapted.counted().get("unauthorized", 0) == before
    assert len([1 for each in (await bench.control("GET", "/journal"))["entries"] if each["status"] == 401]) == before


async def test_a_clock_that_is_set_while_we_run(bench: Bench) -> None:
    """Ours jumps by an hour: one refusal, and on it goes. Every kind of answer shows the time."""
    world, adapted = await app_world(bench), bench.adapt()
    for _ in range(2):
        await adapted.adapter.installation(world.moor, world.acme, namespace=NAMESPACE)
        bench.clock.move(3600)
    assert adapted.counted() == {"ok": 2, "unauthorized": 1}
    await trouble(adapted.adapter.repository(bench.origin, None, "acme/absent", namespace=NAMESPACE))
    assert abs(adapted.adapter.time_at(bench.origin) - datetime.now(UTC)) < timedelta(seconds=3)


async def test_what_an_app_sends(bench: Bench, rogue: Rogue) -> None:
    """A JWT of its own for each request, as a bearer, good for ten minutes by the clock there."""
    world = await app_world(bench)

    async def tell(_: web.Request) -> web.StreamResponse:
        return web.json_response({"id": world.moor.app_id, "slug": "moor"})

    rogue.answer = tell
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    there = replace(world.moor, origin=origin(rogue.url))
    await github.app(there, namespace=NAMESPACE)
    scheme, _, signed = rogue.seen[0].headers["Authorization"].partition(" ")
    claims = jwt.decode(signed, KEYS["moor"].public_key(), algorithms=["RS256"])
    assert (scheme, claims["iss"]) == ("Bearer", str(world.moor.app_id))
    now = datetime.now(UTC).timestamp()
    assert now - 65 < claims["iat"] <= now - 59
    assert claims["exp"] - claims["iat"] == 600
    assert rogue.seen[0].headers["X-GitHub-Api-Version"] == "2022-11-28"


async def test_an_app_that_answers_as_another(bench: Bench, rogue: Rogue) -> None:
    """Another id in the answer proves nothing."""
    world = await app_world(bench)

    async def tell(_: web.Request) -> web.StreamResponse:
        return web.json_response({"id": world.other.app_id, "slug": "other"})

    rogue.answer = tell
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    found = await trouble(github.app(replace(world.moor, origin=origin(rogue.url)), namespace=NAMESPACE))
    assert found.reason == Reason.APP_REFUSED


async def test_installations_that_are_not_found(bench: Bench) -> None:
    """Missing, another App's, on an account without one, of a repository that is not covered: the same words."""
    world, github = await app_world(bench), bench.adapt().adapter
    asked: list[Awaitable[object]] = [
        github.installation(world.moor, world.mallory, namespace=NAMESPACE),
        github.installation(world.moor, 999_999_999, namespace=NAMESPACE),
        github.installation(world.moor, -1, namespace=NAMESPACE),
        *(
            github.find_installation(world.moor, account=account, namespace=NAMESPACE)
            for account in ("mallory", "absent", "../app", "a/b", "")
        ),
        *(
            github.find_installation(world.moor, repository=repository, namespace=NAMESPACE)
            for repository in ("mallory/web", "acme/absent", "acme/../app", "acme")
        ),
    ]
    for question in asked:
        found = await trouble(question)
        assert (type(found), found.reason) == (Stalled, Reason.INSTALLATION_NOT_FOUND)
    assert not any(path.endswith("/app") or ".." in path for path, _ in await bench.requests())


async def test_an_answer_about_somebody_else(bench: Bench, rogue: Rogue) -> None:
    """Another account, another number, another App: whatever answers, it is not what was asked for."""
    world = await app_world(bench)
    account = {"id": 5, "login": "acme", "type": "Organization"}
    good: dict[str, Any] = {
        "id": 7,
        "app_id": world.moor.app_id,
        "app_slug": "moor",
        "account": account,
        "repository_selection": "all",
        "permissions": {},
        "events": [],
    }
    told: dict[str, Any] = {}

    async def tell(request: web.Request) -> web.StreamResponse:
        return web.json_response([told] if request.path.endswith("/app/installations") else told)

    rogue.answer = tell
    moor = replace(world.moor, origin=origin(rogue.url))

    async def ask(**changes: Any) -> list[Reason | None]:
        told.clear()
        told.update({**good, **changes})
        github, reasons = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter, []
        for question in (
            github.installation(moor, 7, namespace=NAMESPACE),
            github.find_installation(moor, account="acme", namespace=NAMESPACE),
            github.find_installation(moor, repository="acme/web", namespace=NAMESPACE),
        ):
            found = await asyncio.gather(question, return_exceptions=True)
            reasons.append(getattr(found[0], "reason", None))
        return reasons

    missing = Reason.INSTALLATION_NOT_FOUND
    assert await ask() == [None, None, None]
    assert await ask(account={**account, "login": "evil"}) == [None, missing, missing]
    assert await ask(id=8) == [missing, None, None]
    assert (await ask(app_id=world.other.app_id))[::2] == [missing, missing]


@pytest.mark.parametrize("count", [31, 101, 250])
async def test_many_installations(bench: Bench, count: int) -> None:
    """Past one page of any size; a thousand who ask make one list, in every namespace, for half a minute."""
    organizations = [{"login": f"org-{number}"} for number in range(count)]
    more = [{"app": "moor", "account": each["login"]} for each in organizations]
    seed = {
        **SEED,
        "organizations": [*SEED["organizations"], *organizations],
        "installations": [*SEED["installations"], *more],
    }
    world, adapted = await app_world(bench, seed), bench.adapt()
    ask = adapted.adapter.installations
    asked = [ask(world.moor, namespace=f"team-{number % 50}") for number in range(1000)]
    first, *others = await asyncio.gather(*asked)
    assert all(listed == first for listed in others)
    logins = [each.account_login for each in first]
    assert sorted(logins) == sorted(["acme", "jane", *(each["login"] for each in organizations)])
    assert await ask(world.moor, namespace="late") == first
    pages = -(-(count + 2) // 100)
    assert adapted.counted() == {"ok": pages}
    bench.clock.move(31)
    await ask(world.moor, namespace=NAMESPACE)
    assert adapted.counted() == {"ok": 2 * pages}


async def test_a_list_without_end(bench: Bench) -> None:
    """It is told, not cut."""
    world = await app_world(bench)
    github = bench.adapt(limits=replace(LIMITS, page=1, pages=1)).adapter
    found = await trouble(github.installations(world.moor, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert "more than 1 pages" in found.message


async def test_a_list_that_leads_elsewhere(bench: Bench, rogue: Rogue) -> None:
    """No JWT follows a link out of the API."""
    world = await app_world(bench)
    links: list[str] = []

    async def tell(_: web.Request) -> web.StreamResponse:
        return web.json_response([], headers={"Link": f'<{links[-1]}>; rel="next"'})

    rogue.answer = tell
    async with counting() as (port, came):
        for link in (
            f"https://127.0.0.1:{port}/api/v3/app/installations?page=2",
            f"http://127.0.0.1:{port}/",
            "//a.b/c",
        ):
            links.append(link)
            github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
            there = replace(world.moor, origin=origin(rogue.url))
            found = await trouble(github.installations(there, namespace=NAMESPACE))
            assert isinstance(found, Transient)
        assert (came, len(rogue.seen)) == ([], 3)


async def test_who_pays_for_a_list(bench: Bench) -> None:
    """Whoever asks first; where that share is spent, the next one asks with its own."""
    world = await app_world(bench)
    github = bench.adapt(limits=replace(LIMITS, app_burst=1, app_rate=0.001)).adapter
    await github.app(world.moor, namespace=NAMESPACE)
    poor = asyncio.create_task(trouble(github.installations(world.moor, namespace=NAMESPACE)))
    rich = asyncio.create_task(github.installations(world.moor, namespace="team-b"))
    found = await poor
    assert isinstance(found, Waiting)
    assert found.reason == Reason.BUDGET_SPENT
    assert NAMESPACE in found.message
    assert len(await rich) == 2


async def test_one_namespace_leaves_an_app_to_others(bench: Bench) -> None:
    """Its share of the App is its own; what it asks with other credentials goes on."""
    world = await app_world(bench)
    github = bench.adapt(limits=replace(LIMITS, app_burst=2, app_rate=0.001)).adapter

    async def look(namespace: str) -> None:
        await github.installation(world.moor, world.acme, namespace=namespace)

    for _ in range(2):
        await look(NAMESPACE)
    found = await trouble(look(NAMESPACE))
    assert (type(found), found.reason) == (Waiting, Reason.BUDGET_SPENT)
    await look("team-b")
    await github.repository(bench.origin, None, "acme/web", namespace=NAMESPACE)
    await github.app(world.other, namespace=NAMESPACE)


async def test_an_installation_is_read_anew(bench: Bench) -> None:
    """Suspended, removed, and there again: each shows at once."""
    world, github = await app_world(bench), bench.adapt().adapter
    await bench.control("POST", f"/installations/{world.acme}/suspend", {})
    assert (await github.installation(world.moor, world.acme, namespace=NAMESPACE)).suspended
    await bench.control("POST", f"/installations/{world.acme}/unsuspend", {})
    assert not (await github.installation(world.moor, world.acme, namespace=NAMESPACE)).suspended
    await bench.control("POST", f"/installations/{world.acme}/delete", {})
    assert (await trouble(github.installation(world.moor, world.acme, namespace=NAMESPACE))).reason == (
        Reason.INSTALLATION_NOT_FOUND
    )


async def test_an_answer_is_not_older_than_its_question(bench: Bench, rogue: Rogue) -> None:
    """Who asks while an earlier answer is still under way gets the next one; both next ones are one request."""
    world = await app_world(bench)
    arrived, free = asyncio.Event(), asyncio.Event()
    suspended: list[str | None] = [None]

    async def tell(_: web.Request) -> web.StreamResponse:
        told = {
            "id": 7,
            "app_id": world.moor.app_id,
            "app_slug": "moor",
            "account": {"id": 5, "login": "acme", "type": "Organization"},
            "repository_selection": "all",
            "permissions": {},
            "events": [],
            "suspended_at": suspended[0],
        }
        arrived.set()
        await free.wait()
        return web.json_response(told)

    rogue.answer = tell
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    moor = replace(world.moor, origin=origin(rogue.url))
    first = asyncio.create_task(github.installation(moor, 7, namespace=NAMESPACE))
    await arrived.wait()
    suspended[0] = "2026-11-21T04:00:00Z"
    later = [asyncio.create_task(github.installation(moor, 7, namespace=NAMESPACE)) for _ in range(2)]
    await asyncio.sleep(0)
    free.set()
    assert [(await each).suspended for each in (first, *later)] == [False, True, True]
    assert len(rogue.seen) == 2


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_key_and_no_jwt_comes_out(
    bench: Bench, rogue: Rogue, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """Whatever a server repeats, and whatever fails."""
    caplog.set_level(logging.DEBUG)
    world = await app_world(bench)
    statuses = iter([401, 403, 404, 422, 500, 301])

    async def echo(request: web.Request) -> web.StreamResponse:
        sent = request.headers["Authorization"]
        said = {"message": f"bad {sent[:200]} and {sent}"}
        return web.json_response(said, status=next(statuses, 500), headers={"Location": "https://evil.example/"})

    rogue.answer = echo
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file)
    there = replace(world.moor, origin=origin(rogue.url))
    told = [repr(there)]
    for _ in range(6):
        found = await trouble(QUESTIONS[name](adapted.adapter, world, there))
        told += [repr(found), repr(vars(found)), str(found.__context__), str(found.__cause__)]
        bench.clock.move(61)
    told += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    told += [generate_latest(adapted.registry).decode(), *capfd.readouterr()]
    sent = {part for request in rogue.seen for part in request.headers["Authorization"].split(" ")[1].split(".")}
    keys = {line for line in world.moor.private_key.splitlines() if not line.startswith("-")}
    assert len(rogue.seen) >= 5
    assert any("[redacted]" in text for text in told), "the log has no trace of what was refused"
    assert not any(secret in text for text in told for secret in (sent | keys) if len(secret) > 10)

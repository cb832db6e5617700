"""Lists of repositories by when they were pushed to: an installation's whole, a person's as far as it takes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.github.limits import LIMITS
from tests.lab.github_adapter.app_world import AppWorld, app_world
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, World, counting, origin, trouble

ALL = "/installation/repositories?per_page=100"
NEWEST = "/user/repos?sort=pushed&direction=desc&per_page=100"


async def asked(bench: Bench, since: int = 0) -> list[str]:
    """Return the paths of all requests after the first so many."""
    return [path for path, _ in (await bench.requests())[since:]]


async def aged(bench: Bench, world: World | AppWorld) -> None:
    """Let all repositories be pushed to an hour ago."""
    for each in world.bench.server.world.repositories.values():
        each.pushed_at = (bench.clock.now() - timedelta(hours=1)).replace(microsecond=0)


async def test_what_an_installation_lists(bench: Bench) -> None:
    """Names, visibility, and the time of a push, which a push moves."""
    world, github = await app_world(bench), bench.adapt().adapter
    await aged(bench, world)
    token = await world.mint(github)
    old = await github.listed(bench.origin, token, namespace=NAMESPACE)
    assert {(number, each.full_name, each.private) for number, each in old.items()} == {
        (world.web, "acme/web", False),
        (world.api, "acme/api", True),
    }
    before = len(await asked(bench))
    push = {"repository": "acme/api", "user": "jane", "files": {"a": "1"}}
    await bench.control("POST", "/push", push)
    new = await github.listed(bench.origin, token, namespace=NAMESPACE)
    assert new[world.web] == old[world.web]
    was, now = old[world.api].pushed_at, new[world.api].pushed_at
    assert was is not None
    assert now is not None
    assert timedelta(minutes=59) < now - was < timedelta(minutes=61)
    assert await asked(bench, before) == [ALL]


async def test_a_narrow_token_lists_its_own(bench: Bench) -> None:
    """Not all that its installation has."""
    world, github = await app_world(bench), bench.adapt().adapter
    token = await world.mint(github, repository_ids=frozenset({world.api}))
    assert set(await github.listed(bench.origin, token, namespace=NAMESPACE)) == {world.api}


async def test_many_of_an_installation(bench: Bench) -> None:
    """All pages, a request each."""
    world, adapted = await app_world(bench), bench.adapt()
    await bench.control("POST", "/seed", {"repositories": [{"owner": "acme", "name": "r-{n}", "count": 203}]})
    token = await world.mint(adapted.adapter)
    before = len(await asked(bench))
    assert len(await adapted.adapter.listed(bench.origin, token, namespace=NAMESPACE)) == 205
    assert len(await asked(bench, before)) == 3
    few = bench.adapt(limits=replace(LIMITS, pages=2)).adapter
    found = await trouble(few.listed(bench.origin, token, namespace=NAMESPACE))
    assert isinstance(found, Transient)
    assert "more than 2 pages" in found.message


async def test_a_personal_token_is_no_installations(bench: Bench) -> None:
    """And the other way round; neither is asked for more."""
    world, github = await app_world(bench), bench.adapt().adapter
    people = await bench.control("POST", "/seed", {"tokens": [{"name": "j", "user": "jane", "scopes": ["repo"]}]})
    token = await world.mint(github)
    for ask in (
        github.listed(bench.origin, people["tokens"]["j"]["value"], namespace=NAMESPACE),
        github.listed_to_person(bench.origin, token, frozenset({world.web}), namespace=NAMESPACE),
    ):
        found = await trouble(ask)
        assert isinstance(found, Stalled)
        assert found.reason == Reason.TOKEN_INVALID


async def test_what_a_person_lists(bench: Bench) -> None:
    """What is wanted, with the first page that has it all."""
    world, github = await bench.world(), bench.adapt().adapter
    await aged(bench, world)
    many = {"owner": "acme", "name": "r-{n}", "count": 150}
    await bench.control("POST", "/seed", {"repositories": [many]})
    wanted = frozenset({world.secret})
    await bench.control("POST", "/push", {"repository": "acme/secret", "user": "jane", "files": {"a": "2"}})
    bench.server.world.repositories[world.secret].pushed_at = bench.clock.now() + timedelta(minutes=1)
    before = len(await asked(bench))
    found = await github.listed_to_person(bench.origin, world.tokens["jane"], wanted, namespace=NAMESPACE)
    assert {number: (each.full_name, each.private) for number, each in found.items()} == {
        world.secret: ("acme/secret", True)
    }
    assert await asked(bench, before) == [NEWEST]
    both = frozenset({world.secret, world.web})
    found = await github.listed_to_person(bench.origin, world.tokens["jane"], both, namespace=NAMESPACE)
    assert set(found) == both
    assert len(await asked(bench, before + 1)) == 2


async def test_what_a_person_does_not_list(bench: Bench) -> None:
    """It is not there; the list ends."""
    world, github = await bench.world(), bench.adapt().adapter
    token = world.tokens["mallory"]
    assert await github.listed_to_person(bench.origin, token, frozenset({world.secret}), namespace=NAMESPACE) == {}
    assert await asked(bench) == [NEWEST]
    assert await github.listed_to_person(bench.origin, token, frozenset(), namespace=NAMESPACE) == {}
    assert await asked(bench, 1) == []


async def test_a_person_with_very_many(bench: Bench) -> None:
    """Reading ends, without a trouble: what was not found may be there all the same."""
    world = await bench.world()
    await aged(bench, world)
    await bench.control("POST", "/seed", {"repositories": [{"owner": "acme", "name": "r-{n}", "count": 250}]})
    github = bench.adapt(limits=replace(LIMITS, person_pages=2)).adapter
    before = len(await asked(bench))
    wanted = frozenset({world.web})
    assert await github.listed_to_person(bench.origin, world.tokens["jane"], wanted, namespace=NAMESPACE) == {}
    assert len(await asked(bench, before)) == 2


async def test_a_refused_token(bench: Bench) -> None:
    """It lists nothing."""
    world, github = await bench.world(), bench.adapt().adapter
    wanted = frozenset({world.web})
    found = await trouble(github.listed_to_person(bench.origin, "ghp_" + "a" * 36, wanted, namespace=NAMESPACE))
    assert (type(found), found.reason) == (Stalled, Reason.TOKEN_INVALID)


async def test_lists_are_paid_for(bench: Bench) -> None:
    """Each page is a request of the namespace's share."""
    world = await bench.world()
    await bench.control("POST", "/seed", {"repositories": [{"owner": "acme", "name": "r-{n}", "count": 150}]})
    github = bench.adapt(limits=replace(LIMITS, namespace_burst=1, namespace_rate=0.001)).adapter
    wanted = frozenset({world.web, 10**9})
    found = await trouble(github.listed_to_person(bench.origin, world.tokens["jane"], wanted, namespace=NAMESPACE))
    assert isinstance(found, Waiting)
    assert found.reason == Reason.BUDGET_SPENT


@pytest.mark.parametrize("whose", ["installation", "person"])
async def test_a_list_does_not_lead_elsewhere(bench: Bench, rogue: Rogue, whose: str) -> None:
    """The next page at another host, or outside the API, is not asked for."""
    entry: dict[str, Any] = {"id": 7, "full_name": "acme/web", "private": False, "pushed_at": None}
    page: Any = [entry] if whose == "person" else {"total_count": 2, "repositories": [entry]}
    async with counting() as (port, came):
        links = iter([f"https://127.0.0.1:{port}/api/v3/x", rogue.url.replace("/api/v3", "/elsewhere")])

        async def lead(_: web.Request) -> web.StreamResponse:
            return web.json_response(page, headers={"Link": f'<{next(links)}>; rel="next"'})

        rogue.answer = lead
        github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
        there = origin(rogue.url)
        for _ in range(2):
            if whose == "person":
                asking: Any = github.listed_to_person(there, "ghp_" + "a" * 36, frozenset({8}), namespace=NAMESPACE)
            else:
                asking = github.listed(there, "ghs_" + "a" * 36, namespace=NAMESPACE)
            assert "another origin" in (await trouble(asking)).message
        assert (len(rogue.seen), came) == (2, [])

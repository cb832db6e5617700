"""Rate limits: headers on every answer, the primary and the secondary limits, whose they are."""

from __future__ import annotations

import asyncio

import httpx

from tests.lab.github.running import Cast, GitHub
from tests.lab.github.test_rest_auth import assert_error

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


def figures(answer: httpx.Response) -> tuple[int, int, int]:
    names = ("Limit", "Used", "Remaining")
    limit, used, remaining = (int(answer.headers[f"X-RateLimit-{name}"]) for name in names)
    return limit, used, remaining


async def test_every_answer_tells_what_is_left(cast: Cast, github: GitHub) -> None:
    async with github.client() as stranger:
        assert figures(await stranger.get("/meta")) == (60, 1, 59)
        assert figures(await stranger.get("/no/such/route")) == (60, 2, 58)
    async with github.client("ghp_wrong") as wrong:
        answer = await wrong.get("/user")
        assert (answer.status_code, figures(answer)) == (401, (60, 3, 57))
    async with github.client(cast.alice) as alice:
        answer = await alice.get("/user")
        assert figures(answer) == (5000, 1, 4999)
        assert answer.headers["X-RateLimit-Resource"] == "core"
        shown = (await alice.get("/rate_limit")).json()["rate"]
        assert (shown["used"], shown["reset"]) == (1, int(answer.headers["X-RateLimit-Reset"]))


async def test_a_persons_tokens_share_one_limit_and_an_installations_too(cast: Cast, github: GitHub) -> None:
    for token in (cast.alice, cast.personal("alice", kind="classic", scopes=[]).value):
        async with github.client(token) as client:
            used = figures(await client.get("/user"))[1]
    assert used == 2
    for number in (1, 2):
        async with github.client(await cast.token()) as client:
            assert figures(await client.get("/repos/acme/app")) == (5000, number, 5000 - number)


async def test_a_large_installation_gets_more(cast: Cast, github: GitHub) -> None:
    cast.installation.repository_selection = "all"
    await github.seed({"repositories": [{"owner": "acme", "name": "many-{n}", "count": 27}]})
    async with github.client(await cast.token()) as client:
        assert figures(await client.get("/repos/acme/app"))[0] == 5500


async def test_the_primary_limit(cast: Cast, github: GitHub) -> None:
    github.context.quotas.limits.authenticated = 3
    async with github.client(cast.alice) as alice:
        for _ in range(3):
            assert (await alice.get("/user")).status_code == 200
        refused = await alice.get("/user")
        alice_id = github.context.world.account("alice")
        assert alice_id is not None
        assert_error(refused, 403, f"API rate limit exceeded for user ID {alice_id.id}.")
        assert figures(refused)[2] == 0
        assert "Retry-After" not in refused.headers
        assert (await alice.get("/rate_limit")).json()["rate"]["remaining"] == 0
        github.context.quotas.limits.exhausted_status = 429
        assert (await alice.get("/user")).status_code == 429
        await github.control("POST", "/clock", {"advance": 3601})
        assert (await alice.get("/user")).status_code == 200
    async with github.client(cast.bob) as bob:
        assert (await bob.get("/user")).status_code == 200


async def test_points_of_the_secondary_limit(cast: Cast, github: GitHub) -> None:
    github.context.quotas.limits.points_per_minute = 6
    async with github.client(cast.alice) as alice:
        assert (await alice.get("/repos/acme/app")).status_code == 200
        assert (await alice.patch("/repos/acme/app", json={})).status_code == 200
        refused = await alice.get("/repos/acme/app")
        assert_error(refused, 403, SECONDARY)
        assert refused.headers["Retry-After"] == "60"
        assert figures(refused)[2] > 0
        # Another path has points of its own, and a minute later all is well.
        assert (await alice.get("/user")).status_code == 200
        await github.control("POST", "/clock", {"advance": 61})
        assert (await alice.get("/repos/acme/app")).status_code == 200


async def test_too_many_at_once(cast: Cast, github: GitHub) -> None:
    github.context.quotas.limits.concurrent = 2
    async with github.client(cast.alice) as alice:
        answers = await asyncio.gather(*(alice.get("/repos/acme/app/commits") for _ in range(12)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 403}
    assert all(a.json()["message"] == SECONDARY for a in answers if a.status_code == 403)
    async with github.client(cast.alice) as alice:
        assert (await alice.get("/repos/acme/app/commits")).status_code == 200

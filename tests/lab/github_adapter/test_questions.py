"""What the adapter answers, and how few requests that takes."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason
from mooring.github.limits import LIMITS
from tests.lab.github_adapter.bench import NAMESPACE, Bench, trouble


async def test_who_a_classic_token_is(bench: Bench) -> None:
    """Login, id, scopes, expiry."""
    world, github = await bench.world(), bench.adapt().adapter
    identity = await github.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE)
    assert (identity.login, identity.kind, identity.scopes) == ("jane", "classic", ("repo", "read:org"))
    assert identity.expires_at is not None
    assert timedelta(hours=23) < identity.expires_at - datetime.now(UTC) < timedelta(hours=25)


async def test_who_a_fine_grained_token_is(bench: Bench) -> None:
    """It has no scopes, and this one no end."""
    world, github = await bench.world(), bench.adapt().adapter
    identity = await github.identify(bench.origin, world.tokens["fine"], namespace=NAMESPACE)
    assert (identity.login, identity.kind, identity.scopes, identity.expires_at) == ("jane", "fine-grained", (), None)


async def test_a_thousand_projects_make_one_validation(bench: Bench) -> None:
    """At once and one after the other, in every namespace."""
    world, adapted = await bench.world(), bench.adapt()
    asked = [adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE) for _ in range(1000)]
    assert len(set(await asyncio.gather(*asked))) == 1
    await adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace="team-b")
    assert adapted.counted() == {"ok": 1}
    await adapted.adapter.identify(bench.origin, world.tokens["other"], namespace=NAMESPACE)
    assert adapted.counted() == {"ok": 2}


@pytest.mark.parametrize("action", ["revoke", "expire"])
async def test_a_dead_token(bench: Bench, action: str) -> None:
    """It is found out when the remembered identity has aged; the refusal is remembered, for that token alone."""
    world, adapted = await bench.world(), bench.adapt()
    await adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE)
    await bench.control("POST", f"/tokens/jane/{action}")
    bench.clock.move(301)
    for _ in range(3):
        found = await trouble(adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE))
        assert isinstance(found, Stalled)
        assert found.reason == Reason.TOKEN_INVALID
    assert adapted.counted() == {"ok": 1, "unauthorized": 1}
    await adapted.adapter.identify(bench.origin, world.tokens["other"], namespace=NAMESPACE)


async def test_a_token_that_came_to_its_end(bench: Bench) -> None:
    """GitHub refuses it as it refuses any other; that its end was known tells the two apart, also much later."""
    world, adapted = await bench.world(), bench.adapt()
    await adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE)
    await bench.control("POST", "/tokens/jane/expire")
    for _ in range(2):
        bench.clock.move(25 * 3600)
        found = await trouble(adapted.adapter.identify(bench.origin, world.tokens["jane"], namespace=NAMESPACE))
        assert (type(found), found.reason) == (Stalled, Reason.TOKEN_EXPIRED)


async def test_another_question_finds_a_dead_token(bench: Bench) -> None:
    """A remembered identity does not outlive GitHub's refusal of the token."""
    world, github = await bench.world(), bench.adapt().adapter
    token = world.tokens["jane"]
    await github.identify(bench.origin, token, namespace=NAMESPACE)
    await bench.control("POST", "/tokens/jane/revoke")
    asked = (github.repository(bench.origin, token, "acme/web", namespace=NAMESPACE),)
    for question in (*asked, github.identify(bench.origin, token, namespace=NAMESPACE)):
        assert (await trouble(question)).reason == Reason.TOKEN_INVALID


async def test_what_is_no_token_is_not_sent(bench: Bench) -> None:
    """A service account's JWT, a line end, a password."""
    adapted = bench.adapt()
    for token in ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrOHMifQ.c2ln", "ghp_" + "a" * 36 + "\nX: 1", "hunter2", ""):
        found = await trouble(adapted.adapter.identify(bench.origin, token, namespace=NAMESPACE))
        assert found.reason == Reason.NOT_A_TOKEN
        assert "hunter2" not in found.message
    assert await bench.requests() == []


async def test_repositories(bench: Bench) -> None:
    """With a token and without one."""
    world, github = await bench.world(), bench.adapt().adapter
    for token in (world.tokens["jane"], None):
        found = await github.repository(bench.origin, token, "ACME/web", namespace=NAMESPACE)
        assert (found.id, found.full_name, found.private) == (world.web, "acme/web", False)
    secret = await github.repository(bench.origin, world.tokens["jane"], "acme/secret", namespace=NAMESPACE)
    assert secret.private


async def test_a_renamed_repository(bench: Bench) -> None:
    """The old name leads to it by a redirect within the origin; its id leads to it anyway."""
    world, adapted = await bench.world(), bench.adapt()
    await bench.control("POST", f"/repositories/{world.web}/rename", {"name": "site"})
    token = world.tokens["jane"]
    found = await adapted.adapter.repository(bench.origin, token, "acme/web", namespace=NAMESPACE)
    assert (found.id, found.full_name) == (world.web, "acme/site")
    assert adapted.counted() == {"ok": 2}
    assert await adapted.adapter.head(bench.origin, token, world.web, "main", namespace=NAMESPACE)


async def test_missing_and_invisible_look_the_same(bench: Bench) -> None:
    """In words and in the number of requests, for a stranger, a narrow token, and nobody."""
    world = await bench.world()
    told = set()
    for token, name in (
        (world.tokens["mallory"], "acme/secret"),
        (world.tokens["mallory"], "acme/absent"),
        (world.tokens["narrow"], "acme/secret"),
        (None, "acme/secret"),
        (world.tokens["mallory"], "acme/../user"),
    ):
        adapted = bench.adapt()
        found = await trouble(adapted.adapter.repository(bench.origin, token, name, namespace=NAMESPACE))
        assert found.reason == Reason.REPOSITORY_NOT_FOUND
        told.add(found.message.replace(name, "NAME"))
        assert sum(adapted.counted().values()) == (0 if ".." in name else 1)
    assert len(told) == 1


async def test_heads(bench: Bench) -> None:
    """By id, with names that need quoting, and never from memory."""
    world, github = await bench.world(), bench.adapt().adapter
    token = world.tokens["fine"]
    for branch in ("main", "feature/x#1"):
        found = await github.head(bench.origin, token, world.web, branch, namespace=NAMESPACE)
        assert found == await bench.tip(world.web, branch)
    pushed = await world.commit(world.web, "main", "2")
    assert await github.head(bench.origin, token, world.web, "main", namespace=NAMESPACE) == pushed


async def test_a_thousand_projects_of_one_branch(bench: Bench) -> None:
    """Two requests answer them all: the one that was under way, and one that is not older than any of them."""
    world, adapted = await bench.world(), bench.adapt()
    ask = adapted.adapter.head
    asked = [ask(bench.origin, world.tokens["jane"], world.web, "main", namespace=NAMESPACE) for _ in range(1000)]
    assert len(set(await asyncio.gather(*asked))) == 1
    assert adapted.counted() == {"ok": 2}


async def test_a_thousand_projects_of_one_repository_that_changed(bench: Bench) -> None:
    """So with the repository itself: what was under way when an event came may not have seen it."""
    world, adapted = await bench.world(), bench.adapt()
    ask = adapted.adapter.repository
    asked = [ask(bench.origin, world.tokens["jane"], "acme/web", namespace=NAMESPACE) for _ in range(1000)]
    assert len(set(await asyncio.gather(*asked))) == 1
    assert adapted.counted() == {"ok": 2}


@pytest.mark.parametrize("branch", ["absent", "feature", "heads/main", "../../tags", "a b", "mallory:main", ""])
async def test_missing_branches(bench: Bench, branch: str) -> None:
    """A branch that is not there, and what can be none."""
    world, github = await bench.world(), bench.adapt().adapter
    found = await trouble(github.head(bench.origin, world.tokens["jane"], world.web, branch, namespace=NAMESPACE))
    assert found.reason == Reason.BRANCH_NOT_FOUND


async def test_a_branch_that_appears(bench: Bench) -> None:
    """The push that makes a branch is not lost to a memory of its absence."""
    world, github = await bench.world(), bench.adapt().adapter
    token = world.tokens["jane"]
    await trouble(github.head(bench.origin, token, world.web, "new", namespace=NAMESPACE))
    pushed = await world.commit(world.web, "new", "2")
    assert await github.head(bench.origin, token, world.web, "new", namespace=NAMESPACE) == pushed


async def test_an_empty_repository(bench: Bench) -> None:
    """It is there, and has nothing to run."""
    world, github = await bench.world(), bench.adapt().adapter
    found = await trouble(github.head(bench.origin, world.tokens["jane"], world.empty, "main", namespace=NAMESPACE))
    assert found.reason == Reason.REPOSITORY_EMPTY


async def test_the_head_of_an_invisible_repository(bench: Bench) -> None:
    """Forbidden, invisible and missing: the same words after the same number of requests."""
    world = await bench.world()
    for token in (world.tokens["mallory"], world.tokens["narrow"], None):
        for number in (world.secret, 999_999_999):
            adapted = bench.adapt()
            found = await trouble(adapted.adapter.head(bench.origin, token, number, "main", namespace=NAMESPACE))
            assert found.reason == Reason.REPOSITORY_NOT_FOUND
            assert sum(adapted.counted().values()) == 2


async def test_what_is_remembered_says_how_long(bench: Bench) -> None:
    """What changed may be newer than the memory, so whoever needs to know asks again when it is over."""
    world, adapted = await bench.world(), bench.adapt()
    ask = partial(adapted.adapter.head, bench.origin, None, world.secret, "main", namespace=NAMESPACE)
    first, second = await stalled(ask()), await stalled(ask())
    assert (first.known_until, first.reason, first.message) == (None, second.reason, second.message)
    assert second.known_until is not None
    assert timedelta() < second.known_until - bench.clock.now() <= LIMITS.missing_repository_for
    asked = adapted.counted()
    bench.clock.ahead += LIMITS.missing_repository_for
    assert (await stalled(ask())).known_until is None
    assert sum(adapted.counted().values()) == 2 * sum(asked.values())


async def stalled(asked: Awaitable[object]) -> Stalled:
    """Return what stands in the way for good."""
    found = await trouble(asked)
    assert isinstance(found, Stalled)
    return found


async def test_a_token_without_the_permission(bench: Bench) -> None:
    """It sees the repository and not its contents: to a person that is a repository that is not shown."""
    world, adapted = await bench.world(), bench.adapt()
    ask, token = adapted.adapter, world.tokens["blind"]
    assert (await ask.repository(bench.origin, token, "acme/secret", namespace=NAMESPACE)).id == world.secret
    found = await trouble(ask.head(bench.origin, token, world.secret, "main", namespace=NAMESPACE))
    assert found.reason == Reason.REPOSITORY_NOT_FOUND
    assert "contents" in found.message
    assert adapted.counted() == {"ok": 2, "forbidden": 1}


async def test_commits_on_a_branch(bench: Bench) -> None:
    """The tip and its history are; commits of other branches and unknown ones are not."""
    world, github = await bench.world(), bench.adapt().adapter
    first = await bench.tip(world.web, "main")
    await world.commit(world.web, "main", "2")
    tip = await world.commit(world.web, "main", "3")
    side = await bench.tip(world.web, "feature/x#1")

    async def contains(sha: str | None, branch: str = "main") -> bool:
        token = world.tokens["jane"]
        return await github.on_a_branch(bench.origin, token, world.web, sha or "", branch=branch, namespace=NAMESPACE)

    assert await contains(tip)
    assert await contains(first)
    assert await contains(first, "feature/x#1")
    assert not await contains(side)
    assert not await contains("a" * 40)
    assert not await contains("main")
    assert not await contains((first or "")[:7])


async def test_a_forks_commit_is_on_no_branch(bench: Bench) -> None:
    """GitHub shows a fork's commit under its parent's name too; it must not be deployed as the parent's."""
    world, github = await bench.world(), bench.adapt().adapter
    planted = await world.commit(world.fork, "main", "evil")
    token = world.tokens["jane"]
    assert await bench.status(f"/repositories/{world.web}/commits/{planted}", token) == 200
    ask = github.on_a_branch
    assert not await ask(bench.origin, token, world.web, planted, branch="main", namespace=NAMESPACE)
    assert await ask(bench.origin, token, world.fork, planted, branch="main", namespace=NAMESPACE)


async def test_credentials_do_not_mix(bench: Bench) -> None:
    """Many at once over the same connections: each request carries its own."""
    world, github = await bench.world(), bench.adapt().adapter
    names = ["jane", "other", "mallory", "fine"]
    asked = [
        github.repository(bench.origin, world.tokens[name], f"acme/absent-{name}-{number}", namespace=NAMESPACE)
        for number in range(25)
        for name in names
    ]
    await asyncio.gather(*(trouble(question) for question in asked))
    sent = await bench.requests()
    assert len(sent) == 100
    assert all(path.split("-")[1] == credential for path, credential in sent)

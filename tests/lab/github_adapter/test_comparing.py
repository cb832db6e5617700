"""Comparing two commits, as GitHub answers it."""

from __future__ import annotations

import pytest

from mooring.domain.comparisons import Comparison
from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.ports import GitHub
from tests.lab.github_adapter.bench import NAMESPACE, Bench, World, trouble


async def compare(bench: Bench, world: World, base: str, head: str) -> Comparison | None:
    """Ask for a comparison in the repository that most tests use."""
    github: GitHub = bench.adapt().adapter
    return await github.compare(bench.origin, world.tokens["jane"], world.web, base, head, namespace=NAMESPACE)


async def test_what_lies_between_two_commits(bench: Bench) -> None:
    """Ahead, behind, the same, and beside each other."""
    world = await bench.world()
    first = str(await bench.tip(world.web, "main"))
    await world.commit(world.web, "main", "2")
    third = await world.commit(world.web, "main", "3")
    side = str(await bench.tip(world.web, "feature/x#1"))
    # All that changed, and the message of the last commit alone.
    assert await compare(bench, world, first, third) == Comparison("ahead", frozenset({"a.txt"}), "3")
    assert await compare(bench, world, third, first) == Comparison("behind", frozenset(), None)
    assert await compare(bench, world, third, third) == Comparison("identical", frozenset(), None)
    beside = await compare(bench, world, third, side)
    assert beside is not None
    assert (beside.relation, beside.paths) == ("diverged", frozenset({"b.txt"}))
    assert beside.message is not None


async def test_a_renamed_file_was_two_places(bench: Bench) -> None:
    world = await bench.world()
    first = await world.commit(world.web, "main", "long enough to be known again " * 20)
    body = {
        "repository": "acme/web",
        "user": "jane",
        "files": {"a.txt": None, "b/c.txt": "long enough to be known again " * 20},
    }
    second = str((await bench.control("POST", "/push", body))["after"])
    found = await compare(bench, world, first, second)
    assert found is not None
    assert found.paths == frozenset({"a.txt", "b/c.txt"})


async def test_an_adapter_makes_one_request_and_pays_for_it(bench: Bench) -> None:
    world, adapted = await bench.world(), bench.adapt()
    first = str(await bench.tip(world.web, "main"))
    second = await world.commit(world.web, "main", "2")
    github: GitHub = adapted.adapter
    await github.compare(bench.origin, world.tokens["jane"], world.web, first, second, namespace=NAMESPACE)
    assert adapted.counted() == {"ok": 1}
    (asked,) = [path for path, _ in await bench.requests() if "compare" in path]
    assert asked == f"/repositories/{world.web}/compare/{first}...{second}"


async def test_what_cannot_be_compared(bench: Bench) -> None:
    """An unknown commit, none at all, a repository that is not shown: nothing is said, and nothing is an error."""
    world, adapted = await bench.world(), bench.adapt()
    first, github = str(await bench.tip(world.web, "main")), adapted.adapter
    assert await compare(bench, world, "a" * 40, first) is None
    assert await compare(bench, world, first, "a" * 40) is None
    hidden = str(await bench.tip(world.secret, "main"))
    token = world.tokens["mallory"]
    invisible = bench.adapt().adapter
    assert await invisible.compare(bench.origin, token, world.secret, hidden, hidden, namespace=NAMESPACE) is None
    for junk in ("main", "", "../x", first[:7], "mallory:main"):
        ask = github.compare(bench.origin, world.tokens["jane"], world.web, junk, first, namespace=NAMESPACE)
        assert await ask is None
    assert adapted.counted() == {}


@pytest.mark.parametrize(("status", "waits"), [(422, False), (404, False), (500, True), (502, True)])
async def test_a_difference_that_is_too_much_for_github(bench: Bench, status: int, waits: bool) -> None:
    world = await bench.world()
    first = str(await bench.tip(world.web, "main"))
    second = await world.commit(world.web, "main", "2")
    await bench.fault("status", status=status, path="*/compare/*")
    if not waits:
        assert await compare(bench, world, first, second) is None
        return
    found = await trouble(compare(bench, world, first, second))
    assert isinstance(found, Transient)
    assert found.reason == Reason.GITHUB_UNAVAILABLE


async def test_more_files_than_github_lists(bench: Bench) -> None:
    world = await bench.world()
    first = str(await bench.tip(world.web, "main"))
    files = {f"many/{number}": "x" for number in range(301)}
    body = {"repository": "acme/web", "user": "jane", "files": files}
    second = str((await bench.control("POST", "/push", body))["after"])
    found = await compare(bench, world, first, second)
    assert found is not None
    assert (found.relation, found.paths, found.message) == ("ahead", None, "Update")

"""What a status still says of a Project's source: nothing, where the spec means another one, or it is not proven."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient
from mooring.domain.origins import AllowedHosts
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import Reason
from mooring.domain.resources.project import Project
from mooring.ports import Object
from mooring.services.sources import Sources
from tests.unit.objects import NOW, raw_project
from tests.unit.services.followed import AT_HAND, A, B, C, World, parsed
from tests.unit.services.platforms import Nothing, platform

NOBODY: Any = Nothing()
SHA = "a" * 40
GIT = {"provider": "Git", "fullName": "git.example.com/team/shop", "branch": "main", "decidedSha": SHA}
GITHUB = {"provider": "GitHub", "fullName": "acme/shop", "branch": "main", "decidedSha": SHA}


def remembered(source: dict[str, Any], status: dict[str, Any]) -> Any:
    raw = raw_project()
    raw["spec"]["source"] = source
    hosts = AllowedHosts.of(("git.example.com",))
    return Sources(platform(allowed_hosts=hosts), NOBODY).remembered(Project.model_validate(raw), status)


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_a_plain_repository_is_remembered_under_its_own_url(suffix: str) -> None:
    found = remembered({"git": {"url": f"https://git.example.com/team/shop{suffix}"}}, GIT)
    assert (found.decided_sha, found.branch) == (SHA, "main")


def test_a_commit_is_never_looked_for_in_another_repository() -> None:
    assert remembered({"git": {"url": "https://git.example.com/team/other"}}, GIT) is None
    assert remembered({"git": {"url": "https://git.example.com/team/shop"}}, GITHUB) is None
    assert remembered({"github": {"repository": "acme/shop"}}, GIT) is None
    assert remembered({"github": {"repository": "acme/shop"}}, GITHUB) is not None


# --- what is known, and what GitHub is asked again ---


async def found(world: World, obj: Object, *, anew: bool = False) -> SourceFacts:
    facts = await world.sources.find(parsed(obj), obj, AT_HAND, anew=anew)
    assert facts is not None
    return facts


async def test_what_was_proven_is_known_without_a_question() -> None:
    world = World()
    obj = world.project(source={"delivery": "d1", "redeploy": "now"})
    facts = await found(world, obj)
    assert (facts.sha, facts.delivery, facts.redeploy, facts.fresh) == (A, "d1", "now", False)
    assert facts.proof == obj["status"]["source"]["proof"]
    assert world.github.asked == []


@pytest.mark.parametrize(
    "claim",
    [{"proof": None}, {"proof": "v1.x"}, {"branch": "other"}, {"decidedSha": None}],
    ids=["no-proof", "another-proof", "branch", "nothing-decided"],
)
async def test_what_is_not_proven_is_asked_again(claim: dict[str, Any]) -> None:
    world = World()
    facts = await found(world, world.project(source=claim))
    assert "repository" in world.github.asked
    assert (facts.branch, facts.repository_id, facts.sha) == ("main", 7, A)
    assert facts.proof == world.project()["status"]["source"]["proof"]


async def test_what_is_in_doubt_is_proven_again() -> None:
    world = World()
    obj = world.project(source={"readAt": "2026-02-01T00:00:00Z"})
    world.github.troubles["repository"] = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
    with pytest.raises(Transient):
        await found(world, obj, anew=True)
    del world.github.troubles["repository"]
    facts = await found(world, obj, anew=True)
    assert (facts.fresh, facts.proof) == (True, obj["status"]["source"]["proof"])
    # What runs is still what was decided on, and when that was.
    assert (facts.sha, facts.read_at, world.github.asked) == (A, "2026-02-01T00:00:00Z", ["repository"] * 2)
    assert not (await found(world, obj)).fresh


async def test_a_head_that_begins_a_source_says_when_it_was_read() -> None:
    world = World()
    world.github.ahead, world.github.takes = timedelta(hours=1), 5.0
    obj = world.project(follow={"branch": "other"}, source={"readAt": "2026-02-01T00:00:00Z"})
    facts = await found(world, obj)
    assert (facts.branch, facts.read_at) == ("other", timestamp(NOW + timedelta(hours=1)))


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-02-01T00:00:00"])
async def test_a_time_that_somebody_else_wrote_is_none(text: str | None) -> None:
    world = World()
    facts = await found(world, world.project())
    assert replace(facts, read_at=text).time_of_read() is None


async def test_the_time_of_a_proof_moves_with_it_alone() -> None:
    world, then = World(), "2025-01-01T00:00:00Z"
    proof = world.project()["status"]["source"]["proof"]
    stored: dict[str, Any] = {"provenAt": then, "proof": proof}
    assert (await found(world, world.project(source=stored))).proven_at == then
    # Found again in every run, since it does not run yet: a time that moves would make a run of each write.
    again = world.project(source=stored, observedGeneration=1, revision={"sha": None})
    assert ((await found(world, again)).proven_at, world.github.asked) == (then, ["repository", "head"])
    for news in (
        world.project(source={**stored, "proof": "v1.old"}),
        world.project(source=stored, observedGeneration=1, metadata={"generation": 3}),
        world.project(source={"proof": None}),
    ):
        assert (await found(world, news)).proven_at == timestamp(NOW)
    assert (await found(World(keys=None), world.project(source=stored, revision={"sha": None}))).proven_at is None


async def test_a_proof_is_about_one_project_alone() -> None:
    world = World()
    obj = world.project()
    obj["metadata"]["uid"] = "another"
    await found(world, obj)
    assert world.github.asked == ["repository"]


async def test_another_repository_under_the_name_is_refused() -> None:
    world = World()
    world.github.id = 8
    with pytest.raises(Stalled) as refused:
        await found(world, world.project(source={"proof": None}))
    assert refused.value.reason is Reason.REPOSITORY_CHANGED


async def test_a_repository_is_known_by_its_id_whatever_it_is_called() -> None:
    world = World()
    world.github.name, world.github.private = "umbrella/store", False
    obj = world.project()
    facts = await world.sources.find(parsed(obj), obj, AT_HAND, anew=True)
    assert facts is not None
    assert (facts.full_name, facts.spec_name, facts.private) == ("umbrella/store", "acme/shop", False)
    assert facts.url == "https://github.com/umbrella/store.git"
    assert (facts.proof, facts.sha) == (obj["status"]["source"]["proof"], A)
    assert world.github.asked == ["repository"]


RENAMED = {"fullName": "acme/store", "specName": "Acme/Shop"}


async def test_what_was_found_by_the_name_in_the_spec_is_remembered() -> None:
    world = World()
    facts = await found(world, world.project(source=RENAMED))
    assert (facts.full_name, facts.spec_name, world.github.asked) == ("acme/store", "Acme/Shop", [])
    assert facts.status()["specName"] == "Acme/Shop"


@pytest.mark.parametrize(
    ("said", "is_refused"),
    # The name that it had, the one that it has now; a person means another repository by any other one.
    [("acme/shop", True), ("acme/store", True), ("acme/third", False)],
)
async def test_another_repository_under_a_former_name_is_refused(said: str, *, is_refused: bool) -> None:
    world = World()
    world.github.id = 8
    obj = world.project(source={**RENAMED, "proof": None}, follow={"github": {"repository": said}})
    if not is_refused:
        assert (await found(world, obj)).repository_id == 8
        return
    with pytest.raises(Stalled) as refused:
        await found(world, obj)
    assert refused.value.reason is Reason.REPOSITORY_CHANGED


async def test_a_new_proof_keeps_what_was_decided() -> None:
    """Keys are new, a branch has moved on: that alone rolls nothing, and the head is not even read."""
    world = World()
    world.github.tip = C
    facts = await found(world, world.project(source={"proof": None, "decidedSha": B, "delivery": "d1"}))
    assert (facts.decided_sha, facts.sha, facts.delivery) == (B, A, "d1")
    assert world.github.asked == ["repository"]


async def test_a_changed_spec_keeps_the_commit_that_runs_after_a_push_that_was_passed_over() -> None:
    world = World()
    world.github.tip = C
    obj = world.project(source={"decidedSha": B, "headSha": B, "delivery": "d1"}, metadata={"generation": 2})
    facts = await found(world, obj)
    assert (facts.decided_sha, facts.sha) == (B, A)
    assert world.github.asked == ["repository"]


@pytest.mark.parametrize(
    "changes", [{"follow": {"branch": "next"}}, {"source": {"repositoryId": 8, "fullName": "a/b"}}]
)
async def test_another_branch_or_repository_begins_at_its_head(changes: dict[str, Any]) -> None:
    world = World()
    world.github.tip = C
    facts = await found(world, world.project(**changes, metadata={"generation": 2}))
    assert (facts.decided_sha, facts.head_sha, facts.sha) == (C, C, C)


@pytest.mark.parametrize(
    ("source", "handled"),
    [
        ({"repositoryId": 8, "fullName": "a/b", "delivery": "d1"}, "d2"),
        ({"repositoryId": None, "provider": "Git", "fullName": "git.example.com/a/b"}, "d2"),
        ({"delivery": "d1"}, "d1"),
    ],
)
async def test_a_push_to_the_former_repository_is_no_push_to_this_one(source: dict[str, Any], handled: str) -> None:
    world = World()
    push = {"delivery": "d2", "ref": "refs/heads/main", "sha": B}
    facts = await found(world, world.project(source=source, push=push, metadata={"generation": 2}))
    assert facts.delivery == handled


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ({"pinnedSha": A, "decidedSha": B}, True),
        ({"pinnedSha": A, "decidedSha": A}, True),
        # As an earlier version stored it: it noted neither pins nor deliveries nor proofs.
        ({"proof": None, "decidedSha": B}, True),
        ({"proof": None, "decidedSha": A}, False),
        ({"proof": None, "decidedSha": B, "delivery": "d1"}, False),
        # An access that was withdrawn, and is there again.
        ({"proof": None, "decidedSha": B, "provenAt": "2026-01-01T00:00:00Z"}, False),
    ],
)
async def test_what_was_pinned_goes_to_the_head(source: dict[str, Any], reads: bool) -> None:
    world = World()
    world.github.tip = C
    facts = await found(world, world.project(source=source, metadata={"generation": 2}))
    assert facts.sha == (C if reads else A)
    assert (facts.decided_sha == C) is reads


async def test_a_pin_is_noted_and_checked() -> None:
    world = World()
    world.github.on_branch = frozenset({B})
    facts = await found(world, world.project(follow={"revision": B}, metadata={"generation": 2}))
    assert (facts.sha, facts.status()["pinnedSha"], facts.decided_sha) == (B, B, A)
    assert world.github.asked == ["repository", "on_a_branch"]


async def test_a_pin_that_was_checked_is_known_without_a_question() -> None:
    world = World()
    world.github.on_branch = frozenset({B})
    spec: dict[str, Any] = {"follow": {"revision": B}}
    checked = (await found(world, world.project(**spec, metadata={"generation": 2}))).status()
    world.github.asked.clear()
    facts = await found(world, world.project(**spec, source=checked))
    assert (facts.sha, facts.pin_proof, world.github.asked) == (B, checked["pinProof"], [])
    # It is about this commit, this repository and this Project.
    for forged in (
        world.project(follow={"revision": C}, source=checked),
        world.project(**spec, source=checked, metadata={"uid": "another"}),
        world.project(**spec, source={**checked, "pinProof": checked["proof"]}),
        world.project(**spec, source={**checked, "pinProof": None}),
    ):
        world.github.asked.clear()
        world.github.on_branch = frozenset()
        with pytest.raises(Stalled) as refused:
            await found(world, forged)
        assert refused.value.reason is Reason.REVISION_NOT_FOUND
        assert world.github.asked == ["repository", "on_a_branch"]


async def test_without_keys_a_pin_is_asked_about() -> None:
    world = World(keys=None)
    with pytest.raises(Stalled):
        await found(world, world.project(follow={"revision": B}, source={"pinProof": "v1.x"}))


async def test_a_redeploy_that_was_asked_for_before_the_source_was_proven_is_noted_alone() -> None:
    world, asked = World(), {"annotations": {"mooring.dev/redeploy": "now"}, "generation": 2}
    new = world.project(metadata=asked)
    new["status"] = {}
    assert (await found(world, new)).redeploy == "now"
    assert (await found(world, world.project(source={"proof": None}, metadata=asked))).redeploy == "now"
    assert (await found(world, world.project(metadata=asked))).redeploy is None
    assert (await found(world, world.project(source={"redeploy": "old"}, metadata=asked))).redeploy == "old"

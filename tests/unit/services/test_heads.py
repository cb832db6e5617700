"""The services' part of a push: with what a branch is read, what is remembered, and whom a trouble concerns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mooring.domain.comparisons import Comparison
from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.resources.project_status import Trigger
from mooring.ports import Object
from mooring.services.heads import Heads, Look
from mooring.services.sources import AtHand
from mooring.services.store import key_of
from tests.unit.objects import NOW, PAT
from tests.unit.services.followed import AT_HAND, A, B, C, World, parsed

AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
PUSH = {"delivery": "d1", "ref": "refs/heads/main", "sha": B, "before": A}


class Bench(World):
    """A world with heads to look at."""

    def __post_init__(self) -> None:
        """Put it together."""
        super().__post_init__()
        self.heads = Heads(self.platform, self.sources)

    async def look(self, obj: Object, at_hand: AtHand = AT_HAND) -> Look:
        """Look at a Project's branch."""
        facts = await self.sources.find(parsed(obj), obj, at_hand)
        assert facts is not None
        return await self.heads.look(parsed(obj), obj, facts, at_hand)

    async def look_when_due(self, obj: Object) -> Look:
        """Look, wait for quiet time, and look again."""
        first = await self.look(obj)
        assert (first.verdict, first.again) == (None, self.clock.now() + timedelta(seconds=3))
        assert self.github.asked == []
        self.clock.move(3)
        return await self.look(obj)


@pytest.fixture
def bench() -> Bench:
    """Return a GitHub whose branch was moved to B."""
    bench = Bench()
    bench.github.tip = B
    bench.github.comparisons[A, B] = Comparison("ahead", frozenset({"a"}), "Change")
    return bench


async def test_a_push_is_read_once_with_the_project_s_own_credential(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    look = await bench.look_when_due(obj)
    assert bench.github.asked == ["head", "compare"]
    assert bench.github.tokens == {PAT}
    assert look.rolls
    assert (look.facts.sha, look.facts.decided_sha, look.facts.head_sha, look.facts.delivery) == (B, B, B, "d1")
    assert (look.before.sha, look.before.delivery) == (A, None)
    assert look.verdict is not None
    assert (look.verdict.trigger, look.verdict.delivery) == (Trigger.PUSH, "d1")


async def test_a_token_of_another_api_is_sent_nowhere(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    await bench.look(obj)
    bench.clock.move(3)
    assert (await bench.look(obj, AtHand(PAT, "https://github.example.com/api/v3"))).rolls
    assert bench.github.tokens == {None}


async def test_what_was_handled_asks_nothing(bench: Bench) -> None:
    obj = bench.project(push=PUSH, source={"headSha": B, "decidedSha": B, "delivery": "d1"}, revision={"sha": B})
    look = await bench.look(obj)
    assert (look.verdict, look.again, bench.github.asked) == (None, None, [])


async def test_a_decision_that_was_not_stored_is_made_again_without_quiet_time(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    await bench.look_when_due(obj)
    assert (await bench.look(obj)).rolls
    # A newer push came between: quiet time again, and no later than the burst has to end.
    obj["status"]["push"] = {**PUSH, "delivery": "d2"}
    bench.clock.move(11)
    look = await bench.look(obj)
    assert (look.verdict, look.again) == (None, NOW + timedelta(seconds=15))


async def test_a_project_that_is_gone_leaves_nothing(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    await bench.look(obj)
    bench.clock.move(100)
    bench.heads.forget(key_of(obj))
    assert (await bench.look(obj)).again == bench.clock.now() + timedelta(seconds=3)


@pytest.mark.parametrize(
    "trouble", [AWAY, Waiting(Reason.RATE_LIMITED, "Later.", until=NOW + timedelta(hours=1))], ids=["away", "limited"]
)
async def test_a_github_that_is_away_deploys_nothing_and_is_told_of_when_it_lasts(
    bench: Bench, trouble: Transient | Waiting
) -> None:
    obj = bench.project(push=PUSH)
    bench.github.troubles["head"] = trouble
    look = await bench.look_when_due(obj)
    assert (look.verdict, look.delay, look.facts) == (None, trouble, look.before)
    bench.clock.move(57)
    with pytest.raises(type(trouble)):
        await bench.look(obj)
    del bench.github.troubles["head"]
    assert (await bench.look(obj)).rolls


async def test_what_waits_is_timed_from_the_first_look(bench: Bench) -> None:
    obj = bench.project(push=PUSH, spec={"deploy": {"debounce": "0s"}})
    bench.github.troubles["head"] = AWAY
    assert (await bench.look(obj)).delay is AWAY
    bench.clock.move(60)
    with pytest.raises(Transient):
        await bench.look(obj)


async def test_after_an_outage_github_has_its_time_to_show_a_push(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    bench.github.tip = A
    bench.github.troubles["head"] = AWAY
    await bench.look_when_due(obj)
    bench.clock.move(300)
    del bench.github.troubles["head"]
    look = await bench.look(obj)
    assert (look.verdict, look.again) == (None, bench.clock.now() + timedelta(seconds=1))
    bench.clock.move(60)
    look = await bench.look(obj)
    assert look.verdict is not None
    assert (look.rolls, look.facts.delivery) == (False, "d1")


async def test_a_branch_that_is_gone_is_told_of_at_once(bench: Bench) -> None:
    bench.github.troubles["head"] = Stalled(Reason.BRANCH_NOT_FOUND, "No such branch.")
    with pytest.raises(Stalled):
        await bench.look_when_due(bench.project(push=PUSH))


async def test_a_difference_that_github_never_tells_is_none_to_wait_for(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    bench.github.troubles["compare"] = AWAY
    assert (await bench.look_when_due(obj)).delay is AWAY
    bench.clock.move(56)
    assert (await bench.look(obj)).delay is AWAY
    bench.clock.move(1)
    assert (await bench.look(obj)).rolls


async def test_without_a_known_token_nobody_is_asked(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    await bench.look(obj)
    bench.clock.move(3)
    look = await bench.look(obj, AtHand(undecided=AWAY))
    assert (look.delay, bench.github.asked) == (AWAY, [])


# --- the second look ---


async def test_a_new_proof_leads_to_another_look(bench: Bench) -> None:
    bench.github.tip = A
    obj = bench.project(source={"proof": "v1.old"})
    first = await bench.look(obj)
    assert (first.verdict, first.again) == (None, NOW + timedelta(seconds=5))
    assert first.facts.proof not in (None, "v1.old")
    obj["status"]["source"]["proof"] = first.facts.proof
    bench.github.tip, bench.github.asked = B, []
    bench.clock.move(4.9)
    assert (await bench.look(obj)).again == NOW + timedelta(seconds=5)
    assert bench.github.asked == []
    bench.clock.move(0.1)
    second = await bench.look(obj)
    assert second.verdict is not None
    last = NOW + timedelta(seconds=180)
    assert (second.verdict.trigger, second.again, bench.github.asked) == (Trigger.POLL, last, ["head", "compare"])
    obj["status"]["source"] |= {"headSha": B, "decidedSha": B, "readAt": second.facts.read_at}
    obj["status"]["revision"]["sha"] = B
    assert await bench.look(obj) == Look(second.facts, second.facts, None, again=last)
    assert bench.github.asked == ["head", "compare"]
    # By then every gateway knows the proof.
    bench.github.tip, bench.github.comparisons[B, C] = C, Comparison("ahead", frozenset({"a"}), "Change")
    bench.clock.move(174.9)
    assert not (await bench.look(obj)).rolls
    bench.clock.move(0.1)
    third = await bench.look(obj)
    assert (third.rolls, third.again) == (True, None)
    obj["status"]["source"] |= {"headSha": C, "decidedSha": C}
    obj["status"]["revision"]["sha"] = C
    assert (await bench.look(obj)).again is None
    assert bench.github.asked == ["head", "compare"] * 2


@pytest.mark.parametrize("seconds", [0, 179, 180, 100_000, -60])
async def test_a_restart_forgets_no_look(bench: Bench, seconds: int) -> None:
    obj = bench.project(source={"provenAt": timestamp(NOW - timedelta(seconds=seconds))})
    look = await bench.look(obj)
    if not 0 <= seconds < 180:
        assert (look.again, bench.github.asked) == (None, [])
        return
    assert look.again is not None
    assert timedelta(0) < look.again - NOW <= timedelta(seconds=10)
    assert bench.github.asked == []
    bench.clock.move(10)
    look = await bench.look(obj)
    obj["status"]["source"] |= {"headSha": B, "decidedSha": B}
    obj["status"]["revision"]["sha"] = B
    assert (look.rolls, look.again is None) == (True, seconds == 179)
    # What was once planned is not planned again.
    bench.clock.move(180)
    await bench.look(obj)
    assert (await bench.look(obj)).again is None
    assert bench.github.asked.count("head") == (1 if seconds == 179 else 2)
    bench.clock.move(1)
    assert (await bench.look(obj)).again is None


@pytest.mark.parametrize("at", [None, "2026-01-01T00:00:00"])
async def test_without_a_time_a_start_asks_nothing(bench: Bench, at: str | None) -> None:
    look = await bench.look(bench.project(source={"provenAt": at}))
    assert (look.again, bench.github.asked) == (None, [])


async def test_a_look_whose_verdict_was_not_stored_is_taken_again(bench: Bench) -> None:
    bench.github.tip = A
    obj = bench.project(source={"proof": "v1.old"})
    obj["status"]["source"]["proof"] = (await bench.look(obj)).facts.proof
    bench.github.tip = B
    bench.clock.move(5)
    for _ in range(2):
        assert (await bench.look(obj)).rolls
        bench.clock.move(0.2)


async def test_a_spec_that_was_changed_and_changed_back_leads_to_another_look(bench: Bench) -> None:
    """In between, pushes to the branch were told that nobody follows it; the proof is the same as before."""
    obj = bench.project(follow={"branch": "main"}, metadata={"generation": 3})
    first = await bench.look(obj)
    assert first.facts.proof == obj["status"]["source"]["proof"]
    assert (first.verdict, first.again) == (None, NOW + timedelta(seconds=5))
    obj["status"]["conditions"][0]["observedGeneration"] = 3
    bench.clock.move(5)
    assert (await bench.look(obj)).rolls


async def test_a_spec_that_changes_again_is_looked_at_again_and_keeps_the_last_look(bench: Bench) -> None:
    bench.github.tip = A
    obj = bench.project(source={"proof": "v1.old"})
    obj["status"]["source"]["proof"] = (await bench.look(obj)).facts.proof
    bench.clock.move(100)
    await bench.look(obj)
    for generation in (3, 4):
        obj["metadata"]["generation"] = generation
        assert (await bench.look(obj)).again == bench.clock.now() + timedelta(seconds=5)
        obj["status"]["conditions"][0]["observedGeneration"] = generation
        bench.clock.move(5)
        assert (await bench.look(obj)).again == NOW + timedelta(seconds=180)
    assert bench.github.asked.count("head") == 3


async def test_a_source_that_is_proven_in_every_run_is_not_looked_at_for_ever(bench: Bench) -> None:
    bench.github.tip = A
    obj = bench.project(metadata={"generation": 3})
    for _ in range(50):
        again = (await bench.look(obj)).again
        bench.clock.move(5)
    assert again is None
    assert bench.github.asked.count("head") == 1


# --- what a sweep found ---


async def test_what_a_sweep_found_is_read_until_it_is_stored(bench: Bench) -> None:
    obj, pushed = bench.project(), NOW - timedelta(seconds=90)
    assert (await bench.look(obj)).verdict is None
    bench.heads.look_now(key_of(obj), pushed)
    for _ in range(2):
        look = await bench.look(obj)
        assert look.verdict is not None
        assert (look.verdict.trigger, look.verdict.delivery) == (Trigger.POLL, None)
        assert (look.missed, look.pushed_at, look.read_at) == (True, pushed, bench.clock.now())
        bench.clock.move(1)
    obj["status"]["source"] |= {"headSha": B, "decidedSha": B}
    obj["status"]["revision"]["sha"] = B
    bench.github.asked = []
    assert ((await bench.look(obj)).verdict, bench.github.asked) == (None, [])


async def test_a_late_delivery_of_what_a_sweep_found_rolls_nothing(bench: Bench) -> None:
    obj = bench.project(source={"headSha": B, "decidedSha": B}, revision={"sha": B}, push=PUSH)
    look = await bench.look_when_due(obj)
    assert look.verdict is not None
    assert (look.rolls, look.missed, look.facts.delivery) == (False, False, "d1")


async def test_a_sweep_cuts_no_burst_short(bench: Bench) -> None:
    obj = bench.project(push=PUSH)
    bench.heads.look_now(key_of(obj), NOW)
    look = await bench.look_when_due(obj)
    # The push had the branch read, and that is what the sweep asked for.
    assert look.verdict is not None
    assert (look.verdict.trigger, look.verdict.delivery, look.missed) == (Trigger.PUSH, "d1", False)
    obj["status"]["source"] |= {"headSha": B, "decidedSha": B, "delivery": "d1"}
    obj["status"]["revision"]["sha"] = B
    bench.github.asked = []
    await bench.look(obj)
    assert bench.github.asked == []


async def test_a_new_proof_cuts_no_burst_short(bench: Bench) -> None:
    obj = bench.project(push=PUSH, source={"proof": "v1.old"}, spec={"deploy": {"debounce": "30s"}})
    await bench.look(obj)
    bench.clock.move(29.9)
    look = await bench.look(obj)
    assert (look.verdict, look.again) == (None, NOW + timedelta(seconds=30))
    assert "head" not in bench.github.asked
    bench.clock.move(0.1)
    look = await bench.look(obj)
    assert look.verdict is not None
    assert (look.verdict.trigger, look.verdict.delivery) == (Trigger.PUSH, "d1")
    obj["status"]["source"] |= {"proof": look.facts.proof, "headSha": B, "decidedSha": B, "delivery": "d1"}
    obj["status"]["revision"]["sha"] = B
    # The push had the branch read, and that is what the first look was for; the last one stays.
    bench.github.asked = []
    assert (await bench.look(obj)).again == NOW + timedelta(seconds=180)
    assert "head" not in bench.github.asked


async def test_what_is_stored_without_a_look_leaves_a_sweep_s_question(bench: Bench) -> None:
    obj = bench.project(push=PUSH, source={"redeploy": "once"})
    bench.heads.look_now(key_of(obj), NOW)
    assert (await bench.look(obj)).verdict is not None
    assert bench.github.asked == []
    del obj["status"]["source"]["redeploy"], obj["status"]["push"]
    await bench.look(obj)
    assert bench.github.asked == ["head", "compare"]


async def test_a_sweep_that_found_another_branch_s_push_changes_nothing(bench: Bench) -> None:
    bench.github.tip = A
    obj = bench.project(source={"readAt": "2026-02-01T00:00:00Z"})
    bench.heads.look_now(key_of(obj), NOW)
    look = await bench.look(obj)
    assert (look.facts, look.facts.read_at, look.read_at) == (look.before, "2026-02-01T00:00:00Z", NOW)
    assert (look.rolls, look.missed) == (False, False)
    bench.github.asked = []
    await bench.look(obj)
    assert bench.github.asked == []


async def test_a_project_that_is_gone_is_not_looked_for(bench: Bench) -> None:
    obj = bench.project()
    bench.heads.look_now(key_of(obj), NOW)
    bench.heads.forget(key_of(obj))
    assert ((await bench.look(obj)).verdict, bench.github.asked) == (None, [])


async def test_a_commit_that_waits_for_a_word_was_missed_as_well(bench: Bench) -> None:
    obj = bench.project(spec={"deploy": {"auto": False}})
    bench.heads.look_now(key_of(obj), None)
    look = await bench.look(obj)
    assert (look.missed, look.rolls, look.pending is not None) == (True, False, True)


async def test_the_time_of_a_read_is_github_s_before_it_and_comes_with_a_decision(bench: Bench) -> None:
    bench.github.ahead, bench.github.takes = timedelta(seconds=100), 7.0
    obj = bench.project(push=PUSH)
    look = await bench.look_when_due(obj)
    before = NOW + timedelta(seconds=3 + 100)
    assert (look.read_at, look.facts.read_at) == (before, timestamp(before))
    assert look.facts.time_of_read() == before
    assert look.facts.status()["readAt"] == timestamp(before)


async def test_without_keys_there_is_no_proof_and_no_second_look() -> None:
    bench = Bench(keys=None)
    obj = bench.project()
    obj["status"]["conditions"] = []
    look = await bench.look(obj)
    assert (look.facts.proof, look.again) == (None, None)

"""What a run gathered: a head that is not rolled out is not decided on, and people are told of what rolls nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import Happened, Reason
from mooring.domain.redeploys import Pending, State, Verdict
from mooring.domain.resources.project_status import Trigger
from mooring.domain.tokens import Resolution
from mooring.services.heads import Look
from mooring.services.seen import Seen
from tests.unit.objects import NOW
from tests.unit.services.followed import A, B, World, parsed

FACTS = SourceFacts("GitHub", "acme/shop", "https://github.com/acme/shop.git", "main", A, A, 7, deployed_sha=A)
NEW = replace(FACTS, decided_sha=B, head_sha=B, deployed_sha=B, delivery="d1")
STATE = State(head=B, decided=B, deployed=B, delivery="d1")


def seen(look: Look | None, **changes: Any) -> Seen:
    obj = World().project(**changes)
    return Seen(obj, parsed(obj), Resolution("none", Reason.NO_TOKEN, "None."), source=FACTS, look=look)


ROLLS = Look(FACTS, NEW, None, Verdict(STATE, Trigger.PUSH, "d1"))


@pytest.mark.parametrize(
    ("reason", "known_until", "again"),
    [
        (Reason.REPOSITORY_NOT_FOUND, NOW + timedelta(seconds=2), NOW + timedelta(seconds=2)),
        (Reason.REPOSITORY_NOT_FOUND, None, None),
        (Reason.TOKEN_INVALID, NOW + timedelta(seconds=10), None),
    ],
)
def test_what_is_remembered_to_be_missing_is_looked_at_once_more(
    reason: Reason, known_until: datetime | None, again: datetime | None
) -> None:
    """It may have been put back a moment ago, and who told of that was answered from memory."""
    run = seen(None)
    run.source_trouble = trouble = Stalled(reason, "m")
    trouble.known_until = known_until
    run.look_behind_memory()
    assert run.again == again


def test_a_commit_that_is_rolled_out_is_decided_on() -> None:
    run = seen(ROLLS)
    run.adopt(carried_out=True)
    assert (run.source, run.held) == (NEW, False)


def test_a_commit_that_cannot_be_rolled_out_is_left_for_the_next_run() -> None:
    waits = {"sha": A, "since": "2026-01-01T00:00:00Z"}
    run = seen(ROLLS, pending=waits)
    run.adopt(carried_out=False)
    assert (run.source, run.held) == (FACTS, False)
    assert run.pending is not None
    assert run.pending.sha == A
    assert list(run.tidings(None)) == []


def test_what_rolls_nothing_is_noted_whatever_else_is_in_the_way() -> None:
    noted = replace(FACTS, head_sha=B, decided_sha=B, delivery="d1")
    run = seen(Look(FACTS, noted, None, Verdict(replace(STATE, deployed=A), skipped="no path")))
    run.adopt(carried_out=False)
    assert (run.source, run.held) == (noted, False)


def test_another_source_is_not_told_of_before_it_can_be_followed() -> None:
    other = replace(FACTS, branch="next", decided_sha=B, deployed_sha=B)
    for carried_out in (True, False):
        run = seen(Look(other, other, None))
        run.source = other
        run.adopt(carried_out=carried_out)
        assert run.held is not carried_out
    # Where nothing was ever rolled out, there is nothing to be mixed up with.
    first = seen(Look(other, other, None), revision=None)
    first.source = other
    first.adopt(carried_out=False)
    assert not first.held


@pytest.mark.parametrize(
    ("verdict", "pending", "waited", "told"),
    [
        (Verdict(STATE, Trigger.PUSH, "d1"), None, None, []),
        (Verdict(STATE), None, None, []),
        (Verdict(STATE, skipped="no path"), None, None, [(Happened.PUSH_SKIPPED, "no path")]),
        (Verdict(STATE), Pending(B, "d1", NOW), None, [(Happened.PUSH_WAITS, "mooring.dev/redeploy")]),
        (Verdict(STATE), Pending(B, "d1", NOW), A, [(Happened.PUSH_WAITS, "mooring.dev/redeploy")]),
        (Verdict(STATE), Pending(B, "d1", NOW), B, []),
    ],
)
def test_what_people_are_told(
    verdict: Verdict, pending: Pending | None, waited: str | None, told: list[tuple[Happened, str]]
) -> None:
    run = seen(Look(FACTS, NEW, pending, verdict))
    run.adopt(carried_out=True)
    found = list(run.tidings(waited))
    assert [happened for happened, _ in found] == [happened for happened, _ in told]
    for (_, message), (_, part) in zip(found, told, strict=True):
        assert part in message
        assert B[:7] in message
        assert "d1" in message


FOUND = State(head=B, decided=B, deployed=B, delivery=None)


@pytest.mark.parametrize(
    ("verdict", "push", "overtaken"),
    [
        (Verdict(FOUND, Trigger.POLL), "d2", True),
        (Verdict(FOUND, skipped="no path"), "d2", True),
        (Verdict(replace(FOUND, delivery="d0"), Trigger.POLL), "d2", False),  # it is about a push that was recorded
        (Verdict(FOUND, Trigger.MANUAL), "d2", False),  # somebody's word
        (Verdict(FOUND, Trigger.POLL), "d0", False),
        (Verdict(replace(FOUND, head=A)), "d2", False),  # nothing was found, or it is stored already
        (None, "d2", False),
    ],
)
def test_a_push_that_comes_while_the_branch_is_read_decides(
    verdict: Verdict | None, push: str, *, overtaken: bool
) -> None:
    run = seen(Look(FACTS, NEW, None, verdict), push={"delivery": "d0"})
    newer = World().project(push={"delivery": push})
    assert run.overtaken(newer) is overtaken


def test_the_soonest_moment_counts() -> None:
    run = seen(None)
    run.look_at(None)
    assert run.again is None
    for seconds, wanted in ((5, 5), (9, 5), (1, 1)):
        run.look_at(NOW + timedelta(seconds=seconds))
        assert run.again == NOW + timedelta(seconds=wanted)


AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "Away.")
LATER = Waiting(Reason.RATE_LIMITED, "Later.", until=NOW + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("again", "troubles", "pressing"),
    [
        (None, (), None),
        (None, (AWAY,), AWAY),
        (None, (Stalled(Reason.INVALID_SPEC, "No."),), None),
        # Another run is near, and sees to it.
        (3, (AWAY,), None),
        # A look that is planned for later does not keep from trying sooner.
        (180, (AWAY,), AWAY),
        (180, (LATER, AWAY), LATER),
        (3, (LATER, AWAY), None),
        (30, (LATER, AWAY), AWAY),
    ],
)
def test_a_trouble_that_may_pass_waits_for_no_far_off_look(
    again: int | None, troubles: tuple[Trouble, ...], pressing: Trouble | None
) -> None:
    run = seen(None)
    run.again = NOW + timedelta(seconds=again) if again is not None else None
    run.trouble, run.source_trouble = (*troubles, None, None)[:2]
    assert run.pressing(NOW) is pressing

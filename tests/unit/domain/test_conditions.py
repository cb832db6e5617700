"""Conditions: their times, their order, and that Ready, Reconciling and Stalled always agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mooring.domain.conditions import Wanted, merge, verdict
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.events import transitions
from mooring.domain.reasons import ConditionType, Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
READY = Wanted(ConditionType.READY, True, Reason.READY, "fine")


def test_a_condition_that_says_the_same_is_the_same() -> None:
    first = merge([], [READY], generation=1, now=NOW)
    assert merge(first, [READY], generation=1, now=LATER) == first


def test_the_time_moves_with_the_status_only() -> None:
    first = merge([], [READY], generation=1, now=NOW)
    reworded = merge(first, [Wanted(ConditionType.READY, True, Reason.READY, "better")], generation=1, now=LATER)
    assert reworded[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert reworded[0]["message"] == "better"
    turned = merge(first, [Wanted(ConditionType.READY, False, Reason.PROGRESSING, "on it")], generation=2, now=LATER)
    assert turned[0]["lastTransitionTime"] == "2026-01-01T00:05:00Z"
    assert turned[0]["observedGeneration"] == 2


def test_a_stranger_s_condition_stays_and_one_of_ours_that_is_not_wanted_goes() -> None:
    known = [{"type": "Theirs", "status": "True"}, {"type": "Deployed", "status": "True"}]
    assert [c["type"] for c in merge(known, [READY], generation=1, now=NOW)] == ["Ready", "Theirs"]


def test_a_long_message_is_cut_to_the_schema_s_bound() -> None:
    merged = merge([], [Wanted(ConditionType.READY, False, Reason.INVALID_SPEC, "x" * 5000)], generation=1, now=NOW)
    assert len(merged[0]["message"]) == 2048


@pytest.mark.parametrize(
    ("trouble", "suspended", "progressing", "ready", "reconciling", "stalled"),
    [
        (Stalled(Reason.SECRET_NOT_FOUND, "m"), False, None, False, False, True),
        (Stalled(Reason.SECRET_NOT_FOUND, "m"), True, None, False, False, True),
        (Waiting(Reason.RATE_LIMITED, "m", until=NOW), False, None, False, True, False),
        (Transient(Reason.GITHUB_UNAVAILABLE, "m"), False, "p", False, True, False),
        (None, True, "p", True, False, False),
        (None, False, "p", False, True, False),
        (None, False, None, True, False, False),
    ],
)
def test_ready_reconciling_and_stalled_agree(
    trouble: Trouble | None, suspended: bool, progressing: str | None, ready: bool, reconciling: bool, stalled: bool
) -> None:
    found = {w.type: w.status for w in verdict(trouble, suspended=suspended, progressing=progressing, ready="r")}
    assert found == {
        ConditionType.READY: ready, ConditionType.RECONCILING: reconciling, ConditionType.STALLED: stalled,
    }  # fmt: skip


def test_an_event_is_told_for_a_transition_and_not_for_new_words() -> None:
    before = merge([], [READY], generation=1, now=NOW)
    reworded = merge(before, [Wanted(ConditionType.READY, True, Reason.READY, "new words")], generation=1, now=NOW)
    assert transitions(before, reworded) == []
    broken = merge(before, [Wanted(ConditionType.READY, False, Reason.TOKEN_EXPIRED, "dead")], generation=1, now=NOW)
    told = transitions(before, broken)
    assert [(t.warning, t.reason, t.message) for t in told] == [(True, "TokenExpired", "dead")]


def test_the_same_words_are_told_once() -> None:
    wanted = [
        Wanted(ConditionType.READY, False, Reason.TOKEN_EXPIRED, "dead"),
        Wanted(ConditionType.TOKEN_RESOLVED, False, Reason.TOKEN_EXPIRED, "dead"),
    ]
    assert len(transitions([], merge([], wanted, generation=1, now=NOW))) == 1

"""When a branch is read after a push, and what each head leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mooring.domain import names
from mooring.domain.comparisons import SKIP_TOKENS, Comparison, Filter
from mooring.domain.redeploys import (
    Compare,
    Pending,
    Push,
    ReadHead,
    State,
    Step,
    Wait,
    Wish,
    after_lag,
    course,
    due_at,
    noticed,
    pending_field,
    pending_of,
    unhandled,
    wish_of,
)
from mooring.domain.resources.project_status import Trigger
from mooring.domain.status import without_nothing
from tests.unit.objects import project

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
A, B, C = "a" * 40, "b" * 40, "c" * 40
STATE = State(head=A, decided=A, deployed=A, delivery="d0")
WISH = Wish()
PUSH = Push("d1", "refs/heads/main", B, A)
# Quiet for long enough.
QUIET = Wait("d1", NOW - timedelta(seconds=10), NOW - timedelta(seconds=10))
CHANGED = Comparison("ahead", frozenset({"src/a"}), "Change")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def take(
    state: State = STATE,
    wish: Wish = WISH,
    push: Push | None = PUSH,
    wait: Wait | None = QUIET,
    *,
    head: str = B,
    compared: Mapping[tuple[str, str], Comparison | None] | None = None,
    look_again: datetime | None = None,
    now: datetime = NOW,
) -> tuple[Step, list[object]]:
    """Go the whole way; return where it ends, and what was asked on it."""
    known = {(A, B): CHANGED, **(compared or {})}
    asked: list[object] = []
    way = course(state, wish, push, wait, look_again=look_again, now=now)
    answer: Any = None
    while True:
        try:
            question = way.send(answer)
        except StopIteration as done:
            return done.value, asked
        asked.append(question)
        answer = head if isinstance(question, ReadHead) else known[question.base, question.head]


def decided(*args: Any, **more: Any) -> Any:
    step, _ = take(*args, **more)
    assert step.verdict is not None
    return step.verdict


# --- when ---


@pytest.mark.parametrize(
    ("push", "source", "found"),
    [
        ({"delivery": "d1", "ref": "refs/heads/main", "sha": B, "before": A}, {"delivery": "d0"}, PUSH),
        ({"delivery": "d1", "ref": "refs/heads/main", "sha": B, "before": A}, None, PUSH),
        ({"delivery": "d1", "ref": "refs/heads/main", "sha": B, "before": A}, {"delivery": "d1"}, None),
        ({"delivery": "d1", "ref": "refs/heads/other", "sha": B}, {"delivery": "d0"}, None),
        ({"delivery": "d1", "ref": "refs/tags/main", "sha": B}, {"delivery": "d0"}, None),
        ({"delivery": "d1", "ref": "refs/heads/main"}, {}, Push("d1", "refs/heads/main", "", "")),
        ({}, {"delivery": "d0"}, None),
        (None, None, None),
    ],
)
def test_a_push_is_unhandled_until_its_delivery_is_noted(push: Any, source: Any, found: Push | None) -> None:
    assert unhandled({"push": push, "source": source}, "main") == found


def test_nothing_is_asked_before_it_was_quiet() -> None:
    step, asked = take(wait=None)
    assert asked == []
    assert step == Step(Wait("d1", NOW, NOW), NOW + seconds(3))
    almost = Wait("d1", NOW - seconds(2.9), NOW - seconds(2.9))
    assert take(wait=almost)[1] == []
    assert take(wait=Wait("d1", NOW - seconds(3), NOW - seconds(3)))[1] == [ReadHead(), Compare(A, B)]


def test_a_burst_is_waited_for_but_not_for_ever() -> None:
    wait = noticed(None, PUSH, NOW, handled="d0")
    at = NOW
    for number in range(2, 12):
        assert due_at(wait, seconds(3)) == min(at + seconds(3), NOW + seconds(15))
        at = NOW + seconds(2 * (number - 1))
        wait = noticed(wait, replace(PUSH, delivery=f"d{number}"), at, handled="d0")
    assert wait == Wait("d11", NOW, at)
    assert due_at(wait, seconds(3)) == NOW + seconds(15)
    # The same one again is no other.
    assert noticed(wait, replace(PUSH, delivery="d11"), at + seconds(1), handled="d0") == wait


def test_the_next_burst_begins_when_the_last_one_was_stored() -> None:
    before = Wait("d1", NOW - seconds(100), NOW - seconds(90))
    # Decided on and not stored, as somebody else wrote first: the burst goes on, so its end does not move.
    assert noticed(before, replace(PUSH, delivery="d2"), NOW, handled="d0").first == before.first
    assert noticed(before, replace(PUSH, delivery="d2"), NOW, handled="d1") == Wait("d2", NOW, NOW)


def test_what_was_decided_on_is_remembered_until_it_is_stored() -> None:
    step, _ = take()
    assert (step.wait, step.again) == (QUIET, None)


# --- lag ---

BEHIND = Comparison("behind", frozenset(), None)
DIVERGED = Comparison("diverged", frozenset(), "m")


@pytest.mark.parametrize(
    ("head", "compared", "lags"),
    [
        (B, {}, False),
        (A, {}, True),
        # The push is ahead of what is shown, or nothing is known of it yet.
        (C, {(C, B): CHANGED}, True),
        (C, {(C, B): None}, True),
        # Moved by force: if not by this push, then by one that is on its way.
        (C, {(C, B): DIVERGED}, True),
        # The head is further than the push.
        (C, {(C, B): BEHIND, (C, A): BEHIND, (A, C): CHANGED}, False),
        (C, {(C, B): BEHIND, (C, A): None, (A, C): CHANGED}, False),
        # The push took the branch back from where it is not shown yet.
        (C, {(C, B): BEHIND, (C, A): CHANGED}, True),
    ],
)
def test_a_github_that_lags_is_asked_again(
    head: str, compared: dict[tuple[str, str], Comparison | None], lags: bool
) -> None:
    step, asked = take(head=head, compared=compared)
    assert (step.verdict is None) is lags
    # The head and what the payload says are enough in most cases.
    assert asked[1:] == [Compare(*pair) for pair in compared] if head == C else asked[1:] in ([], [Compare(A, B)])
    assert head != A or asked == [ReadHead()]
    if lags:
        assert step.wait is not None
        assert (step.wait.lags, step.again) == (1, NOW + seconds(1))


@pytest.mark.parametrize("sha", ["", "0" * 40, "main", "B" * 40])
def test_a_push_that_names_no_commit_claims_nothing(sha: str) -> None:
    _, asked = take(push=replace(PUSH, sha=sha), head=A)
    assert asked == [ReadHead()]


def test_github_has_a_minute_and_then_shows_the_truth() -> None:
    wait: Wait | None = Wait("d1", NOW, NOW)
    now = NOW + seconds(3)
    pauses: list[float] = []
    while wait is not None and len(pauses) < 20:
        later = after_lag(wait, now)
        if later is not None:
            assert later.until is not None
            pauses.append((later.until - now).total_seconds())
            now = later.until
        wait = later
    assert pauses == [1, 2, 4, 8, 16, 29]
    # A minute from its first answer, which may come long after the push.
    assert now == NOW + seconds(63)
    late = after_lag(Wait("d1", NOW, NOW), NOW + seconds(600))
    assert late is not None
    assert late.shown == NOW + seconds(600)
    old = Wait("d1", NOW - seconds(70), NOW - seconds(70), lags=6, until=NOW, shown=NOW - seconds(60))
    verdict = decided(wait=old, head=A)
    assert (verdict.state.delivery, verdict.trigger) == ("d1", None)


def test_a_newer_push_begins_its_own_minute() -> None:
    lagging = Wait("d1", NOW - seconds(50), NOW - seconds(50), lags=5, until=NOW + seconds(10), shown=NOW)
    newer = noticed(lagging, replace(PUSH, delivery="d2"), NOW, handled="d0")
    assert (newer.lags, newer.until, newer.shown) == (0, None, None)


# --- what ---


def test_a_new_head_is_deployed_with_its_delivery() -> None:
    verdict = decided()
    assert verdict.state == State(head=B, decided=B, deployed=B, delivery="d1")
    assert (verdict.trigger, verdict.delivery) == (Trigger.PUSH, "d1")


def test_there_and_back_again_is_noted_and_nothing_else() -> None:
    step, asked = take(push=Push("d2", "refs/heads/main", A, B), wait=replace(QUIET, delivery="d2"), head=A)
    assert step.verdict is not None
    assert (step.verdict.state, step.verdict.trigger) == (replace(STATE, delivery="d2"), None)
    assert asked == [ReadHead()]


def test_back_to_what_runs_after_a_push_that_was_passed_over() -> None:
    passed = State(head=B, decided=B, deployed=A, delivery="d0")
    verdict = decided(passed, push=Push("d1", "refs/heads/main", A, B), head=A)
    assert (verdict.state, verdict.trigger) == (State(head=A, decided=A, deployed=A, delivery="d1"), None)


def test_what_is_passed_over_is_decided_on_and_does_not_run() -> None:
    verdict = decided(compared={(A, B): Comparison("ahead", frozenset(), "[skip ci]")})
    assert verdict.state == State(head=B, decided=B, deployed=A, delivery="d1")
    assert (verdict.trigger, verdict.skipped) == (None, "the commit's message has [skip ci]")


def test_what_was_passed_over_is_not_deployed_when_it_is_told_of_again() -> None:
    passed = State(head=B, decided=B, deployed=A, delivery="d0")
    step, asked = take(passed)
    assert asked == [ReadHead()]
    assert step.verdict is not None
    assert (step.verdict.state, step.verdict.trigger) == (replace(passed, delivery="d1"), None)


def test_what_cannot_be_compared_is_deployed() -> None:
    assert decided(compared={(A, B): None}).trigger is Trigger.PUSH


def test_nothing_is_compared_where_nothing_can_be_skipped() -> None:
    wish = Wish(filter=Filter(skip_tokens=()))
    step, asked = take(wish=wish)
    assert asked == [ReadHead()]
    assert step.verdict is not None
    assert step.verdict.trigger is Trigger.PUSH


def test_a_pinned_project_notes_the_head() -> None:
    step, asked = take(wish=Wish(pinned=True))
    assert step.verdict is not None
    assert step.verdict.state == replace(STATE, head=B, delivery="d1")
    assert step.verdict.trigger is None
    assert asked == [ReadHead()]
    # A person is told of what the pin keeps away: once, and of nothing else.
    assert "spec.source.revision" in str(step.verdict.skipped)
    assert decided(wish=Wish(pinned=True), push=Push("d1", "refs/heads/main", A, B), head=A).skipped is None
    assert decided(replace(STATE, head=B), Wish(pinned=True)).skipped is None
    assert decided(wish=Wish(pinned=True), push=None, wait=None, look_again=NOW).skipped is None


# --- a person's word ---


def test_without_auto_a_push_waits() -> None:
    step, asked = take(wish=Wish(auto=False))
    assert asked == [ReadHead()]
    assert step.verdict is not None
    pending = Pending(B, "d1", NOW)
    assert step.verdict.state == replace(STATE, head=B, delivery="d1", pending=pending)
    assert step.verdict.trigger is None
    # The same commit again waits since it was first seen; another one since now; one that was taken back, no more.
    waiting = replace(STATE, head=B, delivery="d1", pending=pending)
    later = NOW + seconds(100)
    again = replace(PUSH, delivery="d2")
    quiet = Wait("d2", NOW, NOW)
    found = decided(waiting, Wish(auto=False), again, quiet, now=later)
    assert found.state.pending == Pending(B, "d2", NOW)
    found = decided(waiting, Wish(auto=False), replace(again, sha=C), quiet, head=C, now=later)
    assert found.state.pending == Pending(C, "d2", later)
    found = decided(waiting, Wish(auto=False), replace(again, sha=A), quiet, head=A, now=later)
    assert found.state.pending is None


WAITING = replace(STATE, head=B, delivery="d1", pending=Pending(B, "d1", NOW))


def test_the_annotation_deploys_the_head_at_once() -> None:
    step, asked = take(WAITING, Wish(auto=False, redeploy="now"), None, None)
    assert asked == [ReadHead()]
    assert step.verdict is not None
    assert (step.verdict.trigger, step.verdict.delivery) == (Trigger.MANUAL, "d1")
    assert step.verdict.state == State(head=B, decided=B, deployed=B, delivery="d1", redeploy="now")
    # Noted: it asks for nothing any more, until it is another one.
    assert take(step.verdict.state, Wish(auto=False, redeploy="now"), None, None) == (Step(), [])
    assert take(step.verdict.state, Wish(auto=False, redeploy="2"), None, None)[1] == [ReadHead()]


def test_the_annotation_deploys_what_was_passed_over() -> None:
    passed = State(head=B, decided=B, deployed=A, delivery="d1")
    verdict = decided(passed, Wish(redeploy="now"), None, None)
    assert (verdict.trigger, verdict.state.deployed) == (Trigger.MANUAL, B)


def test_the_annotation_changes_nothing_where_the_head_runs_or_a_commit_is_pinned() -> None:
    for wish, head in ((Wish(redeploy="now"), A), (Wish(redeploy="now", pinned=True), B)):
        verdict = decided(STATE, wish, None, None, head=head)
        assert (verdict.trigger, verdict.state.redeploy, verdict.state.deployed) == (None, "now", A)


def test_the_annotation_does_not_answer_for_a_push_that_github_does_not_show() -> None:
    step, _ = take(STATE, Wish(redeploy="now"), PUSH, QUIET, head=A)
    assert step.verdict is not None
    assert (step.verdict.state.delivery, step.verdict.state.redeploy) == ("d0", "now")
    assert (step.wait, step.again) == (QUIET, QUIET.last + seconds(3))
    shown, _ = take(STATE, Wish(redeploy="now"), PUSH, QUIET, head=B)
    assert shown.verdict is not None
    assert (shown.verdict.state.delivery, shown.verdict.delivery) == ("d1", "d1")


def test_an_annotation_that_is_taken_away_may_come_again() -> None:
    noted = replace(STATE, redeploy="now")
    step, asked = take(noted, Wish(), None, None)
    assert asked == []
    assert step.verdict is not None
    assert (step.verdict.state, step.verdict.trigger) == (STATE, None)


def test_what_waits_is_deployed_when_nobody_s_word_is_asked_for_any_more() -> None:
    verdict = decided(WAITING, Wish(), None, None)
    assert (verdict.trigger, verdict.delivery, verdict.state.pending) == (Trigger.PUSH, "d1", None)
    # It is held to what any push is held to; and where a commit is pinned, nothing waits.
    skipped = decided(WAITING, Wish(), None, None, compared={(A, B): Comparison("ahead", None, "[skip ci]")})
    assert (skipped.trigger, skipped.state.pending, skipped.state.decided) == (None, None, B)
    step, asked = take(WAITING, Wish(pinned=True), None, None)
    assert asked == []
    assert step.verdict is not None
    assert step.verdict.state == replace(WAITING, pending=None)


# --- the second look ---


def test_a_branch_is_read_once_more_after_a_proof() -> None:
    soon = NOW + seconds(5)
    assert take(push=None, wait=None, look_again=soon) == (Step(None, soon), [])
    step, asked = take(push=None, wait=None, look_again=NOW)
    assert asked == [ReadHead(), Compare(A, B)]
    assert step.verdict is not None
    assert (step.verdict.trigger, step.verdict.delivery, step.again) == (Trigger.POLL, None, None)
    nothing = decided(push=None, wait=None, look_again=NOW, head=A)
    assert (nothing.state, nothing.trigger) == (STATE, None)


def test_the_sooner_of_two_moments_counts() -> None:
    step, _ = take(wait=None, look_again=NOW + seconds(1))
    assert step.again == NOW + seconds(1)
    step, _ = take(wait=None, look_again=NOW + seconds(5))
    assert step.again == NOW + seconds(3)


# --- what is written and read ---


def test_what_waits_is_read_back() -> None:
    pending = Pending(B, "d1", NOW)
    field = pending_field(pending)
    assert field is not None
    assert field == {**field, "shortSha": B[:7], "reason": "ManualDeploy"}
    assert pending_of({"pending": without_nothing(field)}) == pending
    assert pending_field(None) is None
    assert pending_of({}) is None
    assert pending_of({"pending": {"sha": B, "since": "yesterday"}}) is None


@pytest.mark.parametrize(
    ("deploy", "wish"),
    [
        ({}, Wish()),
        ({"auto": True}, Wish()),
        ({"auto": False}, Wish(auto=False)),
        ({"debounce": "500ms"}, Wish(debounce=seconds(0.5))),
        ({"debounce": "10m"}, Wish(debounce=seconds(600))),
        ({"debounce": "0s"}, Wish(debounce=seconds(0))),
        ({"skipTokens": []}, Wish(filter=Filter(skip_tokens=()))),
        ({"skipTokens": ["[x]"]}, Wish(filter=Filter(skip_tokens=("[x]",)))),
    ],
)
def test_what_the_spec_says_of_pushes(deploy: dict[str, Any], wish: Wish) -> None:
    assert wish_of(project(spec={"deploy": deploy})) == wish
    assert Filter().skip_tokens == SKIP_TOKENS


def test_what_the_source_says_of_pushes() -> None:
    source = {"github": {"repository": "acme/shop"}, "include": ["a"], "exclude": ["b"], "revision": A}
    annotations = {names.REDEPLOY_ANNOTATION: "x" * 600}
    found = wish_of(project(spec={"source": source}, annotations=annotations))
    assert found == Wish(pinned=True, filter=Filter(("a",), ("b",)), redeploy="x" * 512)

"""Revisions: a reason makes one, and nothing else does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mooring.domain.resources.project_status import HISTORY_MAX, RevisionStatus, Trigger
from mooring.domain.revisions import (
    FAILURE_LENGTH,
    Asked,
    Belief,
    Running,
    as_field,
    as_newest,
    as_remembered,
    belief,
    decide,
    history_field,
    history_stands,
    is_under_way,
    recover,
    with_an_image_of_ours,
    with_applied,
)
from mooring.domain.rollouts import Rollout, RolloutState
from mooring.domain.status import changed_fields

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
A, B = "a" * 40, "b" * 40
STORED = RevisionStatus(
    sha=A, short_sha=A[:7], trigger=Trigger.CREATE, checkout_image="img:1", deployed_at=NOW.replace(microsecond=0)
)
OTHER = STORED.model_copy(update={"sha": B})
BARE = RevisionStatus(trigger=Trigger.CREATE)
ASKED = Asked(sha=A, pinned=False, checksum="c1", restart=None, template="t1", generation=1)
LIVE = Running(checksum="c1", restart=None, template="t1", generation="1")


def run(stored: RevisionStatus | None = STORED, live: Running | None = LIVE, asked: Asked = ASKED, **more: Any) -> Any:
    history = more.get("history", [STORED])
    return decide(stored, history, live, asked, checkout_image="img:2", now=NOW)


def test_the_first_one_is_a_creation_with_today_s_checkout_image() -> None:
    made = run(stored=None, live=None, history=[])
    assert made.new
    assert (made.revision.trigger, made.revision.sha, made.revision.checkout_image) == (Trigger.CREATE, A, "img:2")


def test_nothing_asked_nothing_new_and_the_old_checkout_image_stays() -> None:
    assert run() == run()
    assert not run().new
    assert run().revision.checkout_image == "img:1"


@pytest.mark.parametrize(
    ("asked", "trigger"),
    [
        (replace(ASKED, checksum="c2"), Trigger.TOKEN),
        (replace(ASKED, checksum=None), Trigger.TOKEN),
        (replace(ASKED, restart="now"), Trigger.MANUAL),
        (replace(ASKED, template="t2", generation=2), Trigger.SPEC),
        (replace(ASKED, sha=B, generation=2), Trigger.SPEC),
        (replace(ASKED, sha=B, pinned=True, generation=2), Trigger.SPEC),
    ],
)
def test_each_reason_has_its_trigger(asked: Asked, trigger: Trigger) -> None:
    made = run(asked=asked)
    assert made.new
    assert made.revision.trigger is trigger


def test_two_of_one_second_are_two_in_the_history() -> None:
    changed = run(asked=replace(ASKED, template="t2", generation=2)).revision
    again = run(
        stored=changed, asked=replace(ASKED, template="t3", generation=3), history=with_applied([STORED], changed)
    ).revision
    assert len({as_field(one)["deployedAt"] for one in (STORED, changed, again)}) == 3
    assert with_applied([changed, STORED], again) == [again, changed, STORED]


def test_pinning_what_ran_before_is_a_rollback() -> None:
    older = STORED.model_copy(update={"sha": B})
    made = run(asked=replace(ASKED, sha=B, pinned=True), history=[STORED, older])
    assert made.revision.trigger is Trigger.ROLLBACK


def test_a_push_says_what_it_was_and_only_where_it_brought_the_commit() -> None:
    pushed = replace(ASKED, sha=B, cause=Trigger.PUSH, delivery="d1")
    made = run(asked=pushed).revision
    assert (made.sha, made.trigger, made.delivery) == (B, Trigger.PUSH, "d1")
    manual = run(asked=replace(pushed, cause=Trigger.MANUAL, pinned=True)).revision
    assert (manual.trigger, manual.delivery) == (Trigger.MANUAL, "d1")
    # The commit runs already, and something else changed.
    token = run(asked=replace(pushed, sha=A, checksum="c2")).revision
    assert (token.trigger, token.delivery) == (Trigger.TOKEN, None)
    assert not run(asked=replace(pushed, sha=A)).new


@pytest.mark.parametrize(
    ("found", "history", "own", "edited", "believed"),
    [
        (STORED, [], False, False, Belief.STORED),
        (None, [], True, False, Belief.STORED),
        (None, [], False, False, Belief.ASK),
        (None, [STORED], False, False, Belief.ASK),
        (OTHER, [], False, False, Belief.ASK),
        (OTHER, [OTHER], False, False, Belief.ASK),
        (OTHER, [], True, False, Belief.STORED),
        (OTHER, [STORED], False, False, Belief.RUNNING),
        (OTHER, [STORED], False, True, Belief.STORED),
        (BARE, [STORED], False, False, Belief.ASK),
    ],
)
def test_what_is_believed_of_a_status(
    found: RevisionStatus | None, history: list[RevisionStatus], own: bool, edited: bool, believed: Belief
) -> None:
    assert belief(STORED, history, found, own=own, edited=edited) is believed


def test_what_runs_is_found_again_in_the_history() -> None:
    read = STORED.model_copy(update={"deployed_at": NOW - timedelta(days=1)})
    assert as_remembered(read, [OTHER, STORED]) == STORED
    assert as_remembered(read, [OTHER]) == read


@pytest.mark.parametrize(
    ("stored", "found", "image"),
    [("img:1", "img:1", "img:1"), ("img:2", "img:1", "img:2"), ("evil", "img:1", "img:1"), ("evil", None, "img:2")],
)
def test_a_status_names_no_image(stored: str, found: str | None, image: str) -> None:
    revision = STORED.model_copy(update={"checkout_image": stored})
    running = STORED.model_copy(update={"checkout_image": found}) if found is not None else None
    assert with_an_image_of_ours(revision, running, "img:2").checkout_image == image


def test_a_new_generation_that_leaves_the_pods_alone_rolls_nothing() -> None:
    assert not run(asked=replace(ASKED, generation=2)).new


def test_a_new_version_of_mooring_that_draws_pods_otherwise_rolls_nothing() -> None:
    assert not run(asked=replace(ASKED, template="t2")).new


def test_a_crash_between_the_status_and_the_pods_makes_no_second_revision() -> None:
    made = run(asked=replace(ASKED, checksum="c2")).revision
    # Stored, not yet applied: the Deployment still has the old checksum, the history the old revision.
    again = run(stored=made, asked=replace(ASKED, checksum="c2"), history=[STORED])
    assert again.revision == made
    assert not again.new
    # Applied, but not yet in the history.
    applied = run(stored=made, asked=replace(ASKED, checksum="c2"), live=replace(LIVE, checksum="c2"), history=[STORED])
    assert applied.revision == made
    assert not applied.new


def test_a_revision_enters_the_history_once_and_the_oldest_leaves() -> None:
    history = with_applied([], STORED)
    assert with_applied(history, STORED) == [STORED]
    for number in range(20):
        later = STORED.model_copy(update={"deployed_at": NOW + timedelta(seconds=number + 1)})
        assert is_under_way(later, history)
        history = with_applied(history, later)
    assert len(history) == HISTORY_MAX


def told(state: RolloutState, why: str | None = None) -> Rollout:
    return Rollout(state, "The new pods did not become available in time.", 1, 0, why)


def test_the_history_keeps_why_a_rollout_failed_until_it_succeeds() -> None:
    newest, older = (STORED.model_copy(update={"sha": digit * 40}) for digit in "ab")
    failed = history_field([newest, older], [], told(RolloutState.FAILED, "the checkout failed" + "x" * 9000))
    assert failed[0]["failure"].startswith("the checkout failed")
    assert len(failed[0]["failure"]) == FAILURE_LENGTH
    assert "failure" not in failed[1]
    assert history_field([newest], [], told(RolloutState.FAILED))[0]["failure"].startswith("The new pods")
    # It stays while nothing better is known, also when another one comes after it, and goes when the pods are there.
    assert history_field([newest, older], failed, told(RolloutState.PROGRESSING)) == failed
    assert history_field([newest, older], failed, None) == failed
    third = STORED.model_copy(update={"sha": "c" * 40})
    assert history_field([third, newest], failed, told(RolloutState.COMPLETE))[1] == failed[0]
    assert "failure" not in history_field([newest, older], failed, told(RolloutState.COMPLETE))[0]


def test_a_history_that_stands_would_not_be_written_anew() -> None:
    newest, older = (STORED.model_copy(update={"sha": digit * 40}) for digit in "ab")
    plain = history_field([newest, older], [], None)
    failed = history_field([newest, older], [], told(RolloutState.FAILED, "the checkout failed"))
    stands = 0
    for stored, history, newest_rollout in itertools.product(
        ([], plain, failed, plain[:1]),
        ([newest, older], [older, newest], [newest]),
        (None, *(told(state, "it failed") for state in RolloutState)),
    ):
        read = [RevisionStatus.model_validate(entry) for entry in stored]
        if history_stands(history, read, stored, newest_rollout):
            stands += 1
            assert history_field(history, stored, newest_rollout) == stored
    assert stands >= 3 * 2, "of a history that is as it should be, nothing is made"


def test_the_stored_form_equals_the_made_one() -> None:
    made = run(asked=replace(ASKED, checksum="c2")).revision
    stored = RevisionStatus.model_validate_json(made.model_dump_json(by_alias=True, exclude_none=True))
    assert stored == made


def test_a_lost_status_is_read_back_from_the_pods() -> None:
    annotations = {"mooring.dev/revision": A, "mooring.dev/trigger": "Push", "mooring.dev/delivery": "g"}
    deployment = {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"initContainers": [{"name": "checkout", "image": "img:1"}]},
            }
        },
    }  # fmt: skip
    found = recover(deployment)
    assert found is not None
    assert (found.sha, found.trigger, found.delivery, found.checkout_image) == (A, Trigger.PUSH, "g", "img:1")
    made = run(stored=found, history=[])
    assert not made.new
    for junk in ("--upload-pack=x", A[:7], "a" * 65):
        annotations["mooring.dev/revision"] = junk
        assert recover(deployment) is None
    annotations["mooring.dev/revision"] = A
    annotations["mooring.dev/delivery"] = "g" * 1000
    assert recover(deployment) is None
    annotations["mooring.dev/delivery"] = "g"
    annotations["mooring.dev/trigger"] = "Nonsense"
    assert recover(deployment) is None


def test_a_revision_without_a_delivery_keeps_none_from_the_one_before() -> None:
    pushed = RevisionStatus(sha="a" * 40, trigger=Trigger.PUSH, delivery="d1")
    manual = RevisionStatus(sha="a" * 40, trigger=Trigger.MANUAL)
    before = {"revision": as_field(pushed)}
    patch = changed_fields(before, {"revision": as_newest(manual)})["revision"]
    assert patch == {"delivery": None, "trigger": "Manual"}
    # Of a list, which is replaced whole, no field is left empty.
    assert None not in as_field(manual).values()
    assert changed_fields({}, {"revision": as_newest(manual)}) == {"revision": as_field(manual)}

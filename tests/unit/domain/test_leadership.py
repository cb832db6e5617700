"""When the Lease may be taken and until when leading is certain: by one's own clock, with time to spare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.domain.leadership import TERMS, Lease, Standing, Tenure, transitions

HELD = Lease(holder="other", seconds=15, transitions=3, renewed="2026-01-01T00:00:00.000000Z", version="7")


@pytest.mark.parametrize(
    ("lease", "after"),
    [
        (None, 0),
        (replace(HELD, holder=""), 0),
        # What was asked for and never answered.
        (replace(HELD, holder="me"), 0),
        (HELD, 15),
        # Its holder may go by other terms than ours; neither too short nor too long ones are believed.
        (replace(HELD, seconds=30), 30),
        (replace(HELD, seconds=1), 15),
        (replace(HELD, seconds=-5), 15),
        (replace(HELD, seconds=10**6), 60),
    ],
)
def test_when_the_lease_may_be_taken(lease: Lease | None, after: float) -> None:
    assert Standing(lease, 100.0).free_at("me", TERMS) == 100.0 + after


def test_only_what_its_holder_writes_keeps_it() -> None:
    standing = Standing(HELD, 100.0)
    assert standing.seen(replace(HELD, renewed="1999-01-01T00:00:00.000000Z", version="8"), 110.0).since == 110.0
    assert standing.seen(replace(HELD, holder="third", version="8"), 110.0).since == 110.0
    labelled = standing.seen(replace(HELD, version="8"), 110.0)
    assert labelled.since == 100.0
    # It is written onto all the same.
    assert labelled.lease is not None
    assert labelled.lease.version == "8"


def test_a_tenure_is_certain_for_less_long_than_it_lasts() -> None:
    tenure = Tenure(HELD, 100.0)
    assert tenure.is_certain(100.0 + TERMS.certain_for - 0.01, TERMS)
    assert not tenure.is_certain(100.0 + TERMS.certain_for, TERMS)
    assert tenure.left(100.0 + TERMS.certain_for, TERMS) == TERMS.lease - TERMS.certain_for
    assert tenure.left(100.0 + TERMS.lease, TERMS) == 0


def test_the_terms_leave_room() -> None:
    # A renewal that gets no answer, and one more, both before anything is refused.
    assert TERMS.renew_every + 2 * TERMS.attempt <= TERMS.certain_for
    # What is on its way when the last was certain has as long again before anybody else may lead.
    assert TERMS.lease - TERMS.certain_for >= 5


def test_changes_of_the_holder_are_counted() -> None:
    assert transitions(None, "me") == 0
    assert transitions(HELD, "me") == 4
    assert transitions(replace(HELD, holder=""), "me") == 4
    assert transitions(replace(HELD, holder="me"), "me") == 3

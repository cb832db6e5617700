"""Repairs: quick for accidents, slow for fights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mooring.domain.repairs import FIRST_PAUSE, FREE_REPAIRS, LAST_PAUSE, PEACE, Repairs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_first_repairs_are_at_once_and_a_fight_slows_down() -> None:
    repairs, now = Repairs(), NOW
    for _ in range(FREE_REPAIRS):
        assert repairs.not_before("a", now) is None
        repairs.note("a", now)
    pauses = []
    for _ in range(8):
        due = repairs.not_before("a", now)
        assert due is not None
        pauses.append(due - now)
        now = due
        assert repairs.not_before("a", now) is None
        repairs.note("a", now)
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert max(pauses) <= LAST_PAUSE
    # In ten minutes of fighting there are but a few writes.
    assert len(pauses) + FREE_REPAIRS < 15


def test_others_are_not_slowed_and_peace_is_forgiven() -> None:
    repairs = Repairs()
    for _ in range(FREE_REPAIRS):
        repairs.note("a", NOW)
    assert repairs.not_before("a", NOW) is not None
    assert repairs.not_before("b", NOW) is None
    assert repairs.not_before("a", NOW + PEACE + timedelta(seconds=1)) is None
    for _ in range(FREE_REPAIRS):
        repairs.note("c", NOW)
    repairs.forget("c")
    assert repairs.not_before("c", NOW) is None

"""The counts of a GitHubUser: what a start finds is kept until all Projects have come."""

from __future__ import annotations

from mooring.services.counts import LONGEST_START, SETTLED, Counts
from mooring.services.store import Key
from tests.unit.github.fake_clock import FakeClock

USER = Key("GitHubUser", "a", "default")
SECONDS = SETTLED.total_seconds()


def project(number: int) -> Key:
    return Key("Project", "a", f"p{number}")


def test_a_start_keeps_what_is_shown_until_no_more_projects_come() -> None:
    clock = FakeClock()
    counts, shown = Counts(clock), {"global": 3, "project": 1, "none": 0}
    assert counts.of(USER, shown) == (shown, clock.now() + SETTLED)
    for number in range(3):
        assert counts.note(USER, project(number), "global")
        clock.move(SECONDS - 1)
        assert counts.of(USER, shown)[0] == shown
    counts.note(USER, project(3), "project")
    assert counts.of(USER, shown) == (shown, None)


def test_a_start_keeps_what_is_shown_until_the_projects_of_all_users_have_come() -> None:
    clock, other = FakeClock(), Key("GitHubUser", "z", "default")
    counts, shown = Counts(clock), {"global": 1, "project": 0, "none": 0}
    counts.of(USER, shown)
    for number in range(4):
        counts.note(other, project(number), "global")
        clock.move(SECONDS - 1)
        # Of this one, none has come yet.
        found, again = counts.of(USER, shown)
        assert found == shown
        assert again is not None
        assert again > clock.now()
    counts.note(USER, project(9), "global")
    assert counts.of(USER, shown) == (shown, None)


def test_after_the_start_one_user_s_new_projects_hold_up_nothing_of_another_s() -> None:
    clock, other = FakeClock(), Key("GitHubUser", "z", "default")
    counts, shown = Counts(clock), {"global": 1, "project": 0, "none": 0}
    counts.note(USER, project(1), "global")
    clock.move(SECONDS)
    counts.note(other, project(2), "global")
    counts.note(USER, project(1), None)
    assert counts.of(USER, shown) == ({"global": 0, "project": 0, "none": 0}, None)


def test_projects_that_are_made_without_a_pause_hold_counts_up_no_longer_than_a_start_may_take() -> None:
    clock, other = FakeClock(), Key("GitHubUser", "z", "default")
    counts, shown = Counts(clock), {"global": 1, "project": 0, "none": 0}
    counts.of(USER, shown)
    for number in range(int(LONGEST_START.total_seconds()) + 1):
        counts.note(other, project(number), "global")
        clock.move(1)
    assert counts.of(USER, shown) == ({"global": 0, "project": 0, "none": 0}, None)


def test_what_went_while_nobody_looked_is_told_in_the_end() -> None:
    clock = FakeClock()
    counts, shown = Counts(clock), {"global": 3, "project": 0, "none": 0}
    counts.note(USER, project(1), "global")
    found, again = counts.of(USER, shown)
    assert (found, again) == (shown, clock.now() + SETTLED)
    clock.move(SECONDS)
    assert counts.of(USER, shown) == ({"global": 1, "project": 0, "none": 0}, None)


def test_changes_of_what_is_known_are_shown_at_once_and_so_are_first_counts() -> None:
    clock = FakeClock()
    counts = Counts(clock)
    counts.note(USER, project(1), "global")
    first, again = counts.of(USER, None)
    assert (first, again) == ({"global": 1, "project": 0, "none": 0}, None)
    clock.move(SECONDS)
    assert counts.note(USER, project(1), "none")
    assert not counts.note(USER, project(1), "none")
    assert counts.of(USER, first)[0] == {"global": 0, "project": 0, "none": 1}
    assert counts.note(USER, project(1), None)
    assert counts.of(USER, first)[0] == {"global": 0, "project": 0, "none": 0}


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    clock = FakeClock()
    counts, shown = Counts(clock), {"global": 3, "project": 0, "none": 0}
    counts.note(USER, project(1), "global")
    clock.move(-10 * SECONDS)
    assert counts.of(USER, shown)[0]["global"] == 1

"""When a branch is looked at by itself: what settles a push, when sweeps come, whose hooks are looked at."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from mooring.domain import sweeping
from mooring.domain.sweeping import Listed
from tests.unit.objects import NOW

INTERVAL = timedelta(minutes=10)
PERIOD = timedelta(minutes=9)


@pytest.mark.parametrize(
    ("seconds", "settled"), [(-1, False), (0, False), (59, False), (60, True), (3600, True)], ids=str
)
def test_a_read_counts_a_minute_after_a_push(seconds: int, settled: bool) -> None:
    assert sweeping.is_settled(NOW, NOW + timedelta(seconds=seconds)) is settled


def test_what_nobody_pushed_to_is_settled_and_what_was_never_read_is_not() -> None:
    assert sweeping.is_settled(None, None)
    assert not sweeping.is_settled(NOW, None)


def test_a_time_to_come_is_not_believed() -> None:
    assert sweeping.believed(NOW + timedelta(minutes=10), NOW) == NOW + timedelta(minutes=10)
    assert sweeping.believed(NOW + timedelta(minutes=11), NOW) is None
    assert sweeping.believed(None, NOW) is None


@pytest.mark.parametrize(
    ("shown", "private", "another"),
    [
        (Listed("acme/shop", True, None), True, False),
        (Listed("acme/shop", True, None), None, False),
        (Listed("acme/store", True, None), True, True),
        (Listed("acme/Shop", True, None), True, True),
        (Listed("acme/shop", False, None), True, True),
    ],
)
def test_another_name_or_visibility(shown: Listed, private: bool | None, another: bool) -> None:
    assert sweeping.is_another(shown, "acme/shop", private) is another


def test_a_few_lists_begin_within_seconds_and_ten_thousand_over_a_period() -> None:
    delays = [sweeping.first_delay(number, INTERVAL) for number in range(1, 10_001)]
    assert delays[9] < timedelta(seconds=3)
    assert delays == sorted(set(delays))
    assert delays[-1] == sweeping.GATHERING + PERIOD
    assert sweeping.first_delay(1_000_000, INTERVAL) == delays[-1]


def test_the_first_list_waits_for_those_who_come_but_not_for_ever() -> None:
    soon = timedelta(seconds=2)
    assert sweeping.gathered_at(NOW, NOW) == NOW + soon
    assert sweeping.gathered_at(NOW, NOW + 5 * soon) == NOW + 6 * soon
    assert sweeping.gathered_at(NOW, NOW + 100 * soon) == NOW + timedelta(seconds=30)


def test_sweeps_come_every_period_at_a_phase_of_their_own() -> None:
    phases = set()
    for number in range(100):
        seed = f"team-{number}"
        at = sweeping.next_sweep(NOW, INTERVAL, seed)
        assert NOW < at <= NOW + PERIOD
        for _ in range(3):
            following = sweeping.next_sweep(at, INTERVAL, seed)
            assert following == at + PERIOD
            # A moment later or in between makes no difference: no sweep is left out, and none comes twice.
            assert sweeping.next_sweep(at + timedelta(seconds=1), INTERVAL, seed) == following
            assert sweeping.next_sweep(following - timedelta(seconds=1), INTERVAL, seed) == following
            at = following
        phases.add((at - NOW) % PERIOD // timedelta(minutes=1))
    assert len(phases) == 9


def test_every_hook_is_looked_at_in_one_of_six_sweeps_and_no_sweep_looks_at_many() -> None:
    for many, most in ((60, 60), (1000, 167)):
        seen = {f"p{number}": sweeping.before_first_hook_look(0, f"p{number}") for number in range(many)}
        looks: Counter[str] = Counter()
        for sweep in range(1, 25):
            due = sweeping.hooks_to_look_at(seen, sweep)
            assert len(due) <= most
            assert all(sweep - seen[key] >= 6 for key in due)
            looks.update(due)
            seen |= dict.fromkeys(due, sweep)
            if sweep == 12:
                assert len(looks) == many
        assert set(looks.values()) <= {3, 4}


def test_first_looks_at_hooks_are_spread() -> None:
    waits = Counter(5 + 1 + sweeping.before_first_hook_look(5, f"p{number}") - 5 for number in range(600))
    assert sorted(waits) == [1, 2, 3, 4, 5, 6]
    assert max(waits.values()) < 150


def test_who_was_read_the_longest_ago_comes_first() -> None:
    read = {"a": NOW, "b": None, "c": NOW - timedelta(seconds=1)}
    assert sweeping.oldest_first(read) == ["b", "c", "a"]

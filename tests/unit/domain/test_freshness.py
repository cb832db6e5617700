"""Freshness: tokens made together come due apart, an outage ends before they do, and a Secret remembers its token."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import names
from mooring.domain.freshness import (
    LONGEST_LIFE,
    SKEW,
    Freshness,
    Remembered,
    read_annotations,
    refresh_at,
    state,
    token_annotations,
)
from mooring.domain.installations import RETRY_AT_MOST, MintedToken
from mooring.github.limits import Limits
from mooring.services.work import FIRST_DELAY, LAST_DELAY
from tests.unit.objects import NOW

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
END = NOW + HOUR
SEEDS = [f"uid-{number}/ci-token" for number in range(1000)]
DUE = [refresh_at(NOW, END, seed) for seed in SEEDS]


# --- when ---


@given(st.integers(6, 24 * 3600), st.text(max_size=20))
def test_a_token_is_due_between_a_half_and_two_thirds_of_its_life(seconds: int, seed: str) -> None:
    life = timedelta(seconds=seconds)
    assert NOW + life / 2 <= refresh_at(NOW, NOW + life, seed) <= NOW + life * 2 / 3


def test_the_moment_is_the_same_for_ever_and_another_for_each_holder() -> None:
    # Pinned: after an upgrade that picks other moments, many tokens would come due at once.
    assert refresh_at(NOW, END, "uid-0/ci-token") == datetime.fromisoformat("2026-03-01T12:36:35.743925+00:00")
    assert len(set(DUE)) > 990


def test_a_restart_that_reads_whole_seconds_finds_the_same_moment() -> None:
    fraction = timedelta(microseconds=734_001)
    assert refresh_at(NOW + fraction, END + fraction, "s") == refresh_at(NOW, END, "s")


def most_by_chance(trials: int, share: float, risk: float) -> int:
    """Return the count that a binomial variable exceeds with less than this probability."""
    at_most = 0.0
    for count in itertools.count():
        at_most += math.comb(trials, count) * share**count * (1 - share) ** (trials - count)
        if 1 - at_most < risk:
            return count
    raise AssertionError


def test_a_thousand_tokens_of_one_second_come_due_all_over_ten_minutes() -> None:
    window = 600
    by_second = Counter(int((moment - NOW - HOUR / 2) / SECOND) for moment in DUE)
    assert set(by_second) <= set(range(window))
    # Of a fair spread, one in a million would break this; 1.7 a second is the mean.
    bound = most_by_chance(len(SEEDS), 1 / window, 1e-6 / window)
    assert bound == 14
    assert max(by_second.values()) <= bound
    # And each minute has its share, not fewer than chance leaves it.
    fewest = len(SEEDS) - most_by_chance(len(SEEDS), 1 - 60 / window, 1e-6 / 10)
    assert min(Counter(second // 60 for second in by_second.elements()).values()) >= fewest > 50


# --- an outage ---

OUTAGE = 900.0
LIFE = 3600.0
# A request that nobody answers is given up after this long; only then does the delay begin.
GIVEN_UP = Limits().total_timeout


def queue_delays() -> Iterator[float]:
    """Return the delays of the work queue at their longest."""
    return (min(FIRST_DELAY * 2**failures, LAST_DELAY) for failures in itertools.count())


def first_success(due: float, begins: float, delays: Iterator[float]) -> float:
    """Return when a token that is due gets through, where nothing is answered from `begins` for the outage."""
    moment = due
    while begins <= moment < begins + OUTAGE:
        moment += next(delays)
    return moment


def test_an_outage_of_fifteen_minutes_is_over_before_the_token_is() -> None:
    """Every second of a token's life as the outage's beginning, over holders, with the queue's longest delays."""
    for moment in [min(DUE), max(DUE), *DUE[:30]]:
        due = (moment - NOW) / SECOND
        # One that ends before the token is due, or begins after it was replaced, is none for it.
        assert all(first_success(due, begins, queue_delays()) < LIFE for begins in range(int(LIFE)))


def test_the_delays_are_short_enough_for_the_worst_of_cases() -> None:
    """Due as late as can be, just when the outage begins, with the last try in vain at its very end."""
    worst = LIFE * 2 / 3 + OUTAGE
    # The queue's own longest delay fits to the second: with tries that answer at once.
    assert worst + LAST_DELAY <= LIFE
    # With tries that hang until they are given up there must be more room, and there is.
    assert worst + GIVEN_UP + RETRY_AT_MOST / SECOND + GIVEN_UP < LIFE - 180


# --- state ---


def test_a_token_is_fresh_then_due_then_ended() -> None:
    due = refresh_at(NOW, END, "s")
    moments = [NOW - SECOND, NOW, due - SECOND, due, END - SECOND, END, END + HOUR]
    fresh, late, ended = Freshness.FRESH, Freshness.DUE, Freshness.ENDED
    assert [state(NOW, END, "s", moment) for moment in moments] == [fresh, fresh, fresh, late, late, ended, ended]


@pytest.mark.parametrize(
    ("issued", "ends"),
    [
        (NOW, NOW),
        (NOW, NOW - SECOND),
        (NOW - HOUR, NOW - 2 * HOUR),
        (NOW, NOW + LONGEST_LIFE + SECOND),
        # Issued in a future that no wrong clock explains: an edit would keep the old token for years.
        (NOW + SKEW + SECOND, NOW + SKEW + HOUR),
    ],
)
def test_a_life_that_makes_no_sense_is_due(issued: datetime, ends: datetime) -> None:
    assert state(issued, ends, "s", NOW) is Freshness.DUE


def test_a_clock_that_is_minutes_behind_makes_nothing_due() -> None:
    assert state(NOW + 10 * MINUTE, NOW + 10 * MINUTE + HOUR, "s", NOW) is Freshness.FRESH
    assert state(NOW, NOW + LONGEST_LIFE, "s", NOW) is Freshness.FRESH
    # And even then the token is replaced in time.
    assert SKEW + HOUR * 2 / 3 < HOUR


# --- what a Secret remembers ---

DIGEST, MARK = "0123456789abcdef", "fedcba9876543210"


def minted(ids: frozenset[int] | None = frozenset({3, 2**62})) -> MintedToken:
    return MintedToken("ghs_secretsecret", NOW, END, {"contents": "read"}, ids)


WRITTEN = token_annotations(minted(), digest=DIGEST, fingerprint=MARK)


@pytest.mark.parametrize("ids", [None, frozenset({1}), frozenset({3, 2**62, 2**63 - 1}), frozenset(range(1, 501))])
def test_what_is_written_is_read_back(ids: frozenset[int] | None) -> None:
    written = token_annotations(minted(ids), digest=DIGEST, fingerprint=MARK)
    assert read_annotations({**written, "other": "x"}) == Remembered(DIGEST, NOW, END, ids, MARK)


def test_the_form_is_plain_and_holds_no_token() -> None:
    assert token_annotations(minted(), digest=DIGEST, fingerprint=MARK) == {
        names.REQUEST_ANNOTATION: DIGEST,
        names.ISSUED_ANNOTATION: "2026-03-01T12:00:00Z",
        names.EXPIRES_ANNOTATION: "2026-03-01T13:00:00Z",
        names.REPOSITORIES_ANNOTATION: f"3,{2**62}",
        names.FINGERPRINT_ANNOTATION: MARK,
    }
    everything = token_annotations(minted(None), digest=DIGEST, fingerprint=MARK)
    assert everything[names.REPOSITORIES_ANNOTATION] == "*"
    assert "secretsecret" not in f"{minted()!r}"


@pytest.mark.parametrize("missing", list(WRITTEN))
def test_without_one_of_them_nothing_is_remembered(missing: str) -> None:
    assert read_annotations({name: value for name, value in WRITTEN.items() if name != missing}) is None


def test_without_any_nothing_is_remembered() -> None:
    assert read_annotations(None) is None


TIMES = ["", "x", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00:00+00:00", "2026-3-01T12:00:00Z",
         "2026-03-01T12:00:00.5Z", "2026-02-30T12:00:00Z", "2026-03-01T12:00:00Z ", "٢026-03-01T12:00:00Z"]  # fmt: skip
IDS = ["", ",", "1,", "0", "-1", "1,1", "01", "1;2", " 1", "1, 2", "x", "*,1", "٣", str(2**63), "9" * 5000,
       ",".join(str(number) for number in range(1, 502))]  # fmt: skip
MARKS = ["", "0123", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcdeg", "0123456789abcdef\n"]
WRONG = [
    *((names.ISSUED_ANNOTATION, value) for value in TIMES),
    *((names.EXPIRES_ANNOTATION, value) for value in TIMES),
    *((names.REPOSITORIES_ANNOTATION, value) for value in IDS),
    *((names.REQUEST_ANNOTATION, value) for value in MARKS),
    *((names.FINGERPRINT_ANNOTATION, value) for value in MARKS),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: value[:24])
def test_what_somebody_else_wrote_is_not_believed(name: str, value: str) -> None:
    assert read_annotations({**WRITTEN, name: value}) is None

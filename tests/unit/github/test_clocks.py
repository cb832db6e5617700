"""GitHub's clocks, as their answers show them."""

from datetime import UTC, datetime, timedelta

import pytest

from mooring.github.answers import date
from mooring.github.clocks import Clocks
from mooring.github.limits import LIMITS, Limits
from tests.unit.github.fake_clock import FakeClock


def seconds(number: float) -> timedelta:
    """Return a span."""
    return timedelta(seconds=number)


@pytest.fixture
def clock() -> FakeClock:
    """Return a standing clock."""
    return FakeClock()


@pytest.mark.parametrize("skew", [-3600, -120, -7, 7, 120, 3600, 86_400])
def test_a_clock_that_differs(clock: FakeClock, skew: int) -> None:
    """It is known to within a second after a quick answer, for that place alone, and goes on with ours."""
    clocks = Clocks(clock, LIMITS)
    at = clock.now()
    clocks.note("there", (at + seconds(skew)).replace(microsecond=0), sent=at, received=at)
    assert abs(clocks.now("there") - clock.now() - seconds(skew)) <= seconds(1)
    assert clocks.now("elsewhere") == clock.now()
    clock.move(100)
    assert abs(clocks.now("there") - clock.now() - seconds(skew)) <= seconds(1)


def test_good_clocks_never_differ(clock: FakeClock) -> None:
    """A Date that was cut to the second, or written while the answer was slow, moves nothing."""
    clocks = Clocks(clock, LIMITS)
    at = clock.now() + timedelta(milliseconds=900)
    clocks.note("there", at.replace(microsecond=0), sent=at, received=at)
    clocks.note("there", at.replace(microsecond=0), sent=at, received=at + seconds(20))
    clocks.note("there", (at + seconds(20)).replace(microsecond=0), sent=at, received=at + seconds(20))
    assert clocks.ahead("there") == seconds(0)


def test_a_slow_answer_moves_no_known_clock(clock: FakeClock) -> None:
    """Whatever it shows agrees with what a quick one has shown; a clock that was set right is."""
    clocks, at = Clocks(clock, LIMITS), clock.now()
    clocks.note("there", at + seconds(120), sent=at, received=at)
    clocks.note("there", at + seconds(120), sent=at, received=at + seconds(20))
    assert clocks.ahead("there") == seconds(120)
    clocks.note("there", at, sent=at, received=at)
    assert clocks.ahead("there") <= seconds(1)


def test_what_is_not_learned_from(clock: FakeClock) -> None:
    """No Date, one from another age, an answer that came before its question."""
    clocks, at = Clocks(clock, LIMITS), clock.now()
    for shown in (None, datetime(9999, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)):
        clocks.note("there", shown, sent=at, received=at)
    clocks.note("there", at + seconds(500), sent=at, received=at - seconds(1))
    assert clocks.now("there") == at


def test_few_are_kept(clock: FakeClock) -> None:
    """The least recently noted goes first."""
    clocks, at = Clocks(clock, Limits(remembered=2)), clock.now()
    for place in "abc":
        clocks.note(place, at + seconds(120), sent=at, received=at)
    assert [clocks.ahead(place) for place in "abc"] == [seconds(0), seconds(120), seconds(120)]


@pytest.mark.parametrize("header", ["", "now", "Sat, 99 Nov 2026 04:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"])
def test_headers_that_are_no_date(header: str) -> None:
    """They are none, and do no harm."""
    assert date({"date": header}) is None


def test_headers_that_are_a_date() -> None:
    """As HTTP writes it."""
    assert date({"date": "Sat, 21 Nov 2026 04:00:00 GMT"}) == datetime(2026, 11, 21, 4, 0, tzinfo=UTC)

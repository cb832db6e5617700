"""Which failed deliveries are asked for again, up to where they are handled, and that none is sent too often."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from mooring.domain.webhooks.attempts import (
    AT_ONCE,
    EVENTS,
    KEPT,
    LAG,
    MOST_REPETITIONS,
    Asked,
    Attempt,
    Cursor,
    fresh,
    moved_on,
    plan,
    same_address,
    within_reach,
)
from tests.unit.objects import NOW

MINUTE = timedelta(minutes=1)
BEGIN = Cursor(NOW - 60 * MINUTE)


def failed(number: int, guid: str = "", *, ago: float = 10, repeated: bool = False, event: str = "push") -> Attempt:
    return Attempt(number, guid or f"guid-{number}", event, NOW - ago * MINUTE, repeated, False)


def chain(guid: str, *agos: float, first: int = 1) -> list[Attempt]:
    return [failed(first + n, guid, ago=ago, repeated=n > 0) for n, ago in enumerate(agos)]


def ids(attempts: Iterable[Attempt]) -> list[int]:
    return [attempt.id for attempt in attempts]


def sure(*numbers: int, ago: float = 30, times: int = 1) -> dict[int, Asked]:
    return {number: Asked(NOW - ago * MINUTE, times) for number in numbers}


def in_doubt(*numbers: int, times: int = 1) -> dict[int, Asked]:
    return {number: Asked(NOW - MINUTE, times, is_sure=False) for number in numbers}


@pytest.mark.parametrize(
    ("what", "attempts", "asked", "due"),
    [
        ("nothing failed", [], {}, []),
        ("the oldest come first", [failed(3, ago=1), failed(1, ago=3), failed(2, ago=2)], {}, [1, 2, 3]),
        ("in one second the first", [failed(2), failed(1)], {}, [1, 2]),
        ("handled", [failed(1)], sure(1), []),
        ("its repetition failed", chain("a", 9, 5), sure(1), [2]),
        ("so did that of somebody else", chain("a", 9, 5), {}, [2]),
        ("twice", chain("a", 9, 5, 3), sure(1, 2), [3]),
        ("three times is enough", chain("a", 9, 5, 3, 1), sure(1, 2, 3), []),
        ("whoever asked", chain("a", 9, 5, 3, 1), {}, []),
        ("asked, the process died", [failed(1)], in_doubt(1), [1]),
        ("and again", [failed(1)], in_doubt(1, times=2), [1]),
        ("but not for ever", [failed(1)], in_doubt(1, times=3), []),
        ("the last permitted one is not in doubt twice", chain("a", 9, 5, 3), sure(1, 2) | in_doubt(3), []),
        ("what was in doubt counts later", chain("a", 9, 5), sure(1, times=3), []),
        ("it was done with before", [failed(5, "a", repeated=True)], {}, []),
        ("before the cursor", [failed(1, ago=61)], {}, []),
        ("a repetition of what was before the cursor", chain("a", 61, 5), {}, []),
        ("just at the cursor", [failed(1, ago=60)], {}, [1]),
        ("of two each by itself", [*chain("a", 9, 5, 3, 1), *chain("b", 8, first=11)], {}, [11]),
        ("of no use", [failed(1, event="ping"), failed(2, event="check_run")], {}, []),
        ("a success", [Attempt(1, "a", "push", NOW, False, True)], {}, []),
    ],
)
def test_what_is_due(what: str, attempts: list[Attempt], asked: dict[int, Asked], due: list[int]) -> None:
    found = plan(Cursor(BEGIN.since, asked), attempts)
    assert (ids(found.asks), found.is_all) == (due, True), what


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        ("push", True),
        ("installation", True),
        ("installation_repositories", True),
        ("installation_target", True),
        ("repository", True),
        ("ping", False),
        ("pull_request", False),
    ],
)
def test_what_is_read_is_what_is_asked_for(event: str, wanted: bool) -> None:
    assert (event in EVENTS) is wanted
    assert bool(plan(BEGIN, [failed(1, event=event)]).asks) is wanted


def test_a_look_asks_for_so_many_and_the_rest_comes_next() -> None:
    many = [failed(number, ago=50 - number / 10) for number in range(AT_ONCE + 1)]
    found = plan(BEGIN, many)
    assert (ids(found.asks), found.is_all) == (list(range(AT_ONCE)), False)
    rest = plan(BEGIN.begun(found.asks, NOW).done(found.asks[0], NOW), many)
    # Those that are in doubt are the older ones.
    assert (ids(rest.asks)[0], rest.is_all) == (1, True)
    assert plan(BEGIN, many, most=AT_ONCE + 1).is_all


@pytest.mark.parametrize(
    ("what", "attempts", "asked", "minutes_ago"),
    [
        ("nothing failed: it lags behind", [], {}, 5),
        ("something waits to be asked for", [failed(1, ago=40)], {}, 40),
        ("asked for just now", [failed(1, ago=40)], sure(1, ago=1), 40),
        ("asked for and not heard of since", [failed(1, ago=40)], sure(1, ago=5), 5),
        ("in doubt", [failed(1, ago=40)], in_doubt(1), 40),
        ("its repetition failed: the first is what counts", chain("a", 40, 20), sure(1, ago=21), 40),
        ("given up", chain("a", 40, 30, 20, 10), sure(1, 2, 3, ago=1), 5),
        ("the oldest of several", [failed(1, ago=30), failed(2, ago=20)], sure(1), 20),
        ("younger than the lag", [failed(1, ago=1)], {}, 5),
        ("of no use", [failed(1, ago=40, event="ping")], {}, 5),
    ],
)
def test_up_to_where_all_is_over(what: str, attempts: list[Attempt], asked: dict[int, Asked], minutes_ago: int) -> None:
    moved = moved_on(Cursor(BEGIN.since, asked), attempts, NOW, most=10)
    assert moved.since == NOW - minutes_ago * MINUTE, what
    kept = {attempt.id for attempt in attempts if attempt.delivered_at >= moved.since} & asked.keys()
    assert moved.asked == {number: asked[number] for number in kept}


def test_a_cursor_never_goes_back() -> None:
    ahead = Cursor(NOW - MINUTE)
    assert moved_on(ahead, [], NOW, most=10) == ahead
    assert within_reach(BEGIN, NOW) == BEGIN
    assert within_reach(Cursor(NOW - 2 * KEPT, sure(1)), NOW) == Cursor(NOW - KEPT, sure(1))
    assert fresh(NOW) == BEGIN


def test_what_cannot_be_remembered_is_over() -> None:
    attempts = [failed(number, ago=50 - number) for number in range(20)]
    moved = moved_on(Cursor(BEGIN.since, sure(*range(20), ago=1)), attempts, NOW, most=10)
    assert sorted(moved.asked) == list(range(10, 20))
    assert attempts[9].delivered_at < moved.since <= attempts[10].delivered_at
    # Forgotten is not asked for again.
    assert plan(moved, attempts).asks == ()
    # Of one moment all are forgotten, or they would be asked for again.
    at_once = [failed(number, ago=20) for number in range(20)]
    moved = moved_on(Cursor(BEGIN.since, sure(*range(20), ago=1)), at_once, NOW, most=10)
    assert (moved.asked, plan(moved, at_once).asks) == ({}, ())


def test_what_was_not_asked_for_after_all_stands_as_before() -> None:
    before = Cursor(BEGIN.since, in_doubt(1))
    one, two, three = failed(1), failed(2), failed(3)
    begun = before.begun([one, two, three], NOW)
    assert begun.asked[1] == Asked(NOW, 2, is_sure=False)
    after = begun.done(one, NOW).not_begun([three], before)
    assert after.asked == {1: Asked(NOW, 2), 2: Asked(NOW, 1, is_sure=False)}
    assert begun.not_begun([one, two, three], before) == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://m.example.com/webhooks/github", "https://m.example.com/webhooks/github", True),
        ("https://M.Example.com:443/webhooks/github", "https://m.example.com/webhooks/github", True),
        ("https://m.example.com/webhooks/github/", "https://m.example.com/webhooks/github", False),
        ("https://m.example.com/webhooks/GitHub", "https://m.example.com/webhooks/github", False),
        ("http://m.example.com/webhooks/github", "https://m.example.com/webhooks/github", False),
        ("https://m.example.com:8443/a", "https://m.example.com/a", False),
        ("https://other.example.com/a", "https://m.example.com/a", False),
        ("https://m.example.com/a?b=c", "https://m.example.com/a", False),
        ("https://m.example.com:99999/a", "https://m.example.com/a", False),
        ("https://[broken/a", "https://m.example.com/a", False),
        (None, "https://m.example.com/a", False),
        (None, None, False),
    ],
)
def test_one_address_is_known_again(one: str | None, other: str | None, same: bool) -> None:
    assert same_address(one, other) is same
    assert same_address(other, one) is same


# --- any course of things ---


@dataclass
class World:
    """A GitHub that lists attempts late and out of order, a gateway that fails, and a process that dies anywhere."""

    chance: random.Random
    now: datetime = NOW
    stored: Cursor | None = None
    attempts: list[Attempt] = field(default_factory=list)
    listed_at: dict[int, datetime] = field(default_factory=dict)
    repetitions: Counter[str] = field(default_factory=Counter)
    # With those before which the process died.
    intended: Counter[str] = field(default_factory=Counter)
    working: bool = False
    recorded: set[str] = field(default_factory=set)

    def send(self, guid: str, *, repeated: bool = False) -> None:
        """Attempt a delivery; what fails is listed some time later."""
        if self.working:
            self.recorded.add(guid)
            return
        attempt = Attempt(len(self.attempts) + 1, guid, "push", self.now, repeated, False)
        self.attempts.append(attempt)
        self.listed_at[attempt.id] = self.now + self.chance.random() * LAG

    def look(self, cursor: Cursor, *, dies: bool) -> Cursor | None:
        """Look as the service does; None where the process died."""
        cursor = within_reach(cursor, self.now)
        listed = [it for it in self.attempts if self.listed_at[it.id] <= self.now and it.delivered_at >= cursor.since]
        self.chance.shuffle(listed)
        cursor = moved_on(cursor, listed, self.now, most=1000)
        asks = plan(cursor, listed, most=8).asks
        if not asks:
            return None if dies else cursor
        cursor = self.stored = cursor.begun(asks, self.now)
        self.intended.update(attempt.guid for attempt in asks)
        dies_after = self.chance.randrange(len(asks) + 1) if dies else len(asks)
        for attempt in asks[:dies_after]:
            self.repetitions[attempt.guid] += 1
            self.send(attempt.guid, repeated=True)
            cursor = cursor.done(attempt, self.now)
        if dies:
            return None
        self.stored = cursor
        return cursor


@pytest.mark.parametrize("seed", range(60))
def test_none_is_sent_more_than_three_times_again_and_none_is_left_once_it_works(seed: int) -> None:
    world = World(random.Random(seed))  # noqa: S311 - a course that can be repeated
    cursor: Cursor | None = None
    sent: defaultdict[datetime, list[str]] = defaultdict(list)
    for step in range(60):
        world.now += world.chance.choice([MINUTE, 9 * MINUTE, 20 * MINUTE])
        # The gateway is mended in the middle, for good.
        world.working = step >= 30
        if step < 30:
            for number in range(world.chance.randrange(4)):
                guid = f"{step}-{number}"
                sent[world.now].append(guid)
                world.send(guid)
        dies = step < 50 and world.chance.random() < 0.2
        cursor = world.look(cursor or world.stored or Cursor(NOW), dies=dies)
    assert max(world.repetitions.values()) <= MOST_REPETITIONS
    given_up = {guid for guid, count in world.intended.items() if count == MOST_REPETITIONS}
    missing = {guid for guids in sent.values() for guid in guids} - world.recorded
    assert missing <= given_up


def test_an_outage_of_some_minutes_loses_nothing() -> None:
    world, cursor = World(random.Random(1)), Cursor(NOW)  # noqa: S311 - a course that can be repeated
    for number in range(40):
        world.send(str(number))
    for _ in range(10):
        world.now += 9 * MINUTE
        world.working = True
        cursor = world.look(cursor, dies=False) or cursor
    assert len(world.recorded) == 40
    assert set(world.repetitions.values()) == {1}
    # All is forgotten when it is over.
    assert (cursor.asked, cursor.since) == ({}, world.now - LAG)

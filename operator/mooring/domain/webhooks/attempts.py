"""Deliveries as GitHub lists them: each attempt is an entry of its own, and all attempts of one have the same GUID.

GitHub sends nothing again by itself. Which failed deliveries it is asked for is decided here, from its own list of
them and from what was asked before. The list comes first: it counts attempts whoever asked for them, and after a
cursor was lost. The cursor says what the list cannot: what was asked for and is not answered yet, or was answered well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from mooring.domain.webhooks.events import NOTICES, PUSH

# So long GitHub keeps a delivery and sends it again.
KEPT = timedelta(days=3)
# So late an attempt may be listed that was made earlier: it was under way, or GitHub's list is behind.
LAG = timedelta(minutes=5)
# What is looked at where nobody knows what was asked before.
FRESH = timedelta(hours=1)
# Of one delivery, whoever asked for them.
MOST_REPETITIONS = 3
# In one look.
AT_ONCE = 100
# What Mooring reads. A ping, or what an App is subscribed to for others, is nobody's loss.
EVENTS = frozenset({PUSH}) | NOTICES
_SMALLEST = timedelta(microseconds=1)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a webhook."""

    id: int
    guid: str
    event: str
    delivered_at: datetime
    # Whether somebody asked for it; else it is the first one.
    is_repeated: bool
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A failed attempt after which GitHub was asked to send the delivery again."""

    at: datetime
    # More than once where the answer was lost.
    times: int = 1
    # Whether it was carried out beyond doubt. Written down before the asking it is not: the process may have died.
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where an App's failed deliveries were handled."""

    # What was delivered before is over and done with.
    since: datetime
    # By the id of the attempt.
    asked: Mapping[int, Asked] = field(default_factory=dict)

    def begun(self, attempts: Iterable[Attempt], now: datetime) -> Cursor:
        """Return it as it is to be written before the asking."""
        asked = dict(self.asked)
        for attempt in attempts:
            before = asked.get(attempt.id)
            asked[attempt.id] = Asked(now, before.times + 1 if before else 1, is_sure=False)
        return Cursor(self.since, asked)

    def done(self, attempt: Attempt, now: datetime) -> Cursor:
        """Return it after GitHub was asked."""
        return Cursor(self.since, {**self.asked, attempt.id: Asked(now, self.asked[attempt.id].times)})

    def not_begun(self, attempts: Iterable[Attempt], before: Cursor) -> Cursor:
        """Return it without what was not asked for after all: these stand as they did before."""
        asked = dict(self.asked)
        for attempt in attempts:
            del asked[attempt.id]
            if attempt.id in before.asked:
                asked[attempt.id] = before.asked[attempt.id]
        return Cursor(self.since, asked)


def fresh(now: datetime) -> Cursor:
    """Return where to begin where nothing is known."""
    return Cursor(now - FRESH)


def within_reach(cursor: Cursor, now: datetime) -> Cursor:
    """Return a cursor that asks for nothing that GitHub does not have any more."""
    return Cursor(max(cursor.since, now - KEPT), cursor.asked)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for now."""

    asks: tuple[Attempt, ...]
    # Whether more is due than is asked for at once.
    is_all: bool


def plan(cursor: Cursor, failed: Iterable[Attempt], *, most: int = AT_ONCE) -> Plan:
    """Return the failed attempts after which to ask now, the oldest first."""
    due = [chain[-1] for chain in _chains(cursor, failed) if _is_due(chain, cursor)]
    due.sort(key=_age)
    return Plan(tuple(due[:most]), len(due) <= most)


def moved_on(cursor: Cursor, failed: Sequence[Attempt], now: datetime, *, most: int) -> Cursor:
    """Return a cursor that has left behind what is over, and remembers no more attempts than so many.

    It lags behind the present, and behind the first attempt of every delivery that may have to be asked for once more:
    so the list always shows how often that was tried.
    """
    chains = _chains(cursor, failed)
    open_since = (chain[0].delivered_at for chain in chains if _is_open(chain, cursor, now))
    since = max(cursor.since, min([now - LAG, *open_since]))
    listed = sorted((attempt for attempt in failed if attempt.id in cursor.asked), key=_age)
    if len(listed) > most:
        # Too many to remember: the oldest are over, whatever came of them.
        since = max(since, listed[-most - 1].delivered_at + _SMALLEST)
    kept = [attempt.id for attempt in listed if attempt.delivered_at >= since]
    return Cursor(since, {number: cursor.asked[number] for number in kept})


def same_address(one: str | None, other: str | None) -> bool:
    """Tell whether two URLs lead to the same place, however their hosts are written."""
    place = _address(one) if one is not None else None
    return place is not None and other is not None and place == _address(other)


def _chains(cursor: Cursor, failed: Iterable[Attempt]) -> list[list[Attempt]]:
    """Return the attempts of each delivery, oldest first, where the first of them is not over yet.

    Where somebody asked again for a delivery that we had done with, the list has repetitions only: these are theirs.
    """
    chains: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in sorted(failed, key=_age):
        if attempt.event in EVENTS and not attempt.succeeded and attempt.delivered_at >= cursor.since:
            chains[attempt.guid].append(attempt)
    return [chain for chain in chains.values() if not chain[0].is_repeated]


def _repetitions(chain: Sequence[Attempt], cursor: Cursor) -> int:
    """Count how often a delivery was, or may have been, sent again."""
    asked = sum(cursor.asked[attempt.id].times for attempt in chain if attempt.id in cursor.asked)
    return max(len(chain) - 1, asked)


def _is_due(chain: Sequence[Attempt], cursor: Cursor) -> bool:
    asked = cursor.asked.get(chain[-1].id)
    return _repetitions(chain, cursor) < MOST_REPETITIONS and (asked is None or not asked.is_sure)


def _is_open(chain: Sequence[Attempt], cursor: Cursor, now: datetime) -> bool:
    """Tell whether a delivery may have to be asked for once more, now or when its repetition has failed."""
    asked = cursor.asked.get(chain[-1].id)
    return _is_due(chain, cursor) or (asked is not None and asked.at > now - LAG)


def _age(attempt: Attempt) -> tuple[datetime, int]:
    return attempt.delivered_at, attempt.id


def _address(url: str) -> tuple[str, str | None, int | None, str, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None  # what is no URL leads nowhere
    return parts.scheme, parts.hostname, port, parts.path, parts.query

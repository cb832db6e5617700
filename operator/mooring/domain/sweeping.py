"""Branches are looked at by themselves, now and then: of a push whose webhook never came, nobody else tells.

What is asked is when a repository was last pushed to. That is cheap, since one list tells it of a hundred; the branch
is looked at only where something was pushed that no look can have seen yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from mooring.domain.redeploys import PATIENCE

T = TypeVar("T")

# A sweep comes after this part of the interval, so that what it takes is over when that ends.
SHARE = 0.9
# The first sweep of a list begins when nobody joined it for so long, and waits no longer than the other one.
GATHERING = timedelta(seconds=2)
LONGEST_GATHERING = timedelta(seconds=30)
# So many lists are spread over a whole period when a process starts; fewer begin sooner.
FULL_PERIOD = 10_000
# A repository's hook is looked at in every sixth sweep, once an hour by default: no GitHub tells that it went.
HOOK_EVERY = 6
# In one sweep of a credential no more: a thousand repositories of one person are gone through in six, at 1,000 requests
# an hour of the 5,000 that GitHub gives that person.
MOST_HOOKS = 167

# How far our idea of GitHub's clock may be behind it.
SKEW = timedelta(minutes=10)

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_SEED = "mooring.dev/sweep/v1:"


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository in a list of what a credential reaches."""

    full_name: str
    private: bool
    # When any of its branches was last pushed to; None where nobody ever did.
    pushed_at: datetime | None


# --- what ---


def is_settled(pushed_at: datetime | None, read_at: datetime | None) -> bool:
    """Tell whether a branch that was read at a time of GitHub's shows what was pushed until then.

    A read shortly after it may have seen the branch as it was before: GitHub lags now and then, and of two pushes in
    one second only the first may have been there. So it counts only a minute after; until then it is read again.
    """
    return pushed_at is None or (read_at is not None and read_at >= pushed_at + PATIENCE)


def believed(read_at: datetime | None, now: datetime) -> datetime | None:
    """Return when a branch was read; what cannot have been yet was written by somebody else, and hides no push."""
    return read_at if read_at is not None and read_at <= now + SKEW else None


def is_another(shown: Listed, full_name: str, private: bool | None) -> bool:
    """Tell whether a repository has another name or visibility than it had when it was proven."""
    return shown.full_name != full_name or (private is not None and shown.private != private)


# --- when ---


def period(interval: timedelta) -> timedelta:
    """Return the time from one sweep to the next."""
    return interval * SHARE


def first_delay(number: int, interval: timedelta) -> timedelta:
    """Return after what time the so manieth list that came to be known is first looked through."""
    return GATHERING + period(interval) * min(number / FULL_PERIOD, 1.0)


def gathered_at(since: datetime, joined: datetime) -> datetime:
    """Return when those who follow by a new list are together: one list is to serve them all."""
    return min(joined + GATHERING, since + LONGEST_GATHERING)


def next_sweep(now: datetime, interval: timedelta, seed: str) -> datetime:
    """Return the next time of a list: every period, at a moment in it that the seed picks, so that no two coincide."""
    return now + period(interval) - (now - _BEGINNING - period(interval) * _share(seed)) % period(interval)


# --- hooks ---


def hooks_to_look_at(seen: Mapping[T, int], sweep: int) -> list[T]:
    """Return whose hooks are looked at in a sweep, those first that were not for the longest.

    `seen` has the number of the sweep in which each was looked at last.
    """
    due = sorted((last, position) for position, last in enumerate(seen.values()) if sweep - last >= HOOK_EVERY)
    keys = list(seen)
    return [keys[position] for _, position in due[:MOST_HOOKS]]


def before_first_hook_look(sweep: int, seed: str) -> int:
    """Return the number of a sweep in which a hook that is new here counts as looked at, so that not all come at once.

    Its first look is in one of the next six.
    """
    return sweep - int(_share(seed) * HOOK_EVERY)


def oldest_first(read: Mapping[T, datetime | None]) -> list[T]:
    """Return those that were read the longest ago first: a sweep that had to stop goes on where it did."""
    return sorted(read, key=lambda key: read[key] or _BEGINNING)


def _share(seed: str) -> float:
    """Return a number from 0 to 1 that is always the same for a seed."""
    return int.from_bytes(sha256((_SEED + seed).encode()).digest()[:6], "big") / 2**48

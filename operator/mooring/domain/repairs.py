"""When somebody keeps undoing what Mooring does: repair at once the first times, then ever more slowly.

Two writers that both insist would otherwise take turns for ever. In memory only: after a restart the first repairs are
quick again, which is right.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime, timedelta

# Repairs of one object in a row that are still taken for accidents.
FREE_REPAIRS = 3
# So long without a repair means that the fight is over.
PEACE = timedelta(minutes=10)
# The pause after the first repair too many, doubled with each further one.
FIRST_PAUSE = timedelta(seconds=15)
LAST_PAUSE = timedelta(minutes=5)
# Objects remembered at once; the oldest go first.
KEPT_OBJECTS = 10_000


class Repairs:
    """How often each object was repaired in a row, and when last."""

    def __init__(self) -> None:
        self._done: dict[Hashable, tuple[int, datetime]] = {}

    def not_before(self, key: Hashable, now: datetime) -> datetime | None:
        """Return the time before which an object must be left alone, or None where it may be repaired now."""
        count, last = self._recent(key, now)
        excess = count - FREE_REPAIRS
        if excess < 0:
            return None
        due = last + min(FIRST_PAUSE * 2 ** min(excess, 10), LAST_PAUSE)
        return due if due > now else None

    def note(self, key: Hashable, now: datetime) -> None:
        """Remember a repair."""
        count, _ = self._recent(key, now)
        # Taken out first, so that the newest stand last.
        self._done.pop(key, None)
        self._done[key] = (count + 1, now)
        while len(self._done) > KEPT_OBJECTS:
            del self._done[next(iter(self._done))]

    def forget(self, key: Hashable) -> None:
        """Start anew: we removed the object ourselves."""
        self._done.pop(key, None)

    def _recent(self, key: Hashable, now: datetime) -> tuple[int, datetime]:
        count, last = self._done.get(key, (0, now))
        return (0, now) if now - last > PEACE else (count, last)

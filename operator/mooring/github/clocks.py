"""How far GitHub's clocks are from ours, as their answers show. Counts only: nothing here waits or sends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

from mooring.github.limits import Limits
from mooring.ports import Clock

_AGREE = timedelta(0)
# A Date header counts in whole seconds: what it names has begun, and is not over.
_RESOLUTION = timedelta(seconds=1)


class Clocks:
    """The time at every place that has answered. One place's header says nothing about another's clock."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._most = limits.remembered
        self._farthest = limits.farthest_clock
        self._ahead: OrderedDict[Hashable, timedelta] = OrderedDict()

    def now(self, place: Hashable) -> datetime:
        """Return the time there; before the first answer, our own."""
        return self._clock.now() + self.ahead(place)

    def ahead(self, place: Hashable) -> timedelta:
        """Return how far the clock there is ahead of ours."""
        return self._ahead.get(place, _AGREE)

    def note(self, place: Hashable, shown: datetime | None, *, sent: datetime, received: datetime) -> None:
        """Learn from an answer. Its Date was written at some time in between; as long as that agrees, nothing changes.

        So a slow answer does not move a clock that quick ones have shown, and two good clocks never differ.
        """
        if shown is None or received < sent:
            return
        least, most = shown - received, shown + _RESOLUTION - sent
        known = self.ahead(place)
        ahead = min(max(known, least), most)
        if ahead == known or abs(ahead) > self._farthest:
            return
        self._ahead[place] = ahead
        self._ahead.move_to_end(place)
        while len(self._ahead) > self._most:
            self._ahead.popitem(last=False)

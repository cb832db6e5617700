"""The memory that bodies have: two lanes, so that large ones never keep small ones out. Pure: the time is an argument.

What counts is what arrived, never what was announced. Where a lane is full, the body that has been incomplete for
longest makes room: who sends fast is done before it is their turn, and who sends slowly loses what they hold.
"""

from __future__ import annotations

from collections.abc import Callable

from mooring.gateway.limits import Limits


class _Lane:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self.incomplete: dict[Holding, None] = {}
        self.grown: dict[Holding, None] = {}

    def make_room(self) -> None:
        while self.held > self.capacity and self.incomplete:
            # They are in the order of their beginnings, but for those that grew into this lane: these are few.
            first = next(iter(self.incomplete))
            oldest = min(self.grown, key=_began, default=first)
            (oldest if oldest.began < first.began else first).evict()

    def leave(self, holding: Holding) -> None:
        self.incomplete.pop(holding, None)
        self.grown.pop(holding, None)


def _began(holding: Holding) -> float:
    return holding.began


class Holding:
    """What one body holds of its lane, from `Lanes.enter` to `release`."""

    def __init__(self, lanes: Lanes, began: float, evicted: Callable[[], None], *, large: bool) -> None:
        self.began = began
        self.arrived = 0
        # What was read of it. It is here so that who is evicted gives it back at once.
        self.content = bytearray()
        self._lanes = lanes
        self._evicted = evicted
        self._lane = lanes.large if large else lanes.small
        self._lane.incomplete[self] = None
        self._released = False
        self._is_complete = False

    def grow(self, count: int) -> None:
        """Count what arrived; this body or others may be evicted for it."""
        if self._released:
            return
        self.arrived += count
        self._lane.held += count
        if self._lane is self._lanes.small and self.arrived > self._lanes.small_body:
            self._move()
        self._lane.make_room()

    def complete(self) -> None:
        """Say that all has arrived: from now on it is not evicted."""
        self._lane.leave(self)
        self._is_complete = True

    def abandon(self) -> None:
        """Give back what is held of a body that will not be complete; one that is belongs to whoever works on it."""
        if not self._is_complete:
            content = self.content
            self.release()
            content.clear()

    def release(self) -> None:
        """Give back all that is held. To do it twice is fine."""
        self._lane.leave(self)
        # What counts no more must not be kept from here either, while the delivery is recorded.
        self.content = bytearray()
        if not self._released:
            self._released = True
            self._lane.held -= self.arrived

    def evict(self) -> None:
        """Give back all, and have the sender cut off."""
        self.abandon()
        self._evicted()

    def _move(self) -> None:
        self._lane.held -= self.arrived
        self._lane.leave(self)
        self._lane = self._lanes.large
        self._lane.held += self.arrived
        self._lane.incomplete[self] = None
        self._lane.grown[self] = None


class Lanes:
    """Both lanes."""

    def __init__(self, limits: Limits) -> None:
        self.small_body = limits.small_body
        self.small = _Lane(limits.small_lane)
        self.large = _Lane(limits.large_lane)

    @property
    def held(self) -> int:
        """Return how many bytes are held in all."""
        return self.small.held + self.large.held

    def enter(self, now: float, *, announced: int | None, evicted: Callable[[], None]) -> Holding:
        """Begin a body, whose length is what was announced, or what it turns out to be."""
        return Holding(self, now, evicted, large=announced is not None and announced > self.small_body)

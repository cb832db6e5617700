"""The time that a checkout has."""

from __future__ import annotations

import time
from typing import Protocol

from mooring.checkout.failures import Failed


class Clock(Protocol):
    """Seconds that only grow, and a way to let some pass."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class MachineClock:
    """The machine's."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


class Deadline:
    """When a checkout has to be done."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = clock.now() + seconds

    def left(self) -> float:
        """Return the seconds that are left; negative where none are."""
        return self._end - self._clock.now()

    def check(self) -> None:
        """Raise Failed where no time is left."""
        if self.left() <= 0:
            raise Failed(
                f"it took longer than {self._seconds:.0f} s. A smaller folder in spec.source.path is written"
                " faster; a server that is slow may do better later"
            )

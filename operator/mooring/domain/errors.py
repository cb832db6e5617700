"""The three kinds of trouble, and what each means for an object.

An adapter or a service raises one of these; `domain.conditions` turns it into conditions and a delay, in one place.
A message says what happened, to which object, and what to do next. It never carries a secret, nor GitHub's own words.
"""

from __future__ import annotations

from datetime import datetime

from mooring.domain.reasons import Reason


class Trouble(Exception):
    """Something that keeps an object from being Ready. Not raised itself: its three kinds are."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stalled(Trouble):
    """A person must change something: nothing is retried until something that we watch changes."""

    # Of an answer from memory: when that ends. What changed may be newer than what is remembered.
    known_until: datetime | None = None


class Waiting(Trouble):
    """It comes back at a known time, such as the reset of a rate limit."""

    def __init__(self, reason: Reason, message: str, *, until: datetime) -> None:
        super().__init__(reason, message)
        self.until = until


class Transient(Trouble):
    """It may pass by itself: retried with a growing delay and jitter."""

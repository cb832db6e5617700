"""What is recorded of pushes in the status of a Project: the newest as the hint, the last twenty for people.

A push is recorded, or superseded by a newer recorded one (D1). What was recorded already changes nothing, under
whichever delivery it comes: a capture of last week that somebody sends again leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mooring.domain.conditions import timestamp
from mooring.domain.resources.project_status import DELIVERIES_MAX
from mooring.domain.status import without_nothing
from mooring.domain.webhooks.events import PUSH, Push

# How far GitHub's clock may be ahead of ours.
CLOCKS_DIFFER = timedelta(minutes=5)


class Told(StrEnum):
    """What became of a push."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A push as it arrived."""

    push: Push
    delivery: str
    received_at: datetime

    @property
    def pushed_at(self) -> str | None:
        """Return when it was pushed, as the status says it. No push is from the future: it would outlast all others."""
        if self.push.pushed_at is None:
            return None
        return timestamp(min(self.push.pushed_at, self.received_at + CLOCKS_DIFFER))


@dataclass(frozen=True, slots=True)
class Record:
    """What to write (None: nothing), and what became of each arrival, in their order."""

    fields: Mapping[str, Any] | None
    told: tuple[Told, ...]


def judge(status: Mapping[str, Any], arrival: Arrival) -> Told:
    """Compare an arrival with what is stored."""
    stored = status.get("push")
    if any(entry.get("delivery") == arrival.delivery for entry in status.get("deliveries") or ()):
        return Told.DUPLICATE
    if not stored:
        return Told.RECORDED
    if _is_same(stored, arrival):
        return Told.DUPLICATE
    return Told.RECORDED if _is_newer(stored, arrival) else Told.SUPERSEDED


def record(status: Mapping[str, Any], arrivals: Sequence[Arrival]) -> Record:
    """Take arrivals in, one after the other."""
    push, deliveries = status.get("push"), list(status.get("deliveries") or ())
    told: list[Told] = []
    for arrival in arrivals:
        found = judge({"push": push, "deliveries": deliveries}, arrival)
        told.append(found)
        if found is Told.RECORDED:
            push = _hint(arrival)
            deliveries = [_line(arrival), *deliveries]
    if Told.RECORDED not in told:
        return Record(None, tuple(told))
    return Record({"push": push, "deliveries": deliveries[:DELIVERIES_MAX]}, tuple(told))


def _is_same(stored: Mapping[str, Any], arrival: Arrival) -> bool:
    """Tell whether it is the very same push, as an App and a repository's hook both tell of one."""
    push = arrival.push
    told = (push.ref, push.before, push.sha, arrival.pushed_at)
    return told == tuple(stored.get(field) for field in ("ref", "before", "sha", "pushedAt"))


def _is_newer(stored: Mapping[str, Any], arrival: Arrival) -> bool:
    """Tell whether an arrival came after what is stored: by its time at GitHub, in one second by what follows what."""
    push, before, now = arrival.push, stored.get("pushedAt"), arrival.pushed_at
    if stored.get("ref") != push.ref or before is None or now is None:
        # The branch that is followed has changed meanwhile, or nothing says which was first.
        return True
    if before != now:
        # Both have one form, in which the later one is the larger.
        return now > str(before)
    return push.before == stored.get("sha") or push.sha != stored.get("before")


def _hint(arrival: Arrival) -> dict[str, Any]:
    """Return status.push. What is None is there, too: it takes away what the push before had."""
    push = arrival.push
    return {
        "sha": push.sha,
        "before": push.before,
        "ref": push.ref,
        "delivery": arrival.delivery,
        "pushedAt": arrival.pushed_at,
        "receivedAt": timestamp(arrival.received_at),
        "sender": push.sender,
    }


def _line(arrival: Arrival) -> dict[str, Any]:
    push = arrival.push
    return without_nothing(
        {
            "delivery": arrival.delivery,
            "event": PUSH,
            "sha": push.sha,
            "ref": push.ref,
            "sender": push.sender,
            "receivedAt": timestamp(arrival.received_at),
        }
    )

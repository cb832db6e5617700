"""What is recorded of deliveries in the status of a Project: the newest push as the hint, the last twenty for people.

A push is recorded, or superseded by a newer recorded one (D1). What was recorded already changes nothing, under
whichever delivery it comes: a capture of last week that somebody sends again leaves no trace.

One thing must not happen: that a push is called old although nobody has read the branch since. So wherever it is not
certain which of two came first, the later arrival is recorded: the branch is then read once more, and that is all.

What happened to the repository itself is among the twenty alone. Whoever finds it there asks GitHub for the repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from mooring.domain.conditions import timestamp
from mooring.domain.resources.project_status import DELIVERIES_MAX
from mooring.domain.status import without_nothing
from mooring.domain.webhooks.events import PUSH, REPOSITORY, Push

# How far clocks may be apart: ours and GitHub's, and those of two gateways.
CLOCKS_DIFFER = timedelta(minutes=5)


class Told(StrEnum):
    """What became of a delivery."""

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
        """Return when it was pushed, as the status says it: nobody believes in what is far in the future."""
        if self.push.pushed_at is None:
            return None
        return timestamp(min(self.push.pushed_at, self.received_at + CLOCKS_DIFFER))


@dataclass(frozen=True, slots=True)
class Report:
    """Something that happened to the repository itself, as it was told."""

    delivery: str
    received_at: datetime
    action: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What to write (None: nothing), and what became of each arrival, in their order."""

    fields: Mapping[str, Any] | None
    told: tuple[Told, ...]


def judge(status: Mapping[str, Any], arrival: Arrival | Report) -> Told:
    """Compare an arrival with what is stored."""
    stored, deliveries = status.get("push"), status.get("deliveries") or ()
    if any(entry.get("delivery") == arrival.delivery for entry in deliveries):
        return Told.DUPLICATE
    if isinstance(arrival, Report) or not stored:
        return Told.RECORDED
    if _is_same(stored, arrival):
        return Told.DUPLICATE
    return Told.SUPERSEDED if _is_older(stored, deliveries, arrival) else Told.RECORDED


def record(status: Mapping[str, Any], arrivals: Sequence[Arrival | Report]) -> Record:
    """Take arrivals in, one after the other."""
    push, deliveries = status.get("push"), list(status.get("deliveries") or ())
    told: list[Told] = []
    fields: dict[str, Any] = {}
    for arrival in arrivals:
        found = judge({"push": push, "deliveries": deliveries}, arrival)
        told.append(found)
        if found is not Told.RECORDED:
            continue
        if isinstance(arrival, Arrival):
            fields["push"] = push = _hint(arrival)
        fields["deliveries"] = deliveries = [_line(arrival), *deliveries][:DELIVERIES_MAX]
    return Record(fields or None, tuple(told))


def reports(status: Mapping[str, Any]) -> dict[str, datetime | None]:
    """Return when each delivery about the repository itself came that a status tells of, by its GUID."""
    return {
        str(entry["delivery"]): _time(entry.get("receivedAt"))
        for entry in status.get("deliveries") or ()
        if entry.get("event") == REPOSITORY and entry.get("delivery")
    }


def _is_same(stored: Mapping[str, Any], arrival: Arrival) -> bool:
    """Tell whether it is the very same push, as an App and a repository's hook both tell of one."""
    push = arrival.push
    told = (push.ref, push.before, push.sha, _time(arrival.pushed_at))
    return told == (*(stored.get(name) for name in ("ref", "before", "sha")), _time(stored.get("pushedAt")))


def _is_older(stored: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]], arrival: Arrival) -> bool:
    """Tell whether it is certain that an arrival came before what is stored: by its time at GitHub, to the second."""
    push = arrival.push
    before = _happened(stored.get("pushedAt"), stored.get("receivedAt"))
    now = _happened(arrival.pushed_at, timestamp(arrival.received_at))
    if stored.get("ref") != push.ref or before is None or now is None or _is_later_by_github(stored, push):
        # The branch that is followed has changed meanwhile, or nothing says which was first.
        return False
    if before != now:
        # What is stored may be wrong, too, since others may write a status; from the future it would stay for ever.
        return now < before <= arrival.received_at + CLOCKS_DIFFER and _is_earlier_by_github(stored, push)
    if push.before == stored.get("sha"):
        return False
    return push.sha == stored.get("before") or any(_is_of(entry, arrival, now) for entry in deliveries)


def _is_later_by_github(stored: Mapping[str, Any], push: Push) -> bool:
    """Compare by GitHub's clock alone: ours may be behind, and that of two gateways may differ."""
    said, of_stored = _said(push), _time(stored.get("pushedAt"))
    return said is not None and of_stored is not None and said > of_stored


def _is_earlier_by_github(stored: Mapping[str, Any], push: Push) -> bool:
    said, of_stored = _said(push), _time(stored.get("pushedAt"))
    return said is not None and of_stored is not None and said < of_stored


def _said(push: Push) -> datetime | None:
    """Return when GitHub says that a push was, to the second, as it would be stored."""
    return _time(timestamp(push.pushed_at)) if push.pushed_at is not None else None


def _happened(pushed_at: object, received_at: object) -> datetime | None:
    """Return when a push was there for certain, by which it is compared: not later than it arrived.

    One that says it is from the future would outlast real ones until then, and the branch would not be read for them.
    With a clock behind GitHub's all pushes are then in the order of their arrival, which costs a reading at most.
    """
    pushed, received = _time(pushed_at), _time(received_at)
    return pushed if pushed is None or received is None else min(pushed, received)


def _is_of(entry: Mapping[str, Any], arrival: Arrival, pushed_at: datetime) -> bool:
    """Tell whether a line is about a push: one that was received before it happened is not."""
    received_at = _time(entry.get("receivedAt"))
    same = (entry.get("ref"), entry.get("sha")) == (arrival.push.ref, arrival.push.sha)
    return same and received_at is not None and received_at >= pushed_at


def _time(text: object) -> datetime | None:
    return _read_time(text) if isinstance(text, str) else None


# In a burst the same few times are compared with each arrival.
@lru_cache(256)
def _read_time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


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


def _line(arrival: Arrival | Report) -> dict[str, Any]:
    if isinstance(arrival, Report):
        about = {"event": REPOSITORY, "action": arrival.action, "sender": arrival.sender}
    else:
        push = arrival.push
        about = {"event": PUSH, "sha": push.sha, "ref": push.ref, "sender": push.sender}
    return without_nothing({"delivery": arrival.delivery, **about, "receivedAt": timestamp(arrival.received_at)})

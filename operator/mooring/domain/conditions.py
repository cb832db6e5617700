"""Conditions: how they are set, and how trouble becomes one. Nothing else builds a condition.

A condition's time moves only when its status does; a list that says the same is the same list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import ConditionType, Reason

# The schema's bound on a message.
MESSAGE_LIMIT = 2048


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition as it should read."""

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str


STATUS_WORDS = {True: "True", False: "False", None: "Unknown"}


def timestamp(at: datetime) -> str:
    """Write a time as Kubernetes does."""
    return f"{at.astimezone(UTC).isoformat(timespec='seconds')[:-6]}Z"


def merge(
    current: Sequence[Mapping[str, Any]], wanted: Iterable[Wanted], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the whole list of conditions: ours as wanted, in their order, then those that others keep."""
    before = {entry.get("type"): entry for entry in current}
    merged: list[dict[str, Any]] = []
    for condition in wanted:
        old = before.pop(condition.type.value, None)
        status = STATUS_WORDS[condition.status]
        moved = old is None or old.get("status") != status
        merged.append(
            {
                "type": condition.type.value,
                "status": status,
                "reason": condition.reason.value,
                "message": condition.message[:MESSAGE_LIMIT],
                "lastTransitionTime": timestamp(now) if moved or old is None else old.get("lastTransitionTime"),
                "observedGeneration": generation,
            }
        )
    owned = {kind.value for kind in ConditionType}
    return merged + [dict(entry) for kind, entry in before.items() if kind not in owned]


def verdict(trouble: Trouble | None, *, suspended: bool, progressing: str | None, ready: str) -> tuple[Wanted, ...]:
    """Return Ready, Reconciling and Stalled, which have to agree: kstatus and `kubectl wait` read them.

    Trouble outranks suspension: a suspended object with a dead token is no less in need of a person.
    """
    if isinstance(trouble, Stalled):
        return (
            Wanted(ConditionType.READY, False, trouble.reason, trouble.message),
            Wanted(ConditionType.RECONCILING, False, trouble.reason, "Waits for a change."),
            Wanted(ConditionType.STALLED, True, trouble.reason, trouble.message),
        )
    if trouble is not None:
        return (
            Wanted(ConditionType.READY, False, trouble.reason, trouble.message),
            Wanted(ConditionType.RECONCILING, True, trouble.reason, trouble.message),
            Wanted(ConditionType.STALLED, False, trouble.reason, "Retried by itself."),
        )
    if suspended:
        return _settled(Reason.SUSPENDED, Reason.SUSPENDED.sentence)
    if progressing is not None:
        return (
            Wanted(ConditionType.READY, False, Reason.PROGRESSING, progressing),
            Wanted(ConditionType.RECONCILING, True, Reason.PROGRESSING, progressing),
            Wanted(ConditionType.STALLED, False, Reason.PROGRESSING, "A rollout is under way."),
        )
    return _settled(Reason.READY, ready)


def _settled(reason: Reason, message: str) -> tuple[Wanted, ...]:
    return (
        Wanted(ConditionType.READY, True, reason, message),
        Wanted(ConditionType.RECONCILING, False, reason, "Nothing to do."),
        Wanted(ConditionType.STALLED, False, reason, "Nothing is in the way."),
    )


def is_stalled(obj: Mapping[str, Any] | None) -> bool:
    """Tell whether an object's status says that a person must act."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
    return any(it.get("type") == ConditionType.STALLED.value and it.get("status") == "True" for it in conditions)

"""What brings the pushes of a Project: an App, a hook of the repository, or the sweep alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mooring.domain.conditions import STATUS_WORDS, Wanted, timestamp
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.webhooks.hooking import Noted, Place


class Via(StrEnum):
    """What brings pushes."""

    APP = "App"
    REPOSITORY = "Repository"
    SWEEP = "Sweep"


class State(StrEnum):
    """Whether they arrive."""

    ACTIVE = "Active"
    FAILING = "Failing"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class Carrier:
    """What brings the pushes of a Project, and how that stands."""

    via: Via
    state: State
    # Of the condition.
    status: bool | None
    reason: Reason
    message: str
    # The repository's hook, where there is one.
    hook: tuple[Place, Noted] | None = None


def by_app(trouble: Reason | None) -> Carrier:
    """Return how an App brings pushes."""
    if trouble is None:
        return Carrier(Via.APP, State.ACTIVE, True, Reason.APP_DELIVERS, Reason.APP_DELIVERS.sentence)
    return Carrier(Via.APP, State.MISSING, False, trouble, trouble.sentence)


def by_hook(place: Place, hook: Noted, failing: str | None) -> Carrier:
    """Return how a hook brings pushes."""
    if failing is not None:
        return Carrier(Via.REPOSITORY, State.FAILING, False, Reason.WEBHOOK_FAILING, failing, (place, hook))
    message = f"Webhook {hook.id} of the repository brings pushes; Mooring made it and keeps it."
    return Carrier(Via.REPOSITORY, State.ACTIVE, True, Reason.HOOK_DELIVERS, message, (place, hook))


def by_sweep(trouble: Reason | Trouble, hook: tuple[Place, Noted] | None = None) -> Carrier:
    """Return that only the sweep finds pushes; `hook` is one that is still to be removed."""
    reason = trouble if isinstance(trouble, Reason) else trouble.reason
    message = trouble.sentence if isinstance(trouble, Reason) else trouble.message
    status = False if isinstance(trouble, Reason | Stalled) else None
    return Carrier(Via.SWEEP, State.MISSING, status, reason, message, hook)


def condition(carrier: Carrier) -> Wanted:
    """Return the condition."""
    return Wanted(ConditionType.WEBHOOK_READY, carrier.status, carrier.reason, carrier.message)


def condition_in(status: Mapping[str, Any]) -> Wanted | None:
    """Return the condition as it stands in a status, None where there is none that we wrote."""
    found = next(
        (c for c in status.get("conditions") or () if c.get("type") == ConditionType.WEBHOOK_READY.value), None
    )
    if found is None:
        return None
    try:
        reason = _REASONS[found["reason"]]
        return Wanted(ConditionType.WEBHOOK_READY, _STATUSES[found["status"]], reason, found["message"])
    except KeyError:
        return None


_REASONS = {reason.value: reason for reason in Reason}
_STATUSES = {word: status for status, word in STATUS_WORDS.items()}


def field(carrier: Carrier, status: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return status.webhook. Its time moves only when something else brings pushes, or the condition flips."""
    before: Mapping[str, Any] = status.get("webhook") or {}
    known = condition_in(status)
    same = known is not None and known.status == carrier.status and before.get("via") == carrier.via.value
    told: dict[str, Any] = {
        "via": carrier.via.value,
        "since": (before.get("since") if same else None) or timestamp(now),
        "state": carrier.state.value,
    }
    place, hook = carrier.hook or (None, None)
    told["hookId"] = hook.id if hook is not None else None
    told["repositoryId"] = place.repository_id if place is not None else None
    told["apiUrl"] = place.api_url if place is not None else None
    told["secretVersion"] = hook.version if hook is not None else None
    told["updatedAt"] = hook.updated_at if hook is not None else None
    return told

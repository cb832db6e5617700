"""Which changes of a status deserve a Kubernetes Event: transitions that a person would want to know of, no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mooring.domain.reasons import ConditionType, Happened, Reason

# Ready says it all for most troubles; the token is told of as well: a Project may run without the one it should have.
# So are webhooks, which Ready does not depend on.
TOLD = (ConditionType.READY, ConditionType.TOKEN_RESOLVED, ConditionType.WEBHOOK_READY)
# How it is with webhooks by choice, of the spec's author or of the administrator: no news of a Project.
USUAL = (Reason.SWEEP_ONLY, Reason.NO_PUBLIC_URL)
# Reasons of other conditions alone; and the start of a rollout has an Event of its own, which says what is rolled out.
NEVER_TOLD = frozenset({Reason.IMAGE_ONLY, Reason.DEPLOYED, Reason.PROGRESSING, *USUAL})
# Every reason that an Event may have.
WORDS: tuple[Happened | Reason, ...] = (*Happened, *(reason for reason in Reason if reason not in NEVER_TOLD))


@dataclass(frozen=True, slots=True)
class Happening:
    """An Event to be."""

    warning: bool
    reason: str
    message: str


def transitions(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Happening]:
    """Return an Event for each condition that changed its status or its reason; each reason only once."""
    old = {entry.get("type"): entry for entry in before}
    told: list[Happening] = []
    for kind in TOLD:
        new = next((entry for entry in after if entry.get("type") == kind.value), None)
        if new is None:
            continue
        known = old.get(kind.value) or {}
        if (new["status"], new["reason"]) == (known.get("status"), known.get("reason")):
            continue
        if new["reason"] in USUAL or (kind is ConditionType.WEBHOOK_READY and not known and new["status"] == "True"):
            continue
        if new["reason"] == Reason.PROGRESSING.value:
            # The start of a rollout has an Event of its own, which says what is rolled out.
            continue
        happening = Happening(_is_warning(new), str(new["reason"]), str(new["message"]))
        if not any((it.warning, it.reason) == (happening.warning, happening.reason) for it in told):
            told.append(happening)
    return told


def _is_warning(condition: Mapping[str, Any]) -> bool:
    return bool(condition["status"] != "True")

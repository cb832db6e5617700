"""Which revision a Project runs, and whether there is a reason for a new one.

`status.revision` is written before anything rolls, and the pod template derives from it. So whatever is repeated,
after a crash or by another process, comes to the same revision and rolls nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from pydantic import ValidationError

from mooring.domain import names
from mooring.domain.conditions import timestamp
from mooring.domain.manifests import checkout
from mooring.domain.resources.project_status import HISTORY_MAX, RevisionStatus, Trigger
from mooring.domain.rollouts import Rollout, RolloutState
from mooring.domain.status import without_nothing

# Characters of why a rollout failed.
FAILURE_LENGTH = 512
SHORT_SHA = 7
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Running:
    """What the live Deployment says of itself."""

    checksum: str | None
    restart: str | None
    template: str | None
    generation: str | None
    # The digest of what was applied.
    applied: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What should run: the commit (None: an image alone), and what a template is compared by."""

    sha: str | None
    pinned: bool
    checksum: str | None
    restart: str | None
    template: str
    generation: int
    # The digest of what would be applied for the stored revision.
    applied: str | None = None
    # What brought another commit, where it was no change of the spec; and the delivery that told of it.
    cause: Trigger | None = None
    delivery: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The revision, and whether it is a new one that has to be stored before anything rolls."""

    revision: RevisionStatus
    new: bool


def running(deployment: Mapping[str, Any]) -> Running:
    """Read what a Deployment was rendered from."""
    own = deployment["metadata"].get("annotations") or {}
    template = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return Running(
        checksum=template.get(names.TOKEN_CHECKSUM_ANNOTATION),
        restart=template.get(names.RESTART_ANNOTATION),
        template=own.get(names.TEMPLATE_ANNOTATION),
        generation=own.get(names.GENERATION_ANNOTATION),
        applied=own.get(names.APPLIED_ANNOTATION),
    )


def recover(deployment: Mapping[str, Any]) -> RevisionStatus | None:
    """Read a lost revision back from the pod template: a restored cluster must not roll everything (D9)."""
    template = deployment["spec"]["template"]
    annotations = template["metadata"].get("annotations") or {}
    trigger = annotations.get(names.TRIGGER_ANNOTATION)
    if trigger not in {member.value for member in Trigger}:
        return None
    sha = annotations.get(names.REVISION_ANNOTATION)
    if sha is not None and _SHA.fullmatch(sha) is None:
        return None
    images = [c["image"] for c in template["spec"].get("initContainers") or () if c["name"] == checkout.CONTAINER]
    try:
        return RevisionStatus(
            sha=sha,
            short_sha=sha[:SHORT_SHA] if sha else None,
            delivery=annotations.get(names.DELIVERY_ANNOTATION),
            trigger=Trigger(trigger),
            checkout_image=images[0] if images else None,
            deployed_at=deployment["metadata"].get("creationTimestamp"),
        )
    except ValidationError:
        # Somebody wrote something else onto the template.
        return None


def as_field(revision: RevisionStatus) -> dict[str, Any]:
    """Return a revision as the history stores it."""
    return without_nothing(as_newest(revision))


def as_newest(revision: RevisionStatus) -> dict[str, Any]:
    """Return status.revision: what the one before had and this one has not, as a delivery, goes from there."""
    at = revision.deployed_at
    return {
        "sha": revision.sha,
        "shortSha": revision.short_sha,
        "delivery": revision.delivery,
        "trigger": revision.trigger.value if revision.trigger is not None else None,
        "checkoutImage": revision.checkout_image,
        "deployedAt": timestamp(at) if at is not None else None,
    }


class Belief(Enum):
    """What is believed of a stored revision. A status may be lost, restored from long ago, or forged."""

    # It may have been stored by an operator that ended before it was applied: GitHub has to be asked.
    ASK = auto()
    STORED = auto()
    # It was followed by what runs.
    RUNNING = auto()


def belief(
    stored: RevisionStatus,
    history: Sequence[RevisionStatus],
    found: RevisionStatus | None,
    *,
    own: bool,
    edited: bool,
) -> Belief:
    """Hold a stored revision against the one that the live Deployment carries (None: there is none).

    `own`: this very process stored it; `edited`: the Deployment was applied for it, and changed by somebody since.
    """
    if own or edited or (found is not None and found.sha == stored.sha):
        return Belief.STORED
    if found is None or found.sha is None or is_under_way(stored, history):
        return Belief.ASK
    return Belief.RUNNING


def as_remembered(found: RevisionStatus, history: Sequence[RevisionStatus]) -> RevisionStatus:
    """Return what runs as the history tells of it, where it does: a Deployment does not carry since when."""
    return next((it for it in history if it.model_copy(update={"deployed_at": found.deployed_at}) == found), found)


def with_an_image_of_ours(stored: RevisionStatus, found: RevisionStatus | None, present: str) -> RevisionStatus:
    """Return a revision whose checkout runs the image of what runs, or today's: no status names an image."""
    known = {present, found.checkout_image if found is not None else None}
    if stored.checkout_image is None or stored.checkout_image in known:
        return stored
    image = found.checkout_image if found is not None and found.checkout_image is not None else present
    return stored.model_copy(update={"checkout_image": image})


def is_under_way(revision: RevisionStatus, history: Sequence[RevisionStatus]) -> bool:
    """Tell whether a stored revision has not been applied yet: it enters the history when it has."""
    return not history or history[0] != revision


def decide(
    stored: RevisionStatus | None,
    history: Sequence[RevisionStatus],
    live: Running | None,
    asked: Asked,
    *,
    checkout_image: str,
    now: datetime,
) -> Decision:
    """Keep the stored revision, or make a new one and say why."""
    trigger = _trigger(stored, history, live, asked)
    if trigger is None and stored is not None:
        return Decision(stored, new=False)
    revision = RevisionStatus(
        sha=asked.sha,
        short_sha=asked.sha[:SHORT_SHA] if asked.sha else None,
        delivery=asked.delivery if trigger is asked.cause else None,
        trigger=trigger,
        checkout_image=checkout_image if asked.sha else None,
        deployed_at=_moment(now, [stored, *history] if stored is not None else history),
    )
    return Decision(revision, new=True)


def _moment(now: datetime, others: Sequence[RevisionStatus]) -> datetime:
    """Return the time of a new revision, to the second, as it is stored: what is read back must be equal.

    It is no other's: two that a second brought would else be one in the history, with one end.
    """
    taken = {other.deployed_at for other in others}
    at = datetime.fromisoformat(timestamp(now))
    while at in taken:
        at += timedelta(seconds=1)
    return at


def _trigger(
    stored: RevisionStatus | None, history: Sequence[RevisionStatus], live: Running | None, asked: Asked
) -> Trigger | None:
    if stored is None:
        return Trigger.CREATE
    if asked.sha != stored.sha:
        ran_before = any(entry.sha == asked.sha for entry in history)
        return asked.cause or (Trigger.ROLLBACK if asked.pinned and ran_before else Trigger.SPEC)
    if live is None or is_under_way(stored, history) or _is_as_applied(live, asked):
        return None
    if live.checksum != asked.checksum:
        return Trigger.TOKEN
    if live.restart != asked.restart:
        return Trigger.MANUAL
    return Trigger.SPEC if template_was_changed(live, asked) else None


def _is_as_applied(live: Running, asked: Asked) -> bool:
    """Tell whether the wish is the one that was applied: whatever differs was done by somebody else, to be repaired."""
    return live.applied is not None and live.applied == asked.applied


def template_was_changed(live: Running, asked: Asked) -> bool:
    """Tell whether a person changed what the pods are made of. A new version of Mooring alone changes nothing.

    Nor do marks that somebody took off: they are put back.
    """
    return live.template is not None and live.generation != str(asked.generation) and live.template != asked.template


def history_stands(
    history: Sequence[RevisionStatus],
    read: Sequence[RevisionStatus],
    stored: Sequence[Mapping[str, Any]],
    newest: Rollout | None,
) -> bool:
    """Tell whether status.history, as it is stored and was read, says all that `history_field` would."""
    state = newest.state if newest is not None else None
    is_news = state is RolloutState.FAILED or (
        state is RolloutState.COMPLETE and bool(stored) and stored[0].get("failure") is not None
    )
    return not is_news and list(history) == list(read)


def history_field(
    history: Sequence[RevisionStatus], stored: Sequence[Mapping[str, Any]], newest: Rollout | None
) -> list[dict[str, Any]]:
    """Return status.history. Where the newest one's rollout failed, it says why; what was said of others stays."""
    fields = [as_field(revision) for revision in history]
    known = {_identity(entry): entry["failure"] for entry in stored if entry.get("failure")}
    if fields and newest is not None and newest.state is RolloutState.FAILED:
        known[_identity(fields[0])] = (newest.why or newest.message)[:FAILURE_LENGTH]
    elif fields and newest is not None and newest.state is RolloutState.COMPLETE:
        known.pop(_identity(fields[0]), None)
    return [field | ({"failure": known[_identity(field)]} if _identity(field) in known else {}) for field in fields]


def _identity(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in ("sha", "trigger", "delivery", "deployedAt"))


def with_applied(history: Sequence[RevisionStatus], revision: RevisionStatus) -> list[RevisionStatus]:
    """Return the history with a revision that has been applied, newest first."""
    if history and history[0] == revision:
        return list(history)
    return [revision, *history][:HISTORY_MAX]

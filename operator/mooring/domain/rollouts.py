"""How far a Deployment is, read from its status the way `kubectl rollout status` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any


class RolloutState(Enum):
    """Where a rollout stands."""

    COMPLETE = auto()
    PROGRESSING = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout, and what a person may read about it."""

    state: RolloutState
    message: str
    desired: int
    ready: int
    # What the pods say of why it is not complete.
    why: str | None = None


def rollout(deployment: Mapping[str, Any]) -> Rollout:
    """Judge a Deployment."""
    status = deployment.get("status") or {}
    desired = int(deployment["spec"].get("replicas", 1))
    updated, available = int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))
    total, ready = int(status.get("replicas", 0)), int(status.get("readyReplicas", 0))

    def judged(state: RolloutState, message: str) -> Rollout:
        if state is RolloutState.PROGRESSING and is_seen(deployment) and deployment["spec"].get("paused"):
            # It would wait for ever, and Kubernetes counts no time against it.
            message = f"{message} {_paused(deployment)}"
        return Rollout(state, message, desired, ready)

    if not is_seen(deployment):
        return judged(RolloutState.PROGRESSING, "The Deployment's controller has not seen the change yet.")
    if (failure := _failure(status)) is not None:
        return judged(RolloutState.FAILED, failure)
    if updated < desired:
        return judged(RolloutState.PROGRESSING, f"{updated} of {desired} new pods are made.")
    if total > updated:
        return judged(RolloutState.PROGRESSING, f"{total - updated} old pods are about to end.")
    if available < updated:
        return judged(RolloutState.PROGRESSING, f"{available} of {updated} new pods are available.")
    return judged(RolloutState.COMPLETE, f"{available} of {desired} pods are available.")


def _paused(deployment: Mapping[str, Any]) -> str:
    metadata = deployment["metadata"]
    resume = f"kubectl rollout resume deployment/{metadata['name']} -n {metadata['namespace']}"
    return f"Somebody paused the Deployment; `{resume}` lets it go on."


def is_seen(deployment: Mapping[str, Any]) -> bool:
    """Tell whether the Deployment's controller has seen its newest spec: before that there are no pods of it."""
    seen = int((deployment.get("status") or {}).get("observedGeneration", 0))
    return seen >= int(deployment["metadata"].get("generation", 0))


def explained(judged: Rollout, why: str | None) -> Rollout:
    """Add what the pods themselves say to what their Deployment says."""
    return judged if why is None else replace(judged, message=f"{judged.message} {why}", why=why)


def _failure(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return "The new pods did not become available in time. Look at the pods' Events and logs."
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"Pods cannot be made: {condition.get('message') or condition.get('reason')}"
    return None

"""How far a Deployment is, as `kubectl rollout status` would say."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.domain.rollouts import RolloutState, rollout

DEADLINE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}


def deployment(wanted: int | None, generation: int = 2, **status: Any) -> dict[str, Any]:
    spec = {} if wanted is None else {"replicas": wanted}
    return {"metadata": {"generation": generation}, "spec": spec, "status": {"observedGeneration": 2, **status}}


def counts(updated: int, total: int, available: int) -> dict[str, int]:
    return {"updatedReplicas": updated, "replicas": total, "availableReplicas": available, "readyReplicas": available}


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (deployment(2, **counts(2, 2, 2)), RolloutState.COMPLETE, "2 of 2 pods are available"),
        (deployment(None, **counts(1, 1, 1)), RolloutState.COMPLETE, "1 of 1"),
        (deployment(0), RolloutState.COMPLETE, "0 of 0"),
        (deployment(2, generation=3, **counts(2, 2, 2)), RolloutState.PROGRESSING, "has not seen the change"),
        ({"metadata": {"generation": 1}, "spec": {}}, RolloutState.PROGRESSING, "has not seen the change"),
        (deployment(2, **counts(1, 3, 2)), RolloutState.PROGRESSING, "1 of 2 new pods"),
        (deployment(2, **counts(2, 3, 2)), RolloutState.PROGRESSING, "1 old pods"),
        (deployment(2, **counts(2, 2, 1)), RolloutState.PROGRESSING, "1 of 2 new pods are available"),
        (deployment(1, conditions=[DEADLINE], **counts(1, 2, 0)), RolloutState.FAILED, "in time"),
        (deployment(1, conditions=[QUOTA]), RolloutState.FAILED, "exceeded quota"),
        (deployment(1, conditions=[{**QUOTA, "status": "False"}]), RolloutState.PROGRESSING, "0 of 1"),
        # A failure of the spec before says nothing about the one that was not seen yet.
        (deployment(1, generation=3, conditions=[DEADLINE]), RolloutState.PROGRESSING, "has not seen the change"),
    ],
)
def test_each_state(found: dict[str, Any], state: RolloutState, says: str) -> None:
    judged = rollout(found)
    assert judged.state is state
    assert says in judged.message


def test_the_counts_are_those_of_the_deployment() -> None:
    judged = rollout(deployment(3, **counts(3, 3, 1)))
    assert (judged.desired, judged.ready) == (3, 1)


def test_a_paused_one_that_waits_says_how_to_go_on() -> None:
    def paused(found: dict[str, Any]) -> str:
        named = {**found["metadata"], "name": "shop-default", "namespace": "team-a"}
        return rollout({**found, "metadata": named, "spec": {**found["spec"], "paused": True}}).message

    hint = "`kubectl rollout resume deployment/shop-default -n team-a`"
    assert hint in paused(deployment(2, **counts(1, 3, 2)))
    # What is done goes on as it is, and is no trouble.
    assert hint not in paused(deployment(2, **counts(2, 2, 2)))
    assert hint not in paused(deployment(2, generation=3, **counts(2, 2, 2)))

"""A rollout that does not come to its end says why, and the old pods stay."""

from __future__ import annotations

from typing import Any

from tests.cluster.harness import Object, People, condition

WORKLOAD = {"image": "nginx", "replicas": 1}
NOWHERE = {**WORKLOAD, "nodeSelector": {"example.com/there-is": "no-such-node"}}


def ready(project: Object | None) -> dict[str, Any]:
    return condition(project or {}, "Ready")


def says_why(project: Object | None) -> bool:
    found = ready(project)
    return found.get("status") == "False" and "no node takes it" in found.get("message", "")


def test_pods_that_no_node_takes_are_told_and_the_old_ones_stay(people: People) -> None:
    people.apply("Project", "stuck", {"workload": WORKLOAD})
    people.until_condition("stuck", "Ready", "True", "Ready")
    people.apply("Project", "stuck", {"workload": NOWHERE})
    found = people.until("Project", "stuck", says_why, "the reason")
    assert ready(found)["reason"] == "Progressing"
    assert "Pod stuck-default-" in ready(found)["message"]
    assert condition(found or {}, "Deployed")["message"] == ready(found)["message"]
    deployment = people.get("Deployment", "stuck-default")
    assert deployment is not None
    assert deployment["status"]["availableReplicas"] == 1
    people.apply("Project", "stuck", {"workload": WORKLOAD})
    after = people.until_condition("stuck", "Ready", "True", "Ready")
    assert "no node takes it" not in ready(after)["message"]


def test_pods_that_may_not_be_made_end_the_rollout_and_the_history_says_so(people: People) -> None:
    people.apply("Project", "large", {"workload": WORKLOAD})
    people.until_condition("large", "Ready", "True", "Ready")
    people.create("ResourceQuota", {"metadata": {"name": "one-pod"}, "spec": {"hard": {"pods": "1"}}})
    # Before its controller has counted, a quota refuses nothing.
    people.until("ResourceQuota", "one-pod", lambda quota: bool(((quota or {}).get("status") or {}).get("used")))
    people.apply("Project", "large", {"workload": {**WORKLOAD, "command": ["serve"]}})
    found = people.until_condition("large", "Stalled", "True", "RolloutFailed")
    assert "exceeded quota" in ready(found)["message"]

    def is_noted(project: Object | None) -> bool:
        newest = ((project or {}).get("status") or {}).get("history", [{}])[0]
        return "exceeded quota" in newest.get("failure", "")

    noted = people.until("Project", "large", is_noted, "a note in the history")
    assert noted is not None
    assert "failure" not in noted["status"]["history"][1]
    people.delete("ResourceQuota", "one-pod")
    found = people.until_condition("large", "Ready", "True", "Ready", seconds=120)
    assert "failure" not in found["status"]["history"][0]

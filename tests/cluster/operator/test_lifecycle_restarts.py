"""New pods of the same revision, no pods at all, and pods again: by the annotation, by kubectl, by `spec.suspend`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from lab import binaries
from tests.cluster.harness import Hub, Object, People, condition, is_observed, rollouts_of
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import Shop

RESTARTED = "kubectl.kubernetes.io/restartedAt"
RESTART = "mooring.dev/restart"


def kubectl(people: People, *arguments: str) -> str:
    """Run the real kubectl, as a person in the namespace does; return what it says."""
    done = subprocess.run(
        [
            str(binaries.find("kubectl")),
            f"--kubeconfig={people.kube.kubeconfig}",
            f"--namespace={people.namespace}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def triggers(project: Object | None) -> list[str]:
    """Return what led to each revision of a Project, oldest first."""
    history = ((project or {}).get("status") or {}).get("history") or []
    return [entry["trigger"] for entry in reversed(history)]


def is_ready_after(*expected: str, pods: int = 1) -> Callable[[Object | None], bool]:
    """Tell whether a Project is Ready with so many pods, its newest spec, and exactly these triggers behind it."""

    def there(project: Object | None) -> bool:
        ready = condition(project or {}, "Ready")
        current = ready.get("observedGeneration") == ((project or {}).get("metadata") or {}).get("generation")
        found = ((project or {}).get("status") or {}).get("replicas")
        return (
            current
            and (ready.get("status"), ready.get("reason")) == ("True", "Ready")
            and found == {"desired": pods, "ready": pods}
            and triggers(project) == list(expected)
        )

    return there


def annotations(people: People, name: str) -> dict[str, str]:
    """Return the annotations that the pods of a Project are made with."""
    deployment = people.get("Deployment", f"{name}-default")
    assert deployment is not None
    return dict(deployment["spec"]["template"]["metadata"]["annotations"])


def sources(hub: Hub) -> dict[str, dict[str, Any]]:
    """Return a Project's kinds of source: by name, by plain URL, and none."""
    return {
        "named": {"source": {"github": {"repository": "acme/open"}}},
        "plain": {"source": {"git": {"url": f"{hub.web_url}/acme/open.git"}}},
        "image": {},
    }


def test_whatever_the_source_is_a_restart_is_one_rollout_and_a_suspension_none(people: People, hub: Hub) -> None:
    names = list(sources(hub))
    for name, spec in sources(hub).items():
        people.apply("Project", name, {**spec, "workload": {"image": "nginx", "replicas": 1}})
    people.until_every("Project", dict.fromkeys(names, is_ready_after("Create")))
    revisions = {name: (people.get("Project", name) or {})["status"]["revision"].get("sha") for name in names}

    # By kubectl: the pods are new, the revision is not, and nobody takes the annotation away.
    kubectl(people, "rollout", "restart", *(f"deployment/{name}-default" for name in names))
    people.until_every("Deployment", {f"{name}-default": has_rolled(2) for name in names})
    stamps = {name: annotations(people, name)[RESTARTED] for name in names}

    # By the annotation: one rollout, and the history says that a person asked for it. Had the operator fought over
    # kubectl's restart, there would be more.
    kubectl(people, "annotate", *(f"projects.mooring.dev/{name}" for name in names), f"{RESTART}=once")
    people.until_every("Project", dict.fromkeys(names, is_ready_after("Create", "Manual")))
    for name in names:
        assert annotations(people, name)[RESTARTED] == stamps[name]
        assert annotations(people, name)[RESTART] == "once"
        assert people.rollouts(name) == 3

    # Suspended: no pods. Asked to restart meanwhile, there are still none; and then there are, of the same revision.
    for name in names:
        people.patch("Project", name, {"spec": {"suspend": True}})
    people.until_every("Project", dict.fromkeys(names, is_suspended))
    kubectl(people, "rollout", "restart", *(f"deployment/{name}-default" for name in names))
    for name in names:
        people.patch("Project", name, {"spec": {"suspend": False}})
    people.until_every("Project", dict.fromkeys(names, is_ready_after("Create", "Manual")))
    for name in names:
        assert people.rollouts(name) == 4
        assert (people.get("Project", name) or {})["status"]["revision"].get("sha") == revisions[name]


def has_rolled(times: int) -> Callable[[Object | None], bool]:
    """Tell whether a Deployment's pods are those of its so manieth rollout, and no others."""

    def there(deployment: Object | None) -> bool:
        status = (deployment or {}).get("status") or {}
        counts = [status.get(field) for field in ("replicas", "updatedReplicas", "availableReplicas")]
        return is_observed(deployment) and rollouts_of(deployment) == times and counts == [1, 1, 1]

    return there


def is_suspended(project: Object | None) -> bool:
    """Tell whether a Project is Ready without any pod."""
    ready = condition(project or {}, "Ready")
    current = ready.get("observedGeneration") == ((project or {}).get("metadata") or {}).get("generation")
    found = ((project or {}).get("status") or {}).get("replicas")
    return current and ready.get("reason") == "Suspended" and found == {"desired": 0, "ready": 0}


def test_pushes_to_what_is_suspended_and_what_runs_when_it_goes_on(people: People, hub: Hub, fresh: TokenMaker) -> None:
    shop = Shop.open(people, hub, fresh())
    people.patch("Project", "shop", {"spec": {"suspend": True}})
    people.until("Project", "shop", is_suspended)
    people.until("Pod", "", lambda _: people.list("Pod") == [], "the end of all pods")
    for number in (2, 3):
        shop.tell(shop.push())
        people.until("Project", "shop", lambda p, n=number: triggers(p) == ["Create", *["Push"] * (n - 1)])
    people.until("Project", "shop", is_suspended)
    assert people.list("Pod") == []

    # It goes on with the newest commit, and with one set of pods: those of the commits between were never made.
    people.patch("Project", "shop", {"spec": {"suspend": None}})
    people.until("Project", "shop", is_ready_after("Create", "Push", "Push"))
    assert people.rollouts("shop") == 3
    made = [event for event in people.list("Event") if event["reason"] == "SuccessfulCreate"]
    assert len(made) == 2, [event["note"] for event in made]
    (pod,) = (pod for pod in people.list("Pod") if not pod["metadata"].get("deletionTimestamp"))
    assert pod["metadata"]["annotations"]["mooring.dev/revision"] == shop.last


def test_a_deployment_that_somebody_paused_says_so(people: People) -> None:
    people.apply("Project", "shop", {"workload": {"image": "nginx", "replicas": 1}})
    people.until("Project", "shop", is_ready_after("Create"))
    kubectl(people, "rollout", "pause", "deployment/shop-default")
    people.patch("Project", "shop", {"spec": {"workload": {"image": "nginx:2"}}})
    told = "kubectl rollout resume deployment/shop-default"
    found = people.until("Project", "shop", lambda p: told in condition(p or {}, "Ready").get("message", ""), "a hint")
    assert condition(found or {}, "Ready")["reason"] == "Progressing"
    kubectl(people, "rollout", "resume", "deployment/shop-default")
    people.until("Project", "shop", is_ready_after("Create", "Spec"))

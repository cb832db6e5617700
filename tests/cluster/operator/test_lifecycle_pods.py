"""New pods, no pods, and pods that do not start: restarts, suspensions, and rollouts that fail.

The nodes are played. So where a rollout is to fail, a test says of a pod what kubelet would, and of a Deployment that
its time is over, which Kubernetes says after ten minutes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from lab import binaries
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition, is_observed, rollouts_of
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import Shop
from tests.cluster.token_life import until

RESTARTED = "kubectl.kubernetes.io/restartedAt"
RESTART = "mooring.dev/restart"
WORKLOAD = {"image": "nginx", "replicas": 1}
NODE = "/api/v1/nodes/simulated-1"
LANE = "example.com/lane"
NOWHERE = {"nodeSelector": {LANE: "nowhere"}}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}

# What kubelet says of the first container of a pod, and what of it a person has to read.
KINDS: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "pull": (
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}},
        ("the image nginx:missing cannot be had", "ImagePullBackOff"),
    ),
    "crash": (
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}},
            "lastState": {
                "terminated": {"exitCode": 3, "reason": "Error", "message": "reading config\nno such key: port\n"}
            },
            "restartCount": 4,
        },
        ("container workload failed (exit code 3)", "no such key: port"),
    ),
    "probe": (
        {"state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}, "started": True},
        ("its readiness probe does not succeed yet",),
    ),
}


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


def has_gone_through(expected: list[str]) -> Callable[[Object | None], bool]:
    """Tell whether a Project has exactly these triggers behind it."""
    return lambda project: triggers(project) == expected


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


def marks(people: People, name: str) -> dict[str, str]:
    """Return the annotations that the pods of a Project are made with."""
    deployment = people.get("Deployment", f"{name}-default")
    assert deployment is not None
    return dict(deployment["spec"]["template"]["metadata"]["annotations"])


def sources(hub: Hub) -> dict[str, dict[str, Any]]:
    """Return the kinds of source that nobody tells of; for one by name the page about it all is gone through."""
    return {
        "plain": {"source": {"git": {"url": f"{hub.web_url}/acme/open.git"}}},
        "image": {},
    }


def test_whatever_the_source_is_a_restart_is_one_rollout_and_a_suspension_none(people: People, hub: Hub) -> None:
    names = list(sources(hub))
    for name, spec in sources(hub).items():
        people.apply("Project", name, {**spec, "workload": WORKLOAD})
    people.until_every("Project", dict.fromkeys(names, is_ready_after("Create")))
    revisions = {name: (people.get("Project", name) or {})["status"]["revision"].get("sha") for name in names}

    # By kubectl: the pods are new, the revision is not, and nobody takes the annotation away.
    kubectl(people, "rollout", "restart", *(f"deployment/{name}-default" for name in names))
    people.until_every("Deployment", {f"{name}-default": has_rolled(2) for name in names})
    stamps = {name: marks(people, name)[RESTARTED] for name in names}

    # By the annotation: one rollout, and the history says that a person asked for it. Had the operator fought over
    # kubectl's restart, there would be more.
    kubectl(people, "annotate", *(f"projects.mooring.dev/{name}" for name in names), f"{RESTART}=once")
    people.until_every("Project", dict.fromkeys(names, is_ready_after("Create", "Manual")))
    for name in names:
        assert marks(people, name)[RESTARTED] == stamps[name]
        assert marks(people, name)[RESTART] == "once"
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
    for name in pods(people, "shop"):
        people.until("Pod", name, lambda pod: pod is None, "its end")
    for told in (["Create", "Push"], ["Create", "Push", "Push"]):
        shop.announced()
        people.until("Project", "shop", has_gone_through(told), str(told))
    people.until("Project", "shop", is_suspended)
    assert people.list("Pod") == []

    # It goes on with the newest commit, and with one set of pods: those of the commits between were never made.
    people.patch("Project", "shop", {"spec": {"suspend": None}})
    people.until("Project", "shop", is_ready_after("Create", "Push", "Push"))
    assert people.rollouts("shop") == 3

    def made() -> list[str]:
        return [event["note"] for event in people.list("Event") if event["reason"] == "SuccessfulCreate"]

    until(lambda: len(made()) >= 2, "the second set's Event, which comes behind the work")
    assert len(made()) == 2, made()
    (pod,) = (pod for pod in people.list("Pod") if not pod["metadata"].get("deletionTimestamp"))
    assert pod["metadata"]["annotations"]["mooring.dev/revision"] == shop.last


def test_a_deployment_that_somebody_paused_says_so(people: People) -> None:
    people.apply("Project", "shop", {"workload": WORKLOAD})
    people.until("Project", "shop", is_ready_after("Create"))
    kubectl(people, "rollout", "pause", "deployment/shop-default")
    people.patch("Project", "shop", {"spec": {"workload": {"image": "nginx:2"}}})
    told = "kubectl rollout resume deployment/shop-default"
    found = people.until("Project", "shop", lambda p: told in condition(p or {}, "Ready").get("message", ""), "a hint")
    assert condition(found or {}, "Ready")["reason"] == "Progressing"
    kubectl(people, "rollout", "resume", "deployment/shop-default")
    people.until("Project", "shop", is_ready_after("Create", "Spec"))


# --- rollouts that fail ---


def has_a_new_pod(people: People, project: str, old: set[str]) -> Object:
    """Return the newest pod of a Project that was not there before, once scheduler and controller have said their word.

    What a test says of it is not to be overwritten.
    """
    found: list[Object] = []

    def there(_: Object | None) -> bool:
        found[:] = [
            pod
            for pod in people.list("Pod")
            if pod["metadata"]["labels"].get("mooring.dev/project") == project and pod["metadata"]["name"] not in old
        ]
        deployment = people.get("Deployment", f"{project}-default") or {}
        return bool(found) and is_observed(deployment) and deployment["status"].get("updatedReplicas") == len(found)

    people.until("Deployment", f"{project}-default", there, "a new pod")
    people.until(
        "Pod", found[0]["metadata"]["name"], lambda pod: bool(condition(pod or {}, "PodScheduled")), "a verdict"
    )
    return found[0]


def pods(people: People, project: str) -> set[str]:
    """Return the names of a Project's pods."""
    return {
        pod["metadata"]["name"]
        for pod in people.list("Pod")
        if pod["metadata"]["labels"].get("mooring.dev/project") == project
    }


def fail(people: People, project: str, pod: Object, told: Mapping[str, Any], *, of: str = "containers") -> None:
    """Say of a pod what kubelet says, and of its Deployment that there was time enough."""
    container = pod["spec"][of][0]
    entry = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        **told,
    }
    field = "containerStatuses" if of == "containers" else "initContainerStatuses"
    # A node took it, so the scheduler says nothing of it any more.
    status = {"conditions": [{"type": "PodScheduled", "status": "True"}], field: [entry]}
    people.patch("Pod", pod["metadata"]["name"], {"status": status}, subresource="status")
    people.patch("Deployment", f"{project}-default", {"status": {"conditions": [LATE]}}, subresource="status")


def has_failed(*words: str) -> Callable[[Object | None], bool]:
    """Tell whether a Project says in all places that its newest rollout failed, and why."""

    def there(project: Object | None) -> bool:
        status = (project or {}).get("status") or {}
        told = [condition(project or {}, kind) for kind in ("Ready", "Stalled", "Deployed")]
        states = [(it.get("status"), it.get("reason")) for it in told]
        failure = (status.get("history") or [{}])[0].get("failure", "")
        failed = ("False", "RolloutFailed")
        return states == [failed, ("True", "RolloutFailed"), failed] and all(
            word in text for word in words for text in (told[0]["message"], failure)
        )

    return there


def is_well(trigger: str, entries: int) -> Callable[[Object | None], bool]:
    """Tell whether a Project is Ready after its so manieth rollout, and says nothing of a failure but in the past."""

    def there(project: Object | None) -> bool:
        status = (project or {}).get("status") or {}
        states = {kind: condition(project or {}, kind).get("status") for kind in ("Ready", "Deployed", "Stalled")}
        history = status.get("history") or [{}]
        return (
            states == {"Ready": "True", "Deployed": "True", "Stalled": "False"}
            and condition(project or {}, "Ready")["observedGeneration"] == (project or {})["metadata"]["generation"]
            and (history[0].get("trigger"), len(history)) == (trigger, entries)
            and "failure" not in history[0]
        )

    return there


def serve_still(people: People, project: str, old: set[str]) -> None:
    """See that the pods from before are there, and ready."""
    deployment = people.get("Deployment", f"{project}-default")
    assert deployment is not None
    assert deployment["status"]["availableReplicas"] == len(old)
    assert old <= pods(people, project)


def test_each_kind_of_failure_is_told_and_mended_by_the_spec(people: People) -> None:
    for name in KINDS:
        people.apply("Project", name, {"workload": WORKLOAD})
    people.until_every("Project", dict.fromkeys(KINDS, is_well("Create", 1)))
    old = {name: pods(people, name) for name in KINDS}
    for name in KINDS:
        people.apply("Project", name, {"workload": {**WORKLOAD, "image": "nginx:missing", **NOWHERE}})
    for name, (told, _) in KINDS.items():
        fail(people, name, has_a_new_pod(people, name, old[name]), told)
    people.until_every("Project", {name: has_failed(*words) for name, (_, words) in KINDS.items()})
    for name in KINDS:
        serve_still(people, name, old[name])
        people.apply("Project", name, {"workload": {**WORKLOAD, "image": "nginx:3"}})
    found = people.until_every("Project", dict.fromkeys(KINDS, is_well("Spec", 3)))
    for name, (_, words) in KINDS.items():
        past = found[name]["status"]["history"][1]["failure"]
        assert all(word in past for word in words)
        assert "failure" not in found[name]["status"]["history"][2]


@pytest.fixture
def lane(kube: Kube, people: People) -> Iterator[Callable[[], Any]]:
    """Return what closes the one node that takes a Project's new pods, until the end of a block."""

    def label(value: str | None) -> None:
        body = {"metadata": {"labels": {LANE: value}}}
        status, answer = kube.request("PATCH", NODE, body, "application/merge-patch+json")
        assert status == 200, answer

    @contextmanager
    def closed() -> Iterator[None]:
        label(None)
        try:
            yield
        finally:
            label(people.namespace)

    label(people.namespace)
    yield closed
    label(None)


def test_a_push_that_fails_is_told_rolled_back_and_followed_by_a_good_one(
    people: People, hub: Hub, fresh: TokenMaker, lane: Callable[[], Any]
) -> None:
    token = fresh()
    shop = Shop.open(people, hub, token, workload={"nodeSelector": {LANE: people.namespace}})
    good, old = shop.last, pods(people, "shop")
    with lane():
        shop.announced()
        bad = shop.last
        said = f"fetching\nfatal: bad object\n\x1b[31mnot with {token} and ghp_{'x' * 36}\n"
        ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        fail(
            people,
            "shop",
            has_a_new_pod(people, "shop", old),
            {"state": waiting, "lastState": ended, "restartCount": 2},
            of="initContainers",
        )
        found = people.until("Project", "shop", has_failed("the checkout failed (exit code 1)", "fatal: bad object"))
        shop.until_told("RolloutFailed", "the checkout failed", "fatal: bad object")
        serve_still(people, "shop", old)
        # Back to what ran, by its id: the branch's head stays the one that failed, and nobody rolls it out again.
        people.patch("Project", "shop", {"spec": {"source": {"revision": good}}})
    people.until("Project", "shop", is_well("Rollback", 3))
    assert shop.template()["mooring.dev/revision"] == good
    with lane():
        # The same again, told by nothing but its end; and a good one behind it, while the bad one hangs.
        people.patch("Project", "shop", {"spec": {"source": {"revision": None}}})
        people.until("Project", "shop", lambda p: (p or {})["status"]["revision"]["sha"] == bad, "the bad one again")
        guid = shop.announced()
        people.until("Project", "shop", lambda p: (p or {})["status"]["revision"]["sha"] == shop.last, "the good one")
    people.until("Project", "shop", is_well("Push", 5))
    assert shop.status["revision"]["delivery"] == guid
    assert shop.template()["mooring.dev/revision"] == shop.last
    assert [("failure" in entry, entry["trigger"]) for entry in shop.status["history"]] == [
        (False, "Push"),
        (False, "Spec"),
        (False, "Rollback"),
        (True, "Push"),
        (False, "Create"),
    ]
    assert found is not None
    assert found["status"]["history"][0]["sha"] == found["status"]["revision"]["sha"] == bad
    everything = [str(found["status"]), *(event.get("note", "") for event in people.list("Event"))]
    assert not any(secret in text for text in everything for secret in (token, "ghp_x", "\x1b"))

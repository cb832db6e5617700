"""Why new pods do not become available, from what nodes say of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mooring.domain import pods
from tests.unit.objects import PAT

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def pod(
    *containers: dict[str, Any],
    init: tuple[dict[str, Any], ...] = (),
    made: str = NEW,
    name: str = "shop-new",
    **more: Any,
) -> dict[str, Any]:
    labels = {"pod-template-hash": "new" if made == NEW else "old"}
    status = {"containerStatuses": list(containers), "initContainerStatuses": list(init), **more}
    return {"metadata": {"name": name, "creationTimestamp": made, "labels": labels}, "status": status}


def container(name: str = "workload", **state: Any) -> dict[str, Any]:
    last = state.pop("last", None)
    found = {"name": name, "image": "registry.example/shop:1", "ready": False, **state.pop("told", {}), "state": state}
    return found | ({"lastState": {"terminated": last}} if last else {})


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container(waiting={"reason": reason, "message": message})


READY = [{"type": "Ready", "status": "True"}]
BACK_OFF = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            pod(waiting("ImagePullBackOff", "not found")),
            "the image registry.example/shop:1 cannot be had (ImagePullBackOff: not",
        ),
        (
            pod(waiting("CreateContainerConfigError", 'secret "x" not found')),
            'cannot be started (CreateContainerConfigError: secret "x"',
        ),
        (
            pod(container(waiting=BACK_OFF, last={"exitCode": 3, "reason": "Error", "message": "a\nb\nc\nd\n"})),
            "container workload failed (exit code 3): b | c | d",
        ),
        (
            pod(container(waiting=BACK_OFF, last={"exitCode": 137, "reason": "OOMKilled"})),
            "failed (OOMKilled, exit code 137); it left no last words",
        ),
        (
            pod(container(terminated={"exitCode": 1, "reason": "Error", "message": "boom"})),
            "failed (exit code 1): boom",
        ),
        (
            pod(container(running={}, told={"restartCount": 2}, last={"exitCode": 0, "reason": "Completed"})),
            "ended by itself",
        ),
        (pod(container(running={}, told={"started": False})), "its startup probe does not succeed yet"),
        (pod(container(running={}, told={"started": True})), "its readiness probe does not succeed yet"),
        (
            pod(
                init=(
                    container(
                        "checkout",
                        waiting=BACK_OFF,
                        last={"exitCode": 1, "reason": "Error", "message": "the server refuses the credential"},
                    ),
                )
            ),
            "the checkout failed (exit code 1): the server refuses",
        ),
        (
            pod(conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes"}]),
            "no node takes it: 0/3 nodes",
        ),
        (pod(phase="Failed", reason="Evicted", message="the node was low on memory"), "Evicted: the node was low"),
    ],
)
def test_each_trouble_is_told(found: dict[str, Any], says: str) -> None:
    told = pods.why([found])
    assert told is not None
    assert told.startswith("Pod shop-new: ")
    assert says in told


@pytest.mark.parametrize(
    "found",
    [
        pod(container(running={}, told={"ready": True, "started": True})),
        pod(container(waiting={"reason": "ContainerCreating"})),
        pod(
            container(waiting={"reason": "PodInitializing"}), init=(container("checkout", terminated={"exitCode": 0}),)
        ),
        pod(),
    ],
)
def test_what_is_well_or_has_just_begun_is_no_trouble(found: dict[str, Any]) -> None:
    assert pods.why([found]) is None
    assert pods.why([]) is None


def test_the_newest_pods_alone_are_spoken_of() -> None:
    crashed = container(terminated={"exitCode": 1, "reason": "Error", "message": "old"})
    old = pod(crashed, made=OLD, name="shop-old")
    assert pods.why([old, pod()]) is None
    going = pod(container(terminated={"exitCode": 1}), name="shop-going")
    going["metadata"]["deletionTimestamp"] = NEW
    assert pods.why([going, pod()]) is None
    told = pods.why(
        [
            pod(container(terminated={"exitCode": 2}), name="shop-b"),
            pod(container(terminated={"exitCode": 3}), name="shop-a"),
            old,
        ]
    )
    assert told is not None
    assert told.startswith("Pod shop-a: ")


def test_of_pods_of_one_second_those_that_serve_already_are_the_older_ones() -> None:
    serving = pod(container(told={"ready": True}, running={}), name="shop-a", conditions=READY)
    serving["metadata"]["labels"] = {"pod-template-hash": "old"}
    told = pods.why([serving, pod(waiting("ErrImagePull"), name="shop-b")])
    assert told is not None
    assert told.startswith("Pod shop-b: ")


def test_last_words_are_short_and_carry_neither_secrets_nor_terminal_codes() -> None:
    odd = "a-value-without-a-shape"
    message = "\n".join(["first line", f"\x1b[31mtoken {PAT}\x1b[0m", f"password {odd}", "x" * 5000])
    told = pods.why([pod(container(terminated={"exitCode": 1, "message": message}))], [odd])
    assert told is not None
    assert len(told) < 600
    short = pods.why([pod(container(terminated={"exitCode": 1, "message": message[:-5000]}))], [odd])
    assert short is not None
    assert PAT not in short
    assert odd not in short
    assert "[redacted]" in short
    assert short.isprintable()


def test_a_secret_is_blotted_out_before_the_text_is_cut() -> None:
    odd = "another-value-without-a-shape"
    told = pods.why([pod(container(terminated={"exitCode": 1, "message": odd + "y" * (pods.CHARACTERS - 10)}))], [odd])
    assert told is not None
    assert odd[-10:] not in told


def test_what_the_node_cut_begins_after_the_first_blank() -> None:
    message = "the-end-of-a-secret " + "and a longer text" * 200
    told = pods.why([pod(container(terminated={"exitCode": 1, "message": message}))])
    assert told is not None
    assert "the-end" not in told
    assert "longer text" in told
    assert "no last words" in str(pods.why([pod(container(terminated={"exitCode": 1, "message": "s" * 2048}))]))


def test_pods_are_asked_after_ever_more_seldom() -> None:
    assert [pods.pause(looks) / timedelta(seconds=1) for looks in range(6)] == [5, 10, 20, 40, 60, 60]

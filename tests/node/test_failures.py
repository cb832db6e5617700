"""Rollouts that fail: the old pods go on, and the Project says why in the words of whatever failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.harness import Object, condition
from tests.lab.kubernetes.support import until
from tests.node.install import PATIENCE, uids
from tests.node.shop import IMAGE, PORT, SERVE, Shop

GOOD: dict[str, Any] = {"image": IMAGE, "command": SERVE, "ports": [{"containerPort": PORT}], "replicas": 1}
BRANCH = "feature/links"
SAID = "print('no database in sight'); raise SystemExit(3)"
BAD: dict[str, dict[str, Any]] = {
    "image": {"image": "localhost:9/nowhere:1"},
    "crash": {"command": ["python3", "-u", "-c", SAID]},
    "probe": {"readinessProbe": {"httpGet": {"path": "/nothing", "port": PORT}, "periodSeconds": 1}},
}
WORDS = {
    "image": ("the image localhost:9/nowhere:1 cannot be had",),
    "crash": ("container workload failed (exit code 3)", "no database in sight"),
    "probe": ("container workload runs, and its readiness probe does not succeed yet",),
    "checkout": ("the checkout failed", "leads out of"),
}


@pytest.fixture(scope="module")
def serving(shop: Shop) -> Iterator[dict[str, Object]]:
    """The pods of a Project of each kind, before something went wrong with each."""
    for name in BAD:
        shop.people.apply("Project", name, {"workload": GOOD, "expose": {}})
    shop.push({"index.html": "another branch"}, branch=BRANCH)
    shop.deploy("checkout", branch=BRANCH)
    for name in BAD:
        shop.ready(name)
    before = {name: shop.alone(name) for name in WORDS}
    shop.push({}, links={"etc": "/etc"}, branch=BRANCH)
    for name, wrong in BAD.items():
        shop.people.apply("Project", name, {"workload": {**GOOD, **wrong}, "expose": {}})
    yield before
    for name in WORDS:
        shop.people.delete("Project", name)


@pytest.mark.parametrize("name", WORDS)
def test_a_rollout_that_fails_says_why_and_takes_nothing_away(
    shop: Shop, serving: dict[str, Object], name: str
) -> None:
    def told(it: Object | None) -> bool:
        ready = condition(it or {}, "Ready")
        return ready.get("status") != "True" and all(word in ready.get("message", "") for word in WORDS[name])

    shop.people.until("Project", name, told, f"{WORDS[name]}", seconds=PATIENCE)
    until(lambda: uids([serving[name]]) < uids(shop.pods(name)), "the old pod beside the new one", PATIENCE)
    assert shop.page(name)

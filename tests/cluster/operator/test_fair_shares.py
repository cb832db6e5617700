"""D8: many Projects that hang on a slow host delay nobody in another namespace."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.cluster.harness import Hub, People
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.token_life import fault, until

MANY, AT_ONCE = 60, 8
# Seconds that the slow host takes for an answer: longer than anybody waits for one.
SLOW = 60.0
# Seconds that a new Project of somebody else may take meanwhile.
PROMISE = 8.0


def test_a_namespace_on_a_slow_host_delays_no_other(
    more_people: Callable[..., People], hub: Hub, fresh: TokenMaker
) -> None:
    busy, other = more_people(), more_people()
    hub.seed(
        organizations=[{"login": "slow", "members": {"alice": "admin"}}],
        repositories=[{"owner": "slow", "name": "app-{n}", "count": MANY, "private": True, "files": {"a.txt": "a"}}],
    )
    for people in (busy, other):
        people.secret("own", fresh())
    # The account and the token are known already: what is measured is the wait for a place.
    make(other, "before", "acme/open")
    other.until_condition("before", "Ready", "True", "Ready")
    with fault(hub, kind="latency", seconds=SLOW, path="*/slow/*"):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: make(busy, f"slow-{number}", f"slow/app-{number}"), range(1, MANY + 1)))
        until(lambda: asked_of_slow_host(hub) > 0, "a question to the slow host")
        took = []
        for number in range(5):
            began = time.monotonic()
            make(other, f"after-{number}", "acme/open")
            other.until_condition(f"after-{number}", "Ready", "True", "Ready")
            took.append(time.monotonic() - began)
    print([round(seconds, 1) for seconds in took])  # noqa: T201 - the figures
    assert max(took) < PROMISE, took


def make(people: People, name: str, repository: str) -> None:
    """Make a Project with a source and a token of its own."""
    source = {"github": {"repository": repository}}
    people.apply(
        "Project", name, {"token": {"secretRef": {"name": "own"}}, "source": source, "workload": {"image": "nginx"}}
    )


def asked_of_slow_host(hub: Hub) -> int:
    """Count the questions that came to the slow host."""
    return sum(int(one["hits"]) for one in hub.control("GET", "/faults")["faults"])

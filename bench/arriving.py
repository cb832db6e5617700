"""Many new Projects, and the seconds from the operator's start until it has observed all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import worlds
from bench.site import BEGINS, OPERATOR, Asked, Site, counted, cpu, logged_at, now, stop
from bench.worlds import INSTALLATION, OURS, USER, WEBHOOK_SECRET, World
from tests.cluster.harness import People, condition
from tests.cluster.operator.apps import LabApp

Object = dict[str, Any]
PATIENCE = 900.0
QUIET = 20


@dataclass
class Arrival:
    """How new Projects were reconciled, and what was asked for that."""

    count: int
    # From the start of the process, and from the moment at which it had read what there is.
    with_start: float
    seconds: float
    # What the process used of one core until then.
    cpu: float
    asked: list[Asked] = field(repr=False)
    journal: list[Object] = field(repr=False)


def settle(world: World, spaces: list[People]) -> None:
    """Have an operator make everything ready that is there before the Projects."""
    with world.site.operator():
        for people, app in zip(spaces, world.apps, strict=False):
            people.until("GitHubInstallation", INSTALLATION, is_ready, "Ready", seconds=PATIENCE)
            people.until("GitHubUser", USER, is_ready, "Ready", seconds=PATIENCE)
            enter_webhook(world.site, people, app)


def enter_webhook(site: Site, people: People, app: LabApp) -> None:
    """Enter at GitHub where an App's webhooks go, as its owner does who reads that in the status."""

    def url(obj: Mapping[str, Any] | None) -> str:
        return str((((obj or {}).get("status") or {}).get("webhook") or {}).get("url") or "")

    found = people.until("GitHubInstallation", INSTALLATION, lambda obj: url(obj) != "", "a webhook", seconds=PATIENCE)
    site.hub.control("POST", f"/apps/{app.slug}/webhook", {"url": url(found), "secret": WEBHOOK_SECRET})


def is_ready(obj: Mapping[str, Any] | None) -> bool:
    """Tell whether an object is Ready."""
    return condition(obj or {}, "Ready").get("status") == "True"


def create(site: Site, spaces: list[People], count: int, spec: Callable[[int], Object]) -> None:
    """Make Projects, spread over namespaces."""
    requests = [
        worlds.own(site, "Project", spaces[number % len(spaces)].namespace, f"p{number}", spec(number))
        for number in range(count)
    ]
    worlds.send(site, requests)


Done = Callable[[Mapping[str, Any]], bool]


def rolled_out(project: Mapping[str, Any]) -> bool:
    """Tell whether a Project was observed to its end: what has replicas has a Deployment."""
    status = project.get("status") or {}
    return status.get("observedGeneration") == project["metadata"].get("generation") and "replicas" in status


def reconciled(site: Site, count: int, kind: str = "projects", done: Done = rolled_out) -> Arrival:
    """Start an operator where there are so many new objects of a kind, and wait until all of them are done."""
    version = version_of(site, kind)
    mark = site.hub.mark()
    since, mooring = now(), site.start()
    try:
        end = observe(changes(site, kind, version), count, done)
        until, used = now(), cpu(mooring)
        journal = site.hub.journal(mark)
        began = logged_at(mooring, BEGINS)
    finally:
        stop(mooring)
    asked = [one for one in site.asked(OPERATOR, since) if one.at <= until]
    return Arrival(count, end - site.started, end - began, used, asked, journal)


def version_of(site: Site, kind: str) -> str:
    """Return the version from which a watch of all objects of a kind tells what is new."""
    status, body = site.kube.request("GET", f"{OURS}/{kind}?limit=1")
    assert status == 200, body
    return str(body["metadata"]["resourceVersion"])


def observe(objects: Iterator[Object], count: int, done: Done) -> float:
    """Read what changes until so many objects are done; return when the last was, by the clock."""
    ended: set[tuple[str, str]] = set()
    for obj in objects:
        if done(obj):
            ended.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))
            if len(ended) == count:
                return time.time()
    raise AssertionError(f"only {len(ended)} of {count} objects were reconciled within {PATIENCE:.0f} s")


def changes(site: Site, kind: str, version: str) -> Iterator[Object]:
    """Read watches of all objects of a kind, one after the other, for as long as there is patience."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        query = f"watch=true&timeoutSeconds={QUIET}&allowWatchBookmarks=true&resourceVersion={version}"
        with site.kube.watch(f"{OURS}/{kind}?{query}") as events:
            for event in events:
                assert event["type"] != "ERROR", event
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield event["object"]


def told(arrival: Arrival, what: str) -> str:
    """Say in a line what the operator did."""
    asked = ", ".join(f"{n} {' '.join(sort).strip()}" for sort, n in counted(arrival.asked).most_common(8))
    each = 1000 * arrival.seconds / arrival.count
    took = (
        f"{arrival.seconds:.2f} s ({each:.2f} ms each), {arrival.with_start:.2f} s with start, {arrival.cpu:.1f} s CPU"
    )
    return f"{arrival.count} {what} in {took}; {asked}; {len(arrival.journal)} to GitHub"

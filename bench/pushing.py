"""Signed pushes to two gateways: many to one Project while the operator works, and many over a thousand of them.

Those over many are sent without an operator, too: with one, most of what two cores do is what follows from a push.

The floor is `bench.bare_projects`. Both are measured in turns, short ones, since a machine is not as fast all the time.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench import gateways, hammer, rings, worlds
from bench.bare_projects import BareProjects
from bench.figures import Book, Void
from bench.floor import Timing, request
from bench.hammer import Sent
from bench.site import Site, metric, site
from bench.size import Say, Size
from bench.worlds import INSTALLATION, WEBHOOK_SECRET, World
from tests.cluster.harness import People
from tests.cluster.process import Gateway, Mooring

Object = dict[str, Any]
IN_FLIGHT, REPLICAS = 64, 2
PATIENCE = 900.0
# Seconds without a run after which the operator rests, and between two looks at that.
RESTS, LOOKS = 3.0, 0.25
RUNS, DEPTH = "mooring_reconcile_results_total", "mooring_queue_depth"
RESULTS = ("recorded", "conflict", "failed")


def measure(book: Book, size: Size, say: Say) -> None:
    """Measure both, and the floor before each time."""
    with site() as here:
        count = 1 + -(-size.spread_projects // worlds.EACH)
        world = worlds.make(here, size.spread_projects + 1, count)
        spaces = world.furnish("pushed", count)
        with here.operator() as operator:
            followed = _follow(world, spaces, size.spread_projects)
            say(f"  {size.spread_projects + 1} Projects follow their repositories")
            mount = gateways.mounted(here, gateways.webhook_document(here))
            _fill(here, followed)
            bare = BareProjects(here, min(size.spread_projects, 500), size.spread)
            # Each push is later than the one before.
            moments = itertools.count(int(time.time()) - 100_000)
            with gateways.running(here, mount, REPLICAS) as running:
                burst = _Run(operator, running, followed[:1], size.burst, size.runs, moments)
                _alternate(book, "push_burst", burst, bare, say)
                spread = _Run(operator, running, followed[1:], size.spread, 1, moments)
                _alternate(book, "push_spread_at_work", spread, bare, say)
        with gateways.running(here, mount, REPLICAS) as running:
            spread = _Run(None, running, followed[1:], size.spread, size.turns, moments)
            _alternate(book, "push_spread", spread, bare, say)


def _alternate(book: Book, what: str, run: _Run, bare: BareProjects, say: Say) -> None:
    """Measure floor and product one after the other, several times.

    The floor is at its best with as many in flight as were quickest in all turns: what was so in one is half luck.
    """
    run.send(min(run.count, max(200, len(run.targets))))
    # Not each of many was among those that were just pushed to.
    bare.take_shape(next(it for it in (target.project() for target in run.targets) if "push" in it["status"]))
    rates: list[float] = []
    tails: list[float] = []
    floors: list[list[Timing]] = []
    for _ in range(run.times):
        # The floor has the API server for itself; the operator works while pushes come.
        if run.operator is not None:
            _rest(run.operator)
        floors.append(bare.measure())
        before = run.patches()
        sent = run.send(run.count)
        written = {name: count - before[name] for name, count in run.patches().items()}
        say(f"  {what}: {_told(sent)}; PATCHes {written}")
        at = ", ".join(f"{timing.rate:.0f} a second at {timing.in_flight}" for timing in floors[-1])
        say(f"  floor: {at}; p99 {1000 * floors[-1][-1].p99:.0f} ms at {IN_FLIGHT}")
        rates.append(sent.rate)
        tails.append(sent.quantile(0.99))
    best = max(zip(*floors, strict=True), key=lambda turns: median(timing.rate for timing in turns))
    ratios = [rate / timing.rate for rate, timing in zip(rates, best, strict=True)]
    book.add(what, ratios, "x", n=run.count, floor=median(timing.rate for timing in best))
    if what == "push_burst":
        crowded = [turn[-1].p99 for turn in floors]
        ratios = [tail / p99 for tail, p99 in zip(tails, crowded, strict=True)]
        book.add("push_burst_p99", ratios, "x", n=run.count, floor=1000 * median(crowded))


def _rest(operator: Mooring) -> None:
    """Wait until the operator has nothing to do."""
    deadline, since, before = time.monotonic() + PATIENCE, time.monotonic(), -1.0
    while time.monotonic() - since < RESTS:
        assert time.monotonic() < deadline, "the operator does not come to rest"
        runs = metric(operator, RUNS)
        if runs != before or metric(operator, DEPTH):
            since, before = time.monotonic(), runs
        time.sleep(LOOKS)


def _told(sent: Sent) -> str:
    p50, p99 = (1000 * sent.quantile(share) for share in (0.5, 0.99))
    busy = 100 * sent.cpu_seconds / sent.seconds
    return f"{sent.rate:.0f} a second, p50 {p50:.0f} ms, p99 {p99:.0f} ms; the sender's CPU {busy:.0f} %"


# --- the product ---


class Target:
    """A Project, and where pushes to its repository go."""

    def __init__(self, people: People, name: str, repository: int, path: str) -> None:
        self.people, self.name, self.repository, self.path = people, name, repository, path
        self.head = str(self.project()["status"]["source"]["headSha"])

    def project(self) -> Object:
        """Return it as it is now."""
        found = self.people.get("Project", self.name)
        assert found is not None
        return found


@dataclass
class _Run:
    """Pushes over some Projects, each later than the one before."""

    # None: none works meanwhile.
    operator: Mooring | None
    running: list[Gateway]
    targets: Sequence[Target]
    count: int
    times: int
    # When a push was made, and its number.
    moments: Iterator[int]

    def send(self, count: int) -> Sent:
        """Send so many pushes, and see that each was taken and the last one stands in its Project."""
        made = [next(self.moments) for _ in range(count)]
        requests = [self._delivery(number) for number in made]
        sent = hammer.send(gateways.addresses(self.running), requests, IN_FLIGHT)
        if set(sent.statuses) - {200, 202}:
            raise Void(f"pushes were answered {dict(sent.statuses)}: {sent.samples[:3]!r}")
        stands = datetime.fromisoformat(self._target(made[-1]).project()["status"]["push"]["pushedAt"]).timestamp()
        assert stands == made[-1], f"the last push is not the one that stands in its Project: {stands}"
        return sent

    def patches(self) -> dict[str, int]:
        """Return how many writes were tried, by what came of them."""
        names = {result: f'mooring_gateway_patches_total{{result="{result}"}}' for result in RESULTS}
        return {result: int(sum(one.metric(name) for one in self.running)) for result, name in names.items()}

    def _target(self, number: int) -> Target:
        return self.targets[number % len(self.targets)]

    def _delivery(self, number: int) -> bytes:
        target = self._target(number)
        payload = gateways.push(target.repository, number, number, target.head)
        return gateways.delivery(target.path, payload, WEBHOOK_SECRET)


def _follow(world: World, spaces: list[People], count: int) -> list[Target]:
    """Make Projects that follow a repository each, the first of them alone in its namespace, and wait for proofs."""
    places = [(spaces[0], "p0"), *((spaces[1 + n % (len(spaces) - 1)], f"p{n + 1}") for n in range(count))]
    wanted = [
        worlds.own(world.site, "Project", people.namespace, name, worlds.sourced(number, count + 1))
        for number, (people, name) in enumerate(places)
    ]
    for people in spaces:
        people.until("GitHubInstallation", INSTALLATION, lambda obj: _path(obj) != "", "a webhook", seconds=PATIENCE)
    worlds.send(world.site, wanted)
    for people in spaces:
        names = [name for owner, name in places if owner is people]
        people.until_every("Project", dict.fromkeys(names, _is_proven), seconds=PATIENCE)
    paths = {people.namespace: _path(people.get("GitHubInstallation", INSTALLATION)) for people in spaces}
    return [
        Target(people, name, world.repositories[f"{worlds.ACCOUNT}/app-{number + 1}"], paths[people.namespace])
        for number, (people, name) in enumerate(places)
    ]


def _path(installation: Mapping[str, Any] | None) -> str:
    told = ((installation or {}).get("status") or {}).get("webhook") or {}
    return urlsplit(str(told.get("url") or "")).path


def _is_proven(project: Mapping[str, Any] | None) -> bool:
    status = (project or {}).get("status") or {}
    source = status.get("source") or {}
    return bool(source.get("proof") and source.get("headSha")) and "replicas" in status


def _fill(here: Site, targets: Sequence[Target]) -> None:
    """Give each the ring of deliveries that it has after some pushes: what is written is larger then."""
    fields = json.dumps({"status": {"deliveries": rings.deliveries()}}).encode()
    places = [f"namespaces/{target.people.namespace}/projects/{target.name}" for target in targets]
    worlds.send(
        here,
        [
            request(
                "PATCH",
                f"{here.access.server}/apis/mooring.dev/v1alpha1/{place}/status?fieldManager=mooring-gateway",
                fields,
                content_type="application/merge-patch+json",
                headers=here.authorization(),
            )
            for place in places
        ],
    )

"""D6 at its stated size: ten thousand Projects over twenty clone Secrets are swept with a hundred requests, in little.

A thousand repositories are followed from ten namespaces each, so that GitHub's limit for a token fills two clone
Secrets in each of them.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import clone_secrets, put_secret
from tests.cluster.process import Mooring, running_operator

pytestmark = pytest.mark.vast

SPACES, EACH = 10, int(os.environ.get("MOORING_TEST_PROJECTS", "10000")) // 10
PROJECTS = SPACES * EACH
# GitHub's limits: repositories of a token, entries of a page.
MOST, PAGE = 500, 100
SECRETS = SPACES * -(-EACH // MOST)
# What a sweep asks: the pages of each clone Secret's list.
REQUESTS = SECRETS * -(-min(EACH, MOST) // PAGE)
INTERVAL, PERIOD = "2m", 108.0
MOST_MEMORY = 250
# Seconds until the test gives up: until all Projects are there, and until something has come to rest.
PATIENCE, RESTS = 900.0, 8.0
AT_ONCE = 16
LIST = "/installation/repositories"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class World:
    """A lab with a thousand repositories."""

    lab: Lab
    kube: Kube
    hub: Hub
    people: list[People]


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make the repositories, an installation in each namespace, and nothing that runs workloads."""
    lab = Lab.up(tmp_path_factory.mktemp("sweep"), nodes="none")
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    try:
        install_kinds(kube)
        hub = Hub(lab.env)
        hub.control("POST", "/limits", {"authenticated": 1_000_000, "points_per_minute": 1_000_000})
        repositories = [{"owner": "acme", "name": "app-{n}", "count": EACH, "private": True, "files": {"a": "x"}}]
        made = hub.seed(
            users=[{"login": "alice"}],
            organizations=[{"login": "acme", "members": {"alice": "admin"}}],
            apps=[{"slug": "ship", "owner": "alice", "permissions": {"contents": "read", "metadata": "read"}}],
            repositories=repositories,
            installations=[{"app": "ship", "account": "acme", "repositories": "all"}],
        )
        # What was pushed just now is looked at again after a minute, and that is not what is measured.
        hub.control("POST", "/clock", {"advance": 120})
        app = made["apps"]["ship"]
        people = [People(kube, f"many-{number}") for number in range(SPACES)]
        for some in people:
            assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": some.namespace}})[0] == 201
            put_secret(some, "app", {"appId": str(app["id"]), "privateKey": str(app["private_key"])})
            some.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
        yield World(lab, kube, hub, people)
        hub.close()
    finally:
        kube.close()
        lab.down()


def test_ten_thousand_projects_are_swept(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    began = time.monotonic()
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("first"), MOORING_LOG_LEVEL="info") as first:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: make(world, number), range(PROJECTS)))
        rest(first)
        told(f"{PROJECTS} Projects came to rest after {time.monotonic() - began:.0f} s, with {memory(first):.0f} MiB")
    assert [len(clone_secrets(some)) for some in world.people] == [SECRETS // SPACES] * SPACES
    mark = world.hub.mark()
    more = {"MOORING_LOG_LEVEL": "info", "MOORING_SWEEP_INTERVAL": INTERVAL}
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("next"), **more) as mooring:
        until_swept(mooring, SECRETS)
        rest(mooring)
        assert value(mooring, "mooring_sweep_repositories") == PROJECTS
        told(f"the first sweeps: {in_words(world.hub.journal(mark))}; {memory(mooring):.0f} MiB")

        mark, cpu, swept = world.hub.mark(), seconds_of(mooring), value(mooring, SWEEPS)
        # No other way: it is a period that is measured.
        time.sleep(PERIOD)
        entries, took = world.hub.journal(mark), seconds_of(mooring) - cpu
        assert value(mooring, SWEEPS) - swept == pytest.approx(SECRETS, abs=2)
        told(f"a period: {in_words(entries)}; {took:.1f} s of CPU; {memory(mooring):.0f} MiB")
        lists = sum(LIST in entry["path"] for entry in entries)
        # The installations themselves look at what their tokens reach once an interval, and count.
        assert REQUESTS - 10 <= lists <= 2 * REQUESTS + 5 * SPACES + 10
        assert [entry["path"] for entry in entries if entry["method"] != "GET"] == []
        assert memory(mooring) < MOST_MEMORY

        pushed, began = push(world), time.monotonic()
        for some in world.people:
            some.until("Project", "p0", lambda found: decided(found) == pushed, pushed[:7], seconds=2 * PERIOD)
        took = time.monotonic() - began
        told(f"a push without a delivery was decided on in {SPACES} namespaces after {took:.1f} s")
        assert took < PERIOD / 0.9 + 5
    assert world.hub.violations() == []


SWEEPS = 'mooring_sweeps_total{result="ok"}'


def make(world: World, number: int) -> None:
    """Make a Project."""
    source = {"github": {"repository": f"acme/app-{number // SPACES + 1}"}}
    spec: dict[str, Any] = {"source": source, "installationRef": {"name": "it"}, "workload": {"image": "nginx"}}
    world.people[number % SPACES].apply("Project", f"p{number // SPACES}", spec)


def push(world: World) -> str:
    """Push to the repository that the first Project of each namespace follows."""
    told = world.hub.control("POST", "/push", {"repository": "acme/app-1", "user": "alice", "files": {"a": "y"}})
    return str(told["after"])


def decided(project: Object | None) -> str | None:
    """Return the commit that a Project was decided to run."""
    source: Object = ((project or {}).get("status") or {}).get("source") or {}
    return source.get("decidedSha")


def told(figure: str) -> None:
    """Print a figure."""
    print(figure)  # noqa: T201 - the figure


def in_words(entries: list[Object]) -> str:
    """Say what GitHub was asked, and over what time it was asked for lists."""
    paths = Counter(re.sub(r"\?.*|/\d+.*", "", str(entry["path"])).removeprefix("/api/v3") for entry in entries)
    times = [datetime.fromisoformat(entry["time"]) for entry in entries if LIST in entry["path"]]
    spread = (max(times) - min(times)).total_seconds() if times else 0
    return f"{len(entries)} requests {dict(paths)}, lists over {spread:.0f} s"


def until_swept(mooring: Mooring, times: int) -> None:
    """Wait for so many sweeps."""
    deadline = time.monotonic() + PATIENCE
    while value(mooring, SWEEPS) < times:
        assert time.monotonic() < deadline, mooring.log[-4000:]
        time.sleep(0.5)


def rest(mooring: Mooring) -> None:
    """Wait until the operator has looked at all Projects and runs nothing more for a while."""
    last, since, deadline = -1.0, time.monotonic(), time.monotonic() + PATIENCE
    while time.monotonic() - since < RESTS:
        assert time.monotonic() < deadline, mooring.log[-4000:]
        runs = value(mooring, 'mooring_reconcile_results_total{kind="Project",result="ok"}')
        if runs != last or runs < PROJECTS or value(mooring, "mooring_queue_depth"):
            last, since = runs, time.monotonic()
        time.sleep(0.5)


def value(mooring: Mooring, metric: str) -> float:
    """Return a metric."""
    found = re.search(rf"^{re.escape(metric)} (\S+)$", mooring.ask("/metrics").text, re.MULTILINE)
    assert found is not None, metric
    return float(found[1])


def memory(mooring: Mooring) -> float:
    """Return the memory of the process in MiB."""
    status = Path(f"/proc/{mooring.process.pid}/status").read_text()
    (kibibytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) / 1024


def seconds_of(mooring: Mooring) -> float:
    """Return the CPU time that the process has used."""
    fields = Path(f"/proc/{mooring.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS

"""D6 at its stated size: ten thousand Projects over twenty clone Secrets are swept with a hundred requests, in little.

A thousand repositories are followed from ten namespaces each, so that GitHub's limit for a token fills two clone
Secrets in each of them. The operator makes the first Project of each namespace; the others are written here, in the
form in which it would have written them.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.domain.names import clone_secret
from mooring.domain.projects import Ingredients
from mooring.domain.rendering import wanted
from mooring.domain.resources.project import Project
from mooring.services.clock import SystemClock
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import clone_secrets, put_secret
from tests.cluster.operator.pushes import keys_of
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    operator_environment,
    running_operator,
    start_operator,
    wait_ready,
)
from tests.cluster.scale.copies import Following, send, write_status
from tests.cluster.scale.test_ten_thousand import memory, told

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
# How far GitHub's clock is ahead of ours, in seconds: so what was pushed just now is settled.
AHEAD = 180
LIST = "/installation/repositories"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class World:
    """A lab with a thousand repositories."""

    lab: Lab
    kube: Kube
    hub: Hub
    people: list[People]
    # Ids by full name.
    repositories: dict[str, int]


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
        hub.control("POST", "/clock", {"advance": AHEAD})
        app = made["apps"]["ship"]
        people = [People(kube, f"many-{number}") for number in range(SPACES)]
        for some in people:
            assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": some.namespace}})[0] == 201
            put_secret(some, "app", {"appId": str(app["id"]), "privateKey": str(app["private_key"])})
            some.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
        yield World(lab, kube, hub, people, {one: int(it["id"]) for one, it in made["repositories"].items()})
        hub.close()
    finally:
        kube.close()
        lab.down()


def test_ten_thousand_projects_are_swept(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    began = time.monotonic()
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("first")):
        for some in world.people:
            make(some, 0)
        samples = [sample_of(world, some) for some in world.people]
    asyncio.run(copy_all(world, samples))
    told(f"{PROJECTS} Projects were written in {time.monotonic() - began:.0f} s")
    mark = world.hub.mark()
    more = {"MOORING_LOG_LEVEL": "info", "MOORING_SWEEP_INTERVAL": INTERVAL}
    with slow_start(world, tmp_path_factory.mktemp("next"), **more) as mooring:
        rest(mooring)
        assert [len(clone_secrets(some)) for some in world.people] == [SECRETS // SPACES] * SPACES
        until_swept(mooring, SECRETS)
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
            some.until("Project", name(0), lambda found: decided(found) == pushed, pushed[:7], seconds=2 * PERIOD)
        took = time.monotonic() - began
        told(f"a push without a delivery was decided on in {SPACES} namespaces after {took:.1f} s")
        assert took < PERIOD / 0.9 + 5
    assert world.hub.violations() == []


SWEEPS = 'mooring_sweeps_total{result="ok"}'


@contextmanager
def slow_start(world: World, folder: Path, **more: str) -> Iterator[Mooring]:
    """Run an operator that has much to read before it is ready."""
    free_lease(world.kube)
    kubeconfig = service_account_kubeconfig(world.lab.env, SYSTEM, "mooring-operator", folder / "kubeconfig")
    mooring = start_operator(operator_environment(world.lab, kubeconfig, **more), folder)
    try:
        wait_ready(mooring, PATIENCE)
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()


def name(number: int) -> str:
    """Name a Project; the order of the names is that of the numbers, and of the repositories in the clone Secrets."""
    return f"p{number:04}"


def spec(number: int) -> dict[str, Any]:
    """Return what a Project asks for."""
    source = {"github": {"repository": f"acme/app-{number + 1}"}}
    return {"source": source, "installationRef": {"name": "it"}, "workload": {"image": "nginx"}}


def make(people: People, number: int) -> None:
    """Apply a Project."""
    people.apply("Project", name(number), spec(number))


def sample_of(world: World, people: People) -> Following:
    """Wait until the operator has rolled it out; nothing runs it."""

    def there(found: Object | None) -> bool:
        return bool(((found or {}).get("status") or {}).get("history"))

    project = people.until("Project", name(0), there, "a history", seconds=PATIENCE)
    installation = people.get("GitHubInstallation", "it")
    assert project is not None
    assert installation is not None
    return Following(world.hub, project, installation, keys_of(world.kube), AHEAD)


async def copy_all(world: World, samples: list[Following]) -> None:
    """Write the others over many connections, as an administrator; each namespace's in their order."""
    connection = await Connection.open({"KUBECONFIG": world.kube.kubeconfig})
    cluster = KubernetesCluster(connection, SystemClock(), instance="tests")
    left = iter([(sample, number) for number in range(1, EACH) for sample in samples])

    async def work() -> None:
        for sample, number in left:
            await copy(world, connection, cluster, sample, number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    finally:
        await connection.close()


async def copy(
    world: World, connection: Connection, cluster: KubernetesCluster, sample: Following, number: int
) -> None:
    """Write a Project with its Deployment and its status."""
    place = {"namespace": sample.project["metadata"]["namespace"], "name": name(number)}
    project = await send(connection, "POST", "Project", place, {"metadata": place, "spec": spec(number)})
    full_name = f"acme/app-{number + 1}"
    status = sample.status(project, full_name, world.repositories[full_name])
    made_of = Ingredients(
        project=Project.model_validate(project),
        generation=project["metadata"]["generation"],
        token=None,
        source=sample.facts(status),
        token_fetches=False,
        service_account=None,
        clone_secret=clone_secret(str(sample.installation["metadata"]["uid"]), number // MOST),
    )
    await cluster.create(wanted(made_of, sample.revision, None)["Deployment"])
    await write_status(cluster, project, status)


def push(world: World) -> str:
    """Push to the repository that the first Project of each namespace follows."""
    told = world.hub.control("POST", "/push", {"repository": "acme/app-1", "user": "alice", "files": {"a": "y"}})
    return str(told["after"])


def decided(project: Object | None) -> str | None:
    """Return the commit that a Project was decided to run."""
    source: Object = ((project or {}).get("status") or {}).get("source") or {}
    return source.get("decidedSha")


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


def seconds_of(mooring: Mooring) -> float:
    """Return the CPU time that the process has used."""
    fields = Path(f"/proc/{mooring.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS

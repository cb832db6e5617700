"""O1 at its stated size: ten thousand Projects with their children, in little memory, and a start that does nothing.

The operator makes the first Project of each namespace; the others are written here, in exactly the form in which it
would have written them. So the test begins where it would have come to rest.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.domain.names import ORIGIN_KEY, token_secret
from mooring.domain.projects import Ingredients
from mooring.domain.rendering import wanted
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus
from mooring.services.clock import SystemClock
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.process import SYSTEM, Mooring, operator_environment, running_operator, start_operator, wait_ready
from tests.cluster.scale.copies import as_run, send, write_status
from tests.cluster.scale.test_rotation import PROJECTS as EACH
from tests.cluster.scale.test_rotation import reached

pytestmark = pytest.mark.vast

SPACES = 10
PROJECTS = SPACES * EACH
FIRST, GLOBAL = "p0", "user-default-global-secrets"
SPEC: dict[str, Any] = {"workload": {"image": "nginx"}}
# The promises: MiB, and seconds from a crash until another one works.
MOST_MEMORY, TAKEOVER = 250, 35.0
# Seconds until the test gives up.
PATIENCE = 180.0
# Seconds without a run after which the operator rests, and for which it is watched doing nothing. The counts of a
# GitHubUser come last, five seconds after the last Project.
RESTS, IDLE = 10.0, 8.0
AT_ONCE = 32
CHANGES = re.compile(r'"verb":"(?:create|update|patch|delete|deletecollection)"')
LOOKS = re.compile(r'"verb":"get".*"resource":"(?:secrets|deployments)"')
# Objects that a start may read by themselves: Secrets with keys, and with the tokens of the namespaces.
FEW_LOOKS = 10 * SPACES
OPERATOR = f'"username":"system:serviceaccount:{SYSTEM}:mooring-operator"'
BEGINS = "reconciling begins"


@dataclass
class World:
    """A lab with ten thousand Projects."""

    lab: Lab
    kube: Kube
    hub: Hub
    people: list[People]
    tokens: list[str]

    def changes(self, since: str) -> list[str]:
        """Return what the operator wrote since a time, its Lease apart. The log is in several files when it is long."""
        found = []
        for file in sorted(self.lab.folder.path.glob("audit*.log")):
            with file.open() as lines:
                for line in lines:
                    if OPERATOR in line and CHANGES.search(line) and line.endswith("\n"):
                        entry = json.loads(line)
                        if entry["requestReceivedTimestamp"] >= since and entry["objectRef"]["resource"] != "leases":
                            found.append(f"{entry['verb']} {entry['requestURI']}")
        return found

    def looks(self, since: str) -> int:
        """Count the children that the operator read one by one since a time."""
        looked = 0
        for file in sorted(self.lab.folder.path.glob("audit*.log")):
            with file.open() as lines:
                for line in lines:
                    if OPERATOR in line and LOOKS.search(line) and line.endswith("\n"):
                        looked += json.loads(line)["requestReceivedTimestamp"] >= since
        return looked


@dataclass(frozen=True)
class Sample:
    """What the operator made of the first Project of a namespace."""

    people: People
    token: str
    project: Object
    deployment: Object
    # Where the token may be sent, as its Secret says.
    origin: str

    @property
    def revision(self) -> RevisionStatus:
        """Return its revision."""
        return RevisionStatus.model_validate(self.project["status"]["revision"])


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make everything but the copies. Nothing runs workloads, so that what is measured is the operator."""
    lab = Lab.up(tmp_path_factory.mktemp("ten-thousand"), nodes="none", audit=True)
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    try:
        install_kinds(kube)
        hub = Hub(lab.env)
        hub.seed(users=[{"login": "alice"}])
        world = World(lab, kube, hub, [], [])
        for number in range(SPACES):
            people = People(kube, f"many-{number}")
            assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": people.namespace}})[0] == 201
            world.people.append(people)
            world.tokens.append(hub.token(f"token-{number}", "alice"))
            people.secret(GLOBAL, world.tokens[number])
            people.apply("GitHubUser", "default", {})
            people.apply("Project", FIRST, SPEC)
        yield world
        hub.close()
    finally:
        kube.close()
        lab.down()


def test_ten_thousand_projects(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    began = time.monotonic()
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("first")):
        samples = [sample_of(people, token) for people, token in zip(world.people, world.tokens, strict=True)]
    asyncio.run(copy_all(world, samples))
    told(f"{PROJECTS} Projects with their children were written in {time.monotonic() - began:.1f} s")

    with ExitStack() as stack:

        def start(name: str) -> Mooring:
            folder = tmp_path_factory.mktemp(name)
            account = service_account_kubeconfig(world.lab.env, SYSTEM, "mooring-operator", folder / "kubeconfig")
            mooring = start_operator(operator_environment(world.lab, account, MOORING_LOG_LEVEL="info"), folder)
            stack.callback(end, mooring)
            return mooring

        since, mark, began = now(), world.hub.mark(), time.monotonic()
        first = start("first")
        wait_ready(first)
        seconds = rest(first, began)
        told(f"a start with nothing to do came to rest after {seconds:.1f} s, with {in_words(first)}")
        heir = start("heir")
        heir.until_logged("the admin server listens")
        idle_since, runs = now(), first_value(first, "mooring_reconcile_results_total")
        time.sleep(IDLE)
        assert first_value(first, "mooring_reconcile_results_total") == runs, f"it works since {idle_since}"
        assert world.changes(since) == []
        assert made(world, mark) == []
        assert world.looks(since) < FEW_LOOKS
        assert memory(first) < MOST_MEMORY

        token = world.hub.token("another", "alice")
        began = time.monotonic()
        world.people[0].secret(GLOBAL, token)
        reached(world.people[0], token, PATIENCE)
        told(f"a token that {EACH} of them inherit reached those in {time.monotonic() - began:.1f} s")
        rest(first, began)
        told(f"after that it had {in_words(first)}")
        assert memory(first) < MOST_MEMORY

        since, mark, began = now(), world.hub.mark(), time.monotonic()
        first.kill()
        heir.until_logged(BEGINS, TAKEOVER)
        took = time.monotonic() - began
        wait_ready(heir)
        seconds = rest(heir, began)
        told(f"after a crash another one worked in {took:.1f} s, rested in {seconds:.1f} s, with {in_words(heir)}")
        assert world.changes(since) == []
        assert made(world, mark) == []
        assert memory(heir) < MOST_MEMORY
    assert world.hub.violations() == []


def end(mooring: Mooring) -> None:
    """End an operator that still runs."""
    if mooring.process.poll() is None:
        mooring.kill()


def told(figure: str) -> None:
    """Print a figure."""
    print(figure)  # noqa: T201 - the figure


# --- the copies ---


def sample_of(people: People, token: str) -> Sample:
    """Wait until the first Project of a namespace is Ready, and play the part of what runs its Deployment."""
    name = f"{FIRST}-default"
    deployment = people.until("Deployment", name, lambda found: found is not None)
    assert deployment is not None
    ran = people.patch("Deployment", name, {"status": as_run(deployment)}, subresource="status")
    project = people.until("Project", FIRST, lambda found: condition(found or {}, "Ready").get("status") == "True")
    assert project is not None
    user = people.until("GitHubUser", "default", lambda found: "projects" in ((found or {}).get("status") or {}))
    assert user is not None
    secret = people.get("Secret", token_secret(FIRST))
    assert secret is not None
    return Sample(people, token, project, ran, base64.b64decode(secret["data"][ORIGIN_KEY]).decode())


async def copy_all(world: World, samples: list[Sample]) -> None:
    """Write what the operator would have, over many connections, as an administrator."""
    connection = await Connection.open({"KUBECONFIG": world.kube.kubeconfig})
    cluster = KubernetesCluster(connection, SystemClock(), instance="tests")
    left = iter([(sample, f"p{number}") for number in range(1, EACH) for sample in samples])

    async def work() -> None:
        for sample, name in left:
            await copy(connection, cluster, sample, name)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
        for sample in samples:
            user = await cluster.read_own("GitHubUser", sample.people.namespace, "default")
            assert user is not None
            counts = {**user["status"]["projects"], "global": EACH}
            await write_status(cluster, user, {"projects": counts})
    finally:
        await connection.close()


async def copy(connection: Connection, cluster: KubernetesCluster, sample: Sample, name: str) -> None:
    """Write a Project, its children and what became of them."""
    place = {"namespace": sample.people.namespace, "name": name}
    project = await send(connection, "POST", "Project", place, {"metadata": place, "spec": SPEC})
    made_of = Ingredients(
        project=Project.model_validate(project),
        generation=project["metadata"]["generation"],
        token=sample.token,
        source=None,
        token_fetches=False,
        service_account=None,
        token_origin=sample.origin,
    )
    children = wanted(made_of, sample.revision, None)
    await cluster.create(children["Secret"])
    deployment = await cluster.create(children["Deployment"])
    ran = {"status": sample.deployment["status"]}
    await send(connection, "PATCH", "Deployment", deployment["metadata"], ran, subresource="/status")
    status = json.loads(json.dumps(sample.project["status"]).replace(f'"{FIRST}-', f'"{name}-'))
    await write_status(cluster, project, status)


# --- what is measured ---


def rest(mooring: Mooring, began: float) -> float:
    """Wait until the operator has looked at everything and runs nothing more; return the seconds until its last run."""
    last, since = -1.0, time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < RESTS:
        assert time.monotonic() < deadline, mooring.log[-4000:]
        runs = first_value(mooring, "mooring_reconcile_results_total")
        if runs != last or runs < PROJECTS or first_value(mooring, "mooring_queue_depth"):
            last, since = runs, time.monotonic()
        time.sleep(0.2)
    return since - began


def first_value(mooring: Mooring, metric: str) -> float:
    """Return the sum of a metric over its labels."""
    found = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", mooring.ask("/metrics").text, re.MULTILINE)
    assert found, metric
    return sum(map(float, found))


def memory(mooring: Mooring, what: str = "VmRSS") -> float:
    """Return the memory of the process in MiB; `VmHWM` for the most that it ever had."""
    status = Path(f"/proc/{mooring.process.pid}/status").read_text()
    (kibibytes,) = re.findall(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) / 1024


def in_words(mooring: Mooring) -> str:
    """Say how much memory it takes."""
    return f"{memory(mooring):.0f} MiB (at most {memory(mooring, 'VmHWM'):.0f})"


def made(world: World, mark: int) -> list[str]:
    """Return what GitHub was asked to make."""
    return [entry["path"] for entry in world.hub.journal(mark) if entry["method"] != "GET"]


def now() -> str:
    """Return the time as the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""The ten thousand Projects that several scenarios look at: made once, and taken down at the end.

Each follows a repository by its namespace's installation, has a person's token and all its children, and its status is
as full as it gets. The operator makes the first of each namespace, the others are written as it would have; then it
runs once until it rests, so that nothing is left to do.
"""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench import arriving, rings, worlds
from bench.site import Site, metric, site
from bench.size import Say, Size
from bench.worlds import ACCOUNT, AHEAD, INSTALLATION, USER, World
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.domain.names import ORIGIN_KEY, clone_secret, token_secret
from mooring.domain.projects import Ingredients
from mooring.domain.rendering import wanted
from mooring.domain.resources.project import Project
from mooring.services.clock import SystemClock
from tests.cluster.harness import People, condition
from tests.cluster.operator.pushes import keys_of
from tests.cluster.process import Mooring
from tests.cluster.scale.copies import Following, as_run, send, write_status

Object = dict[str, Any]
SPACES = 10
# GitHub's limit of repositories in a token, so of those in a clone Secret.
MOST = 500
AT_ONCE = 32
PATIENCE = 900.0
# Seconds without a run after which the operator rests: the counts of a GitHubUser come five after the last Project.
RESTS, LOOKS = 6.0, 0.25
RUNS, DEPTH, SWEEPS = "mooring_reconcile_results_total", "mooring_queue_depth", "mooring_sweeps_total"


@dataclass
class Vast:
    """A lab with ten thousand Projects at rest, and no operator."""

    world: World
    spaces: list[People]
    each: int

    @property
    def site(self) -> Site:
        """Return where it is."""
        return self.world.site

    @property
    def count(self) -> int:
        """Return how many Projects there are."""
        return len(self.spaces) * self.each

    @property
    def clones(self) -> int:
        """Return how many clone Secrets there are."""
        return len(self.spaces) * -(-self.each // MOST)

    def all_done(self, mooring: Mooring) -> None:
        """Wait until the operator has run for every Project and has nothing to do."""
        deadline = time.monotonic() + PATIENCE
        while metric(mooring, RUNS, 'kind="Project"') < self.count or metric(mooring, DEPTH):
            assert time.monotonic() < deadline and mooring.process.poll() is None, mooring.log[-4000:]  # noqa: PT018
            time.sleep(LOOKS)

    def rest(self, mooring: Mooring) -> None:
        """Wait until the operator runs nothing more, and has swept everything once."""
        deadline, since, before = time.monotonic() + PATIENCE, time.monotonic(), -1.0
        while time.monotonic() - since < RESTS:
            assert time.monotonic() < deadline and mooring.process.poll() is None, mooring.log[-4000:]  # noqa: PT018
            runs = metric(mooring, RUNS)
            if runs != before or metric(mooring, DEPTH) or metric(mooring, SWEEPS) < self.clones:
                since, before = time.monotonic(), runs
            time.sleep(LOOKS)


_stack = ExitStack()
_made: list[Vast] = []


def close() -> None:
    """Take it down, if it was made."""
    _made.clear()
    _stack.close()


def vast(size: Size, say: Say) -> Vast:
    """Return it; the first who asks waits until it is made."""
    if not _made:
        began = time.monotonic()
        _made.append(_make(_stack.enter_context(site()), size))
        say(f"  {_made[0].count} Projects with their children were written in {time.monotonic() - began:.0f} s")
    return _made[0]


def _make(here: Site, size: Size) -> Vast:
    each = size.vast // SPACES
    world = worlds.make(here, each, SPACES)
    made = Vast(world, world.furnish("vast", SPACES), each)
    with here.operator():
        for people, app in zip(made.spaces, world.apps, strict=True):
            arriving.enter_webhook(here, people, app)
        for people in made.spaces:
            people.apply("Project", name(0), spec(0))
        samples = [_sample(made, people) for people in made.spaces]
    asyncio.run(_copy_all(made, samples))
    with here.operator() as mooring:
        made.all_done(mooring)
        made.rest(mooring)
    return made


@dataclass(frozen=True)
class Sample:
    """What the operator made of the first Project of a namespace."""

    people: People
    following: Following
    # Where the token may be sent, as its Secret says.
    origin: str
    # Its newest push, which is decided on: as a gateway would have recorded it.
    pushed: Object = field(repr=False)


def name(number: int) -> str:
    """Name a Project; the order of the names is that of the repositories in the clone Secrets."""
    return f"p{number:05}"


def spec(number: int) -> Object:
    """Return what a Project asks for; the quiet time after a push is none."""
    return {**worlds.sourced(number, number + 1), "deploy": {"debounce": "0s"}}


def _sample(made: Vast, people: People) -> Sample:
    first = name(0)
    deployment = people.until("Deployment", f"{first}-default", lambda obj: obj is not None, seconds=PATIENCE)
    assert deployment is not None
    people.patch("Deployment", f"{first}-default", {"status": as_run(deployment)}, subresource="status")
    project = people.until(
        "Project", first, lambda obj: condition(obj or {}, "Ready").get("status") == "True", seconds=PATIENCE
    )
    user = people.until("GitHubUser", USER, lambda obj: "projects" in ((obj or {}).get("status") or {}))
    secret, installation = people.get("Secret", token_secret(first)), people.get("GitHubInstallation", INSTALLATION)
    assert project and user and secret and installation  # noqa: PT018 - all were made
    hub, kube = made.site.hub, made.site.kube
    following = Following(hub, project, installation, keys_of(kube), AHEAD)
    origin = base64.b64decode(secret["data"][ORIGIN_KEY]).decode()
    return Sample(people, following, origin, rings.push(str(project["status"]["source"]["headSha"]), 0))


async def _copy_all(made: Vast, samples: list[Sample]) -> None:
    connection = await Connection.open({"KUBECONFIG": made.site.kube.kubeconfig})
    cluster = KubernetesCluster(connection, SystemClock(), instance="bench")
    left = iter([(sample, number) for number in range(1, made.each) for sample in samples])

    async def work() -> None:
        for sample, number in left:
            await _copy(made, connection, cluster, sample, number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
        for sample in samples:
            user = await cluster.read_own("GitHubUser", sample.people.namespace, USER)
            assert user is not None
            await write_status(cluster, user, {"projects": {**user["status"]["projects"], "global": made.each}})
            project = await cluster.read_own("Project", sample.people.namespace, name(0))
            assert project is not None
            await write_status(cluster, project, _status(made, sample, project, 0))
    finally:
        await connection.close()


async def _copy(made: Vast, connection: Connection, cluster: KubernetesCluster, sample: Sample, number: int) -> None:
    """Write a Project, its children and what became of them."""
    place = {"namespace": sample.people.namespace, "name": name(number)}
    project = await send(connection, "POST", "Project", place, {"metadata": place, "spec": spec(number)})
    status = _status(made, sample, project, number)
    made_of = Ingredients(
        project=Project.model_validate(project),
        generation=project["metadata"]["generation"],
        token=made.world.token,
        source=sample.following.facts(status),
        token_fetches=False,
        service_account=None,
        clone_secret=clone_secret(str(sample.following.installation["metadata"]["uid"]), number // MOST),
        token_origin=sample.origin,
    )
    children = wanted(made_of, sample.following.revision, None)
    await cluster.create(children["Secret"])
    deployment = await cluster.create(children["Deployment"])
    ran = {"status": as_run(deployment)}
    await send(connection, "PATCH", "Deployment", deployment["metadata"], ran, subresource="/status")
    await write_status(cluster, project, status)


def _status(made: Vast, sample: Sample, project: Object, number: int) -> Object:
    full_name = f"{ACCOUNT}/app-{number + 1}"
    return rings.full(sample.following.status(project, full_name, made.world.repositories[full_name]), sample.pushed)

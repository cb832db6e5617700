"""A thousand installations: a token is made once in its window, a restart costs nothing, and refreshes are spread."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from mooring.domain.manifests import checkout
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import put_secret
from tests.cluster.process import SYSTEM, Mooring, policy, running_operator
from tests.cluster.token_life import (
    EARLIEST,
    INSTALLATION,
    LATEST,
    advance,
    asked_for,
    at,
    life,
    lifetime,
    minted,
    time_there,
    told_on,
    until,
)
from tests.unit.domain.test_freshness import most_by_chance

pytestmark = pytest.mark.scale

INSTALLATIONS, NAMESPACES, PROJECTS = 1_000, 10, 100
EACH = INSTALLATIONS // NAMESPACES
AT_ONCE = 16
# Seconds until the test gives up: for all of them, and for what is due at a start.
PATIENCE = 240.0
# Of the thousand, those whose tokens live short, and how long: a window of 20 s.
SHORT_LIVED, SHORT_LIFE = 3, 120
# Seconds that a replacement may take where hundreds are due in a third of a minute.
TAKES = 4.0
# Tokens for the clone credential of a namespace whose Projects all come at once: a hundred if each had its own.
MOST_CLONE_MINTS = PROJECTS // 4
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
OPERATOR = f"system:serviceaccount:{SYSTEM}:mooring-operator"


@dataclass
class World:
    """A lab with a thousand accounts."""

    lab: Lab
    kube: Kube
    hub: Hub
    app: dict[str, Any]
    people: list[People]

    def secret(self, people: People, name: str) -> None:
        """Write the App's Secret into a namespace."""
        put_secret(people, name, {"appId": str(self.app["id"]), "privateKey": str(self.app["private_key"])})

    def audit(self) -> list[Object]:
        """Return what the API server was asked, without what is not yet written as a whole."""
        lines = self.lab.folder.audit_log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def writes(self, since: int) -> list[str]:
        """Return what the operator wrote after so many requests, Leases and Events apart."""
        return [
            f"{entry['verb']} {entry['requestURI']}"
            for entry in self.audit()[since:]
            if entry["user"]["username"] == OPERATOR
            and entry["verb"] in WRITES
            and entry["objectRef"]["resource"] not in {"leases", "events"}
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make the accounts, and an App on all of them; half of the namespaces are lent it, half have its key."""
    lab = Lab.up(tmp_path_factory.mktemp("thousand"), audit=True)
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    install_kinds(kube)
    hub = Hub(lab.env)
    hub.control("POST", "/limits", {"authenticated": 1_000_000, "points_per_minute": 1_000_000})
    world = World(lab, kube, hub, {}, [])
    document = seed(world)
    with policy(kube, document):
        yield world
    hub.close()
    kube.close()
    lab.down()


def seed(world: World) -> dict[str, Any]:
    """Make everything but the installations; return the policy that lends the App to half of the namespaces."""
    made = world.hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": "team-{n}", "count": INSTALLATIONS}, {"login": "many"}],
        apps=[{"slug": "ship", "owner": "alice", "permissions": {"contents": "read", "metadata": "read"}}],
        repositories=[
            {"owner": "team-{n}", "name": "app", "count": INSTALLATIONS, "private": True},
            {"owner": "many", "name": "app-{n}", "count": PROJECTS, "private": True, "files": {"README": "x"}},
        ],
        installations=[
            {"app": "ship", "account": "team-{n}", "count": INSTALLATIONS, "repositories": "all"},
            {"app": "ship", "account": "many", "repositories": "all"},
        ],
    )
    world.app.update(made["apps"]["ship"])
    for number in range(NAMESPACES + 1):
        people = People(world.kube, f"teams-{number}")
        assert world.kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": people.namespace}})[0] == 201
        world.people.append(people)
        if number >= NAMESPACES // 2:
            world.secret(people, "app")
    world.kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    world.secret(People(world.kube, SYSTEM), "mooring-github-app")
    lent = [
        {
            "apiUrl": world.hub.api_url,
            "appId": world.app["id"],
            "accountId": made["organizations"][f"team-{number + 1}"]["id"],
            "namespaces": [world.people[number // EACH].namespace],
        }
        for number in range(INSTALLATIONS // 2)
    ]
    return {"bindings": lent}


def make(world: World, number: int) -> None:
    """Make one installation with one output, by the operator's App or by a Secret of its own."""
    space, team = number // EACH, f"team-{number + 1}"
    output = {
        "secretName": f"ci-{team}",
        "format": "Token",
        "repositories": [f"{team}/app"],
        "permissions": {"contents": "read"},
    }
    own = {"appSecretRef": {"name": "app"}} if space >= NAMESPACES // 2 else {}
    world.people[space].apply(INSTALLATION, team, {"account": team, **own, "outputs": [output]})


def test_a_thousand_installations(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: make(world, number), range(INSTALLATIONS)))
    since, began = world.hub.mark(), time.monotonic()
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("first"), MOORING_LOG_LEVEL="info") as mooring:
        all_ready(world)
        seconds = time.monotonic() - began
        first = asked_for(minted(world.hub, since))
        mooring.kill()
    # One to read names with and one for the output, of each.
    assert len(first) == 2 * INSTALLATIONS
    assert set(first.values()) == {1}
    print(f"{INSTALLATIONS} installations were Ready in {seconds:.1f} s, {len(first)} tokens")  # noqa: T201 - the figure
    before = tokens_by_name(world)
    since, audited, began = world.hub.mark(), len(world.audit()), time.monotonic()
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("next"), MOORING_LOG_LEVEL="info") as mooring:
        at_rest(world, mooring, since)
        print(f"a restart with fresh tokens came to rest in {time.monotonic() - began:.1f} s")  # noqa: T201 - the figure
        assert minted(world.hub, since) == []
        assert world.writes(audited) == []
        assert tokens_by_name(world) == before
        refreshes_are_spread(world)
        mooring.stop()


def all_ready(world: World) -> None:
    """Wait until every installation is Ready, on watches of all namespaces at once that end where nothing comes."""
    deadline = time.monotonic() + PATIENCE
    path = "/apis/mooring.dev/v1alpha1/githubinstallations"
    ready: set[str] = set()
    while time.monotonic() < deadline:
        status, body = world.kube.request("GET", path)
        assert status == 200, body
        ready |= {obj["metadata"]["name"] for obj in body["items"] if is_ready(obj)}
        since = body["metadata"]["resourceVersion"]
        if len(ready) >= INSTALLATIONS:
            return
        with world.kube.watch(f"{path}?watch=true&timeoutSeconds=10&resourceVersion={since}") as events:
            for event in events:
                if is_ready(event["object"]):
                    ready.add(event["object"]["metadata"]["name"])
                if len(ready) >= INSTALLATIONS:
                    return
    pytest.fail(f"only {len(ready)} of {INSTALLATIONS} installations came to be Ready")


def is_ready(obj: Object | None) -> bool:
    """Tell whether an object is Ready."""
    return condition(obj or {}, "Ready").get("status") == "True"


def tokens_by_name(world: World) -> dict[str, str]:
    """Return what all outputs hold."""
    return {
        secret["metadata"]["name"]: secret["data"]["token"]
        for people in world.people[:NAMESPACES]
        for secret in people.list("Secret")
        if secret["metadata"]["name"].startswith("ci-")
    }


def at_rest(world: World, mooring: Mooring, since: int) -> None:
    """Wait until every installation was looked at after a start, and nothing is due any more."""
    looks: Counter[str] = Counter()
    seen = since

    def all_compared() -> bool:
        nonlocal seen
        entries = world.hub.journal(seen)
        seen = int(entries[-1]["number"]) if entries else seen
        paths = [entry["path"].partition("?")[0] for entry in entries if entry["status"] == 200]
        looks.update("covered" for path in paths if path.endswith("/installation/repositories"))
        return looks["covered"] >= INSTALLATIONS and "\nmooring_queue_depth 0.0\n" in mooring.ask("/metrics").text

    until(all_compared, "rest", PATIENCE)


def refreshes_are_spread(world: World) -> None:
    """Give some tokens short lives, and see that they are replaced all over their window, and none too late."""
    spaces, hub = world.people[:SHORT_LIVED], world.hub
    count = SHORT_LIVED * EACH
    lifetime(hub, SHORT_LIFE)
    since = hub.mark()
    advance(hub, 45 * 60)
    for people in spaces:
        for obj in people.list(INSTALLATION):
            hint = {"event": "installation", "delivery": "all", "receivedAt": "2026-01-01T00:00:00Z"}
            people.patch(INSTALLATION, obj["metadata"]["name"], {"status": {"hint": hint}}, subresource="status")
    outputs: dict[str, list[float]] = {}

    def replaced_twice() -> bool:
        assert dead(world, spaces) == []
        outputs.clear()
        for entry in minted(hub, since):
            if "repository_ids" in entry["asked"]:
                outputs.setdefault(entry["path"], []).append(at(entry).timestamp())
        return sum(len(moments) >= 2 for moments in outputs.values()) >= count

    until(replaced_twice, f"a second replacement of {count} tokens", PATIENCE)
    ages = [moments[1] - moments[0] for moments in outputs.values() if len(moments) >= 2]
    window = (LATEST - EARLIEST) * SHORT_LIFE
    assert min(ages) >= EARLIEST * SHORT_LIFE - 1
    assert max(ages) <= LATEST * SHORT_LIFE + TAKES
    by_second = Counter(int(age) for age in ages)
    bound = most_by_chance(len(ages), 1 / window, 1e-6 / window)
    most = max(by_second.values())
    print(f"{len(ages)} refreshes over {window:.0f} s: at most {most} a second, bound {bound}")  # noqa: T201 - the figure
    assert most <= bound


def dead(world: World, spaces: list[People]) -> list[str]:
    """Return the Secrets of outputs whose token has ended."""
    now = time_there(world.hub)
    return [
        secret["metadata"]["name"]
        for people in spaces
        for secret in people.list("Secret")
        if told_on(secret).get("mooring.dev/expires-at") and life(secret)[1] <= now
    ]


def test_a_hundred_projects_share_few_clone_credentials(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    world.hub.control("POST", "/clock", {"reset": True})
    lifetime(world.hub)
    people = world.people[NAMESPACES]
    people.apply(INSTALLATION, "many", {"account": "many", "appSecretRef": {"name": "app"}})
    names = [f"app-{number + 1}" for number in range(PROJECTS)]
    with running_operator(world.lab, world.kube, tmp_path_factory.mktemp("many"), MOORING_LOG_LEVEL="info"):
        found = people.until_every(INSTALLATION, {"many": is_ready}, seconds=PATIENCE)["many"]
        of_it = f"/installations/{found['status']['installationId']}/"
        since, began = world.hub.mark(), time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: people.apply("Project", name, project(name)), names))
        people.until_every("Project", dict.fromkeys(names, is_ready), seconds=PATIENCE)
        seconds = time.monotonic() - began
        made = [entry for entry in minted(world.hub, since) if "repository_ids" in entry["asked"]]
        # The thousand of the other test go on being renewed meanwhile.
        made = [entry for entry in made if of_it in entry["path"]]
    mounted = clone_secrets(people)
    print(f"{PROJECTS} Projects were Ready in {seconds:.1f} s, with {len(made)} clone tokens")  # noqa: T201 - the figure
    assert len(made) <= MOST_CLONE_MINTS
    assert len(mounted) == 1
    assert len(made[-1]["asked"]["repository_ids"]) == PROJECTS


def project(name: str) -> dict[str, Any]:
    """Return the spec of a Project with a repository of its own."""
    return {
        "source": {"github": {"repository": f"many/{name}"}},
        "installationRef": {"name": "many"},
        "workload": {"image": "nginx"},
    }


def clone_secrets(people: People) -> set[str]:
    """Return the names of the clone Secrets that pods mount."""
    return {
        str(checkout.credential_in(deployment["spec"]["template"]["spec"])) for deployment in people.list("Deployment")
    }

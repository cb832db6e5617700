"""From a push that was accepted to the Deployment that runs it, among ten thousand Projects."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from bench import floor, replay
from bench.figures import Book, Void, percentile
from bench.floor import Request, Timing
from bench.replay import Target
from bench.site import ADMIN, OPERATOR, Asked, now
from bench.size import Say, Size
from bench.vast import PATIENCE, Object, Vast, name
from bench.worlds import ACCOUNT, INSTALLATION
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.recording import Arrival, record
from tests.cluster.harness import GROUPS, People
from tests.cluster.process import Mooring

# So many writes of Deployments make the floor, each of another one.
PATCHES = 200
QUESTION = re.compile(r"/repositories/(\d+)/(?:git/ref|compare)/")
MINT = re.compile(r"/app/installations/(\d+)/access_tokens")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that was told to one Project alone."""

    people: People
    project: str
    repository: int
    # That by which the Project's namespace reads.
    installation: int


def push(world: Vast, number: int) -> Pushed:
    """Push to a repository, record it as a gateway does in one Project, and wait until that is decided on."""
    people, project = world.spaces[number % len(world.spaces)], name(1 + number % (world.each - 1))
    repository = f"{ACCOUNT}/app-{2 + number % (world.each - 1)}"
    files = {"a": str(uuid.uuid4())}
    told = world.site.hub.control("POST", "/push", {"repository": repository, "user": "alice", "files": files})
    found, when, delivery = people.get("Project", project), datetime.now(UTC), str(uuid.uuid4())
    assert found is not None
    identity = world.world.repositories[repository]
    arrived = Arrival(Push(identity, "refs/heads/main", told["after"], told["before"], when, "alice"), delivery, when)
    recorded = record(found["status"], [arrived])
    assert recorded.fields is not None
    people.patch("Project", project, {"status": recorded.fields}, subresource="status")

    def decided(obj: Object | None) -> bool:
        source = ((obj or {}).get("status") or {}).get("source") or {}
        return bool(source.get("delivery") == delivery and source.get("decidedSha") == told["after"])

    people.until("Project", project, decided, "a decision", seconds=PATIENCE)
    deployed = {"mooring.dev/revision": told["after"]}
    people.until("Deployment", f"{project}-default", lambda obj: _runs(obj, deployed), "a rollout", seconds=PATIENCE)
    return Pushed(people, project, identity, _installation(people))


@lru_cache
def _installation(people: People) -> int:
    installation = people.get("GitHubInstallation", INSTALLATION)
    assert installation is not None
    return int(installation["status"]["installationId"])


def _runs(deployment: Object | None, annotations: Object) -> bool:
    found = (deployment or {}).get("spec", {}).get("template", {}).get("metadata", {}).get("annotations") or {}
    return bool(annotations.items() <= found.items())


def measure(book: Book, size: Size, say: Say, world: Vast, mooring: Mooring) -> None:
    """Push one after the other while the operator rests; then, without it, write as many Deployments."""
    since, mark = now(), world.site.hub.mark()
    pushed = [push(world, number) for number in range(size.rollouts)]
    journal = world.site.hub.journal(mark)
    mooring.stop()
    spent = answers(pushed, journal, minted(world.site.hub.journal()))
    seconds = [took - asked for took, asked in zip(delays(world, pushed, since), spent, strict=True)]
    patch = patches(world)
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    of_github = f"GitHub's own {1000 * percentile(spent, 0.5):.1f} ms left out"
    say(f"  a rollout {1000 * p50:.1f} ms (p99 {1000 * p99:.1f}; {of_github}), one PATCH {1000 * patch.p50:.2f} ms")
    if p50 < patch.p50:
        raise Void(f"a rollout took {p50:.4f} s, one PATCH of the floor {patch.p50:.4f} s")
    count, each = size.rollouts, 1000 * patch.p50
    book.add("push_to_rollout", p50 / patch.p50, "x", n=count, floor=each)
    book.add("push_to_rollout_p99", p99 / patch.p50, "x", n=count, floor=each)
    book.add("push_to_rollout_ms", 1000 * p50, "ms", n=count, floor=each)
    book.add("github_calls_push", len(journal) / count, "/push", n=count)


def delays(world: Vast, pushed: Sequence[Pushed], since: str) -> list[float]:
    """Return the seconds from the end of each recording to that of the write of the Deployment, by the audit log."""
    accepted = _ends(world.site.asked(ADMIN, since), "projects", "status")
    patched = _ends(world.site.asked(OPERATOR, since), "deployments", "")
    places = [(one.people.namespace, one.project) for one in pushed]
    return [patched[space, f"{project}-default"] - accepted[space, project] for space, project in places]


def _ends(asked: Sequence[Asked], resource: str, subresource: str) -> dict[tuple[str, str], float]:
    """Return when a write of each object ended; the last one counts."""
    return {
        (one.namespace, one.name): datetime.fromisoformat(one.ended).timestamp()
        for one in asked
        if one.sort == ("patch", resource, subresource)
    }


def minted(journal: Iterable[Object]) -> dict[str, int]:
    """Return whose the tokens are that were made, by their names in GitHub's journal."""
    found = ((entry.get("minted"), MINT.search(str(entry["path"]))) for entry in journal)
    return {str(name): int(path[1]) for name, path in found if name is not None and path is not None}


def answers(pushed: Sequence[Pushed], journal: Iterable[Object], whose: Mapping[str, int]) -> list[float]:
    """Return for each push the seconds that GitHub itself took to tell the head, and what came with it.

    Other namespaces follow the same repository, and find the push by their sweeps: that is not what it waited for.
    """
    spent: defaultdict[tuple[int, int], float] = defaultdict(float)
    for entry in journal:
        installation = whose.get(str(entry["credential"]))
        if installation is not None and (found := QUESTION.search(str(entry["path"]))):
            spent[installation, int(found[1])] += float(entry["seconds"])
    found_of = [spent.get((one.installation, one.repository)) for one in pushed]
    missing = sum(each is None for each in found_of)
    if missing > len(pushed) // 10:
        raise Void(f"of {missing} of {len(pushed)} pushes GitHub's journal has no question that was asked for them")
    return [each or 0.0 for each in found_of]


def patches(world: Vast) -> Timing:
    """Write Deployments one by one, each changed a little."""
    site = world.site
    target = Target(site.access.server, site.authorization("mooring-operator"))
    people = world.spaces[0]
    collection = GROUPS["Deployment"].format(people.namespace)
    status, body = site.kube.request("GET", f"{collection}?limit={PATCHES}")
    assert status == 200, body
    requests: list[Request] = []
    for found in body["items"]:
        wish = replay.applied({"apiVersion": "apps/v1", "kind": "Deployment", **found})
        requests.append(replay.child(target, wish, collection, 1, 2))

    async def timed() -> Timing:
        async with floor.session(site.access.ca) as client:
            await floor.warm(client, [target.read("/version")], 1)
            return await floor.drive(client, requests, 1)

    return floor.run(timed())

"""The floor of what an operator did: the same writes to other objects, the same questions to GitHub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import floor, replay, worlds
from bench.arriving import Arrival
from bench.floor import Request, Timing
from bench.github_floor import Replayer
from bench.replay import Target
from bench.site import WRITES, Asked, Site
from bench.worlds import World
from tests.cluster.harness import GROUPS, People

Object = dict[str, Any]
# Kinds by what the API server calls their resources.
CHILDREN = {"secrets": "Secret", "deployments": "Deployment", "services": "Service", "ingresses": "Ingress"}
OWN = {"projects": "Project", "githubusers": "GitHubUser", "githubinstallations": "GitHubInstallation"}
NAMES = {"Secret": "v1", "Deployment": "apps/v1", "Service": "v1", "Ingress": "networking.k8s.io/v1"}


@dataclass
class Twins:
    """What the product has written in some namespaces, and namespaces with the same objects but for that."""

    site: Site
    spaces: Sequence[People]
    twins: Sequence[People]
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict, repr=False)
    events: dict[str, list[Object]] = field(default_factory=dict, repr=False)
    names: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def make(self) -> None:
        """Read what there is, make the same objects of our kinds in the other namespaces, and note which is whose."""
        for people in self.spaces:
            for kind in (*CHILDREN.values(), *OWN.values()):
                for obj in people.list(kind):
                    named = {"apiVersion": NAMES.get(kind, "mooring.dev/v1alpha1"), "kind": kind}
                    self.objects[kind, people.namespace, obj["metadata"]["name"]] = {**named, **obj}
            self.events[people.namespace] = people.list("Event")
        others = {one.namespace: other.namespace for one, other in zip(self.spaces, self.twins, strict=True)}
        copies = [
            worlds.own(self.site, kind, others[namespace], name, obj["spec"])
            for (kind, namespace, name), obj in self.objects.items()
            if kind in OWN.values()
        ]
        worlds.send(self.site, copies)
        for one, other in zip(self.spaces, self.twins, strict=True):
            names = self.names[one.namespace] = {one.namespace: other.namespace}
            for kind in OWN.values():
                for obj in other.list(kind):
                    names[self.objects[kind, one.namespace, obj["metadata"]["name"]]["metadata"]["uid"]] = obj[
                        "metadata"
                    ]["uid"]

    def of(self, kind: str, one: Asked) -> tuple[Object, str] | None:
        """Return what stands for an object in the other namespaces, and where objects of its kind are."""
        found = self.objects.get((kind, one.namespace, one.name))
        if found is None:
            return None
        names = self.names[one.namespace]
        body = replay.applied(found) if kind in NAMES else found
        return replay.moved(body, names), GROUPS[kind].format(names[one.namespace])

    def event(self, namespace: str) -> tuple[Object, str] | None:
        """Return an Event of a namespace, each once."""
        if not self.events[namespace]:
            return None
        names = self.names[namespace]
        return replay.moved(self.events[namespace].pop(), names), GROUPS["Event"].format(names[namespace])


def writes(target: Target, twins: Twins, asked: Sequence[Asked]) -> tuple[list[tuple[str, Request]], Counter[str]]:
    """Return the writes with what each is, and count those that cannot be made again."""
    found: list[tuple[str, Request]] = []
    left_out: Counter[str] = Counter()
    for one, number, of in replay.numbered(asked):
        made = _write(target, twins, one, number, of)
        sort = " ".join(one.sort)
        if made is None:
            left_out[sort] += 1
        else:
            found.append((sort, made))
    return found, left_out


def _write(target: Target, twins: Twins, one: Asked, number: int, of: int) -> Request | None:
    if one.sort == ("create", "events", ""):
        event = twins.event(one.namespace)
        return event and replay.event(target, *event)
    if one.verb != "patch":
        return None
    if one.resource in CHILDREN and not one.subresource:
        child = twins.of(CHILDREN[one.resource], one)
        return child and replay.child(target, *child, number, of)
    own = twins.of(OWN[one.resource], one) if one.resource in OWN else None
    if own is None:
        return None
    return replay.status(target, *own, number, of) if one.subresource == "status" else replay.finalizers(target, *own)


@dataclass
class Bare:
    """What the floor came to."""

    # For as many requests as the product made.
    seconds: float
    best: Timing
    sorts: Counter[str]


def floor_of(world: World, arrival: Arrival, spaces: Sequence[People], share: float = 1.0) -> Bare:
    """Ask once more what the product did in some namespaces, which have a share of all its work."""
    site = world.site
    twins = Twins(site, spaces, [site.people(f"bare-{people.namespace}") for people in spaces])
    twins.make()
    target = Target(site.access.server, site.authorization("mooring-operator"))
    here = {people.namespace for people in spaces}
    asked = [one for one in arrival.asked if one.verb in WRITES and one.namespace in here]
    made, left_out = writes(target, twins, asked)
    of_github, more = Replayer(world).requests(arrival.journal[:: round(1 / share)])
    sorts = [*made, *of_github]
    replay.check_left_out(len(sorts), left_out + more)
    requests = replay.mixed(replay.by_sort(sorts))
    best = time_of(site, target, requests)
    return Bare(len(requests) / best.rate / share, best, Counter(sort for sort, _ in sorts))


def time_of(site: Site, target: Target, requests: Sequence[Request]) -> Timing:
    """Send them, and return the quickest timing."""
    reads = [target.read("/version"), floor.request("GET", f"{site.hub.api_url}/meta")]

    async def timed() -> Timing:
        async with floor.session(site.access.ca, site.github_authority) as client:
            return await floor.best_of(client, requests, reads)

    return floor.run(timed())


def summary(bare: Bare) -> str:
    """Say in a line what the floor was."""
    kinds = ", ".join(f"{count} {sort.strip()}" for sort, count in bare.sorts.most_common())
    return f"floor {bare.seconds:.2f} s, {bare.best.rate:.0f}/s at {bare.best.in_flight} in flight: {kinds}"

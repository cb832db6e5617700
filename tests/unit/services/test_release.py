"""What is let go of before Mooring is uninstalled, whoever led until then, and however the objects change meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Literal

import pytest

from mooring.domain.audit import FACTS, Action
from mooring.domain.errors import Transient
from mooring.domain.leadership import Lease
from mooring.domain.names import OwnKind
from mooring.domain.ownership import Account
from mooring.domain.reasons import Reason
from mooring.ports import Changed, Object
from mooring.services.release import Outcome, Release
from tests.unit.services.elections import Process, World

HOOK, TOKENS, THEIRS = "mooring.dev/hook", "mooring.dev/tokens", "example.com/theirs"
ACCOUNT = Account("mooring-operator", "a1b2")


class Store:
    """Implements `release.Estate`: objects by kind and name."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
        self.given: list[tuple[str, str]] = []
        self.account_found: Account | None = ACCOUNT
        self.audited: list[dict[str, Any]] = []
        # Called before each write.
        self.before_write: Callable[[Object], None] = lambda _obj: None
        self.expires = 0
        self.at_once = self.most_at_once = 0

    async def pages(self, kind: OwnKind, namespace: str | None) -> AsyncIterator[list[Object]]:
        found = [obj for (of, _), obj in self.objects.items() if of == kind]
        for obj in found:
            if namespace in {None, obj["metadata"]["namespace"]}:
                yield [_copy(obj)]
            if self.expires:
                self.expires -= 1
                raise Changed("too old")

    async def read_own(self, kind: OwnKind, namespace: str, name: str) -> Object | None:
        found = self.objects.get((kind, name))
        return None if found is None else _copy(found)

    async def keep_finalizer(self, obj: Object, finalizer: str, *, wanted: bool) -> Object | None:
        assert not wanted
        self.before_write(obj)
        stored = self.objects.get((obj["kind"], obj["metadata"]["name"]))
        if stored is None:
            return None
        if stored["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Changed("it moved on")
        stored["metadata"]["finalizers"].remove(finalizer)
        return _copy(stored)

    async def account(self) -> Account | None:
        return self.account_found

    async def give(self, kind: Literal["Lease", "ConfigMap", "Secret"], name: str, owner: Account) -> bool:
        assert owner == ACCOUNT
        self.given.append((kind, name))
        return True

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        assert facts.keys() <= FACTS.keys()
        self.audited.append({"action": str(action), "object": f"{kind} {namespace}/{name}", **facts})

    def held(self) -> dict[str, list[str]]:
        return {name: obj["metadata"]["finalizers"] for (_, name), obj in self.objects.items()}


def _copy(obj: Object) -> Object:
    metadata = {**obj["metadata"], "finalizers": list(obj["metadata"]["finalizers"])}
    return {**obj, "metadata": metadata}


def thing(kind: str, name: str, *finalizers: str, namespace: str = "a", **more: Any) -> Object:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": "1", "finalizers": list(finalizers)}
    return {"kind": kind, "metadata": metadata, **more}


def edit(store: Store, obj: Object) -> None:
    """Change an object as somebody else does."""
    metadata = store.objects[obj["kind"], obj["metadata"]["name"]]["metadata"]
    metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


class Beaten(Process):
    """Finds a few times that the leader renewed its Lease in the same moment."""

    times = 3

    async def take(self, seen: Lease | None, holder: str, lasting: int, transitions: int, *, seconds: float) -> Lease:
        if self.times:
            self.times -= 1
            self.world.write(seen, Lease("leader", 15, 0, str(self.times), ""))
        return await super().take(seen, holder, lasting, transitions, seconds=seconds)


def release(world: World, store: Store, *namespaces: str, process: Process | None = None) -> Release:
    leases = process or Process(world, "release")
    return Release(store, leases, store, "release", lambda: world.now, namespaces=namespaces, waiting=leases.wait)


async def finished(world: World, work: Coroutine[Any, Any, Outcome], seconds: float = 120.0) -> Outcome:
    task = asyncio.create_task(work)
    await world.run(seconds)
    assert task.done(), "it does not come to an end"
    return await task


def run(store: Store, *namespaces: str, keys: bool = False) -> Outcome:
    world = World()
    return asyncio.run(finished(world, release(world, store, *namespaces).run(keys=keys)))


def test_ours_goes_and_that_of_others_stays() -> None:
    status = {"webhook": {"hookId": 7}, "source": {"repositoryId": 9}}
    store = Store(
        thing("Project", "shop", THEIRS, HOOK, status=status),
        thing("Project", "plain"),
        thing("Project", "new", HOOK),
        thing("GitHubInstallation", "acme", TOKENS),
    )

    outcome = run(store)

    assert store.held() == {"shop": [THEIRS], "plain": [], "new": [], "acme": []}
    assert (outcome.released, outcome.failed) == (3, [])
    assert sorted(store.audited, key=lambda line: line["object"]) == [
        {"action": Action.TOKEN_NOT_REVOKED, "object": "GitHubInstallation a/acme", "reason": "Uninstalled"},
        {
            "action": Action.HOOK_LEFT,
            "object": "Project a/new",
            "hook": None,
            "repository": None,
            "reason": "Uninstalled",
        },
        {"action": Action.HOOK_LEFT, "object": "Project a/shop", "hook": 7, "repository": 9, "reason": "Uninstalled"},
    ]


def test_confined_it_keeps_to_its_namespaces() -> None:
    store = Store(*(thing("Project", name, HOOK, namespace=name) for name in ("red", "blue", "other")))

    assert run(store, "red", "blue").released == 2
    assert store.held() == {"red": [], "blue": [], "other": [HOOK]}


@pytest.mark.parametrize("keys", [False, True])
def test_what_mooring_made_for_itself_goes_with_the_account(keys: bool) -> None:
    store = Store()
    run(store, keys=keys)

    secret = [("Secret", "mooring-webhook")] if keys else []
    assert store.given == [("Lease", "mooring-operator"), ("ConfigMap", "mooring-deliveries"), *secret]


def test_a_person_has_no_account_to_give_it_to() -> None:
    store = Store(thing("Project", "shop", HOOK))
    store.account_found = None

    assert run(store).released == 1
    assert store.given == []


def test_what_changes_meanwhile_is_read_again() -> None:
    store = Store(*(thing("Project", name, HOOK) for name in ("edited", "gone", "restless")))
    edits = {"edited": 1, "restless": 1000}

    def meanwhile(obj: Object) -> None:
        name = obj["metadata"]["name"]
        if name == "gone":
            store.objects.pop(("Project", "gone"), None)
        elif edits[name]:
            edits[name] -= 1
            edit(store, obj)

    store.before_write = meanwhile
    outcome = run(store)

    assert (store.held()["edited"], outcome.failed) == ([], ["Project a/restless"])
    assert "Project a/restless" in str(outcome)
    assert "Run this again" in str(outcome)


def test_one_that_is_refused_keeps_no_other() -> None:
    store = Store(*(thing("Project", name, HOOK) for name in ("first", "second")))

    def refuse(obj: Object) -> None:
        if obj["metadata"]["name"] == "first":
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "Refused.")

    store.before_write = refuse
    outcome = run(store)

    assert store.held() == {"first": [HOOK], "second": []}
    assert (outcome.released, outcome.failed) == (1, ["Project a/first"])


def test_a_list_that_becomes_too_old_is_begun_anew() -> None:
    store = Store(*(thing("Project", f"p{number}", HOOK) for number in range(4)))
    store.expires = 2

    assert run(store).released == 4


def test_who_leads_is_stopped_first_and_nobody_leads_until_a_minute_later() -> None:
    async def story() -> None:
        world, store = World(), Store(thing("Project", "shop", HOOK))
        leader, standby = Process(world, "leader"), Process(world, "standby")
        for process in (leader, standby):
            process.start()
            await world.run(1)
        assert leader.leads()

        def nobody_works(_obj: Object) -> None:
            # Nothing that the leader sent in its last moment is under way any more, either.
            assert leader.ended()
            assert world.now >= taken + 15

        store.before_write = nobody_works
        taken = world.now
        outcome = await finished(world, release(world, store).run(keys=False), 20.0)
        assert outcome.released == 1
        # It ended 15 s after the leader had to.
        await world.run(taken + 15 + 59 - world.now)
        assert not standby.leads()
        # Where nobody uninstalls anything after all, work goes on.
        await world.run(60)
        assert standby.leads()
        for process in (leader, standby):
            await process.kill()

    asyncio.run(story())


def test_without_a_leader_nobody_is_waited_for() -> None:
    async def story() -> None:
        world = World()
        began = world.now
        await finished(world, release(world, Store(thing("Project", "shop", HOOK))).run(keys=False), 0.0)
        assert world.now == began
        assert world.lease is not None
        assert (world.lease.holder, world.lease.seconds) == ("release", 60)

    asyncio.run(story())


def test_it_stops_where_an_operator_works_again() -> None:
    async def story() -> None:
        world = World()
        store = Store(*(thing("Project", name, HOOK) for name in ("first", "second")))

        def taken(_obj: Object) -> None:
            # So slow that its own Lease is over; another one took it.
            world.now += 100
            assert world.lease is not None
            if world.lease.holder == "release":
                world.write(world.lease, Lease("operator", 15, 1, "now", ""))

        store.before_write = taken
        with pytest.raises(Transient, match="taken by another process"):
            await finished(world, release(world, store).run(keys=False))
        assert store.held() == {"first": [], "second": [HOOK]}

    asyncio.run(story())


def test_a_leader_that_renews_in_the_same_moment_is_beaten_all_the_same() -> None:
    world = World()
    work = release(world, Store(thing("Project", "shop", HOOK)), process=Beaten(world, "release"))

    assert asyncio.run(finished(world, work.run(keys=False))).released == 1
    assert world.lease is not None
    assert world.lease.holder == "release"


def test_whoever_uninstalls_has_a_whole_minute_for_it() -> None:
    async def story() -> None:
        world, store = World(), Store(thing("Project", "shop", HOOK))

        def slowly(_obj: Object) -> None:
            world.now += 9

        store.before_write = slowly
        await finished(world, release(world, store).run(keys=False), 0.0)
        assert world.lease is not None
        assert world.lease.renewed == f"release {world.now}"

    asyncio.run(story())

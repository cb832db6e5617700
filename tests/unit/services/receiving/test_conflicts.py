"""Where somebody else wrote first: what is told then, and what is asked of the API server for it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path

from mooring.services.receiving.recorder import Pace
from tests.unit.services.receiving.made_time import run
from tests.unit.services.receiving.world import Replica, Store, installation, project

ACME = installation()


def world() -> Store:
    return Store(ACME, project(by=ACME))


def test_a_conflict_is_decided_again_on_what_is_there(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        # Another replica recorded the newer push; the operator wrote its own part.
        store.change(store.get(), url="https://shop")
        other = Replica(store, folder, seed=5)
        assert (await other.push(2)).status == 202
        verdict = await replica.push(1)
        assert (verdict.status, verdict.outcome) == (200, "superseded")
        verdict = await replica.push(2, delivery="by another hook")
        assert (verdict.status, verdict.outcome) == (200, "duplicate")
        assert store.get()["status"]["url"] == "https://shop"
        assert replica.results == ["conflict"]
        assert (len(store.writes), store.reads) == (1, 1)
        await replica.close()
        await other.close()

    run(scene())


def test_what_the_watch_tells_after_a_conflict_is_not_read_again(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica, loop = Replica(store, folder), asyncio.get_running_loop()
        others = copy.deepcopy(store.change(store.get(), url="https://shop"))
        pending = asyncio.create_task(replica.push(1))
        # The write is refused after `store.seconds`, and the watch tells a moment later.
        await asyncio.sleep(store.seconds + 0.0005)
        replica.followers.put(others)
        began = loop.time()
        assert (await pending).outcome == "recorded"
        assert (replica.results, store.reads) == (["conflict", "recorded"], 0)
        assert loop.time() - began <= Pace().collided + store.seconds
        await replica.close()

    run(scene())

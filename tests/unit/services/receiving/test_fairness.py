"""What one namespace has recorded leaves room for that of others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mooring.services.receiving import fairness
from tests.unit.services.receiving.made_time import run
from tests.unit.services.receiving.world import Replica, Store, installation, project

ACME = installation()


def test_a_namespace_that_fills_its_room_keeps_nobody_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many Projects on one ref, and one push after the other; somebody else's is recorded, and soon."""
    monkeypatch.setattr(fairness, "WAITING_IN_ALL", 400)
    monkeypatch.setattr(fairness, "WAITING_IN_ONE", 100)
    other = 99

    async def scene() -> None:
        crowd = (project(f"p{number}", by=ACME, namespace="team-b") for number in range(90))
        store = Store(ACME, project(by=ACME, repository_id=other), *crowd)
        store.seconds = 1.0
        replica, loop = Replica(store, folder), asyncio.get_running_loop()
        flood = [asyncio.create_task(replica.push(number)) for number in range(1, 8)]
        await asyncio.sleep(0.1)
        began = loop.time()
        assert (await replica.push(repository_id=other)).status == 202
        # There was a place at once: those of the crowd wait for several writes.
        assert loop.time() - began < 2 * store.seconds
        statuses = [verdict.status for verdict in await asyncio.gather(*flood)]
        assert 503 in statuses
        await replica.close()

    run(scene())

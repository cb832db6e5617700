"""The group commit: few writes, nothing told that is not stored, nothing lost to conflicts, nothing without an end."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from mooring.domain.errors import Stalled, Transient
from mooring.domain.reasons import Reason
from mooring.services.receiving import fairness, recorder
from mooring.services.receiving.places import Place
from mooring.services.receiving.recorder import Pace
from tests.unit.services.receiving.made_time import run
from tests.unit.services.receiving.world import Replica, Store, installation, project, push, sha

ACME = installation()
AWAY = Transient(Reason.CLUSTER_UNAVAILABLE, "The API server is away.")


def world(*more: dict[str, Any]) -> Store:
    return Store(ACME, project(by=ACME), *more)


def stored(store: Store, name: str = "shop") -> Any:
    return store.get(name)["status"].get("push")


def test_one_push_is_one_write_at_once(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica, loop = Replica(store, folder), asyncio.get_running_loop()
        began = loop.time()
        verdict = await replica.push()
        assert loop.time() - began == pytest.approx(store.seconds)
        assert (verdict.status, verdict.outcome) == (202, "recorded")
        assert (store.attempts, store.reads, stored(store)["sha"]) == (1, 0, sha(1))
        assert set(store.writes[0]) == {"push", "deliveries"}
        await replica.close()

    run(scene())


def test_a_burst_shares_few_writes(folder: Path) -> None:
    async def scene() -> None:
        store, most, at_once = world(), 3_000, 64
        replicas = [Replica(store, folder, seed=seed) for seed in (1, 2)]
        numbers = itertools.count(1)

        async def sender(replica: Replica) -> None:
            while (number := next(numbers)) <= most:
                verdict = await replica.push(number)
                assert verdict.status in {200, 202}, verdict

        await asyncio.gather(*(sender(replicas[number % 2]) for number in range(at_once)))
        assert stored(store)["sha"] == sha(most)
        assert store.attempts <= 300
        assert store.get()["status"]["deliveries"][0]["delivery"] == f"guid-{most}"
        for replica in replicas:
            await replica.close()

    run(scene())


def test_what_comes_soon_after_a_write_is_gathered(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        sending = []
        for number in range(1, 12):
            sending.append(asyncio.create_task(replica.push(number)))
            await asyncio.sleep(0.0012)
        assert {verdict.status for verdict in await asyncio.gather(*sending)} == {202}
        assert store.attempts == 2
        await replica.close()

    run(scene())


def test_one_write_at_a_time_for_a_project_and_sixteen_for_all(folder: Path) -> None:
    async def scene() -> None:
        names = [f"p{number}" for number in range(40)]
        for namespaces, most in ((["team-a"], 12), (["team-a", "team-b"], 16)):
            store = Store(ACME, *(project(name, by=ACME, namespace=where) for name in names for where in namespaces))
            replica = Replica(store, folder)
            verdicts = await asyncio.gather(*(replica.push(number) for number in range(1, 6)))
            assert {verdict.status for verdict in verdicts} == {202}
            assert store.most_at_once == most
            await replica.close()

        store = world()
        replica = Replica(store, folder)
        await asyncio.gather(*(replica.push(number) for number in range(1, 20)))
        assert store.most_at_once == 1
        await replica.close()

    run(scene())


def test_nothing_is_told_before_it_is_stored(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        told: list[str] = []

        async def send(number: int, delivery: str) -> None:
            verdict = await replica.push(number, delivery=delivery)
            told.append(f"{number} {verdict.outcome}")
            kept = {each["delivery"] for each in store.get()["status"].get("deliveries", ())}
            assert delivery in kept or verdict.outcome != "recorded"
            # Whatever is not recorded itself is so because of something that is.
            assert stored(store)["pushedAt"] >= f"2023-11-14T22:13:2{number}Z"

        await asyncio.gather(*(send(number, f"{number}{again}") for number in (3, 1, 2) for again in "ab"))
        assert len(told) == 6
        assert told.count("3 recorded") == 1
        await replica.close()

    run(scene())


def test_what_came_while_a_write_fails_is_told_of_the_next_one(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = AWAY
        first = asyncio.create_task(replica.push(1))
        await asyncio.sleep(0.015)
        assert store.attempts == 1
        second = asyncio.create_task(replica.push(2))
        await asyncio.sleep(0.1)
        store.trouble = None
        assert {(await first).status, (await second).status} == {202}
        assert len(store.writes) == 1
        assert stored(store)["sha"] == sha(2)
        assert set(replica.results) == {"failed", "recorded"}
        await replica.close()

    run(scene())


def test_a_storm_of_foreign_writes_makes_no_tight_loop(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.before = lambda: store.change(store.get())
        began = asyncio.get_running_loop().time()
        verdict = await replica.push()
        assert (verdict.status, verdict.outcome) == (503, "unavailable")
        assert asyncio.get_running_loop().time() - began == pytest.approx(Pace().give_up)
        assert 5 <= store.attempts <= 25
        assert store.attempts - 1 <= store.reads <= store.attempts
        store.before = lambda: None
        await asyncio.sleep(5)
        # Nobody waits any more: nothing is written later.
        assert store.attempts <= 25
        assert stored(store) is None
        await replica.close()

    run(scene())


def test_who_came_into_a_storm_late_has_time_of_his_own(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = AWAY
        first = asyncio.create_task(replica.push(1))
        await asyncio.sleep(5)
        second = asyncio.create_task(replica.push(2))
        await asyncio.sleep(4)
        store.trouble = None
        assert (await first).status == 503
        assert (await second).status == 202
        await replica.close()

    run(scene())


def test_an_answer_that_is_lost_is_found_to_be_stored(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        asked = store.merge_recorded

        async def lost(*args: Any, **more: Any) -> Any:
            store.merge_recorded = asked  # type: ignore[method-assign]
            await asked(*args, **more)
            raise AWAY

        store.merge_recorded = lost  # type: ignore[method-assign]
        verdict = await replica.push()
        assert (verdict.status, verdict.outcome) == (200, "duplicate")
        assert len(store.writes) == 1
        await replica.close()

    run(scene())


def test_what_is_rejected_is_told_at_once_and_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = Stalled(Reason.INVALID_SPEC, "The API server rejects Project team-a/shop: push.sha: wrong.")
        verdict = await replica.push()
        assert (verdict.status, store.attempts) == (503, 1)
        assert "Project team-a/shop: The API server rejects Project team-a/shop: push.sha: wrong." in caplog.text
        assert "shop" not in verdict.sentence
        await replica.close()

    run(scene())


@pytest.mark.parametrize("replaced", [True, False])
def test_a_project_that_went_concerns_nobody(folder: Path, *, replaced: bool) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        gone = store.objects.pop(("Project", "team-a", "shop"))
        if replaced:
            store.objects["Project", "team-a", "shop"] = {**gone, "metadata": {**gone["metadata"], "uid": "new"}}
            store.change(store.get())
        verdict = await replica.push()
        assert (verdict.status, verdict.outcome) == (200, "ignored")
        assert store.writes == []
        assert len(replica.followers) == 0
        await replica.close()

    run(scene())


def test_a_project_that_took_its_name_is_another_though_it_follows_the_same(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = AWAY
        sending = asyncio.create_task(replica.push())
        await asyncio.sleep(0.015)
        # The watch tells of its end, and of the new one.
        replica.followers.drop(Place("team-a", "shop"), "uid-team-a-shop")
        store.objects["Project", "team-a", "shop"] = project(by=ACME, uid="new")
        store.change(store.get())
        replica.see()
        store.trouble = None
        verdict = await sending
        assert (verdict.status, verdict.outcome) == (200, "ignored")
        assert store.writes == []
        await replica.close()

    run(scene())


def test_a_project_that_follows_something_else_by_now_is_left_alone(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        moved = project(by=ACME, branch="next")

        def move() -> None:
            if not store.reads:
                store.change(store.get(), **moved["status"])

        store.before = move
        verdict = await replica.push()
        assert (verdict.status, verdict.outcome) == (200, "ignored")
        assert store.writes == []
        assert (await replica.push(ref="refs/heads/next")).status == 202
        await replica.close()

    run(scene())


def test_a_push_is_recorded_in_all_or_not_told_as_stored(folder: Path) -> None:
    async def scene() -> None:
        store = world(project("second", by=ACME))
        replica = Replica(store, folder)
        asked = store.merge_recorded

        async def one_fails(kind: Any, namespace: str, name: str, *args: Any, **more: Any) -> Any:
            if name == "second":
                raise AWAY
            return await asked(kind, namespace, name, *args, **more)

        store.merge_recorded = one_fails  # type: ignore[method-assign]
        assert (await replica.push()).status == 503
        assert stored(store)["sha"] == sha(1)
        store.merge_recorded = asked  # type: ignore[method-assign]
        # Sent again, it is recorded where it was missed.
        verdict = await replica.push()
        assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 Project.")
        assert stored(store, "second")["sha"] == sha(1)
        await replica.close()

    run(scene())


def test_no_more_waits_than_there_is_room_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "WAITING_FOR_ONE", 10)

    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        verdicts = await asyncio.gather(*(replica.push(number) for number in range(1, 31)))
        refused = [verdict for verdict in verdicts if verdict.status == 503]
        assert len(refused) == 20
        assert {verdict.status for verdict in verdicts} == {202, 503}
        # Those were answered; there is room again.
        assert (await replica.push(50)).status == 202
        await replica.close()

        monkeypatch.setattr(fairness, "WAITING_IN_ALL", 3)
        store = Store(ACME, *(project(f"p{number}", by=ACME) for number in range(5)))
        replica = Replica(store, folder)
        assert (await replica.push()).status == 503
        assert len(store.writes) == 3
        assert (await replica.push()).status == 202
        await replica.close()

    run(scene())


def test_senders_that_go_away_leave_nothing_behind(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = AWAY
        sender = asyncio.create_task(replica.push())
        await asyncio.sleep(0.1)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await asyncio.sleep(2)
        attempts = store.attempts
        await asyncio.sleep(10)
        assert store.attempts == attempts
        assert len(asyncio.all_tasks()) == 1
        await replica.close()

    run(scene())


def test_a_quiet_project_has_no_task(folder: Path) -> None:
    async def scene() -> None:
        replica = Replica(world(), folder)
        await replica.push()
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1

    run(scene())


def test_the_end_tells_who_waits_that_it_is_not_stored(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        store.seconds = 2.0
        replica = Replica(store, folder)
        sender = asyncio.create_task(replica.push())
        await asyncio.sleep(1)
        await replica.close()
        ended = asyncio.get_running_loop().time()
        assert (await sender).status == 503
        assert asyncio.get_running_loop().time() == ended

    run(scene())


def test_a_defect_is_logged_and_answered(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        store.trouble = KeyError("oops")
        assert (await replica.push()).status == 503
        assert "was not understood" in caplog.text
        store.trouble = None
        assert (await replica.push()).status == 202
        await replica.close()

    run(scene())


def test_notices_share_a_write_too(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)

        async def notice(number: int) -> Any:
            payload = {"action": "added", "installation": {"id": 77}}
            return await replica.take("installation_repositories", payload, delivery=f"n{number}")

        verdicts = await asyncio.gather(*(notice(number) for number in range(50)))
        assert {verdict.status for verdict in verdicts} == {202}
        assert store.writes == [
            {
                "hint": {
                    "event": "installation_repositories",
                    "delivery": "n49",
                    "receivedAt": "2026-03-02T12:00:00Z",
                }
            }
        ]
        assert (await notice(49)).outcome == "duplicate"
        assert (await notice(50)).outcome == "recorded"
        await replica.close()

    run(scene())


def test_a_push_without_a_time_is_the_newest(folder: Path) -> None:
    async def scene() -> None:
        store = world()
        replica = Replica(store, folder)
        assert (await replica.push(5)).status == 202
        payload = push(6, repository_id=4242)
        del payload["repository"]["pushed_at"]
        verdict = await replica.take("push", payload)
        assert verdict.status == 202
        assert stored(store)["pushedAt"] is None
        await replica.close()

    run(scene())

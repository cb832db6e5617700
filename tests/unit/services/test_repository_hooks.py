"""A repository's hook is made once, asked for seldom, put right where it is not, and changed only if it is ours."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.carriers import State
from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.hooking import HookWish
from mooring.domain.webhooks.keys import KEY_BYTES, Keys, hook_path_id, hook_secrets
from mooring.ports import Changed
from mooring.services.store import Key
from tests.unit.objects import CREATED, NOW, OTHER_PAT, PAT
from tests.unit.services.followed import API, KEYS
from tests.unit.services.hooked import BASE, FORBIDDEN, Bench, resolved

AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
TWO = Keys(KEYS.id_key, KEYS.proof_keys, {1: KEYS.hook_keys[1], 2: b"2" * KEY_BYTES})
PATH_ID = hook_path_id(KEYS, origin=API, repository_id=7, namespace="team-a")
SECRET, NEWER = (
    hook_secrets(replace(TWO, hook_keys={v: TWO.hook_keys[v]}), origin=API, repository_id=7, namespace="team-a")[0]
    for v in (1, 2)
)
MINE = HookWish(f"{BASE}/webhooks/github/{PATH_ID}", SECRET)


async def made(**spec: Any) -> Bench:
    """Return a bench with a Project that has its hook, and that nothing was asked of yet."""
    bench = Bench()
    bench.project(**spec)
    await bench.run()
    assert bench.hub.take() == ["list", "make"]
    return bench


async def test_a_hook_is_made_once_as_it_should_be() -> None:
    bench = await made()
    (hook,) = bench.hub.held.values()
    assert hook.url == f"{BASE}/webhooks/github/{PATH_ID}"
    assert bench.hub.secrets[hook.id] == SECRET
    assert bench.webhook() == {
        "via": "Repository",
        "since": "2026-03-01T12:00:00Z",
        "state": "Active",
        "hookId": 101,
        "repositoryId": 7,
        "apiUrl": API,
        "secretVersion": 1,
        "updatedAt": "2026-03-01T12:00:00Z",
    }
    assert bench.reason() == ("True", "HookDelivers")
    assert (bench.audited, bench.cluster.finalizers) == ([("hook.made", 101)], [("shop", True)])
    before = bench.get("shop")["status"]
    await bench.run()
    assert (bench.hub.take(), bench.get("shop")["status"]) == ([], before)


async def test_a_restart_asks_nothing_and_changes_nothing() -> None:
    bench = await made()
    before = bench.get("shop")["status"]
    bench.restart()
    await bench.run()
    assert (bench.hub.take(), bench.get("shop")["status"], bench.cluster.finalizers) == ([], before, [("shop", True)])
    assert bench.hooks.count(State.ACTIVE) == 1


async def test_a_second_project_asks_nothing_also_after_a_restart() -> None:
    bench = await made()
    bench.project("second")
    await bench.run("second")
    assert (bench.hub.take(), bench.webhook("second")["hookId"]) == ([], 101)
    bench.restart()
    bench.project("third")
    await bench.run("third")
    assert (bench.hub.take(), bench.webhook("third")["hookId"]) == ([], 101)
    assert bench.cluster.finalizers == [("shop", True), ("second", True), ("third", True)]


async def test_many_at_once_make_one() -> None:
    bench = Bench()
    names = [bench.project(f"shop-{number}") for number in range(20)]
    await asyncio.gather(*(bench.run(name) for name in names))
    assert bench.hub.take() == ["list", "make"]
    assert {bench.webhook(name)["hookId"] for name in names} == {101}


@pytest.mark.parametrize("lost", ["answer", "status"])
async def test_one_that_was_made_before_a_crash_is_found_and_gets_its_secret(lost: str) -> None:
    bench = Bench()
    bench.project()
    bench.hub.held[3] = replace(bench.hub.put(3, MINE), url="https://ci.example.com/hook")
    if lost == "answer":
        bench.hub.late["make"] = AWAY
        await bench.run()
        assert (bench.hub.take(), bench.reason()) == (["list", "make"], ("Unknown", "GitHubUnavailable"))
        bench.hub.late.clear()
        bench.clock.move(1)
    else:
        bench.hub.put(101, MINE)
        bench.hub.secrets[101] = "of another key"
    await bench.run()
    assert bench.hub.take() == ["list", "change"]
    assert (set(bench.hub.held), bench.hub.secrets[101]) == ({3, 101}, SECRET)
    assert (bench.webhook()["hookId"], bench.audited) == (101, [("hook.changed", 101)])


async def test_nothing_is_made_for_what_goes() -> None:
    bench = Bench()
    bench.project()
    bench.put({**bench.get("shop"), "metadata": {**bench.get("shop")["metadata"], "deletionTimestamp": CREATED}})
    with pytest.raises(Changed):
        await bench.run()
    assert bench.hub.take() == ["list"]


async def test_nothing_is_made_before_the_finalizer_is_stored() -> None:
    bench = Bench()
    bench.project()
    bench.cluster.trouble = Transient(Reason.CLUSTER_UNAVAILABLE, "The API server is away.")
    await bench.run()
    assert bench.hub.take() == ["list"]


# --- looking at it ---


def look(bench: Bench, name: str = "shop") -> None:
    """Mark a hook."""
    bench.hooks.look(Key("Project", "team-a", name))


async def test_one_that_is_right_is_left_and_looked_at_once() -> None:
    bench = await made()
    look(bench)
    assert bench.asked == ["shop"]
    await bench.run()
    await bench.run()
    assert bench.hub.take() == ["get"]


async def test_one_look_will_do_for_all_that_share_it() -> None:
    bench = await made()
    bench.project("second")
    await bench.run("second")
    for name in ("shop", "second"):
        look(bench, name)
        await bench.run(name)
    assert bench.hub.take() == ["get"]
    bench.clock.move(600)
    look(bench, "second")
    await bench.run("second")
    assert bench.hub.take() == ["get"]


@pytest.mark.parametrize(
    "edit",
    [
        {"active": False},
        {"events": frozenset({"push"})},
        {"url": "https://before.example.com/webhooks/github/" + PATH_ID},
        {"content_type": "form"},
        {"insecure_ssl": True},
        {"updated_at": NOW + timedelta(seconds=5)},
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_one_that_was_edited_is_put_right(edit: dict[str, Any], restarted: bool) -> None:
    bench = await made()
    bench.hub.secrets[101] = "somebody's"
    bench.hub.edit(101, **edit)
    if restarted:
        bench.restart()
    bench.clock.move(60)
    look(bench)
    await bench.run()
    assert bench.hub.take() == ["get", "change"]
    assert (bench.hub.held[101].url, bench.hub.secrets[101]) == (MINE.url, SECRET)
    assert bench.webhook()["updatedAt"] == "2026-03-01T12:01:00Z"
    look(bench)
    await bench.run()
    assert bench.hub.take() == ["get"]


async def test_one_that_was_removed_is_made_again() -> None:
    bench = await made()
    del bench.hub.held[101]
    look(bench)
    await bench.run()
    # The port has read the list when it says that a hook is gone.
    assert bench.hub.take() == ["get", "make"]
    assert bench.webhook()["hookId"] == 102


async def test_a_foreign_one_that_a_status_names_is_left_alone() -> None:
    bench = await made()
    foreign = bench.hub.held[3] = replace(bench.hub.put(3, MINE), url="https://ci.example.com/hook", id=3)
    bench.hub.secrets[3] = "theirs"
    obj = bench.get("shop")
    status = {**obj["status"], "webhook": {**obj["status"]["webhook"], "hookId": 3}}
    bench.put({**obj, "status": status})
    bench.restart()
    await bench.run()
    assert bench.hub.take() == []
    look(bench)
    await bench.run()
    assert bench.hub.take() == ["get", "list", "change"]
    assert (bench.hub.held[3], bench.hub.secrets[3], bench.webhook()["hookId"]) == (foreign, "theirs", 101)


# --- another key ---


async def test_another_key_is_given_once_to_each_hook() -> None:
    bench = await made()
    bench.project("second")
    await bench.run("second")
    bench.platform.webhook_keys = TWO
    await bench.run()
    assert bench.hub.take() == []
    bench.platform.hook_version = 2
    await bench.run("second")
    await bench.run()
    assert (bench.hub.take(), bench.hub.secrets[101]) == (["change"], NEWER)
    assert bench.webhook()["secretVersion"] == bench.webhook("second")["secretVersion"] == 2
    # For those that share it.
    assert "shop" in bench.asked


async def test_after_a_restart_an_older_version_takes_nothing_back_and_a_newer_is_given_to_ours_alone() -> None:
    bench = await made()
    bench.given |= {"webhook_keys": TWO, "hook_version": 2}
    bench.restart()
    await bench.run()
    assert (bench.hub.take(), bench.hub.secrets[101]) == (["get", "change"], NEWER)
    bench.given |= {"hook_version": 1}
    bench.restart()
    await bench.run()
    assert bench.hub.take() == []
    # A key that is gone counts for nothing, whatever number it had.
    bench.given |= {"webhook_keys": KEYS}
    bench.restart()
    await bench.run()
    assert (bench.hub.take(), bench.hub.secrets[101]) == (["get", "change"], SECRET)


# --- deliveries that fail ---


def attempt(number: int, guid: str, *, ok: bool = False) -> Attempt:
    return Attempt(number, guid, "push", NOW, False, ok)


async def test_deliveries_that_failed_are_asked_for_again_ever_more_slowly() -> None:
    bench = await made()
    bench.project("second")
    await bench.run("second")
    bench.asked.clear()
    bench.hub.edit(101, last_status=503)
    bench.hub.attempts = [attempt(2, "b"), attempt(1, "a", ok=True)]
    look(bench)
    carried = await bench.run()
    assert (bench.hub.take(), bench.hub.repeated) == (["get", "attempts", "repeat"], [2])
    assert (bench.webhook()["state"], bench.reason()) == ("Failing", ("False", "WebhookFailing"))
    assert "503" in bench.get("shop")["status"]["conditions"][0]["message"]
    assert "second" in bench.asked
    await bench.run("second")
    assert (bench.hub.take(), bench.reason("second")) == ([], ("False", "WebhookFailing"))
    assert carried.again == bench.clock.at + timedelta(seconds=60)
    bench.clock.move(60)
    carried = await bench.run()
    assert carried.again == bench.clock.at + timedelta(seconds=120)
    assert bench.hub.take()[0] == "get"
    bench.hub.edit(101, last_status=202)
    bench.clock.move(120)
    await bench.run("second")
    assert (bench.hub.take(), bench.reason("second"), bench.webhook("second")["state"]) == (
        ["get"],
        ("True", "HookDelivers"),
        "Active",
    )
    bench.clock.move(10_000)
    await bench.run()
    assert (bench.hub.take(), bench.reason()) == ([], ("True", "HookDelivers"))


async def test_a_look_that_is_asked_for_during_another_is_not_lost() -> None:
    """What happened since the first one asked is seen by the second alone."""
    bench = await made()
    look(bench)
    running = asyncio.create_task(bench.run())
    for _ in range(100):
        if not bench.hub.asked:
            await asyncio.sleep(0)
    look(bench)
    await running
    assert bench.hub.take() == ["get"]
    await bench.run()
    assert bench.hub.take() == ["get"]
    await bench.run()
    assert bench.hub.take() == []


async def test_a_restart_keeps_what_was_said_of_failures() -> None:
    bench = await made()
    bench.hub.edit(101, last_status=503)
    look(bench)
    await bench.run()
    before = bench.get("shop")["status"]
    bench.hub.take()
    bench.restart()
    await bench.run()
    assert (bench.hub.take(), bench.get("shop")["status"]) == ([], before)
    assert bench.hooks.count(State.FAILING) == 1


async def test_a_refused_signature_means_another_secret() -> None:
    bench = await made()
    bench.hub.edit(101, last_status=401)
    bench.hub.secrets[101] = "somebody's"
    bench.hub.attempts = [attempt(1, "a")]
    look(bench)
    await bench.run()
    assert (bench.hub.take(), bench.hub.secrets[101]) == (["get", "change", "attempts", "repeat"], SECRET)


# --- trouble ---


@pytest.mark.parametrize("trouble", [FORBIDDEN, Stalled(Reason.HOOK_LIMIT, "Twenty are there.")])
async def test_a_token_that_was_refused_is_not_sent_again_for_a_while(trouble: Stalled) -> None:
    bench = Bench()
    bench.project()
    where = "list" if trouble is FORBIDDEN else "make"
    bench.hub.troubles[where] = trouble
    carried = await bench.run()
    asked = bench.hub.take()
    assert asked[-1] == where
    assert bench.reason() == ("False", trouble.reason.value)
    assert (bench.webhook()["via"], carried.again) == ("Sweep", bench.clock.at + timedelta(hours=1))
    bench.hub.troubles.clear()
    bench.clock.move(599)
    look(bench)
    await bench.run()
    assert bench.hub.take() == []
    bench.restart()
    await bench.run()
    assert bench.hub.take() == []
    bench.token = resolved(OTHER_PAT)
    await bench.run()
    assert (bench.hub.take(), bench.hub.tokens[-1]) == (["list", "make"], OTHER_PAT)


async def test_a_refusal_is_forgotten_after_a_while() -> None:
    bench = Bench()
    bench.project()
    bench.hub.troubles["list"] = FORBIDDEN
    await bench.run()
    bench.hub.troubles.clear()
    bench.clock.move(600)
    await bench.run()
    assert bench.hub.take() == ["list", "list", "make"]


async def test_what_one_token_may_not_another_may() -> None:
    bench = Bench()
    bench.project()
    bench.project("second")
    bench.hub.troubles[PAT] = FORBIDDEN
    await bench.run()
    bench.token = resolved(OTHER_PAT)
    await bench.run("second")
    assert bench.hub.take() == ["list", "list", "make"]
    assert "shop" in bench.asked
    bench.token = resolved(PAT)
    await bench.run()
    assert (bench.hub.take(), bench.reason()) == ([], ("True", "HookDelivers"))
    # Nor does a look with it make worse what works.
    bench.clock.move(600)
    look(bench)
    await bench.run()
    assert (bench.hub.take(), bench.reason()) == (["get"], ("True", "HookDelivers"))


async def test_an_outage_is_met_ever_more_slowly_and_the_status_waits() -> None:
    bench = Bench()
    bench.project()
    bench.hub.troubles["list"] = AWAY
    delays = []
    for _ in range(12):
        carried = await bench.run()
        assert carried.again is not None
        delays.append((carried.again - bench.clock.at).total_seconds())
        await bench.run()
        bench.clock.at = carried.again
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == 300
    assert bench.hub.take() == ["list"] * 12
    assert bench.reason() == ("Unknown", "GitHubUnavailable")
    bench.hub.troubles["list"] = Waiting(Reason.RATE_LIMITED, "Later.", until=bench.clock.at + timedelta(hours=1))
    carried = await bench.run()
    assert carried.again == bench.clock.at + timedelta(hours=1)


async def test_a_hook_whose_secret_counts_no_more_is_told_of() -> None:
    bench = await made()
    bench.given |= {"webhook_keys": replace(TWO, hook_keys={2: TWO.hook_keys[2]}), "hook_version": 2}
    bench.restart()
    bench.hub.troubles["get"] = FORBIDDEN
    await bench.run()
    assert bench.reason() == ("False", "WebhookFailing")


async def test_no_secret_is_in_a_text() -> None:
    bench = await made()
    bench.hub.troubles["get"] = FORBIDDEN
    look(bench)
    await bench.run()
    kept = {name: each for name, each in vars(bench.hooks).items() if name != "_platform"}
    shown = f"{kept} {vars(kept['_books'])} {bench.get('shop')} {bench.audited}"
    assert "Noted" in shown
    assert SECRET not in shown
    assert PAT not in shown

"""What brings the pushes of each Project, and what becomes of a hook that one needs no more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.errors import Stalled, Transient
from mooring.domain.reasons import Reason
from tests.unit.objects import PAT
from tests.unit.services.followed import API
from tests.unit.services.hooked import FORBIDDEN, Bench, resolved

AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
GONE = Stalled(Reason.SECRET_NOT_FOUND, "The Secret is gone.")
REF: dict[str, Any] = {"installationRef": {"name": "it"}}


async def made(*names: str) -> Bench:
    """Return a bench with Projects that share a hook, and that nothing was asked of yet."""
    bench = Bench()
    for name in names or ("shop",):
        bench.project(name)
        await bench.run(name)
    assert bench.hub.take() == ["list", "make"]
    bench.audited.clear()
    return bench


def change(bench: Bench, name: str = "shop", **spec: Any) -> None:
    """Change a Project's spec, None takes a field away."""
    obj = bench.get(name)
    after = {field: value for field, value in {**obj["spec"], **spec}.items() if value is not None}
    bench.put({**obj, "spec": after})


# --- who carries ---


async def test_an_app_and_what_keeps_it_from_telling() -> None:
    bench = Bench()
    bench.project(**REF)
    await bench.run()
    assert (bench.webhook()["via"], bench.webhook()["state"], bench.reason()) == (
        "App",
        "Active",
        ("True", "AppDelivers"),
    )
    for trouble in (Reason.EVENTS_MISSING, Reason.WEBHOOK_SECRET_MISSING, Reason.WEBHOOK_ELSEWHERE):
        bench.app_trouble = trouble
        await bench.run()
        assert (bench.webhook()["via"], bench.reason()) == ("App", ("False", trouble.value))
    bench.platform.public_base_url = None
    await bench.run()
    assert bench.reason() == ("False", "NoPublicUrl")
    assert (bench.hub.take(), bench.cluster.finalizers) == ([], [])


async def test_a_plain_git_url_is_swept() -> None:
    bench = Bench()
    bench.project(source={"git": {"url": "https://git.example.com/a.git"}})
    obj = bench.get("shop")
    bench.put({**obj, "status": {}})
    await bench.run(repository_id=0)
    # A source without GitHub's id.
    assert (bench.webhook()["via"], bench.reason(), bench.hub.take()) == ("Sweep", ("False", "SweepOnly"), [])


async def test_an_image_alone_has_neither_condition_nor_field() -> None:
    bench = Bench()
    bench.project()
    change(bench, source=None)
    carried = await bench.run()
    assert (bench.webhook(), bench.reason(), carried.fields) == ({}, None, {"webhook": None})


@pytest.mark.parametrize(
    "token", [resolved(None), resolved(PAT, api="https://ghe.example.com/api/v3"), resolved(None, trouble=FORBIDDEN)]
)
async def test_without_a_token_for_that_very_github_nothing_is_asked(token: Any) -> None:
    bench = Bench()
    bench.project()
    bench.token = token
    await bench.run()
    assert (bench.webhook()["via"], bench.reason(), bench.hub.take()) == ("Sweep", ("False", "HooksForbidden"), [])
    assert bench.cluster.finalizers == []
    # A token that comes is tried at once.
    bench.token = resolved(PAT)
    await bench.run()
    assert bench.hub.take() == ["list", "make"]


async def test_a_token_that_goes_leaves_what_works() -> None:
    bench = await made()
    bench.token = resolved(None, trouble=GONE)
    await bench.run()
    assert (bench.reason(), bench.hub.take()) == (("True", "HookDelivers"), [])


async def test_without_an_address_there_is_no_hook_and_one_from_before_is_kept_in_mind() -> None:
    bench = Bench(base=None)
    bench.project()
    await bench.run()
    assert (bench.webhook()["via"], bench.reason(), bench.hub.take()) == ("Sweep", ("False", "NoPublicUrl"), [])
    bench = await made()
    bench.given["public_base_url"] = None
    bench.restart()
    await bench.run()
    assert (bench.webhook()["via"], bench.webhook()["hookId"], bench.reason()) == (
        "Sweep",
        101,
        ("False", "NoPublicUrl"),
    )
    assert (bench.hub.take(), bench.audited) == ([], [])
    assert await bench.delete("shop") is None
    assert bench.hub.take() == ["get", "remove"]


@pytest.mark.parametrize("missing", ["keys", "source", "token"])
async def test_what_is_not_known_now_changes_nothing(missing: str) -> None:
    bench = await made()
    before = bench.get("shop")["status"]
    if missing == "keys":
        bench.platform.webhook_keys = None
    if missing == "token":
        bench.token = resolved(None, trouble=AWAY)
    carried = await bench.run(repository_id=None if missing == "source" else 7)
    assert (carried.fields, bench.hub.take()) == ({}, [])
    assert bench.get("shop")["status"]["conditions"] == before["conditions"]


# --- deletion ---


async def test_the_last_one_takes_the_hook_with_it() -> None:
    bench = await made("shop", "second")
    assert await bench.delete("shop") is None
    assert (bench.hub.take(), bench.audited) == ([], [])
    assert await bench.delete("second") is None
    assert (bench.hub.take(), bench.audited, bench.hub.held) == (["get", "remove"], [("hook.removed", 101)], {})
    assert bench.cluster.finalizers[-2:] == [("shop", False), ("second", False)]


async def test_a_run_that_comes_before_the_news_of_the_end_asks_nothing() -> None:
    bench = await made()
    seen = bench.get("shop")
    assert await bench.delete("shop") is None
    assert (bench.hub.take(), len(bench.cluster.finalizers)) == (["get", "remove"], 2)
    late = {**seen, "metadata": {**seen["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert await bench.carriers.end(late) is None
    assert (bench.hub.take(), len(bench.cluster.finalizers)) == ([], 2)


async def test_also_after_a_restart_and_both_at_once() -> None:
    bench = await made("shop", "second")
    bench.restart()
    assert await bench.delete("shop") is None
    assert bench.hub.take() == []
    bench = await made("shop", "second")
    bench.restart()
    await asyncio.gather(bench.delete("shop"), bench.delete("second"))
    assert bench.hub.held == {}


async def test_who_uses_an_app_or_another_repository_needs_no_hook() -> None:
    for more in (REF, {"source": {"git": {"url": "https://git.example.com/a.git"}}}):
        bench = await made()
        bench.project("other", **more)
        assert await bench.delete("shop") is None
        assert bench.hub.held == {}
    bench = await made()
    bench.project("other", repository_id=8)
    assert await bench.delete("shop") is None
    assert bench.hub.held == {}


async def test_who_goes_too_needs_no_hook() -> None:
    bench = await made("shop", "second")
    obj = bench.get("second")
    bench.put({**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}})
    assert await bench.delete("shop") is None
    assert bench.hub.held == {}


async def test_who_has_just_got_an_app_or_is_at_another_github_needs_none() -> None:
    bench = await made("shop", "second")
    change(bench, "second", **REF)
    assert await bench.delete("shop") is None
    assert bench.hub.held == {}
    bench = await made()
    bench.project("other", source={"github": {"repository": "acme/shop", "host": "ghe.example.com"}})
    assert await bench.delete("shop") is None
    assert bench.hub.held == {}


async def test_one_that_a_crash_left_without_a_word_is_found_by_its_address() -> None:
    bench = await made()
    obj = bench.get("shop")
    bench.put({**obj, "status": {**obj["status"], "webhook": {}}})
    bench.restart()
    assert await bench.delete("shop") is None
    assert (bench.hub.take(), bench.hub.held) == (["list", "remove"], {})


async def test_a_foreign_one_is_not_removed() -> None:
    bench = await made()
    bench.hub.edit(101, url="https://ci.example.com/hook")
    assert await bench.delete("shop") is None
    assert (bench.hub.take(), set(bench.hub.held), bench.audited) == (["get"], {101}, [])


async def test_while_github_is_away_a_project_waits_for_half_a_minute() -> None:
    bench = await made()
    bench.hub.troubles["get"] = AWAY
    for _ in range(6):
        again = await bench.delete("shop")
        assert again is not None
        assert again.at == bench.clock.at + timedelta(seconds=5)
        bench.clock.move(5)
    assert bench.audited == []
    assert await bench.delete("shop") is None
    assert (bench.audited, bench.told) == ([("hook.left", 101)], ["HookLeft"])
    assert bench.cluster.finalizers[-1] == ("shop", False)


@pytest.mark.parametrize("trouble", ["secret", "forbidden"])
async def test_without_a_good_token_nobody_waits(trouble: str) -> None:
    bench = await made()
    if trouble == "secret":
        bench.token = resolved(None, trouble=GONE)
    else:
        bench.hub.troubles["get"] = FORBIDDEN
    assert await bench.delete("shop") is None
    assert bench.audited == [("hook.left", 101)]


async def test_what_never_had_a_hook_goes_at_once() -> None:
    bench = Bench()
    bench.project()
    bench.hub.troubles["list"] = FORBIDDEN
    await bench.run()
    bench.hub.take()
    assert await bench.delete("shop") is None
    assert (bench.hub.take(), bench.audited, bench.cluster.finalizers) == ([], [], [])


# --- other wishes ---


async def test_another_repository_has_another_hook() -> None:
    bench = await made()
    await bench.run(repository_id=8)
    assert bench.hub.take() == ["get", "remove", "list", "make"]
    assert (bench.webhook()["repositoryId"], bench.webhook()["hookId"]) == (8, 102)
    assert bench.audited == [("hook.removed", 101), ("hook.made", 102)]
    assert bench.cluster.finalizers == [("shop", True)]


async def test_two_that_leave_at_once_leave_no_hook_behind() -> None:
    bench = await made("shop", "second")
    await asyncio.gather(bench.run("shop", repository_id=8), bench.run("second", repository_id=8))
    assert [hook.id for hook in bench.hub.held.values()] == [102]


@pytest.mark.parametrize("spec", [REF, {"source": None}, {"source": {"git": {"url": "https://git.example.com/a.git"}}}])
async def test_who_needs_none_any_more_lets_go(spec: dict[str, Any]) -> None:
    bench = await made()
    change(bench, **spec)
    await bench.run(repository_id=0 if "git" in str(spec) else 7)
    assert (bench.hub.take(), bench.hub.held, bench.cluster.finalizers) == (
        ["get", "remove"],
        {},
        [("shop", True), ("shop", False)],
    )
    assert "hookId" not in bench.webhook()


async def test_others_keep_it() -> None:
    bench = await made("shop", "second")
    change(bench, **REF)
    await bench.run()
    assert (bench.hub.take(), bench.webhook()["via"]) == ([], "App")
    # And who comes back has it again.
    change(bench, installationRef=None)
    await bench.run()
    assert (bench.hub.take(), bench.webhook()["hookId"]) == ([], 101)


async def test_what_cannot_be_removed_is_told_of() -> None:
    bench = await made()
    change(bench, **REF)
    bench.token = resolved(None)
    await bench.run()
    assert (bench.hub.take(), bench.audited, bench.told) == ([], [("hook.left", 101)], ["HookLeft"])
    assert (bench.webhook()["via"], bench.cluster.finalizers[-1]) == ("App", ("shop", False))


async def test_a_github_that_is_away_is_waited_for_ever_more_slowly_and_not_for_ever() -> None:
    bench = await made()
    change(bench, **REF)
    bench.hub.troubles["get"] = AWAY
    waited = 0.0
    for _ in range(20):
        carried = await bench.run()
        if carried.again is None:
            break
        assert bench.webhook()["hookId"] == 101
        waited += (carried.again - bench.clock.at).total_seconds()
        bench.clock.at = carried.again
    assert 600 < waited < 3600
    assert (bench.audited, bench.told) == ([("hook.left", 101)], ["HookLeft"])
    assert bench.webhook()["via"] == "App"


async def test_a_token_goes_nowhere_that_a_status_names() -> None:
    bench = await made()
    obj = bench.get("shop")
    told = {**obj["status"]["webhook"], "apiUrl": "https://evil.example.com/api/v3"}
    bench.put({**obj, "status": {**obj["status"], "webhook": told}})
    bench.restart()
    await bench.run()
    # Only the origin that the token is for was asked: the port sees to that (`Hub._ask`).
    assert bench.hub.take() == ["list", "change"]
    assert (bench.webhook()["apiUrl"], set(bench.hub.tokens)) == (API, {PAT})

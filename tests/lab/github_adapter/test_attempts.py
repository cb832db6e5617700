"""What became of deliveries, an App's and a hook's, and having them sent once more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.github.limits import LIMITS
from tests.lab.github_adapter.app_world import JUNK, app_world, with_key
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, origin, trouble
from tests.lab.github_adapter.hook_world import HOUR, NOWHERE, HookWorld, hook_world

SECOND = timedelta(seconds=1)


async def test_a_hooks_attempts(bench: Bench) -> None:
    """The newest first, failed or not; not those under way, nor those of before."""
    world, github = await hook_world(bench), bench.adapt().adapter
    now = bench.clock.now().replace(microsecond=0)
    world.delivered(now - 2 * HOUR, 500)
    failed, good = world.delivered(now - HOUR, 502, guid="a"), world.delivered(now, 200, guid="b")
    world.delivered(now, 0, done=False)
    found = await world.at(github.webhooks).attempts(world.hook, now - HOUR)
    assert [(each.id, each.guid, each.succeeded) for each in found] == [(good, "b", True), (failed, "a", False)]
    assert [each.delivered_at for each in found] == [now, now - HOUR]
    path = f"/repositories/{world.web}/hooks/{world.hook}/deliveries?per_page=100"
    assert await world.journal() == [("GET", path)]


@pytest.mark.parametrize(("recent", "requests"), [(99, 1), (150, 2), (250, 3), (450, 3)])
async def test_many_attempts_of_a_hook(bench: Bench, recent: int, requests: int) -> None:
    """Reading ends with the first page that ends before the moment, and after three pages."""
    world, github = await hook_world(bench), bench.adapt().adapter
    now = bench.clock.now().replace(microsecond=0)
    for _ in range(400):
        world.delivered(now - 2 * HOUR, 500)
    new = [world.delivered(now, 500) for _ in range(recent)]
    found = await world.at(github.webhooks).attempts(world.hook, now - HOUR)
    assert [each.id for each in found] == new[::-1][:300]
    assert len(await world.journal()) == requests


async def test_a_hooks_delivery_again(bench: Bench) -> None:
    """GitHub is asked once, and lists another attempt under the same GUID."""
    world, github = await hook_world(bench), bench.adapt().adapter
    start = bench.clock.now() - SECOND
    failed = world.delivered(bench.clock.now(), 500, guid="same")
    asking = world.at(github.webhooks, "writer")
    await asking.repeat(world.hook, failed)
    await bench.server.deliverer.settled()
    path = f"/repositories/{world.web}/hooks/{world.hook}/deliveries/{failed}/attempts"
    assert await world.journal() == [("POST", path)]
    found = await asking.attempts(world.hook, start)
    assert [(each.guid, each.is_repeated, each.succeeded) for each in found] == [
        ("same", True, False),
        ("same", False, False),
    ]


async def test_a_delivery_that_is_gone_is_left(bench: Bench) -> None:
    """Of a hook, and of an App."""
    world, github = await hook_world(bench), bench.adapt().adapter
    for token in ("admin", "both"):
        await world.at(github.webhooks, token).repeat(world.hook, 10**9)
    app = (await app_world(bench)).moor
    await github.webhooks.repeat_delivery(app, 10**9, namespace=NAMESPACE)
    assert [method for method, _ in await world.journal()] == ["POST", "GET", "POST", "GET", "POST"]


async def test_where_an_apps_webhooks_go(bench: Bench) -> None:
    """Nowhere, and then somewhere, as it is now."""
    world, github = await app_world(bench), bench.adapt().adapter
    assert await github.webhooks.app_webhook_url(world.moor, namespace=NAMESPACE) is None
    await bench.control("POST", "/apps/moor/webhook", {"url": NOWHERE, "secret": "x"})
    assert await github.webhooks.app_webhook_url(world.moor, namespace=NAMESPACE) == NOWHERE


async def test_an_apps_failures(bench: Bench) -> None:
    """Its own, those that failed, since a moment, the newest first."""
    hooks, world, github = await hook_world(bench), await app_world(bench), bench.adapt().adapter
    now = bench.clock.now().replace(microsecond=0)
    number = world.moor.app_id
    hooks.delivered(now - 2 * HOUR, 500, app=number)
    first, second = hooks.delivered(now - HOUR, 0, app=number), hooks.delivered(now, 500, app=number)
    hooks.delivered(now, 200, app=number)
    hooks.delivered(now, 500, app=world.other.app_id)
    hooks.delivered(now, 0, app=number, done=False)
    found = await github.webhooks.failed_attempts(world.moor, since=now - HOUR, namespace=NAMESPACE)
    assert [each.id for each in found] == [second, first]
    assert await hooks.journal() == [("GET", "/app/hook/deliveries?status=failure&per_page=100")]


@pytest.mark.parametrize(("recent", "requests"), [(50, 1), (150, 2), (1100, 10)])
async def test_many_failures_of_an_app(bench: Bench, recent: int, requests: int) -> None:
    """As many pages as it takes, ten at most; the filter stays on all of them."""
    hooks, world, github = await hook_world(bench), await app_world(bench), bench.adapt().adapter
    now = bench.clock.now().replace(microsecond=0)
    number = world.moor.app_id
    for _ in range(100):
        hooks.delivered(now - 2 * HOUR, 500, app=number)
    for _ in range(recent):
        hooks.delivered(now, 500, app=number)
        hooks.delivered(now, 200, app=number)
    found = await github.webhooks.failed_attempts(world.moor, since=now - HOUR, namespace=NAMESPACE)
    assert len({each.id for each in found}) == min(recent, 1000)
    journal = await hooks.journal()
    assert len(journal) == requests
    assert all("status=failure" in path for _, path in journal)


async def test_a_server_that_does_not_know_the_filter(bench: Bench, rogue: Rogue) -> None:
    """It lists all; failures are told apart here."""
    world = await app_world(bench)
    now = bench.clock.now().replace(microsecond=0)
    entry = {"guid": "g", "event": "push", "delivered_at": now.isoformat(), "redelivery": False, "status": "x"}

    async def everything(_: web.Request) -> web.StreamResponse:
        return web.json_response([{**entry, "id": code, "status_code": code} for code in (200, 500, 302, 404)])

    rogue.answer = everything
    webhooks = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter.webhooks
    there = replace(world.moor, origin=origin(rogue.url))
    found = await webhooks.failed_attempts(there, since=now - HOUR, namespace=NAMESPACE)
    assert [each.id for each in found] == [500, 404]


async def test_an_apps_delivery_again(bench: Bench) -> None:
    """Once; where it cannot be sent any more, it is left."""
    hooks, world, github = await hook_world(bench), await app_world(bench), bench.adapt().adapter
    failed = hooks.delivered(bench.clock.now(), 500, app=world.moor.app_id)
    await github.webhooks.repeat_delivery(world.moor, failed, namespace=NAMESPACE)
    assert _attempts(hooks) == 1
    await bench.control("POST", "/apps/moor/webhook", {"url": NOWHERE, "secret": "x"})
    await github.webhooks.repeat_delivery(world.moor, failed, namespace=NAMESPACE)
    await bench.server.deliverer.settled()
    assert _attempts(hooks) == 2
    await bench.fault("drop", after_work=True)
    asked = github.webhooks.repeat_delivery(world.moor, failed, namespace=NAMESPACE)
    assert isinstance(await trouble(asked), Transient)
    await bench.server.deliverer.settled()
    assert _attempts(hooks) == 3


def _attempts(hooks: HookWorld) -> int:
    return len(hooks.bench.server.world.deliveries)


async def test_a_key_that_is_not_the_apps(bench: Bench) -> None:
    """Nothing is told with it."""
    world = await app_world(bench)
    stranger, since = with_key(world.moor, JUNK), bench.clock.now() - HOUR
    # Each with an adapter of its own, which does not know yet that the key is refused.
    one, two, three = (bench.adapt().adapter.webhooks for _ in range(3))
    for asked in (
        one.app_webhook_url(stranger, namespace=NAMESPACE),
        two.failed_attempts(stranger, since=since, namespace=NAMESPACE),
        three.repeat_delivery(stranger, 1, namespace=NAMESPACE),
    ):
        found = await trouble(asked)
        assert found.reason == Reason.APP_REFUSED


async def test_an_apps_questions_are_paid_for(bench: Bench) -> None:
    """Each page of the namespace's share of the App's requests."""
    hooks, world = await hook_world(bench), await app_world(bench)
    for _ in range(150):
        hooks.delivered(bench.clock.now(), 500, app=world.moor.app_id)
    webhooks = bench.adapt(limits=replace(LIMITS, app_burst=1, app_rate=0.001)).adapter.webhooks
    found = await trouble(webhooks.failed_attempts(world.moor, since=bench.clock.now() - HOUR, namespace=NAMESPACE))
    assert found.reason == Reason.BUDGET_SPENT

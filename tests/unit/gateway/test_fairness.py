"""Who has a secret is limited as a whole, whatever the payloads say; others get through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from mooring.gateway import deliveries, lanes, payloads
from mooring.gateway.limits import MIB
from mooring.observability.gateway_metrics import Outcome
from tests.unit.gateway.support import (
    APP,
    CALM,
    PATIENCE,
    PUSH,
    TENANT,
    Gateway,
    Receiver,
    as_json,
    connected,
    gateway,
    is_served,
    posting,
    push,
    reached,
    signed,
)

BY_TENANT = b"the tenant's"


def of_tenant(body: bytes) -> bytes:
    return posting(body, TENANT, x_hub_signature_256=signed(body, BY_TENANT))


async def sent(edge: Gateway, path: str, body: bytes) -> int:
    answer = await edge.send(of_tenant(body) if path == TENANT else posting(body))
    assert answer is not None
    return answer.status


@pytest.mark.parametrize(("path", "other"), [(APP, TENANT), (TENANT, APP)])
async def test_repositories_that_somebody_made_up_have_one_limit_together(path: str, other: str) -> None:
    slow = {"owner_burst": 3, "owner_a_second": 0.001, "app_burst": 3, "app_a_second": 0.001}
    async with gateway(replace(CALM, **slow)) as edge:  # type: ignore[arg-type]
        statuses = [await sent(edge, path, as_json(push(repository=number))) for number in range(1, 6)]
        assert statuses == [202, 202, 202, 429, 429]
        # It is said before anything is parsed, and takes nothing from others.
        assert await sent(edge, path, b"{") == 429
        assert await sent(edge, other, PUSH) == 202


def test_the_operators_app_may_send_more_than_a_namespace() -> None:
    assert (CALM.owner_burst, CALM.owner_a_second, CALM.owner_at_once) == (6000, 100, 256)
    assert (CALM.app_burst, CALM.app_a_second, CALM.app_at_once) == (20_000, 500, 768)


async def test_a_namespace_does_not_hold_all_connections() -> None:
    receiver = Receiver(held=asyncio.Event(), held_owners=frozenset({"team-a"}))
    async with gateway(replace(CALM, connections=4, owner_at_once=2), receiver) as edge, AsyncExitStack() as stack:
        # Each is about another repository.
        busy = [await stack.enter_async_context(connected(edge)) for _ in range(3)]
        for number, line in enumerate(busy, 1):
            await line.write(of_tenant(as_json(push(repository=number))))
        async with asyncio.timeout(PATIENCE):
            while edge.count("push", Outcome.LIMITED) < 1:  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)
        assert len(receiver.taken) == 2
        assert await is_served(edge)
        assert receiver.held is not None
        receiver.held.set()
        answers = [await line.answer() for line in busy]
        assert sorted(answer.status for answer in answers if answer) == [202, 202, 429]
        # They are under way no more.
        assert await sent(edge, TENANT, PUSH) == 202


async def test_the_operators_app_does_not_hold_them_either() -> None:
    receiver = Receiver(held=asyncio.Event(), held_owners=frozenset({""}))
    async with gateway(replace(CALM, app_at_once=1), receiver) as edge, connected(edge) as busy:
        await busy.write(posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        assert await sent(edge, APP, as_json(push(repository=8))) == 429
        assert await sent(edge, TENANT, PUSH) == 202
        assert receiver.held is not None
        receiver.held.set()


async def test_one_large_body_of_an_owner_waits_and_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(body: bytes | bytearray) -> Mapping[str, Any]:
        if len(body) > MIB:
            begun.set()
            await go_on.wait()
        return await payloads.payload_of(body)

    monkeypatch.setattr(deliveries, "payload_of", slowly)
    large = as_json(push(padding="x" * MIB))
    async with gateway(CALM) as edge, connected(edge) as first, connected(edge) as app, connected(edge) as again:
        await first.write(of_tenant(large))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        answer = await edge.send(of_tenant(large))
        assert answer is not None
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
        # Small ones of the same owner come through, and large ones of the operator's App wait for their turn.
        assert await sent(edge, TENANT, PUSH) == 202
        await app.write(posting(large))
        await again.write(posting(large))
        await reached(edge, 3 * len(large))
        go_on.set()
        assert [each.status for line in (first, app, again) if (each := await line.answer())] == [202, 202, 202]
        assert await sent(edge, TENANT, large) == 202


async def test_a_body_that_was_parsed_is_held_no_more_while_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, bodies = Receiver(held=asyncio.Event()), list[lanes.Holding]()
    enter = lanes.Lanes.enter

    def noted(*arguments: Any, **more: Any) -> lanes.Holding:
        bodies.append(enter(*arguments, **more))
        return bodies[-1]

    monkeypatch.setattr(lanes.Lanes, "enter", noted)
    async with gateway(CALM, receiver) as edge, connected(edge) as line:
        await line.write(posting(as_json(push(padding="x" * MIB))))
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        assert edge.gauge("body_bytes") == 0
        assert [len(body.content) for body in bodies] == [0]
        assert receiver.held is not None
        receiver.held.set()

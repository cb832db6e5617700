"""How deliveries reach a receiver: signed, once, in order, remembered, and again on request."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qs

import pytest

from lab.github import deliveries
from lab.github.tls import server_context
from tests.lab.github.handle import Forge, Receiver, receiving


async def seeded(forge: Forge, url: str, **hook: Any) -> tuple[str, int]:
    """Make a repository with a hook; returns a token and the hook's id."""
    answer = await forge.seed(
        users=[{"login": "ann", "email": "ann@example.com"}],
        repositories=[{"owner": "ann", "name": "site", "files": {"a": "0"}, "hooks": [{"url": url, **hook}]}],
        tokens=[{"name": "ann", "user": "ann", "scopes": ["repo", "admin:repo_hook"]}],
    )
    return answer["tokens"]["ann"]["value"], answer["repositories"]["ann/site"]["hooks"][0]


async def push(forge: Forge, text: str = "1") -> str:
    """Push a change; returns the new commit."""
    answer = await forge.control("POST", "/push", {"repository": "ann/site", "user": "ann", "files": {"a": text}})
    after: str = answer["after"]
    return after


async def attempts(forge: Forge, **wanted: str) -> Any:
    """Return the attempts that the control API tells."""
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    return (await forge.control("GET", f"/deliveries?{query}"))["deliveries"]


async def settled(forge: Forge) -> None:
    """Wait until every delivery that may go out has been answered."""
    await forge.server.deliverer.settled()


def test_the_signature_is_that_of_githubs_documentation() -> None:
    signed = deliveries.signatures("It's a Secret to Everybody", b"Hello, World!")
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signed["X-Hub-Signature-256"] == f"sha256={digest}"


async def test_without_a_secret_nothing_is_signed(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver.url)
    await push(forge)
    assert not any(name.startswith("X-Hub-") for name in (await receiver.next()).headers)


async def test_a_form_carries_the_payload_and_is_signed_as_sent(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver.url, content_type="form", secret="s")
    after = await push(forge, "ü & =")
    delivery = await receiver.next()
    assert delivery.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert f'"after":"{after}"' in parse_qs(delivery.body.decode())["payload"][0]
    signed = deliveries.signatures("s", delivery.body)["X-Hub-Signature-256"]
    assert delivery.headers["X-Hub-Signature-256"] == signed


async def test_deliveries_of_a_repository_keep_their_order(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver.url)
    receiver.gate.clear()
    pushed = [await push(forge, str(number)) for number in range(5)]
    receiver.gate.set()
    assert [(await receiver.next()).payload["after"] for _ in pushed] == pushed


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_failure_is_remembered_and_not_tried_again(forge: Forge, receiver: Receiver, status: int) -> None:
    token, hook = await seeded(forge, receiver.url)
    receiver.answer = status
    receiver.headers = {"Location": receiver.url}
    await push(forge)
    delivery = await receiver.next()
    await settled(forge)
    (attempt,) = await attempts(forge, guid=delivery.guid)
    assert attempt["status_code"] == status
    assert receiver.came.empty()
    _, shown = await forge.get(f"/repos/ann/site/hooks/{hook}", token)
    assert shown["last_response"]["code"] == status


async def test_a_receiver_that_is_away_or_slow_is_a_failure(
    forge: Forge, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, hook = await seeded(forge, "http://127.0.0.1:9/nobody")
    await push(forge)
    await settled(forge)
    assert (await attempts(forge))[-1]["status"] == "failed to connect to host"
    monkeypatch.setattr(deliveries, "TIMEOUT", 0.1)
    forge.server.world.hooks[hook].url = receiver.url
    receiver.gate.clear()
    await push(forge, "2")
    await settled(forge)
    assert (await attempts(forge))[-1]["status"] == "timed out"
    assert forge.server.world.hooks[hook].last_response["status"] == "timeout"


async def test_a_redelivery_keeps_guid_and_body_and_uses_the_present_secret(forge: Forge, receiver: Receiver) -> None:
    token, hook = await seeded(forge, receiver.url, secret="old")
    await push(forge)
    first = await receiver.next()
    await settled(forge)
    forge.server.world.hooks[hook].secret = "new"
    status, listed = await forge.get(f"/repos/ann/site/hooks/{hook}/deliveries", token)
    assert (status, listed[0]["guid"]) == (200, first.guid)
    url = f"{forge.api}/repos/ann/site/hooks/{hook}/deliveries/{listed[0]['id']}/attempts"
    async with forge.session.post(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 202
    again = await receiver.next()
    assert (again.guid, again.body) == (first.guid, first.body)
    assert again.headers["X-Hub-Signature-256"] == deliveries.signatures("new", first.body)["X-Hub-Signature-256"]
    await settled(forge)
    assert [attempt["redelivery"] for attempt in await attempts(forge, guid=first.guid)] == [False, True]


async def test_a_replay_is_the_very_same_request(forge: Forge, receiver: Receiver) -> None:
    _, hook = await seeded(forge, receiver.url, secret="old")
    await push(forge)
    first = await receiver.next()
    forge.server.world.hooks[hook].secret = "new"
    await settled(forge)
    await forge.control("POST", f"/deliveries/{first.guid}/replay")
    again = await receiver.next()
    assert again == first


async def test_certificates_are_checked_unless_the_hook_says_otherwise(forge: Forge) -> None:
    secure, _ = server_context(forge.folder / "tls", "127.0.0.1")
    async with receiving(secure) as receiver:
        _, hook = await seeded(forge, receiver.url)
        await push(forge)
        await settled(forge)
        assert (await attempts(forge))[-1]["status"] == "failed to connect to host"
        forge.server.world.hooks[hook].insecure_ssl = True
        after = await push(forge, "2")
        assert (await receiver.next()).payload["after"] == after


async def test_an_own_authority_can_be_trusted(forge: Forge) -> None:
    secure, ca = server_context(forge.folder / "tls", "127.0.0.1")
    deliverer = deliveries.Deliverer(forge.server.world, forge.server.faults, ca_file=ca)
    async with receiving(secure) as receiver:
        _, hook = await seeded(forge, receiver.url)
        deliverer.send("ping", {"zen": "ok"}, hook=forge.server.world.hooks[hook])
        assert (await receiver.next()).payload == {"zen": "ok"}
        await deliverer.settled()
    await deliverer.close()


async def test_a_hook_is_pinged_when_it_is_made(forge: Forge, receiver: Receiver) -> None:
    token, _ = await seeded(forge, "http://127.0.0.1:9/nobody")
    url, body = f"{forge.api}/repos/ann/site/hooks", {"config": {"url": receiver.url, "content_type": "json"}}
    async with forge.session.post(url, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
        made = await answer.json()
    ping = await receiver.next()
    assert (ping.event, ping.payload["hook_id"]) == ("ping", made["id"])


async def test_the_labs_certificate_satisfies_a_strict_client(forge: Forge) -> None:
    # What newer Pythons switch on by default.
    trust = ssl.create_default_context(cafile=str(forge.server.ca_file))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    async with forge.session.get(forge.web, ssl=trust) as answer:
        assert answer.status == 200

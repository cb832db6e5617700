"""Documents about webhooks and deliveries: what is read, what is refused, and what is asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.domain.webhooks.hooking import HookWish
from mooring.github import hook_facts
from mooring.github.facts import Malformed
from mooring.github.session import Request

AT = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
CONFIG = {"url": "https://m.example/h", "content_type": "json", "insecure_ssl": "0", "secret": "********"}
HOOK: dict[str, Any] = {
    "type": "Repository",
    "id": 7,
    "active": True,
    "events": ["push", "repository"],
    "config": CONFIG,
    "updated_at": "2026-11-21T04:00:00Z",
    "last_response": {"code": 200, "status": "active", "message": "OK"},
}
DELIVERY: dict[str, Any] = {
    "id": 9,
    "guid": "0b989ba4",
    "delivered_at": "2026-11-21T05:00:00+01:00",
    "redelivery": True,
    "status": "OK",
    "status_code": 200,
    "event": "push",
}
SECRET = "s" * 40


def test_a_hook() -> None:
    """All that matters; the stars that stand for a secret do not."""
    found = hook_facts.hook(HOOK)
    assert (found.id, found.url) == (7, "https://m.example/h")
    assert found.events == {"push", "repository"}
    assert (found.active, found.content_type, found.insecure_ssl) == (True, "json", False)
    assert (found.updated_at, found.last_status) == (AT, 200)
    assert "***" not in repr(found)


@pytest.mark.parametrize(("written", "insecure"), [("0", False), ("1", True), (0, False), (1, True)])
def test_whether_certificates_are_checked(written: object, insecure: bool) -> None:
    """A number or its text."""
    assert hook_facts.hook({**HOOK, "config": {**CONFIG, "insecure_ssl": written}}).insecure_ssl is insecure


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"code": None}, None),
        ({"code": None, "status": "unused"}, None),
        ({"code": None, "status": "pending"}, None),
        ({"code": None, "status": "timeout"}, 0),
        ({"code": 0, "status": "connection_error"}, 0),
        ({"code": 502}, 502),
    ],
)
def test_the_last_answer(answer: dict[str, object], status: int | None) -> None:
    """None: nothing was sent yet. Zero: nobody answered, which is a failure."""
    assert hook_facts.hook({**HOOK, "last_response": answer}).last_status == status


def test_a_config_may_lack_everything() -> None:
    """Then GitHub sends forms, and checks certificates."""
    found = hook_facts.hook({**HOOK, "config": {}})
    assert (found.url, found.content_type, found.insecure_ssl) == ("", "form", False)


BROKEN: list[dict[str, Any]] = [
    *({name: None} for name in ("id", "active", "events", "config", "updated_at", "last_response")),
    {"id": "7"},
    {"id": True},
    {"active": 1},
    {"events": ["push", 1]},
    {"events": ["push"] * 501},
    {"updated_at": "soon"},
    {"last_response": {"code": "200"}},
    {"last_response": {"code": True}},
    *({"config": {**CONFIG, **wrong}} for wrong in ({"url": 1}, {"content_type": 1}, {"insecure_ssl": "yes"})),
    {"config": {**CONFIG, "insecure_ssl": True}},
]


@pytest.mark.parametrize("change", BROKEN)
def test_a_hook_that_is_none(change: dict[str, Any]) -> None:
    """Nothing is guessed."""
    with pytest.raises(Malformed):
        hook_facts.hook({**HOOK, **change})


def test_a_page_of_hooks() -> None:
    """No more than were asked for."""
    assert [each.id for each in hook_facts.hooks([HOOK, HOOK], 2)] == [7, 7]
    pages: list[Any] = [[HOOK] * 3, {}, None, [[]]]
    for page in pages:
        with pytest.raises(Malformed):
            hook_facts.hooks(page, 2)


def test_a_hook_as_it_should_be() -> None:
    """All of it, always: what a config leaves out is taken away."""
    wish = HookWish("https://m.example/h", SECRET)
    assert hook_facts.wanted(wish) == {
        "active": True,
        "events": ["push", "repository"],
        "config": {"url": wish.url, "content_type": "json", "secret": SECRET, "insecure_ssl": "0"},
    }


def test_a_request_does_not_show_its_secret() -> None:
    """Neither where it is sent, nor where it is named to be kept out of the log."""
    body = hook_facts.wanted(HookWish("https://m.example/h", SECRET))
    assert SECRET not in repr(Request("https://a.example", method="POST", body=body, secrets=(SECRET,)))


@pytest.mark.parametrize(
    ("document", "url"), [({"url": "https://x.example"}, "https://x.example"), ({"url": ""}, None), ({}, None)]
)
def test_where_an_apps_webhooks_go(document: Any, url: str | None) -> None:
    """Somewhere or nowhere."""
    assert hook_facts.app_webhook_url(document) == url


@pytest.mark.parametrize("document", [[], None, {"url": 1}])
def test_where_an_apps_webhooks_go_is_not_told(document: Any) -> None:
    """Nothing is guessed."""
    with pytest.raises(Malformed):
        hook_facts.app_webhook_url(document)


def test_an_attempt() -> None:
    """Its time is in UTC."""
    (found,) = hook_facts.attempts([DELIVERY], 1)
    assert (found.id, found.guid, found.event, found.delivered_at) == (9, "0b989ba4", "push", AT)
    assert (found.is_repeated, found.succeeded) == (True, True)


@pytest.mark.parametrize(
    ("code", "succeeded"), [(199, False), (200, True), (399, True), (400, False), (502, False), (0, False)]
)
def test_which_attempts_succeeded(code: int, succeeded: bool) -> None:
    """As GitHub counts: a redirect is no failure, no answer is one."""
    assert hook_facts.attempts([{**DELIVERY, "status_code": code}], 1)[0].succeeded is succeeded


UNDER_WAY: list[dict[str, Any]] = [
    {"delivered_at": None},
    {"status": "pending", "status_code": 0},
    {"status": "pending", "status_code": None},
]


@pytest.mark.parametrize("change", UNDER_WAY)
def test_an_attempt_that_is_under_way(change: dict[str, Any]) -> None:
    """It is left out: it is neither."""
    assert [each.id for each in hook_facts.attempts([{**DELIVERY, "id": 1, **change}, DELIVERY], 2)] == [9]


BAD_ATTEMPTS: list[dict[str, Any]] = [
    *({name: None} for name in ("id", "guid", "redelivery", "status_code", "event")),
    {"delivered_at": "soon"},
    {"status_code": "200"},
    {"status_code": True},
    {"redelivery": 0},
]


@pytest.mark.parametrize("change", BAD_ATTEMPTS)
def test_an_attempt_that_is_none(change: dict[str, Any]) -> None:
    """Nothing is guessed."""
    with pytest.raises(Malformed):
        hook_facts.attempts([{**DELIVERY, **change}], 1)


def test_an_attempt_without_a_time() -> None:
    """To lack it is not to be under way."""
    with pytest.raises(Malformed):
        hook_facts.attempts([{name: value for name, value in DELIVERY.items() if name != "delivered_at"}], 1)


def test_a_page_of_attempts() -> None:
    """No more than were asked for."""
    pages: list[Any] = [[DELIVERY] * 3, {}, [[]]]
    for page in pages:
        with pytest.raises(Malformed):
            hook_facts.attempts(page, 2)

"""When the gateway's Secret is written and when not, and whose Apps are in it. Time is made."""

from __future__ import annotations

import base64
import itertools
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mooring.domain.webhooks.keys import AppHook, Document, from_master
from mooring.ports import Object
from mooring.services import webhook_secret as module
from tests.unit.services.webhook_cases import (
    API,
    AWAY,
    FILE,
    MASTERS,
    OTHERS,
    SYSTEM,
    Case,
    hook,
    stored,
    with_document,
)


async def test_keys_are_made_once_and_kept() -> None:
    case = Case()
    async with case.running():
        await case.time.run(3600)
    assert len(case.shelf.writes) == 1
    assert case.keys() == case.shelf.document.keys
    assert case.audited == ["webhook.keys_made"]

    again = Case()
    again.shelf.secret = case.shelf.secret
    async with again.running():
        await again.time.run(3600)
    assert again.keys() == case.keys()
    assert (again.shelf.writes, again.audited, len(again.shelf.reads)) == ([], [], 1)


async def test_of_two_that_make_keys_at_once_the_first_ones_count(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.faster = with_document(Document(OTHERS))
    async with case.running():
        pass
    assert case.keys() == OTHERS
    assert (case.shelf.writes, case.audited, caplog.records) == ([], [], [])


async def test_many_apps_are_written_together() -> None:
    case = Case()
    keys = [case.installation(f"it-{number}", f"app-{number}") for number in range(500)]
    async with case.running():
        for number, each in enumerate(keys):
            case.webhooks.tell(each, hook(f"app-{number}"))
            if number % 50 == 0:
                await case.time.run(0.1)
        await case.time.run(60)
    assert len(case.shelf.document.apps) == 500
    gaps = [later - earlier for earlier, later in itertools.pairwise(case.shelf.writes)]
    assert len(gaps) >= 1
    assert min(gaps) >= timedelta(seconds=2)
    assert len(case.shelf.writes) <= 4


async def test_what_is_no_news_asks_for_nothing() -> None:
    case = Case()
    it = case.installation("it")
    async with case.running():
        case.webhooks.tell(it, hook())
        await case.time.run(10)
        before = len(case.shelf.reads), len(case.shelf.writes)
        for _ in range(100):
            case.webhooks.tell(it, hook())
            case.webhooks.tell(case.installation("other"), None)
            case.see(version=case.shelf.secret["metadata"]["resourceVersion"])
            await case.time.run(10)
    assert (len(case.shelf.reads), len(case.shelf.writes)) == before


async def test_an_app_stays_until_its_object_was_looked_at() -> None:
    case = Case()
    looked, waits = case.installation("looked", "one"), case.installation("waits", "two")
    apps = (hook("one"), hook("two"), hook("three"))
    case.shelf.secret = with_document(Document(OTHERS, apps))
    async with case.running():
        # No object asks for the third one any more.
        assert case.shelf.document.apps == (hook("one"), hook("two"))
        assert case.webhooks.has(waits, "two")
        case.webhooks.tell(looked, None)
        await case.time.run(3)
        assert case.shelf.document.apps == (hook("two"),)
        assert not case.webhooks.has(looked, "one")
        case.platform.store.drop(waits)
        case.webhooks.forget(waits)
        await case.time.run(3)
        assert case.shelf.document.apps == ()


async def test_of_several_objects_of_an_app_the_last_look_counts_and_the_last_to_go_ends_it() -> None:
    case = Case()
    first, second = case.installation("first"), case.installation("second")
    async with case.running():
        case.webhooks.tell(first, hook("app", "old"))
        case.webhooks.tell(second, hook("app", "new"))
        await case.time.run(3)
        assert case.shelf.document.apps == (hook("app", "new"),)
        case.webhooks.tell(first, hook("app", "newest"))
        await case.time.run(3)
        assert case.shelf.document.apps == (hook("app", "newest"),)
        case.webhooks.tell(first, None)
        await case.time.run(3)
        assert case.shelf.document.apps == (hook("app", "new"),)


async def test_what_others_write_is_put_right_and_never_believed() -> None:
    case = Case()
    it = case.installation("it")
    async with case.running():
        case.webhooks.tell(it, hook())
        await case.time.run(3)
        right = case.shelf.document
        forged = Document(OTHERS, (hook("app", "forged"),))
        case.shelf.secret = with_document(forged, case.shelf.secret["metadata"]["uid"])
        case.see()
        await case.time.run(3)
        assert case.shelf.document == right
        # As a watch tells that has missed the deletion itself.
        version, case.shelf.secret = case.shelf.secret["metadata"]["resourceVersion"], None
        case.see("DELETED", version)
        await case.time.run(3)
        assert case.shelf.document == right
    assert case.keys() == right.keys
    assert case.audited == ["webhook.keys_made"]


@pytest.mark.parametrize("found", ["foreign", "unreadable"])
async def test_what_is_not_ours_is_told_once_and_left(found: str, caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    unreadable = {FILE: "aGlkZGVu"}
    data = unreadable if found == "unreadable" else with_document(Document(OTHERS))["data"]
    case.shelf.secret = stored(data, "uid-theirs", "0", ours=found == "unreadable")
    async with case.running():
        for version in range(5):
            case.see(version=str(version))
            await case.time.run(60)
        assert case.keys() is None
        case.shelf.secret = None
        case.see("DELETED")
        await case.time.run(3)
    assert case.keys() is not None
    assert case.asked == 1
    assert len(case.shelf.writes) == 1
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "aGlkZGVu" not in caplog.text
    assert "hidden" not in caplog.text


async def test_keys_outlive_a_foreign_secret_in_their_place() -> None:
    case = Case()
    async with case.running():
        before = case.keys()
        case.shelf.secret = stored({}, "uid-theirs", "7", ours=False)
        case.see()
        await case.time.run(3)
        assert case.keys() == before
        case.shelf.secret = None
        case.see("DELETED")
        await case.time.run(3)
    assert case.shelf.document.keys == before
    assert case.audited == ["webhook.keys_made"]


async def test_the_work_begins_without_the_keys_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.trouble = AWAY
    started = case.time.now()
    async with case.running():
        assert case.time.now() - started == timedelta(seconds=module.BEGIN)
        assert case.keys() is None
        await case.time.run(3600)
        # Ever more slowly, but at least once a minute.
        assert 50 <= len(case.shelf.reads) <= 150
        case.shelf.trouble = None
        await case.time.run(60)
    assert case.keys() is not None
    assert case.asked == 1
    assert sum("could not be reached" in record.message for record in caplog.records) == 1


async def test_keys_that_are_there_count_though_the_secret_cannot_be_written() -> None:
    case = Case(1, 2)
    old = from_master({1: MASTERS[1]})
    case.shelf.secret = with_document(Document(old))
    original = case.shelf.apply

    async def refuse(manifest: Object, *, uid: str) -> Object:
        raise AWAY

    case.shelf.apply = refuse
    async with case.running():
        assert case.keys() == old
        case.shelf.apply = original
        await case.time.run(120)
        assert case.shelf.document.keys == from_master({1: MASTERS[1], 2: MASTERS[2]})


async def test_a_defect_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.trouble = RuntimeError("a defect")
    async with case.running():
        case.shelf.trouble = None
        await case.time.run(60)
    assert case.keys() is not None
    assert any(record.exc_info for record in caplog.records)


# --- the operator's own App ---


def own_app(**values: str) -> Object:
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    return {"metadata": {"name": "mooring-github-app"}, "type": "Opaque", "data": data}


async def test_the_operators_app_follows_its_secret(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.app = own_app(webhookSecret="present", webhookSecretPrevious="last", webhookSecretNext="next")
    async with case.running():
        assert case.shelf.document.apps == (AppHook(API, ("next", "present", "last")),)
        for app, told in (
            (own_app(webhookSecret="never-to-be-told" * 20), ()),
            (own_app(webhookSecret="b"), ("b",)),
            (None, ()),
        ):
            case.shelf.app = app
            seen: Any = SimpleNamespace(
                kind="Secret", namespace=SYSTEM, name="mooring-github-app", event="MODIFIED", resource_version="9"
            )
            case.platform.secrets.changed(SYSTEM, "mooring-github-app")
            case.webhooks.sighting(seen)
            await case.time.run(3)
            assert [app.secrets for app in case.shelf.document.apps] == ([told] if told else [])
    assert sum("the operator's own App are not taken" in record.message for record in caplog.records) == 1
    assert "never-to-be-told" not in caplog.text


async def test_what_cannot_be_asked_now_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    case.shelf.app = own_app(webhookSecret="present")
    async with case.running():

        async def fail(namespace: str, name: str) -> Object | None:
            raise AWAY

        monkeypatch.setattr(case.platform, "secrets", SimpleNamespace(get=fail))
        case.webhooks.tell(case.installation("it"), hook())
        await case.time.run(60)
        assert case.shelf.document.apps == (AppHook(API, ("present",)),)

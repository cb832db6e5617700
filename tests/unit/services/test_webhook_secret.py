"""When the gateway's Secret is written and when not, whose Apps are in it, and which key signs. Time is made."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.keys import AppHook, Document, Keys, dump, from_chance, from_master, parse
from mooring.ports import AlreadyExists, Object
from mooring.services import webhook_secret as module
from mooring.services.master_keys import BadMasterKeys
from mooring.services.secrets import Secrets
from mooring.services.store import Key
from mooring.services.webhook_secret import WebhookSecret
from tests.unit.objects import raw
from tests.unit.services.platforms import platform
from tests.unit.services.timelines import Timeline

SYSTEM, NAME, FILE = "mooring-system", "mooring-webhook", "webhooks.json"
API = "https://api.github.com"
MASTERS = {version: bytes([version]) * 32 for version in range(1, 6)}
OTHERS = from_chance(lambda length: b"o" * length)
AWAY = Transient(Reason.CLUSTER_UNAVAILABLE, "The API server could not be reached.")


def hook(app: str = "app", *values: str) -> AppHook:
    return AppHook(API, values or ("hush",), "team-a", app)


def key(name: str) -> Key:
    return Key("GitHubInstallation", "team-a", name)


class Shelf:
    """The port, with the one Secret on it; it stands for no API server, and knows none of its rules but names."""

    def __init__(self, time: Timeline) -> None:
        self.time = time
        self.secret: Object | None = None
        self.app: Object | None = None
        self.trouble: Exception | None = None
        self.reads: list[datetime] = []
        self.writes: list[datetime] = []
        # Put there by another process just before our first write.
        self.faster: Object | None = None

    async def read(self, kind: str, namespace: str, name: str) -> Object | None:
        assert (kind, namespace) == ("Secret", SYSTEM)
        if name != NAME:
            return self.app
        self.reads.append(self.time.now())
        self._fail()
        return self.secret

    async def create(self, manifest: Object) -> Object:
        self._fail()
        if self.faster is not None:
            self.secret, self.faster = self.faster, None
        if self.secret is not None:
            raise AlreadyExists("somebody was faster")
        return self._put(manifest, f"uid-{len(self.writes)}")

    async def apply(self, manifest: Object, *, uid: str) -> Object:
        self._fail()
        return self._put(manifest, uid)

    def _put(self, manifest: Object, uid: str) -> Object:
        self.writes.append(self.time.now())
        self.secret = stored(manifest["data"], uid, str(len(self.writes)))
        return self.secret

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    @property
    def document(self) -> Document:
        assert self.secret is not None
        return parse(base64.b64decode(self.secret["data"][FILE]))


def stored(data: Mapping[str, str], uid: str, version: str, *, ours: bool = True) -> Object:
    labels = {"app.kubernetes.io/managed-by": "mooring"} if ours else {}
    metadata = {"name": NAME, "namespace": SYSTEM, "uid": uid, "resourceVersion": version, "labels": labels}
    return {"metadata": metadata, "data": dict(data), "type": "Opaque"}


def with_document(document: Document, uid: str = "uid-before") -> Object:
    return stored({FILE: base64.b64encode(dump(document).encode()).decode()}, uid, "0")


class Folder:
    """Master keys that a test changes."""

    def __init__(self, *versions: int) -> None:
        self.keys: Mapping[int, bytes] = {version: MASTERS[version] for version in versions}
        self.problem: BadMasterKeys | None = None

    def read(self) -> Mapping[int, bytes]:
        if self.problem is not None:
            raise self.problem
        return self.keys


class Case:
    """A process that leads."""

    def __init__(self, *versions: int) -> None:
        self.time = Timeline()
        self.shelf: Any = Shelf(self.time)
        self.audited: list[str] = []
        self.asked = 0
        audit = SimpleNamespace(record=lambda action, **_: self.audited.append(action))
        self.platform = platform(cluster=self.shelf, clock=self.time, secrets=Secrets(self.shelf), audit=audit)
        self.folder: Any = Folder(*versions)
        self.webhooks = WebhookSecret(
            self.platform,
            self._ask_all,
            folder=self.folder if versions else None,
            masters=self.folder.keys if versions else None,
            waiting=self.time.wait,
        )

    def _ask_all(self) -> None:
        self.asked += 1

    def installation(self, name: str, app: str = "app") -> Key:
        spec = {"account": "acme", "appSecretRef": {"name": app}}
        self.platform.store.put(raw("GitHubInstallation", name, spec))
        return key(name)

    def see(self, event: str = "MODIFIED", version: str = "edited") -> None:
        seen: Any = SimpleNamespace(
            kind="Secret", namespace=SYSTEM, name=NAME, event=event, resource_version=version, labels={}
        )
        self.webhooks.sighting(seen)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        beginning = asyncio.create_task(self.webhooks.begin())
        while not beginning.done():
            await self.time.run(1)
        await beginning
        task = asyncio.create_task(self.webhooks.serve())
        await self.time.settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_keys_are_made_once_and_kept() -> None:
    case = Case()
    async with case.running():
        await case.time.run(3600)
    assert len(case.shelf.writes) == 1
    assert case.platform.webhook_keys == case.shelf.document.keys
    assert case.audited == ["webhook.keys_made"]

    again = Case()
    again.shelf.secret = case.shelf.secret
    async with again.running():
        await again.time.run(3600)
    assert again.platform.webhook_keys == case.platform.webhook_keys
    assert (again.shelf.writes, again.audited, len(again.shelf.reads)) == ([], [], 1)


async def test_of_two_that_make_keys_at_once_the_first_ones_count() -> None:
    case = Case()
    case.shelf.faster = with_document(Document(OTHERS))
    async with case.running():
        pass
    assert case.platform.webhook_keys == OTHERS
    assert (case.shelf.writes, case.audited) == ([], [])


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
    gaps = [later - earlier for earlier, later in zip(case.shelf.writes, case.shelf.writes[1:], strict=False)]
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
        case.shelf.secret = None
        case.see("DELETED")
        await case.time.run(3)
        assert case.shelf.document == right
    assert case.platform.webhook_keys == right.keys
    assert case.audited == ["webhook.keys_made"]


@pytest.mark.parametrize("found", ["foreign", "unreadable"])
async def test_what_is_not_ours_is_told_once_and_left(found: str, caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    data = {FILE: "aGlkZGVu"}
    case.shelf.secret = stored(data, "uid-theirs", "0", ours=found == "unreadable")
    async with case.running():
        for version in range(5):
            case.see(version=str(version))
            await case.time.run(60)
        assert case.platform.webhook_keys is None
        case.shelf.secret = None
        case.see("DELETED")
        await case.time.run(3)
    assert case.platform.webhook_keys is not None
    assert case.asked == 1
    assert len(case.shelf.writes) == 1
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "aGlkZGVu" not in caplog.text
    assert "hidden" not in caplog.text


async def test_keys_outlive_a_foreign_secret_in_their_place() -> None:
    case = Case()
    async with case.running():
        before = case.platform.webhook_keys
        case.shelf.secret = stored({}, "uid-theirs", "7", ours=False)
        case.see()
        await case.time.run(3)
        assert case.platform.webhook_keys == before
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
        assert timedelta(seconds=module.BEGIN) <= case.time.now() - started <= timedelta(seconds=2 * module.BEGIN)
        assert case.platform.webhook_keys is None
        await case.time.run(3600)
        # Ever more slowly, but at least once a minute.
        assert 50 <= len(case.shelf.reads) <= 150
        case.shelf.trouble = None
        await case.time.run(60)
    assert case.platform.webhook_keys is not None
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
        assert case.platform.webhook_keys == old
        case.shelf.apply = original
        await case.time.run(120)
        assert case.shelf.document.keys == from_master({1: MASTERS[1], 2: MASTERS[2]})


async def test_a_defect_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.trouble = RuntimeError("a defect")
    async with case.running():
        case.shelf.trouble = None
        await case.time.run(60)
    assert case.platform.webhook_keys is not None
    assert any(record.exc_info for record in caplog.records)


# --- master keys ---


def signing(keys: Keys | None) -> bytes:
    assert keys is not None
    return keys.proof_keys[0]


async def test_a_new_master_key_signs_when_every_gateway_knows_it() -> None:
    case = Case(1)
    async with case.running():
        old = signing(case.platform.webhook_keys)
        case.folder.keys = {version: MASTERS[version] for version in (1, 2)}
        await case.time.run(module.POLL + 5)
        both = from_master({version: MASTERS[version] for version in (1, 2)})
        assert case.shelf.document.keys == both
        assert case.platform.webhook_keys is not None
        assert set(case.platform.webhook_keys.proof_keys) == set(both.proof_keys)
        assert signing(case.platform.webhook_keys) == old
        await case.time.run(module.KNOWN_EVERYWHERE - 20)
        assert signing(case.platform.webhook_keys) == old
        await case.time.run(40)
        assert case.platform.webhook_keys == both
    assert len(case.shelf.writes) == 2
    assert case.audited == ["webhook.keys_made"] * 2


async def test_the_same_holds_where_it_came_while_nobody_led() -> None:
    case = Case(1, 2)
    case.shelf.secret = with_document(Document(from_master({1: MASTERS[1]})))
    async with case.running():
        assert case.shelf.document.keys == from_master({1: MASTERS[1], 2: MASTERS[2]})
        assert signing(case.platform.webhook_keys) == signing(from_master({1: MASTERS[1]}))
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert case.platform.webhook_keys == case.shelf.document.keys


async def test_the_ids_of_addresses_never_change() -> None:
    case = Case(1)
    case.shelf.secret = with_document(Document(OTHERS))
    async with case.running():
        for versions in ((1, 2, 3, 4), (3, 4, 5), (5,)):
            case.folder.keys = {version: MASTERS[version] for version in versions}
            await case.time.run(60)
            assert case.shelf.document.keys == from_master(case.folder.keys, id_key=OTHERS.id_key)


async def test_a_folder_that_cannot_be_read_any_more_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(1)
    async with case.running():
        before = case.shelf.document
        case.folder.problem = BadMasterKeys("names a folder without a key; put one into a file named 1")
        await case.time.run(600)
        assert case.shelf.document == before
    assert len(case.shelf.writes) == 1
    assert sum("MOORING_MASTER_KEY_DIR" in record.message for record in caplog.records) == 1


# --- the operator's own App ---


def own_app(**values: str) -> Object:
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    return {"metadata": {"name": "mooring-github-app"}, "type": "Opaque", "data": data}


async def test_the_operators_app_follows_its_secret(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.shelf.app = own_app(webhookSecret="present", webhookSecretPrevious="last", webhookSecretNext="next")
    async with case.running():
        assert case.shelf.document.apps == (AppHook(API, ("next", "present", "last")),)
        for app, told in ((own_app(webhookSecret="x" * 2000), ()), (own_app(webhookSecret="b"), ("b",)), (None, ())):
            case.shelf.app = app
            seen: Any = SimpleNamespace(
                kind="Secret", namespace=SYSTEM, name="mooring-github-app", event="MODIFIED", resource_version="9"
            )
            case.platform.secrets.changed(SYSTEM, "mooring-github-app")
            case.webhooks.sighting(seen)
            await case.time.run(3)
            assert [app.secrets for app in case.shelf.document.apps] == ([told] if told else [])
    assert sum("the operator's own App are not taken" in record.message for record in caplog.records) == 1
    assert "xxx" not in caplog.text


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

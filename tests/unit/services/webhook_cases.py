"""What keeps the gateway's Secret, in a world with that Secret alone, and a time that is made."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.keys import AppHook, Document, Keys, dump, from_chance, parse
from mooring.ports import AlreadyExists, Object
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
        self.shelf = cast("Any", Shelf(self.time))
        self.audited: list[str] = []
        self.asked = 0
        audit = SimpleNamespace(record=lambda action, **_: self.audited.append(action))
        self.platform = platform(cluster=self.shelf, clock=self.time, secrets=Secrets(self.shelf), audit=audit)
        self.folder = cast("Any", Folder(*versions))
        self.webhooks = WebhookSecret(
            self.platform,
            self._ask_all,
            folder=self.folder if versions else None,
            masters=self.folder.keys if versions else None,
            waiting=self.time.wait,
        )

    def keys(self) -> Keys | None:
        """Return the keys that everything else uses."""
        return self.platform.webhook_keys

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

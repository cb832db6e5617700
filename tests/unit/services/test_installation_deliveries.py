"""A GitHubInstallation that may use no App has none of its deliveries looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mooring.ports import Object
from mooring.services.installations import Installations
from mooring.services.store import Key
from mooring.services.webhook_secret import WebhookSecret
from tests.unit.objects import raw
from tests.unit.services.platforms import platform

IT = Key("GitHubInstallation", "team-a", "it")


async def test_one_whose_spec_cannot_be_read_or_that_is_gone_is_forgotten() -> None:
    forgotten: list[Key] = []

    async def write_status(kind: str, namespace: str, name: str, status: Any, **held_to: Any) -> Object:
        return {**obj, "status": status, "metadata": {**obj["metadata"], "resourceVersion": "11"}}

    world: Any = SimpleNamespace(write_status=write_status, tell=lambda *_, **__: None)
    there = platform(cluster=world, herald=world)
    redeliveries: Any = SimpleNamespace(forget=forgotten.append)
    shared = WebhookSecret(there, lambda: None)
    it = Installations(there, lambda _: None, lambda _, __: None, shared, redeliveries)
    obj = raw("GitHubInstallation", "it", {"account": ["no", "login"]})
    there.store.put(obj)
    await it.reconcile(IT)
    assert forgotten == [IT]
    there.store.drop(IT, uid=obj["metadata"]["uid"])
    await it.reconcile(IT)
    assert forgotten == [IT, IT]

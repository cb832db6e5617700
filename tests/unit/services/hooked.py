"""A GitHub that has hooks, and Projects that may have one each: to test who asks what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from mooring.domain.conditions import merge
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.origins import AllowedHosts
from mooring.domain.reasons import Reason
from mooring.domain.status import without_nothing
from mooring.domain.tokens import Resolution
from mooring.domain.webhooks.keys import Keys
from mooring.ports import Attempt, HookWish, Object, Origin, RepositoryHook
from mooring.services.carriers import Carried, Carriers
from mooring.services.repository_hooks import RepositoryHooks
from mooring.services.seen import Seen
from mooring.services.store import Key, key_of
from mooring.services.work import Again
from tests.unit.objects import PAT, raw_project
from tests.unit.services.followed import API, KEYS, MovableClock, parsed
from tests.unit.services.platforms import platform

BASE = "https://mooring.example.com"
FORBIDDEN = Stalled(Reason.HOOKS_FORBIDDEN, "The token may not.")


@dataclass
class Hub:
    """The port; it stands for no GitHub, and notes what it was asked."""

    clock: MovableClock
    held: dict[int, RepositoryHook] = field(default_factory=dict)
    secrets: dict[int, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    # Raised by questions of a name, or of a token, for as long as it stands here.
    troubles: dict[str, BaseException] = field(default_factory=dict)
    # Raised after the work was done.
    late: dict[str, BaseException] = field(default_factory=dict)
    numbers: int = 100

    async def _ask(self, question: str, origin: Origin, token: str, repository_id: int, namespace: str) -> None:
        assert (origin.api_url, namespace) == (API, "team-a")
        assert repository_id in {7, 8}
        self.asked.append(question)
        self.tokens.append(token)
        # Others have their turn while GitHub thinks.
        await asyncio.sleep(0)
        for name in (question, token):
            if name in self.troubles:
                raise self.troubles[name]

    def take(self) -> list[str]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked

    async def hooks(self, origin: Origin, token: str, repository_id: int, *, namespace: str) -> Any:
        """List."""
        await self._ask("list", origin, token, repository_id, namespace)
        return tuple(self.held.values())

    async def hook(self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str) -> Any:
        """Read."""
        await self._ask("get", origin, token, repository_id, namespace)
        return self.held.get(hook_id)

    async def make_hook(
        self, origin: Origin, token: str, repository_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook:
        """Make."""
        await self._ask("make", origin, token, repository_id, namespace)
        self.numbers += 1
        made = self.put(self.numbers, wish)
        if "make" in self.late:
            raise self.late["make"]
        return made

    def put(self, number: int, wish: HookWish) -> RepositoryHook:
        """Have a hook as it is wished for."""
        self.secrets[number] = wish.secret
        self.held[number] = RepositoryHook(
            number, wish.url, frozenset(wish.events), True, "json", False, self.clock.now()
        )
        return self.held[number]

    async def change_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook | None:
        """Change."""
        await self._ask("change", origin, token, repository_id, namespace)
        return self.put(hook_id, wish) if hook_id in self.held else None

    async def remove_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str
    ) -> None:
        """Remove."""
        await self._ask("remove", origin, token, repository_id, namespace)
        self.held.pop(hook_id, None)

    async def hook_attempts(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, since: datetime, namespace: str
    ) -> tuple[Attempt, ...]:
        """List deliveries."""
        await self._ask("attempts", origin, token, repository_id, namespace)
        assert since == self.clock.now() - timedelta(days=1)
        return tuple(self.attempts)

    async def repeat_hook_delivery(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, attempt_id: int, *, namespace: str
    ) -> None:
        """Send once more."""
        await self._ask("repeat", origin, token, repository_id, namespace)
        self.repeated.append(attempt_id)

    def edit(self, number: int, **changes: Any) -> None:
        """Change a hook as people do."""
        self.held[number] = replace(self.held[number], **changes)


class Cluster:
    """As much of the port as these tests need: objects with finalizers."""

    def __init__(self) -> None:
        self.finalizers: list[tuple[str, bool]] = []
        self.trouble: BaseException | None = None

    async def keep_finalizer(self, obj: Object, finalizer: str, *, wanted: bool) -> Object | None:
        """Add or take away."""
        if self.trouble is not None:
            raise self.trouble
        metadata = obj["metadata"]
        self.finalizers.append((metadata["name"], wanted))
        kept = [name for name in metadata.get("finalizers") or () if name != finalizer]
        version = str(int(metadata["resourceVersion"]) + 1)
        after = {**metadata, "finalizers": [*kept, finalizer] if wanted else kept, "resourceVersion": version}
        return {**obj, "metadata": after}


class Bench:
    """A process, and what outlives it: GitHub, and the objects in the cluster."""

    def __init__(self, *, keys: Keys = KEYS, version: int = 1, base: str | None = BASE) -> None:
        self.clock = MovableClock()
        self.hub = Hub(self.clock)
        self.cluster = Cluster()
        self.audited: list[tuple[str, Any]] = []
        self.told: list[str] = []
        self.token: Resolution = resolved(PAT)
        self.given = {"webhook_keys": keys, "hook_version": version, "public_base_url": base}
        self.start({})

    def start(self, objects: Mapping[Key, Object]) -> None:
        """Begin as a new process."""
        audit = SimpleNamespace(record=lambda action, **facts: self.audited.append((str(action), facts.get("hook"))))
        herald = SimpleNamespace(tell=lambda *_, reason, **__: self.told.append(reason))
        github = SimpleNamespace(time_at=lambda _: self.clock.now())
        given: dict[str, Any] = {
            "clock": self.clock,
            "webhooks": self.hub,
            "cluster": self.cluster,
            "audit": audit,
            "herald": herald,
            "github": github,
            "allowed_hosts": AllowedHosts.of((), api=API),
            **self.given,
        }
        self.platform = platform(**given)
        for obj in objects.values():
            self.platform.store.put(obj)
        self.asked: list[str] = []
        self.hooks = RepositoryHooks(self.platform, lambda key, _: self.asked.append(key.name), lambda: 1.0)

        async def resolve(_obj: Object, _project: Any) -> Resolution:
            return self.token

        async def webhook_trouble(_key: Key, before: Reason | None) -> Reason | None:
            self.told_before = before
            return self.app_trouble

        tokens: Any = SimpleNamespace(resolve=resolve)
        installations: Any = SimpleNamespace(webhook_trouble=webhook_trouble)
        self.app_trouble: Reason | None = None
        self.carriers = Carriers(self.platform, tokens, installations, self.hooks)

    def restart(self) -> None:
        """End the process and begin another one."""
        store = self.platform.store
        self.start({key: obj for key in store if (obj := store.get(key)) is not None})

    def get(self, name: str) -> Object:
        """Return a Project as it is stored."""
        found = self.platform.store.get(Key("Project", "team-a", name))
        assert found is not None
        return found

    def project(self, name: str = "shop", repository_id: int = 7, **spec: Any) -> str:
        """Have a Project whose source was just proven, and nothing else."""
        follows: dict[str, Any] = {"source": {"github": {"repository": "acme/shop"}}}
        obj = raw_project(name, {**follows, **spec})
        obj["status"] = {"source": {"repositoryId": repository_id, "fullName": "acme/shop", "branch": "main"}}
        self.put(obj)
        return name

    def put(self, obj: Object) -> Object:
        """Store an object as a newer version."""
        known = self.platform.store.get(key_of(obj))
        version = max(int(it["metadata"]["resourceVersion"]) for it in (obj, known) if it is not None) + 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
        assert self.platform.store.put(stored)
        return stored

    async def run(self, name: str = "shop", *, repository_id: int | None = 7) -> Carried:
        """Do for a Project what its run does, and store what came of it."""
        obj = self.get(name)
        seen = Seen(obj, parsed(obj), self.token)
        if repository_id is not None and seen.has_source:
            seen.source = facts(repository_id)
        carried = await self.carriers.carry(seen)
        wanted = [carried.condition] if carried.condition is not None else []
        before = (obj.get("status") or {}).get("conditions") or []
        conditions = merge(before, wanted, generation=1, now=self.clock.now())
        source = {"repositoryId": repository_id, "fullName": "acme/shop", "branch": "main"} if seen.source else {}
        status = {**(carried.obj.get("status") or {}), "source": source, "conditions": conditions}
        status = {**status, **{name: without_nothing(told) for name, told in carried.fields.items() if told}}
        status = {name: told for name, told in status.items() if carried.fields.get(name, told) is not None}
        self.put({**carried.obj, "status": status})
        return carried

    async def delete(self, name: str) -> Again | None:
        """Delete a Project, and run for it."""
        obj = self.get(name)
        if "deletionTimestamp" not in obj["metadata"]:
            at = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            obj = self.put({**obj, "metadata": {**obj["metadata"], "deletionTimestamp": at}})
        again = await self.carriers.end(obj)
        if again is None:
            self.platform.store.drop(key_of(obj), uid=obj["metadata"]["uid"])
            self.hooks.forget(key_of(obj))
        return again

    def webhook(self, name: str = "shop") -> dict[str, Any]:
        """Return status.webhook, without what it does not say."""
        told = (self.get(name).get("status") or {}).get("webhook") or {}
        return {field: value for field, value in told.items() if value is not None}

    def reason(self, name: str = "shop") -> tuple[str, str] | None:
        """Return status and reason of the condition."""
        found = (self.get(name).get("status") or {}).get("conditions") or []
        return (found[0]["status"], found[0]["reason"]) if found else None


def facts(repository_id: int) -> Any:
    """Return a source that was proven; 0: of a plain git URL."""
    return SimpleNamespace(repository_id=repository_id or None)


def resolved(token: str | None, *, api: str | None = API, trouble: Trouble | None = None) -> Resolution:
    """Return an effective token."""
    return Resolution("global", Reason.GLOBAL_TOKEN, "From the user.", token=token, api_url=api, trouble=trouble)

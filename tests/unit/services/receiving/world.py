"""Projects and GitHubInstallations with proofs as the operator writes them, and an API server's way with versions."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from mooring.domain.names import WEBHOOK_KEY, OwnKind
from mooring.domain.webhooks.events import read
from mooring.domain.webhooks.following import followed, proven_facts
from mooring.domain.webhooks.keys import AppHook, Document, Keys, dump, from_chance, prove
from mooring.ports import Changed, Hook, Object, Verdict
from mooring.services.receiving.books import Noticed, Notices, Pushed, Pushes
from mooring.services.receiving.followers import Followers
from mooring.services.receiving.hooks import Hooks
from mooring.services.receiving.receiver import DeliveryReceiver
from mooring.services.receiving.recorder import Pace, Recorder, Shared
from tests.unit.objects import NOW, raw

API = "https://github.example.com/api/v3"
ORIGIN = API
REPOSITORY_ID = 4242
INSTALLATION_ID = 77
BRANCH, REF = "main", "refs/heads/main"
KEYS = from_chance(lambda count: bytes(range(count)))
OTHER_KEYS = from_chance(lambda count: bytes(range(1, count + 1)))
ZERO = "0" * 40


def sha(number: int) -> str:
    """Return a commit."""
    return f"{number:040x}"


def installation(name: str = "acme", *, app: str | None = None, namespace: str = "team-a", **more: Any) -> Object:
    """Return a GitHubInstallation, of the operator's App unless it has a Secret of its own."""
    spec = {"account": "acme", **({"appSecretRef": {"name": app}} if app else {}), **more.pop("spec", {})}
    found = raw("GitHubInstallation", name, spec, namespace=namespace, **{"uid": f"uid-{namespace}-{name}", **more})
    found["status"] = {"installationId": INSTALLATION_ID}
    return found


def project(
    name: str = "shop",
    *,
    by: Object | None = None,
    keys: Keys = KEYS,
    namespace: str = "team-a",
    repository_id: int = REPOSITORY_ID,
    branch: str = BRANCH,
    source: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Object:
    """Return a Project with a valid proof; by a GitHubInstallation, or by a repository's hook."""
    spec: dict[str, Any] = {"source": {"github": {"repository": "acme/shop"}, **(source or {})}}
    if by is not None:
        spec["installationRef"] = {"name": by["metadata"]["name"], "namespace": by["metadata"]["namespace"]}
    obj = raw("Project", name, spec, **{"namespace": namespace, "uid": f"uid-{namespace}-{name}", **metadata})
    facts = proven_facts(obj, by, keys, default_api=API, repository_id=repository_id, branch=branch)
    assert facts is not None
    obj["status"] = {"source": {"repositoryId": repository_id, "branch": branch, "proof": prove(keys, facts)}}
    assert followed(obj, by, keys, default_api=API) is not None
    return obj


def push(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return what a push says; each is a second after the one before."""
    return {
        "ref": more.pop("ref", REF),
        "after": more.pop("after", sha(number)),
        "before": more.pop("before", sha(number - 1)),
        "repository": {"id": more.pop("repository_id", REPOSITORY_ID), "pushed_at": 1_700_000_000 + number},
        "sender": {"login": "alice"},
        **more,
    }


class Store:
    """Objects with versions, as `ports.Records`; a write onto another version than the present one is refused."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {self._key(obj): copy.deepcopy(obj) for obj in objects}
        self._version = 100
        self.writes: list[Mapping[str, Any]] = []
        self.attempts = self.reads = self.at_once = self.most_at_once = 0
        self.seconds = 0.01
        # Called before each write, to play others.
        self.before: Callable[[], object] = lambda: None
        # What a write fails with: before it is done, or after.
        self.trouble: Exception | None = None
        self.lost_answers = 0

    @staticmethod
    def _key(obj: Object) -> tuple[str, str, str]:
        return obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]

    def get(self, name: str = "shop", *, kind: str = "Project", namespace: str = "team-a") -> Object:
        """Return what is there."""
        return self.objects[kind, namespace, name]

    def change(self, obj: Object, **status: Any) -> Object:
        """Write as somebody else does."""
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        obj.setdefault("status", {}).update(status)
        return copy.deepcopy(obj)

    async def merge_recorded(
        self,
        kind: OwnKind,
        namespace: str,
        name: str,
        fields: Mapping[str, Any],
        *,
        resource_version: str,
        seconds: float,
    ) -> str:
        """Write onto a version."""
        self.attempts += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        self.before()
        if self.trouble is not None:
            raise self.trouble
        obj = self.objects.get((kind, namespace, name))
        if obj is None or obj["metadata"]["resourceVersion"] != resource_version:
            raise Changed(f"{name} has moved on")
        self.writes.append(fields)
        return str(self.change(obj, **copy.deepcopy(dict(fields)))["metadata"]["resourceVersion"])

    async def read_recorded(self, kind: OwnKind, namespace: str, name: str, *, seconds: float) -> Object | None:
        """Read."""
        self.reads += 1
        await asyncio.sleep(self.seconds)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))


class FixedClock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.moment = NOW + timedelta(days=1)

    def now(self) -> Any:
        """Return the time."""
        return self.moment


@dataclass
class Caches:
    """Whether what was seen may be relied on."""

    filled: bool = True
    current: bool = True

    def are_filled(self) -> bool:
        """Tell it."""
        return self.filled

    def are_current(self) -> bool:
        """Tell it."""
        return self.current


@dataclass
class Replica:
    """A gateway without its server and its watches."""

    store: Store
    folder: Path
    pace: Pace = field(default_factory=Pace)
    seed: int = 1

    def __post_init__(self) -> None:
        self.followers = Followers(API)
        self.hooks = Hooks(self.folder, self.followers, default_api=API)
        self.caches = Caches()
        self.results: list[str] = []
        dice = Random(self.seed)  # noqa: S311 - a test repeats
        shared = Shared(self.store, self.pace, dice, self.results.append)
        self.pushes: Recorder[Pushed] = Recorder(Pushes(self.followers), shared)
        self.notices: Recorder[Noticed] = Recorder(Notices(self.followers), shared)
        self.receiver = DeliveryReceiver(
            hooks=self.hooks,
            followers=self.followers,
            pushes=self.pushes,
            notices=self.notices,
            caches=self.caches,
            clock=FixedClock(),
        )
        self.hooks.look()
        self.see()

    def see(self) -> None:
        """Have the watches tell of everything."""
        for obj in self.store.objects.values():
            seen = copy.deepcopy(obj)
            self.followers.put_installation(seen) if obj["kind"] == "GitHubInstallation" else self.followers.put(seen)

    def hook(self, path_id: str | None = None) -> Hook:
        """Return the hook of an address, which is there."""
        found = self.receiver.hook(path_id)
        assert found is not None
        return found

    async def push(self, number: int = 1, *, hook: Hook | None = None, delivery: str = "", **more: Any) -> Verdict:
        """Take a push."""
        return await self.take("push", push(number, **more), hook=hook, delivery=delivery or f"guid-{number}")

    async def take(
        self, event: str, payload: Mapping[str, Any], *, hook: Hook | None = None, delivery: str = "guid"
    ) -> Verdict:
        """Take what a payload says, which has to be something."""
        said = read(event, payload)
        assert said is not None
        found = self.receiver.take(hook or self.hook(), said, delivery=delivery)
        return found if isinstance(found, Verdict) else await found

    async def close(self) -> None:
        """End it."""
        await self.pushes.aclose()
        await self.notices.aclose()


def document(*apps: AppHook, keys: Keys = KEYS) -> Document:
    """Return the document, with the operator's App unless others are given."""
    return Document(keys, apps or (AppHook(ORIGIN, ("operator-secret",)),))


def write(folder: Path, content: Document | str) -> None:
    """Mount the document as kubelet does: what is there is replaced as a whole."""
    beside = folder / "next"
    beside.write_text(content if isinstance(content, str) else dump(content))
    beside.rename(folder / WEBHOOK_KEY)


def as_json(obj: Any) -> Any:
    """Return what JSON makes of it."""
    return json.loads(json.dumps(obj))

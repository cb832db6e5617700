"""A world for redeliveries: a GitHub with deliveries that failed, a ConfigMap, and what the operator does with both."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.errors import Trouble
from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.cursors import AppPlace
from mooring.ports import AlreadyExists, App, Changed, Object, Origin
from mooring.services.delivery_cursors import KEY
from mooring.services.redeliveries import Redeliveries
from mooring.services.store import Key
from tests.unit.objects import NOW
from tests.unit.services.platforms import platform

API, OURS = "https://api.github.com", "https://mooring.example.com/webhooks/github"
IT, OTHER = Key("GitHubInstallation", "team-a", "it"), Key("GitHubInstallation", "team-a", "other")
PLACE = AppPlace(API, 7, "team-a", "app")
PERIOD = timedelta(minutes=9)


def app(app_id: int = 7, *, source: str = "uid/1") -> App:
    return App(Origin(API, "https://github.com"), app_id, "key", source, "team-a")


def failed(number: int, guid: str = "", *, ago: float = 20, repeated: bool = False) -> Attempt:
    return Attempt(number, guid or f"guid-{number}", "push", NOW - timedelta(minutes=ago), repeated, False)


@dataclass
class Hub:
    """GitHub, whose clock is a little ahead."""

    goes_to: str | None = OURS
    failed: list[Attempt] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    # With which key that was asked last.
    source: str = ""
    meanwhile: Callable[[], None] = lambda: None
    since: list[datetime] = field(default_factory=list)
    troubles: dict[Any, Trouble] = field(default_factory=dict)
    now: datetime = NOW

    def time_at(self, origin: Origin) -> datetime:
        return self.now

    async def app_webhook_url(self, app: App, *, namespace: str) -> str | None:
        assert namespace == app.owner
        self.source = app.source
        self._note("config")
        return self.goes_to

    async def failed_attempts(self, app: App, *, since: datetime, namespace: str) -> tuple[Attempt, ...]:
        self._note("list")
        self.since.append(since)
        self.meanwhile()
        return tuple(it for it in reversed(self.failed) if it.delivered_at >= since)

    async def repeat_delivery(self, app: App, attempt_id: int, *, namespace: str) -> None:
        self._note(attempt_id)

    def _note(self, what: Any) -> None:
        self.asked.append(what)
        if what in self.troubles:
            raise self.troubles[what]

    def taken(self) -> list[Any]:
        """Return what was asked since this was last called."""
        found, self.asked = self.asked, []
        return found


@dataclass
class Maps:
    """The API server's one ConfigMap."""

    stored: Object | None = None
    writes: list[str] = field(default_factory=list)
    reads: int = 0
    troubles: list[Exception] = field(default_factory=list)
    # What GitHub had been asked when something was written.
    hub: Hub = field(default_factory=Hub)
    asked_before: list[int] = field(default_factory=list)

    async def read(self, kind: str, namespace: str, name: str) -> Object | None:
        assert (kind, namespace, name) == ("ConfigMap", "mooring-system", "mooring-deliveries")
        self.reads += 1
        return self.stored

    async def create(self, manifest: Object) -> Object:
        if self.stored is not None:
            raise AlreadyExists("it is there")
        return self._put("create", manifest, f"uid-{len(self.writes)}")

    async def apply(self, manifest: Object, *, uid: str) -> Object:
        if self.stored is None or self.stored["metadata"]["uid"] != uid:
            raise Changed("it is another")
        return self._put("apply", manifest, uid)

    def _put(self, verb: str, manifest: Object, uid: str) -> Object:
        if self.troubles:
            raise self.troubles.pop(0)
        self.writes.append(verb)
        self.asked_before.append(len([it for it in self.hub.asked if isinstance(it, int)]))
        self.stored = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
        return self.stored

    def text(self) -> str:
        """Return what is written."""
        assert self.stored is not None
        return str(self.stored["data"][KEY])


class Bench:
    """Redeliveries with a world around them; `again` is what starts after a crash."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.maps = Maps(hub=self.hub)
        self.audit: list[Mapping[str, Any]] = []
        self.counted = 0
        self.again()

    def again(self) -> None:
        """Begin with nothing in memory."""
        self.planned: list[tuple[Hashable, float]] = []
        self.told: list[Key] = []
        # What is not asked for is not there.
        hub: Any = self.hub
        self.it = Redeliveries(
            platform(cluster=self.maps, github=hub, audit=self),
            hub,
            lambda key, after: self.planned.append((key, after)),
            self.told.append,
            repeated=self.count,
        )

    def record(self, action: str, **facts: Any) -> None:
        """Be the audit record."""
        self.audit.append({"action": str(action), **facts})

    def count(self) -> None:
        """Be the metric."""
        self.counted += 1

    def follow(self, key: Key = IT, address: str | None = OURS, used: App | None = None) -> None:
        """Be an installation."""
        self.it.follow(used or app(), key=key, secret="app", address=address)

    async def look(self, place: AppPlace = PLACE) -> timedelta | None:
        """Look once; return in how much time the next look comes."""
        again = await self.it.run(place)
        return None if again is None else again.at - NOW

"""The looks at Apps: what is asked of GitHub and when, what is written down first, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.leadership import NotLeading
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.attempts import KEPT, LAG, Attempt
from mooring.domain.webhooks.cursors import MOST_APPS, AppPlace, parse
from mooring.ports import AlreadyExists, App, Changed, Object, Origin
from mooring.services.delivery_cursors import KEY
from mooring.services.redeliveries import Redeliveries
from mooring.services.store import Key
from tests.unit.objects import NOW
from tests.unit.services.platforms import platform

API, OURS = "https://api.github.com", "https://mooring.example.com/webhooks/github"
IT, OTHER = Key("GitHubInstallation", "team-a", "it"), Key("GitHubInstallation", "team-a", "other")
PLACE = AppPlace(API, 7, "team-a", "app")
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
LIMITED = Waiting(Reason.RATE_LIMITED, "Later.", until=NOW + timedelta(hours=1))
REFUSED = Stalled(Reason.APP_REFUSED, "GitHub refuses it.")
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


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.follow()
    return bench


async def test_a_quiet_app_costs_two_requests_and_no_write(bench: Bench) -> None:
    ((place, after),) = bench.planned
    assert place == PLACE
    assert 0 <= after <= 30
    for _ in range(3):
        assert await bench.look() == PERIOD
        assert bench.hub.taken() == ["config", "list"]
    assert (bench.maps.writes, bench.maps.reads, bench.audit) == ([], 1, [])
    # The first look goes back an hour, the others up to what may be listed late.
    ago = [round((NOW - since).total_seconds()) for since in bench.hub.since]
    assert ago == [3601, LAG.total_seconds() + 1, LAG.total_seconds() + 1]


async def test_what_failed_is_asked_for_once_and_written_down_first(bench: Bench) -> None:
    bench.hub.failed = [failed(1, ago=40), failed(2, ago=30)]
    assert await bench.look() == PERIOD
    assert bench.hub.taken() == ["config", "list", 1, 2]
    assert bench.maps.writes == ["create", "apply"]
    assert bench.maps.asked_before == [0, 2]
    assert bench.maps.stored is not None
    assert bench.maps.stored["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "mooring"}
    told = {"action": "delivery.repeated", "kind": "Secret", "namespace": "team-a", "name": "app", "event": "push"}
    assert bench.audit == [{**told, "delivery": "guid-1"}, {**told, "delivery": "guid-2"}]
    assert bench.counted == 2
    for _ in range(2):
        bench.hub.now += PERIOD
        await bench.look()
    bench.again()
    bench.follow()
    await bench.look()
    assert bench.hub.taken() == ["config", "list"] * 3
    assert len(bench.maps.writes) == 2


async def test_one_that_keeps_failing_is_given_up(bench: Bench) -> None:
    bench.hub.failed = [failed(1, "a")]
    for number in (2, 3, 4):
        await bench.look()
        bench.hub.failed.append(failed(number, "a", ago=20 - number, repeated=True))
    assert bench.hub.taken() == ["config", "list", 1, "config", "list", 2, "config", "list", 3]
    writes = len(bench.maps.writes)
    await bench.look()
    bench.again()
    bench.follow()
    await bench.look()
    assert bench.hub.taken() == ["config", "list"] * 2
    assert len(bench.maps.writes) == writes


@pytest.mark.parametrize("crashes", range(1, 5))
async def test_a_process_that_dies_while_it_asks_never_asks_too_often(bench: Bench, crashes: int) -> None:
    bench.hub.failed = [failed(1)]
    bench.hub.troubles[1] = Crash()  # type: ignore[assignment]
    for _ in range(crashes):
        with suppress(Crash):
            await bench.look()
        bench.again()
        bench.follow()
    bench.hub.troubles.clear()
    await bench.look()
    await bench.look()
    assert bench.hub.asked.count(1) == min(3, crashes + 1)


class Crash(BaseException):
    """The end of a process."""


async def test_many_are_asked_for_in_parts(bench: Bench) -> None:
    bench.hub.failed = [failed(n, ago=55 - n / 10) for n in range(1, 131)]
    assert await bench.look() == timedelta(minutes=1)
    assert bench.hub.taken()[2:] == list(range(1, 101))
    assert await bench.look() == PERIOD
    assert bench.hub.taken()[2:] == list(range(101, 131))


@pytest.mark.parametrize("goes_to", ["https://elsewhere.example.com/hook", OURS + "/", None])
async def test_what_goes_elsewhere_is_nobody_s_to_ask_for(bench: Bench, goes_to: str | None) -> None:
    assert bench.it.goes_elsewhere(IT) is None
    bench.hub.goes_to, bench.hub.failed = goes_to, [failed(1)]
    assert await bench.look() == PERIOD
    assert bench.hub.taken() == ["config"]
    assert bench.it.goes_elsewhere(IT) is True
    assert bench.told == [IT]
    bench.hub.goes_to = OURS
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1]
    assert bench.it.goes_elsewhere(IT) is False
    assert bench.told == [IT, IT]
    await bench.look()
    assert bench.told == [IT, IT]


async def test_an_app_without_an_address_is_not_looked_at(bench: Bench) -> None:
    bench.follow(address=None)
    assert await bench.look() is None
    assert (bench.hub.taken(), bench.it.goes_elsewhere(IT)) == ([], None)
    bench.again()
    bench.follow(address=None)
    assert bench.planned == []
    for _ in range(2):
        bench.follow()
        assert [place for place, _ in bench.planned] == [PLACE]


async def test_where_it_goes_matters_to_whom_it_should_come(bench: Bench) -> None:
    bench.follow(OTHER, None)
    bench.hub.goes_to = "https://elsewhere.example.com/hook"
    await bench.look()
    assert (bench.it.goes_elsewhere(IT), bench.it.goes_elsewhere(OTHER)) == (True, None)
    assert bench.told == [IT]


async def test_one_that_goes_in_the_middle_of_a_look_is_asked_for_nothing(bench: Bench) -> None:
    bench.hub.failed = [failed(1)]
    bench.hub.meanwhile = lambda: bench.it.forget(IT)
    assert await bench.look() == PERIOD
    assert bench.hub.taken() == ["config", "list"]
    assert bench.maps.writes == []


async def test_an_address_that_changes_is_compared_at_once(bench: Bench) -> None:
    await bench.look()
    bench.follow(address=f"{OURS}/another")
    assert bench.it.goes_elsewhere(IT) is True
    assert bench.told == [IT]
    assert len(bench.planned) == 2


async def test_installations_of_one_app_share_its_look(bench: Bench) -> None:
    bench.follow(OTHER, f"{OURS}/other")
    bench.hub.goes_to = f"{OURS}/other"
    await bench.look()
    assert bench.hub.taken() == ["config", "list"]
    assert (bench.it.goes_elsewhere(IT), bench.it.goes_elsewhere(OTHER)) == (False, False)
    # The one whose address it is goes: what is left has an address where nothing comes.
    bench.it.forget(OTHER)
    assert bench.told == [IT]
    assert (bench.it.goes_elsewhere(IT), bench.it.goes_elsewhere(OTHER)) == (True, None)
    bench.it.forget(IT)
    bench.it.forget(IT)
    assert await bench.look() is None
    assert bench.hub.taken() == []


async def test_another_app_takes_the_place_of_the_one_before(bench: Bench) -> None:
    bench.follow(used=app(8))
    assert await bench.look() is None
    bench.hub.failed = [failed(1)]
    await bench.look(AppPlace(API, 8, "team-a", "app"))
    assert bench.hub.taken() == ["config", "list", 1]
    assert set(parse(bench.maps.text())) == {AppPlace(API, 8, "team-a", "app")}


async def test_a_rotated_key_asks_for_nothing_twice(bench: Bench) -> None:
    bench.hub.failed = [failed(1)]
    await bench.look()
    bench.follow(used=app(source="uid/2"))
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1, "config", "list"]
    assert bench.hub.source == "uid/2"


@pytest.mark.parametrize("where", ["config", "list", 2])
@pytest.mark.parametrize("trouble", [AWAY, LIMITED])
async def test_trouble_is_the_queue_s_and_what_was_done_stays_done(bench: Bench, where: Any, trouble: Trouble) -> None:
    bench.hub.failed = [failed(1), failed(2), failed(3)]
    bench.hub.troubles[where] = trouble
    with pytest.raises(type(trouble)):
        await bench.look()
    bench.hub.troubles.clear()
    bench.hub.taken()
    bench.again()
    bench.follow()
    await bench.look()
    assert bench.hub.taken() == ["config", "list", *([2, 3] if where == 2 else [1, 2, 3])]


async def test_one_that_github_never_answers_for_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.hub.failed = [failed(1), failed(2)]
    bench.hub.troubles[1] = AWAY
    for _ in range(3):
        with pytest.raises(Transient):
            await bench.look()
    assert bench.hub.taken() == ["config", "list", 1] * 3
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 2]


@pytest.mark.parametrize("trouble", [LIMITED, NotLeading()])
async def test_what_github_did_not_take_does_not_count(bench: Bench, trouble: Trouble) -> None:
    bench.hub.failed = [failed(1)]
    bench.hub.troubles[1] = trouble
    for _ in range(5):
        with pytest.raises(type(trouble)):
            await bench.look()
    bench.hub.troubles.clear()
    bench.hub.taken()
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1]


async def test_an_app_that_is_refused_is_looked_at_later(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.hub.troubles["config"] = REFUSED
    with caplog.at_level(logging.WARNING):
        assert await bench.look() == PERIOD
    assert "App 7 at https://api.github.com (Secret team-a/app) are not asked for now" in caplog.text


# --- the ConfigMap ---


async def test_nothing_is_asked_for_that_cannot_be_written_down(bench: Bench) -> None:
    bench.hub.failed = [failed(1)]
    bench.maps.troubles = [AWAY] * 5
    for _ in range(5):
        with pytest.raises(Transient):
            await bench.look()
    assert 1 not in bench.hub.taken()
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1]


async def test_what_could_not_be_written_afterwards_is_written_later(bench: Bench) -> None:
    bench.hub.failed = [failed(1)]
    bench.maps.troubles = []
    bench.hub.troubles = {}

    async def fails_after_the_first(manifest: Object, *, uid: str) -> Object:
        raise AWAY

    real, bench.maps.apply = bench.maps.apply, fails_after_the_first  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await bench.look()
    bench.maps.apply = real  # type: ignore[method-assign]
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1, "config", "list"]
    assert bench.maps.writes == ["create", "apply"]
    assert all(asked.is_sure for asked in parse(bench.maps.text())[PLACE].asked.values())


@pytest.mark.parametrize("content", [None, "", "{}", "no json"])
async def test_a_map_that_cannot_be_read_is_begun_anew(
    bench: Bench, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    data = {} if content is None else {KEY: content}
    bench.maps.stored = {"metadata": {"uid": "foreign", "name": "mooring-deliveries"}, "data": data}
    bench.hub.failed = [failed(1, ago=61), failed(2, ago=59)]
    with caplog.at_level(logging.WARNING):
        await bench.look()
    assert bench.hub.taken() == ["config", "list", 2]
    assert "ConfigMap mooring-system/mooring-deliveries cannot be read" in caplog.text
    assert bench.maps.writes == ["apply", "apply"]
    assert PLACE in parse(bench.maps.text())


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_map_that_was_removed_is_made_again_from_memory(bench: Bench, replaced: bool) -> None:
    bench.hub.failed = [failed(1, ago=30)]
    await bench.look()
    bench.maps.stored = {"metadata": {"uid": "another"}, "data": {}} if replaced else None
    bench.hub.failed.append(failed(2))
    with pytest.raises(Changed):
        await bench.look()
    await bench.look()
    assert bench.hub.taken() == ["config", "list", 1, "config", "list", "config", "list", 2]
    assert set(parse(bench.maps.text())[PLACE].asked) == {1, 2}


async def test_nothing_older_than_three_days_is_asked_for(bench: Bench) -> None:
    bench.hub.failed = [failed(1)]
    await bench.look()
    bench.hub.now += 2 * KEPT
    bench.again()
    bench.follow()
    await bench.look()
    assert bench.hub.since[-1] == bench.hub.now - KEPT - timedelta(seconds=1)


async def test_apps_keep_their_places_in_one_map(bench: Bench) -> None:
    others = [AppPlace(API, 100 + n, "team-a", "app") for n in range(MOST_APPS)]
    for n, place in enumerate(others):
        bench.follow(Key("GitHubInstallation", "team-a", f"it-{n}"), used=app(place.app_id))
    for place in (PLACE, *others[:2]):
        bench.hub.failed = [failed(place.app_id)]
        await bench.look(place)
    assert set(parse(bench.maps.text())) == {PLACE, *others[:2]}
    # One that nobody uses any more goes with the next write.
    bench.it.forget(IT)
    bench.hub.failed = [failed(9)]
    await bench.look(others[0])
    assert set(parse(bench.maps.text())) == set(others[:2])

"""An event of a repository has its Projects prove their source anew, once; nothing that it says is believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.resources.project import Project
from mooring.domain.tokens import Resolution
from mooring.ports import Object
from mooring.services.doubts import LATELY, Doubts
from mooring.services.observing import Observer
from mooring.services.seen import Seen
from mooring.services.store import key_of
from tests.unit.objects import NOW, PAT
from tests.unit.services.followed import API, World, parsed
from tests.unit.services.platforms import Nothing

RESOLVED = Resolution("global", Reason.GLOBAL_TOKEN, "From the user.", token=PAT, api_url=API)
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
LIMITED = Waiting(Reason.RATE_LIMITED, "Later.", until=NOW + timedelta(minutes=9))
GONE = Stalled(Reason.REPOSITORY_NOT_FOUND, "It is not there.")


class OneToken:
    """Stands for the tokens: all Projects have the same."""

    async def resolve(self, obj: Object, project: Project) -> Resolution:
        """Return it."""
        return RESOLVED


class Bench(World):
    """A world with somebody who looks at Projects."""

    def __post_init__(self) -> None:
        """Put it together."""
        super().__post_init__()
        self.doubts = Doubts(self.clock)
        self.observer = self.another()

    def another(self) -> Observer:
        """Return what another process, or the next one, has."""
        tokens: Any = OneToken()
        nobody: Any = Nothing()
        return Observer(self.platform, tokens, self.sources, nobody)

    def told(self, *guids: str, ago: float = 0.0, **changes: Any) -> Object:
        """Return a Project whose repository told of something, so many seconds ago."""
        at = timestamp(self.clock.now() - timedelta(seconds=ago))
        lines = [{"delivery": guid, "event": "repository", "receivedAt": at} for guid in guids]
        pushed = {"delivery": "push", "event": "push", "receivedAt": at}
        return self.project(deliveries=[*lines, pushed], **changes)

    async def look(self, obj: Object) -> Seen:
        """Look at a Project, and store what was seen."""
        seen = await self.observe(obj)
        self.observer.stored(seen)
        return seen

    async def observe(self, obj: Object) -> Seen:
        """Look at a Project alone."""
        self.github.asked.clear()
        return await self.observer.observe(obj, parsed(obj))


@pytest.fixture
def bench() -> Bench:
    """Return one that has seen the Project before anything happened."""
    return Bench()


async def test_an_event_is_asked_after_once(bench: Bench) -> None:
    await bench.look(bench.told())
    assert bench.github.asked == []
    bench.github.name = "acme/store"
    seen = await bench.look(bench.told("one"))
    assert bench.github.asked == ["repository"]
    assert seen.source is not None
    assert (seen.source.full_name, seen.source.fresh) == ("acme/store", True)
    for _ in range(3):
        await bench.look(bench.told("one"))
        assert bench.github.asked == []
    # Many are one question; and what is told of no more is forgotten without a question.
    await bench.look(bench.told("four", "three", "two", "one"))
    assert bench.github.asked == ["repository"]
    await bench.look(bench.told("four"))
    assert bench.github.asked == []


async def test_what_a_sweep_was_shown_is_asked_after_until_the_answer_is_stored(bench: Bench) -> None:
    obj = bench.told()
    key = key_of(obj)
    bench.observer.prove_again(key)
    await bench.observe(obj)
    assert bench.github.asked == ["repository"]
    await bench.look(obj)
    assert bench.github.asked == ["repository"]
    await bench.look(obj)
    assert bench.github.asked == []
    bench.observer.prove_again(key)
    bench.observer.forget(key)
    await bench.look(obj)
    assert bench.github.asked == []


async def test_a_start_asks_for_what_came_lately_alone(bench: Bench) -> None:
    old = (LATELY + timedelta(seconds=1)).total_seconds()
    await bench.look(bench.told("one", ago=old))
    assert bench.github.asked == []
    bench.clock.move(old)
    await bench.look(bench.told("two", "one", ago=0))
    assert bench.github.asked == ["repository"]
    bench.observer = bench.another()
    await bench.look(bench.told("two", "one", ago=LATELY.total_seconds()))
    assert bench.github.asked == ["repository"]
    bench.observer = bench.another()
    await bench.look(bench.told("two", "one", ago=-3600))
    assert bench.github.asked == []


def test_no_more_is_remembered_than_a_status_tells_of(bench: Bench) -> None:
    obj = bench.told("one", "two")
    assert bench.doubts.about(obj) == {"one", "two"}
    assert bench.doubts.about(obj) == {"one", "two"}
    bench.doubts.settle(key_of(obj), frozenset({"one", "two"}))
    assert bench.doubts.about(bench.told("three", "one", "two")) == {"three"}
    bench.doubts.settle(key_of(obj), frozenset({"three"}))
    assert bench.doubts.about(bench.told("three")) == frozenset()
    assert bench.doubts.about(bench.told("two")) == {"two"}
    bench.doubts.forget(key_of(obj))
    assert bench.doubts.about(bench.told("three", ago=3600)) == frozenset()


async def test_a_status_that_others_wrote_makes_no_trouble(bench: Bench) -> None:
    await bench.look(bench.told())
    obj = bench.told("one")
    obj["status"]["deliveries"][0]["receivedAt"] = None
    await bench.look(obj)
    assert bench.github.asked == ["repository"]
    bench.observer = bench.another()
    await bench.look(obj)
    assert bench.github.asked == []


async def test_a_repository_that_is_gone_is_told_and_not_asked_for_again_and_again(bench: Bench) -> None:
    await bench.look(bench.told())
    bench.github.troubles["repository"] = GONE
    seen = await bench.look(bench.told("one"))
    assert (seen.source, seen.source_trouble) == (None, GONE)
    await bench.look(bench.told("one"))
    assert bench.github.asked == []


async def test_an_answer_that_was_not_stored_is_asked_for_again(bench: Bench) -> None:
    """Somebody else wrote the object meanwhile: the run is made again, and must come to the same."""
    await bench.look(bench.told())
    for trouble in ({}, {"repository": GONE}):
        bench.github.troubles = dict(trouble)
        for _ in range(2):
            await bench.observe(bench.told("one"))
            assert bench.github.asked == ["repository"]
    seen = await bench.observe(bench.told("one"))
    # What came while it was stored was not asked after.
    seen.obj = bench.told("two", "one")
    bench.observer.stored(seen)
    await bench.look(bench.told("two", "one"))
    assert bench.github.asked == ["repository"]


async def test_another_repository_under_the_name_is_refused(bench: Bench) -> None:
    renamed = {"fullName": "acme/store", "specName": "acme/shop"}
    await bench.look(bench.told(source=renamed))
    bench.github.id = 8
    seen = await bench.look(bench.told("one", source=renamed))
    assert seen.source is None
    assert seen.source_trouble is not None
    assert seen.source_trouble.reason is Reason.REPOSITORY_CHANGED


@pytest.mark.parametrize("trouble", [AWAY, LIMITED])
async def test_while_nobody_can_be_asked_what_was_proven_goes_on(bench: Bench, trouble: Trouble) -> None:
    await bench.look(bench.told())
    bench.github.troubles["repository"] = trouble
    for _ in range(2):
        seen = await bench.look(bench.told("one"))
        assert bench.github.asked == ["repository"]
        assert seen.source is not None
        assert (seen.source.full_name, seen.source_trouble, seen.pressing(NOW)) == ("acme/shop", None, trouble)
    bench.github.troubles.clear()
    bench.github.name = "acme/store"
    seen = await bench.look(bench.told("one"))
    assert seen.source is not None
    assert (seen.source.full_name, seen.pressing(NOW)) == ("acme/store", None)


async def test_where_nothing_was_proven_its_trouble_is_told(bench: Bench) -> None:
    bench.github.troubles["repository"] = AWAY
    seen = await bench.look(bench.told("one", source={"proof": None}))
    assert (seen.source, seen.source_trouble, seen.source_delay) == (None, AWAY, None)

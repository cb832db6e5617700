"""What Kopf is told: nothing that writes, nothing that waits for ever, and no more than the three kinds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import kopf
import pytest

from mooring.domain.resources import KINDS
from mooring.handlers import kinds
from mooring.handlers.kinds import Ended, configuration, follow, registry
from mooring.services.intake import Intake
from mooring.settings import Settings
from tests.unit.objects import raw_project
from tests.unit.services.platforms import platform

SETTINGS = Settings.load({"MOORING_NAMESPACE": "mooring-system", "MOORING_CHECKOUT_IMAGE": "registry.example.com/m:1"})


async def nothing() -> None:
    """Stop nothing: nothing runs."""


def test_no_watch_waits_for_ever_and_no_list_is_read_at_once() -> None:
    watching = configuration().watching
    assert watching.server_timeout == 600
    assert watching.client_timeout is not None
    assert watching.client_timeout > watching.server_timeout
    assert watching.connect_timeout == 10
    assert watching.inactivity_timeout is not None
    # The server says something about once a minute.
    assert 60 < watching.inactivity_timeout < watching.server_timeout
    assert watching.chunk_size == 200


def test_kopf_posts_no_events_asks_for_no_kinds_and_holds_nothing_back() -> None:
    settings = configuration()
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    # A bound here would let only so many objects through in each idle time, however fast they are.
    assert settings.queueing.worker_limit is None


def test_kopf_keeps_no_task_of_an_object_for_long() -> None:
    # All objects come at once after a start, and each task keeps its object. At zero it would end before it took any.
    assert 0 < configuration().queueing.idle_timeout <= 1


def test_the_handlers_watch_the_three_kinds_and_change_none() -> None:
    intake = Intake(platform(), lambda _: None)
    handlers = registry(intake, {}, nothing)
    watched = {handler.selector.any_name for handler in _handlers(handlers._watching)}  # noqa: SLF001 - no other way
    assert watched == {kind.info.plural for kind in KINDS}
    # Each of these would make Kopf write annotations or finalizers.
    assert not _handlers(handlers._changing)  # noqa: SLF001 - as above
    assert not _handlers(handlers._spawning)  # noqa: SLF001 - as above
    assert not _handlers(handlers._indexing)  # noqa: SLF001 - as above


async def test_an_event_goes_to_the_intake_as_a_plain_dict_and_in_no_other_thread() -> None:
    asked: list[Any] = []
    running = platform()
    (handler, *_) = _handlers(registry(Intake(running, asked.append), {}, nothing)._watching)  # noqa: SLF001 - as above
    # Kopf awaits a coroutine where it is; a plain function would be called in a thread.
    await handler.fn(event={"type": "ADDED", "object": raw_project()}, more=1)
    (key,) = asked
    assert type(running.store.get(key)) is dict


def _handlers(part: Any) -> list[Any]:
    return list(part.get_all_handlers())


def test_registries_do_not_share_handlers() -> None:
    intake = Intake(platform(), lambda _: None)
    assert registry(intake, {}, nothing) is not registry(intake, {}, nothing)
    assert len(_handlers(registry(intake, {}, nothing)._watching)) == len(KINDS)  # noqa: SLF001 - as above
    assert not _handlers(kopf.get_default_registry()._watching)  # noqa: SLF001 - as above


@contextlib.asynccontextmanager
async def _connection() -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.sleep(0)


async def _watch() -> AsyncIterator[int]:
    async with _connection():
        yield 1


class FakeKopf:
    """Kopf's tasks, and how they end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, end: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        self._end = end
        self._asked = asyncio.Event()
        monkeypatch.setattr(kopf, "spawn_tasks", self.spawn)
        monkeypatch.setattr(kopf, "run_tasks", self.run)

    async def spawn(self, *, stop_flag: asyncio.Event, **_: Any) -> list[Any]:
        """Note what says that it has to end."""
        self._asked = stop_flag
        return []

    async def run(self, _tasks: list[Any], *, ignored: Any) -> None:
        """Live and end."""
        await self._end(self._asked)


async def asked_to_end(asked: asyncio.Event) -> None:
    """End because a signal came."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asked.wait()


def following() -> Coroutine[Any, Any, None]:
    return follow(SETTINGS, Intake(platform(), lambda _: None), {}, nothing, asyncio.Event())


def test_watches_that_kopf_leaves_open_are_no_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[AsyncIterator[int]] = []

    async def leaves_watches_open(asked: asyncio.Event) -> None:
        for _number in range(3):
            kept.append(_watch())
            await anext(kept[-1])
        asked.set()

    async def process(*, ours: bool) -> None:
        FakeKopf(monkeypatch, leaves_watches_open)
        await (following() if ours else leaves_watches_open(asyncio.Event()))

    caplog.set_level(logging.INFO)
    asyncio.run(process(ours=False))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR], "the case does not happen any more"
    caplog.clear()
    asyncio.run(process(ours=True))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_other_errors_at_the_end_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def process() -> None:
        FakeKopf(monkeypatch, asked_to_end)
        await following()
        asyncio.get_running_loop().call_exception_handler({"message": "something else"})

    asyncio.run(process())
    assert "something else" in caplog.text


def test_kopf_that_ends_by_itself_is_no_good_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def quietly(_: asyncio.Event) -> None:
        pass

    async def loudly(_: asyncio.Event) -> None:
        raise RuntimeError("said the server: secret")

    for end, told in ((quietly, "does not say why"), (loudly, "RuntimeError")):
        FakeKopf(monkeypatch, end)
        with pytest.raises(Ended, match=told) as ended:
            asyncio.run(following())
        assert "secret" not in str(ended.value)


def test_an_error_after_a_signal_is_the_end_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks_at_the_end(asked: asyncio.Event) -> None:
        await asked_to_end(asked)
        raise RuntimeError

    FakeKopf(monkeypatch, breaks_at_the_end)
    asyncio.run(following())
    assert "ended with" in caplog.text


def test_kopf_asks_again_for_as_long_as_it_takes_and_never_in_a_hurry() -> None:
    backoffs = configuration().networking.error_backoffs
    assert not isinstance(backoffs, float)
    for _request in range(2):
        waits = list(itertools.islice(backoffs, 1000))
        assert len(waits) == 1000
        assert waits[0] <= 1
        assert sum(waits) > 3600
        assert max(waits) <= 10


def test_kopf_that_hangs_at_its_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(asked: asyncio.Event) -> None:
        await asked.wait()

    async def fails() -> None:
        raise RuntimeError("said the server: secret")

    async def spawn(**_: Any) -> list[Any]:
        return [asyncio.create_task(fails())]

    FakeKopf(monkeypatch, hangs)
    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    monkeypatch.setattr(kinds, "HANGING_SECONDS", 0)
    with pytest.raises(Ended, match=r"RuntimeError.*hangs") as ended:
        asyncio.run(following())
    assert ended.value.hangs
    assert "secret" not in str(ended.value)


def test_kopf_need_not_ask_for_the_name_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container there is often none for its number, and Kopf would fail."""
    given: dict[str, Any] = {}

    async def spawn(**arguments: Any) -> list[Any]:
        given.update(arguments)
        return []

    ending = asyncio.Event()
    ending.set()

    async def ends(_: asyncio.Event) -> None:
        return

    FakeKopf(monkeypatch, ends)
    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    asyncio.run(follow(SETTINGS, Intake(platform(), lambda _: None), {}, nothing, ending))
    assert given["identity"]

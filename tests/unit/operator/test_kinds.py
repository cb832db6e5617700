"""What Kopf is told: nothing that writes, nothing that waits for ever, and no more than the three kinds."""

from __future__ import annotations

from typing import Any

import kopf

from mooring.domain.resources import KINDS
from mooring.handlers.kinds import configuration, registry
from mooring.services.intake import Intake
from tests.unit.objects import raw_project
from tests.unit.services.platforms import platform


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


def test_the_handlers_watch_the_three_kinds_and_change_none() -> None:
    intake = Intake(platform(), lambda _: None)
    handlers = registry(intake, nothing)
    watched = {handler.selector.any_name for handler in _handlers(handlers._watching)}  # noqa: SLF001 - no other way
    assert watched == {kind.info.plural for kind in KINDS}
    # Each of these would make Kopf write annotations or finalizers.
    assert not _handlers(handlers._changing)  # noqa: SLF001 - as above
    assert not _handlers(handlers._spawning)  # noqa: SLF001 - as above
    assert not _handlers(handlers._indexing)  # noqa: SLF001 - as above


async def test_an_event_goes_to_the_intake_as_a_plain_dict_and_in_no_other_thread() -> None:
    asked: list[Any] = []
    running = platform()
    (handler, *_) = _handlers(registry(Intake(running, asked.append), nothing)._watching)  # noqa: SLF001 - as above
    # Kopf awaits a coroutine where it is; a plain function would be called in a thread.
    await handler.fn(event={"type": "ADDED", "object": raw_project()}, more=1)
    (key,) = asked
    assert type(running.store.get(key)) is dict


def _handlers(part: Any) -> list[Any]:
    return list(part.get_all_handlers())


def test_registries_do_not_share_handlers() -> None:
    intake = Intake(platform(), lambda _: None)
    assert registry(intake, nothing) is not registry(intake, nothing)
    assert len(_handlers(registry(intake, nothing)._watching)) == len(KINDS)  # noqa: SLF001 - as above
    assert not _handlers(kopf.get_default_registry()._watching)  # noqa: SLF001 - as above

"""Recording what came, as a group commit: one PATCH of a status carries everything that came since the last.

At most one PATCH is under way for an object. Whatever comes meanwhile shares the next, which is held to the version
that was looked at; where somebody else wrote, the object is read and all is decided again. So a burst costs the API
server a few writes, and nothing is told before it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.names import OwnKind
from mooring.domain.webhooks.recording import Told
from mooring.ports import Changed, Object, Records
from mooring.services.receiving.fairness import Room
from mooring.services.receiving.places import Place

log = logging.getLogger(__name__)

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)

# What may wait to be recorded for one object; for all of them see `fairness`.
WAITING_FOR_ONE = 1_000
# What is looked at for one delivery without giving others their turn.
AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Pace:
    """How a recorder paces itself, in seconds. The defaults are for production; tests make them short."""

    give_up: float = 8.0
    """Whoever waits for longer is told that it is not recorded: GitHub itself waits for ten."""
    attempt: float = 3.0
    """One request: after that the next attempt is the better chance."""
    gather: float = 0.05
    """After a PATCH of an object so long passes before its next one: what comes meanwhile goes with it."""
    first_wait: float = 0.02
    """After a failure; each one that follows doubles it. A random part of it is really waited, so that two replicas
    that collide do not collide again."""
    longest_wait: float = 1.0
    """And no longer than this."""


class NotRecorded(Exception):
    """It is not known to be stored; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of what waits for an object."""

    # The version that was looked at.
    version: str
    # What to write; None: nothing.
    fields: Mapping[str, Any] | None
    # In the order of what waits; None where it does not concern the object any more.
    told: Sequence[Told | None]


class Book(Protocol[E_contra]):
    """The objects that are recorded in, as the caches have them."""

    @property
    def kind(self) -> OwnKind:
        """Return their kind."""
        ...

    def decide(self, place: Place, entries: Sequence[E_contra]) -> Decision | None:
        """Say what to write and what to tell; None where there is no such object any more."""
        ...

    def renew(self, place: Place, obj: Object | None, *, overrules: bool = False) -> None:
        """Take the object as the API server has just answered; None: there is none.

        It overrules what is known to be newer where that was just found to be wrong.
        """
        ...


@dataclass(slots=True)
class _Waiting(Generic[E]):
    entry: E
    told: asyncio.Future[Told | None]


@dataclass(slots=True)
class _Line(Generic[E]):
    """What waits for one object, and who works on it."""

    waiting: list[_Waiting[E]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def still_waiting(self) -> list[_Waiting[E]]:
        """Forget what was told, or is waited for no more; return the rest."""
        self.waiting = [each for each in self.waiting if not each.told.done()]
        return list(self.waiting)


@dataclass(slots=True)
class Shared:
    """What all recorders of a process share."""

    records: Records
    pace: Pace = field(default_factory=Pace)
    random: Random = field(default_factory=Random)
    # Told of each PATCH: recorded, conflict or failed.
    wrote: Callable[[str], None] = lambda _: None
    room: Room = field(default_factory=Room)


class Recorder(Generic[E]):
    """Records entries in objects of one kind."""

    def __init__(self, book: Book[E], shared: Shared) -> None:
        self._book = book
        self._shared = shared
        self._lines: dict[Place, _Line[E]] = {}

    async def record(self, wanted: Iterable[tuple[Place, E]]) -> list[Told | NotRecorded | None]:
        """Record each entry in its object; tell what became of each as soon as that is known of all, or time is up."""
        told: list[asyncio.Future[Told | None]] = []
        try:
            for place, entry in wanted:
                told.append(self._join(place, entry))
                if len(told) % AT_A_TIME == 0:
                    # A ref may be followed by thousands: others have their turn meanwhile.
                    await asyncio.sleep(0)
            if not told:
                return []
            await asyncio.wait(told, timeout=self._shared.pace.give_up)
            return [_outcome(each) for each in told]
        finally:
            for each in told:
                each.cancel()  # those that nobody waits for any more; the others are done

    async def aclose(self) -> None:
        """Stop; what waits still is not recorded."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _join(self, place: Place, entry: E) -> asyncio.Future[Told | None]:
        future: asyncio.Future[Told | None] = asyncio.get_running_loop().create_future()
        decision = self._book.decide(place, [entry])
        if decision is None or decision.fields is None:
            # What is stored already, or concerns nobody any more, needs no write, and takes nobody's room.
            future.set_result(decision.told[0] if decision is not None else None)
            return future
        line = self._lines.get(place)
        waits_here = len(line.waiting) if line is not None else 0
        if waits_here >= WAITING_FOR_ONE or not self._shared.room.is_there(place.namespace):
            future.set_exception(NotRecorded("too much waits to be recorded already"))
            return future
        self._shared.room.enter(place.namespace)
        future.add_done_callback(lambda _: self._shared.room.leave(place.namespace))
        if line is None:
            line = self._lines[place] = _Line()
        line.waiting.append(_Waiting(entry, future))
        if line.task is None:
            line.task = asyncio.create_task(self._serve(place, line), name=f"record {self._book.kind} {place}")
        return future

    async def _serve(self, place: Place, line: _Line[E]) -> None:
        """Write until nobody waits any more."""
        pace, failures, ended = self._shared.pace, 0, "the gateway ends"
        try:
            while True:
                async with self._shared.room.place(place.namespace):
                    if not line.still_waiting():
                        return
                    went_well = await self._round(place, line.still_waiting())
                failures = 0 if went_well else failures + 1
                longest = pace.gather if went_well else min(pace.first_wait * 2**failures, pace.longest_wait)
                # What was told makes room for what comes meanwhile.
                line.still_waiting()
                await asyncio.sleep(longest * self._shared.random.uniform(0.5, 1.0))
        except Exception:
            log.exception("what came for %s %s was not understood", self._book.kind, place)
            ended = "it was not understood"
        finally:
            del self._lines[place]
            _refuse(line.waiting, ended)

    async def _round(self, place: Place, batch: Sequence[_Waiting[E]]) -> bool:
        """Make one attempt for all that wait; tell whether it is done."""
        decision = self._book.decide(place, [each.entry for each in batch])
        if decision is None or decision.fields is None:
            _tell(batch, [None] * len(batch) if decision is None else decision.told)
            return True
        seconds = self._shared.pace.attempt
        try:
            answer = await self._shared.records.merge_recorded(
                self._book.kind, *place, decision.fields, resource_version=decision.version, seconds=seconds
            )
        except Changed:
            self._shared.wrote("conflict")
            await self._read(place, seconds)
            return False
        except Trouble as trouble:
            self._shared.wrote("failed")
            self._failed(place, batch, trouble)
            return False
        self._shared.wrote("recorded")
        self._book.renew(place, answer)
        _tell(batch, decision.told)
        return True

    async def _read(self, place: Place, seconds: float) -> None:
        """Read what somebody else wrote; where that fails, the next conflict leads here again."""
        try:
            found = await self._shared.records.read_recorded(self._book.kind, *place, seconds=seconds)
            self._book.renew(place, found, overrules=True)
        except Trouble as trouble:
            log.debug("%s", trouble.message)

    def _failed(self, place: Place, batch: Sequence[_Waiting[E]], trouble: Trouble) -> None:
        log.debug("%s %s: %s", self._book.kind, place, trouble.message)
        if isinstance(trouble, Stalled):
            # The API server rejects what is written: it will do so again.
            _refuse(batch, trouble.message)


def _tell(batch: Sequence[_Waiting[Any]], told: Sequence[Told | None]) -> None:
    for each, outcome in zip(batch, told, strict=True):
        if not each.told.done():
            each.told.set_result(outcome)


def _refuse(batch: Sequence[_Waiting[Any]], why: str) -> None:
    for each in batch:
        if not each.told.done():
            each.told.set_exception(NotRecorded(why))


def _outcome(told: asyncio.Future[Told | None]) -> Told | NotRecorded | None:
    if not told.done():
        return NotRecorded("the API server did not take it in time")
    problem = told.exception()
    if problem is None:
        return told.result()
    return problem if isinstance(problem, NotRecorded) else NotRecorded(type(problem).__name__)

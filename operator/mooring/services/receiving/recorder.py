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
from enum import Enum
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


class Went(Enum):
    """How an attempt went."""

    WELL = "well"
    # Somebody else had written.
    COLLIDED = "collided"
    BADLY = "badly"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a recorder paces itself, in seconds. The defaults are for production; tests make them short."""

    give_up: float = 8.0
    """Whoever waits for longer is told that it is not recorded: GitHub itself waits for ten."""
    attempt: float = 3.0
    """One request: after that the next attempt is the better chance."""
    gather: float = 0.005
    """After a PATCH of an object so long passes before its next one: what comes meanwhile goes with it. Whoever was
    answered just now sends again within that time; longer would only keep them waiting."""
    collided: float = 0.002
    """After a conflict; each one that follows doubles it. The API server is well then, and the watch is about to tell
    what the other one wrote. A random part of it is really waited, so that two replicas that collide do not collide
    again."""
    first_wait: float = 0.02
    """After a failure; each one that follows doubles it, and a random part of it is really waited."""
    longest_wait: float = 1.0
    """And no longer than this."""

    def after(self, went: Went, in_a_row: int) -> float:
        """Return for how long to wait at most after an attempt; so many in a row, with it, did not go well."""
        if went is Went.WELL:
            return self.gather
        first = self.collided if went is Went.COLLIDED else self.first_wait * 2
        # Doubled that often it is longer than the longest in any case.
        return min(first * float(1 << min(in_a_row - 1, 16)), self.longest_wait)


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

    def judge(self, place: Place, entry: E_contra) -> Told | None:
        """Say what would be told of an entry alone: RECORDED where it has to be written, None if it concerns nobody."""
        ...

    def decide(self, place: Place, entries: Sequence[E_contra]) -> Decision | None:
        """Say what to write and what to tell; None where there is no such object any more."""
        ...

    def wrote(self, place: Place, decision: Decision, version: str) -> None:
        """Take what was decided as written, and the version that the object has then."""
        ...

    def renew(self, place: Place, obj: Object | None) -> None:
        """Take the object as it was just read, since what is known was found to be wrong; None: there is none."""
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
    # The version that a write was refused on, since somebody else had written.
    refused: str | None = None

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
        judged = self._book.judge(place, entry)
        if judged is not Told.RECORDED:
            # What is stored already, or concerns nobody any more, needs no write, and takes nobody's room.
            future.set_result(judged)
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
        ended = "the gateway ends"
        in_a_row = 0
        try:
            while True:
                async with self._shared.room.place(place.namespace):
                    if not line.still_waiting():
                        return
                    went = await self._round(place, line)
                in_a_row = 0 if went is Went.WELL else in_a_row + 1
                # What was told makes room for what comes meanwhile.
                line.still_waiting()
                longest = self._shared.pace.after(went, in_a_row)
                await asyncio.sleep(longest * self._shared.random.uniform(0.5, 1.0))
        except Exception:
            log.exception("what came for %s %s was not understood", self._book.kind, place)
            ended = "it was not understood"
        finally:
            del self._lines[place]
            _refuse(line.waiting, ended)

    async def _round(self, place: Place, line: _Line[E]) -> Went:
        """Make one attempt for all that wait; tell how it went."""
        seconds = self._shared.pace.attempt
        batch, decision = self._decide(place, line)
        if decision is not None and decision.version == line.refused:
            # The watch has not told yet of what somebody else wrote.
            await self._read(place, seconds)
            batch, decision = self._decide(place, line)
        if decision is None or decision.fields is None:
            _tell(batch, [None] * len(batch) if decision is None else decision.told)
            return Went.WELL
        try:
            version = await self._shared.records.merge_recorded(
                self._book.kind, *place, decision.fields, resource_version=decision.version, seconds=seconds
            )
        except Changed:
            self._shared.wrote("conflict")
            line.refused = decision.version
            return Went.COLLIDED
        except Trouble as trouble:
            self._shared.wrote("failed")
            self._failed(place, batch, trouble)
            return Went.BADLY
        self._shared.wrote("recorded")
        self._book.wrote(place, decision, version)
        _tell(batch, decision.told)
        return Went.WELL

    def _decide(self, place: Place, line: _Line[E]) -> tuple[list[_Waiting[E]], Decision | None]:
        batch = line.still_waiting()
        return batch, self._book.decide(place, [each.entry for each in batch])

    async def _read(self, place: Place, seconds: float) -> None:
        """Read what somebody else wrote; where that fails, the next conflict leads here again."""
        try:
            found = await self._shared.records.read_recorded(self._book.kind, *place, seconds=seconds)
            self._book.renew(place, found)
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

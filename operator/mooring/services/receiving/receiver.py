"""What becomes of a delivery whose signature is good, and what its sender is told: `ports.Receiver`.

A payload is a hint, and speaks only of what its signature covers (T6). Two things follow from deliveries: a push is
recorded in the Projects that follow its ref, a notice in the GitHubInstallations that have to be read again. What
happened to a repository is recorded in both: the Projects that follow it prove it anew. Told is only what is stored
(D1).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mooring.domain.webhooks.events import REPOSITORY, Notice, Push
from mooring.domain.webhooks.recording import Arrival, Report, Told
from mooring.ports import Clock, Event, Hook, Verdict
from mooring.services.receiving.books import Noticed, Pushed
from mooring.services.receiving.followers import Followers
from mooring.services.receiving.hooks import Hooks
from mooring.services.receiving.places import Place
from mooring.services.receiving.recorder import NotRecorded, Recorder

log = logging.getLogger(__name__)


class Caches(Protocol):
    """Whether what was seen may be relied on."""

    def are_filled(self) -> bool:
        """Tell whether everything was listed once."""
        ...

    def are_current(self) -> bool:
        """Tell whether news arrive."""
        ...


class DeliveryReceiver:
    """Takes deliveries."""

    def __init__(
        self,
        *,
        hooks: Hooks,
        followers: Followers,
        pushes: Recorder[Pushed],
        notices: Recorder[Noticed],
        caches: Caches,
        clock: Clock,
    ) -> None:
        self._hooks = hooks
        self._followers = followers
        self._pushes = pushes
        self._notices = notices
        self._caches = caches
        self._clock = clock

    def not_ready(self) -> str | None:
        """Say what is missing before anything can be answered; None where nothing is."""
        if (missing := self._hooks.missing()) is not None:
            return missing
        return None if self._caches.are_filled() else "the caches are being filled"

    def hook(self, path_id: str | None) -> Hook | None:
        """Return the hook of an address (None: the operator's own App); None where there is none."""
        return self._hooks.hook(path_id)

    def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict | Awaitable[Verdict]:
        """Record what a delivery said, whose signature was verified; it is answered when that is stored."""
        if isinstance(event, Push):
            return self._push(hook, event, delivery)
        return self._notice(hook, event, delivery)

    def _push(self, hook: Hook, push: Push, delivery: str) -> Verdict | Awaitable[Verdict]:
        if push.branch is None:
            return _ignored("It is no push to a branch.")
        if push.deletes:
            return _ignored("The branch was deleted.")
        found = list(self._followers.of_ref(hook.origin, push.repository_id, push.ref, hook.vias))
        if not found:
            return self._nobody("No Project follows this branch by way of this webhook.")
        arrival = Arrival(push, delivery, self._clock.now())
        wanted = [
            (place, Pushed(known.uid, followed, arrival))
            for place, known in found
            if (followed := known.followed) is not None
        ]
        return self._record(wanted, [], delivery)

    def _notice(self, hook: Hook, notice: Notice, delivery: str) -> Verdict | Awaitable[Verdict]:
        received_at = self._clock.now()
        wanted = [
            (place, Noticed(known.uid, notice.event, delivery, received_at))
            for place in self._concerned(hook, notice)
            if (known := self._followers.installations.get(place)) is not None
        ]
        reported = self._reported(hook, notice, delivery, received_at)
        if not wanted and not reported:
            return self._nobody("No Project or GitHubInstallation of this webhook is concerned.")
        return self._record(reported, wanted, delivery)

    async def _record(
        self, pushed: list[tuple[Place, Pushed]], noticed: list[tuple[Place, Noticed]], delivery: str
    ) -> Verdict:
        if not noticed:
            return _verdict(delivery, [_Part("Project", pushed, await self._pushes.record(pushed))])
        found, told = await asyncio.gather(self._pushes.record(pushed), self._notices.record(noticed))
        return _verdict(delivery, [_Part("Project", pushed, found), _Part("GitHubInstallation", noticed, told)])

    def _reported(self, hook: Hook, notice: Notice, delivery: str, received_at: datetime) -> list[tuple[Place, Pushed]]:
        """Return what is recorded in Projects of an event that is about a repository itself."""
        if notice.event != REPOSITORY or notice.repository_id is None:
            return []
        report = Report(delivery, received_at, notice.action, notice.sender)
        return [
            (place, Pushed(known.uid, followed, report))
            for place, known in self._followers.of_repository(hook.origin, notice.repository_id, hook.vias)
            if (followed := known.followed) is not None
        ]

    def _concerned(self, hook: Hook, notice: Notice) -> Iterable[Place]:
        installations = self._followers.installations
        if notice.event == REPOSITORY and notice.repository_id is not None:
            followers = self._followers.of_repository(hook.origin, notice.repository_id, hook.vias)
            vias = {known.followed.via for _, known in followers if known.followed is not None}
            return sorted(place for via in vias if (place := installations.of_via(via)) is not None)
        if notice.installation_id is None:
            return ()
        return sorted(installations.with_id(notice.installation_id, hook.vias))

    def _nobody(self, sentence: str) -> Verdict:
        """Ignore what concerns nobody; but while the API server's news do not arrive, nobody knows whom it concerns."""
        if self._caches.are_current():
            return _ignored(sentence)
        return Verdict(503, "unavailable", "The API server cannot be reached, so it is not known whom this concerns.")


def _ignored(sentence: str) -> Verdict:
    return Verdict(200, "ignored", sentence)


@dataclass(frozen=True, slots=True)
class _Part:
    """What became of one delivery in the objects of one kind."""

    kind: str
    wanted: Sequence[tuple[Place, object]]
    outcomes: Sequence[Told | NotRecorded | None]


def _verdict(delivery: str, parts: Sequence[_Part]) -> Verdict:
    """Put together what became of one delivery in many objects: it is recorded when it is in all of them."""
    missed = [
        (part.kind, place, found)
        for part in parts
        for (place, _), found in zip(part.wanted, part.outcomes, strict=True)
        if isinstance(found, NotRecorded)
    ]
    if missed:
        log.warning(
            "delivery %s is not recorded in %d of %d objects, the first being %s %s: %s",
            *(delivery, len(missed), sum(len(part.wanted) for part in parts), *missed[0]),
        )
        counts = [(part.kind, sum(kind == part.kind for kind, *_ in missed)) for part in parts]
        return Verdict(503, "unavailable", f"It could not be recorded in {_counted(counts)}; send it again.")
    for told, status, outcome, sentence in _OUTCOMES:
        counts = [(part.kind, sum(found is told for found in part.outcomes)) for part in parts]
        if any(count for _, count in counts):
            return Verdict(status, outcome, sentence.format(_counted(counts)))
    everybody = _counted([(part.kind, len(part.wanted)) for part in parts])
    return _ignored(f"What followed it has changed meanwhile ({everybody}).")


# What was recorded anywhere counts most.
_OUTCOMES: tuple[tuple[Told, int, str, str], ...] = (
    (Told.RECORDED, 202, "recorded", "Recorded in {}."),
    (Told.SUPERSEDED, 200, "superseded", "A newer push is recorded in {} already."),
    (Told.DUPLICATE, 200, "duplicate", "This is recorded in {} already."),
)


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return " and ".join(f"{count} {kind}" + ("s" if count > 1 else "") for kind, count in counts if count)

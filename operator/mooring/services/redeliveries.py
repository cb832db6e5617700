"""Has GitHub send again what it could not deliver: it never does by itself (D6).

One look for each App, however many installations it has: where its webhook goes, and what failed of late. What is asked
for again comes through the gateway as it would have come at first, and is judged there like any other delivery.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mooring.domain.audit import Action
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.leadership import NotLeading
from mooring.domain.webhooks.attempts import Attempt, Cursor, moved_on, plan, same_address
from mooring.domain.webhooks.cursors import AppPlace, at_once, share
from mooring.ports import App, Changed, GitHubWebhooks
from mooring.services.delivery_cursors import DeliveryCursors
from mooring.services.platform import Platform
from mooring.services.store import Key
from mooring.services.work import Again

log = logging.getLogger(__name__)

# Of the sweep interval: the next look comes before it is over.
PART = 0.9
# Seconds over which the first looks are spread, and after which the next one comes where more is due.
FIRST_WITHIN, REST_AFTER = 30.0, 60.0
# Subtracted from what GitHub is asked since: its times have seconds only in places.
_ROUNDING = timedelta(seconds=1)


@dataclass(slots=True)
class _Watched:
    """An App whose deliveries are looked at."""

    app: App
    # Where the installations say that its webhook should go. None: nothing of it would be taken.
    addresses: dict[Key, str | None] = field(default_factory=dict)
    # Where GitHub says that it goes, once that was asked.
    has_looked: bool = False
    goes_to: str | None = None

    def goes_elsewhere(self, key: Key) -> bool | None:
        """Tell whether pushes of an installation go to somebody else; None where that is not known.

        An App has one address: where it is that of one of its installations, it serves them all.
        """
        if not self.has_looked or self.addresses.get(key) is None:
            return None
        return not any(same_address(self.goes_to, address) for address in self.addresses.values())


class Redeliveries:
    """The failed deliveries of all Apps that installations use."""

    def __init__(
        self,
        platform: Platform,
        webhooks: GitHubWebhooks,
        ask: Callable[[Hashable, float], None],
        tell: Callable[[Key], None],
        *,
        repeated: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what plans a look, and what is told of an installation whose webhook goes elsewhere, or no longer does.

        `repeated` is called for each delivery that was asked for again.
        """
        self._platform = platform
        self._webhooks = webhooks
        self._ask = ask
        self._tell = tell
        self._repeated = repeated
        self._watched: dict[AppPlace, _Watched] = {}
        self._places: dict[Key, AppPlace] = {}
        self._cursors = DeliveryCursors(platform.cluster, platform.namespace, lambda: self._watched)

    # --- what installations tell and ask ---

    def follow(self, app: App, *, key: Key, secret: str, address: str | None) -> None:
        """Look at the deliveries of an App from now on: an installation uses it, and its key was just accepted."""
        place = AppPlace(app.origin.api_url, app.app_id, app.owner, secret)
        if self._places.get(key) not in {None, place}:
            self.forget(key)
        self._places[key] = place
        watched = self._watched.setdefault(place, _Watched(app))
        watched.app = app
        if key in watched.addresses and watched.addresses[key] == address:
            return
        before = self._elsewhere(watched)
        watched.addresses[key] = address
        self._tell_changes(watched, before)
        if address is not None:
            self._ask(place, random.uniform(0.0, min(FIRST_WITHIN, self._period)))  # noqa: S311 - spreads the looks

    def forget(self, key: Key) -> None:
        """Take note that an installation uses no App any more."""
        place = self._places.pop(key, None)
        if place is None:
            return
        watched = self._watched[place]
        before = self._elsewhere(watched)
        del watched.addresses[key]
        if watched.addresses:
            self._tell_changes(watched, before)
            return
        del self._watched[place]
        self._cursors.forget(place)

    def goes_elsewhere(self, key: Key) -> bool | None:
        """Tell whether the webhook of an installation's App goes to somebody else; None where that is not known."""
        place = self._places.get(key)
        return None if place is None else self._watched[place].goes_elsewhere(key)

    # --- one look ---

    async def run(self, key: Hashable) -> Again | None:
        """Look at one App; raise Trouble where GitHub does not answer."""
        watched = self._watched.get(key) if isinstance(key, AppPlace) else None
        if watched is None or not isinstance(key, AppPlace):
            return None
        if all(address is None for address in watched.addresses.values()):
            return None  # whoever comes with an address asks for a look
        is_all = True
        try:
            is_all = await self._look(key, watched)
        except Stalled as trouble:
            # The installation says what is wrong, and is told when that is mended.
            self._log(key, trouble)
        except Trouble as trouble:
            self._log(key, trouble)
            raise
        seconds = self._period if is_all else min(REST_AFTER, self._period)
        return Again(self._platform.clock.now() + timedelta(seconds=seconds))

    @property
    def _period(self) -> float:
        return PART * self._platform.sweep_interval.total_seconds()

    async def _look(self, place: AppPlace, watched: _Watched) -> bool:
        """Ask for what is due; tell whether that was all."""
        app = watched.app
        goes_to = await self._webhooks.app_webhook_url(app, namespace=app.owner)
        self._note(watched, goes_to)
        if not any(same_address(goes_to, address) for address in watched.addresses.values()):
            return True  # asked for again, it would be sent to somebody else
        cursor = await self._cursors.of(place, self._now(app))
        failed = await self._webhooks.failed_attempts(app, since=cursor.since - _ROUNDING, namespace=app.owner)
        if self._watched.get(place) is not watched:
            return True  # nobody uses it any more
        now, most = self._now(app), at_once(len(self._watched))
        cursor = moved_on(cursor, failed, now, most=share(len(self._watched)) - most)
        self._cursors.put(place, cursor, is_news=False)
        due = plan(cursor, failed, most=most)
        trouble = await self._repeat(place, app, cursor, due.asks)
        await self._cursors.write(place, self._now(app))
        if trouble is not None:
            raise trouble
        return due.is_all

    async def _repeat(self, place: AppPlace, app: App, before: Cursor, asks: Sequence[Attempt]) -> Trouble | None:
        """Ask for deliveries again, until trouble comes; remember which were asked for.

        All are written down before the first is asked for. A process that dies in between leaves them in doubt: they
        count as asked for, and are asked for once more where that is not too often.
        """
        if not asks:
            return None
        cursor = before.begun(asks, self._now(app))
        self._cursors.put(place, cursor, is_news=True)
        try:
            await self._cursors.write(place, self._now(app))
        except (Trouble, Changed):
            self._cursors.put(place, before, is_news=True)
            raise
        for number, attempt in enumerate(asks):
            try:
                await self._webhooks.repeat_delivery(app, attempt.id, namespace=app.owner)
            except Trouble as trouble:
                # Without an answer it may have been carried out all the same.
                in_doubt = isinstance(trouble, Transient) and not isinstance(trouble, NotLeading)
                self._cursors.put(place, cursor.not_begun(asks[number + in_doubt :], before), is_news=True)
                return trouble
            cursor = cursor.done(attempt, self._now(app))
            self._cursors.put(place, cursor, is_news=True)
            self._record(place, attempt)
        return None

    def _record(self, place: AppPlace, attempt: Attempt) -> None:
        """Tell of a delivery that GitHub was asked for."""
        self._platform.audit.record(
            Action.DELIVERY_REPEATED,
            kind="Secret",
            namespace=place.namespace,
            name=place.secret,
            delivery=attempt.guid,
            event=attempt.event,
        )
        self._repeated()

    # --- what surrounds it ---

    def _now(self, app: App) -> datetime:
        return self._platform.github.time_at(app.origin)

    def _note(self, watched: _Watched, goes_to: str | None) -> None:
        """Take note of where an App's webhook goes."""
        before = self._elsewhere(watched)
        watched.has_looked, watched.goes_to = True, goes_to
        self._tell_changes(watched, before)

    def _elsewhere(self, watched: _Watched) -> set[Key]:
        return {key for key in watched.addresses if watched.goes_elsewhere(key)}

    def _tell_changes(self, watched: _Watched, before: set[Key]) -> None:
        for key in before ^ self._elsewhere(watched):
            self._tell(key)

    def _log(self, place: AppPlace, trouble: Trouble) -> None:
        level = logging.DEBUG if isinstance(trouble, NotLeading) else logging.WARNING
        log.log(level, "failed deliveries of %s are not asked for now: %s", place, trouble.message)

"""How many Projects use a GitHubUser, and where their tokens come from. Kept in memory, so it begins with nothing.

After a start the Projects come one after the other, those of one user maybe a minute before those of another. Until
they are all there the status keeps the counts that it has: to write each number on the way would be many writes that
tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mooring.ports import Clock
from mooring.services.store import Key

# No Project that was not known before has come for so long: now they are all there.
SETTLED = timedelta(seconds=5)
# A start is over after so long, whatever comes: where people make Projects all the time, no pause would show its end.
LONGEST_START = timedelta(minutes=5)


class Counts:
    """The counts of all users."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # How each Project was resolved: user -> Project -> source.
        self._sources: dict[Key, dict[Key, str]] = {}
        # When a user was first asked about, or a Project of its came for the first time.
        self._news: dict[Key, datetime] = {}
        # When this process began to count, and when any user's Project last came for the first time; the latter is
        # None as soon as all have come that were there before.
        self._began: datetime | None = None
        self._coming: datetime | None = None

    def note(self, user: Key, project: Key, source: str | None) -> bool:
        """Note how a Project was resolved (None: it is gone); tell whether the counts changed."""
        known = self._sources.setdefault(user, {})
        before = known.get(project)
        if source is None:
            known.pop(project, None)
        else:
            known[project] = source
            if before is None:
                self._news[user] = now = self._clock.now()
                if self._is_starting(now):
                    self._coming = now
        if not known:
            del self._sources[user]
        return before != source

    def forget(self, user: Key) -> None:
        """Forget a user that is gone."""
        self._news.pop(user, None)

    def of(self, user: Key, shown: Mapping[str, Any] | None) -> tuple[dict[str, int], datetime | None]:
        """Return what to show, given what is shown now, and when to look again where that may not be all."""
        counts = {"global": 0, "project": 0, "none": 0}
        for source in self._sources.get(user, {}).values():
            counts[source] += 1
        now = self._clock.now()
        news = self._news.setdefault(user, now)
        if self._is_starting(now) and self._coming is not None:
            news = max(news, self._coming)
        settled = news + SETTLED
        # A clock that was set back by more than that must not hold the counts up.
        waits = now < settled <= now + SETTLED
        if not waits or not shown or counts == shown:
            return counts, None
        return {source: int(shown.get(source, 0)) for source in counts}, settled

    def _is_starting(self, now: datetime) -> bool:
        """Tell whether Projects may still come that were there before this process counted."""
        if self._began is None:
            self._began = self._coming = now
        if self._coming is not None and now >= min(self._coming + SETTLED, self._began + LONGEST_START):
            self._coming = None
        return self._coming is not None

"""How many Projects use a GitHubUser, and where their tokens come from. Kept in memory, so it begins with nothing.

After a start the Projects come one after the other. Until they are all there the status keeps the counts that it has:
to write each number on the way would be many writes that tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mooring.ports import Clock
from mooring.services.store import Key

# No Project that was not known before has come for so long: now they are all there.
SETTLED = timedelta(seconds=5)


class Counts:
    """The counts of all users."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # How each Project was resolved: user -> Project -> source.
        self._sources: dict[Key, dict[Key, str]] = {}
        # When a user was first asked about, or a Project of its came for the first time.
        self._news: dict[Key, datetime] = {}

    def note(self, user: Key, project: Key, source: str | None) -> bool:
        """Note how a Project was resolved (None: it is gone); tell whether the counts changed."""
        known = self._sources.setdefault(user, {})
        before = known.get(project)
        if source is None:
            known.pop(project, None)
        else:
            known[project] = source
            if before is None:
                self._news[user] = self._clock.now()
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
        settled = self._news.setdefault(user, now) + SETTLED
        # A clock that was set back by more than that must not hold the counts up.
        waits = now < settled <= now + SETTLED
        if not waits or not shown or counts == shown:
            return counts, None
        return {source: int(shown.get(source, 0)) for source in counts}, settled

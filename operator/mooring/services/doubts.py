"""Whether a Project's source has to be proven anew although its spec is the same.

Its repository told of something, or a sweep was shown another one. An event says that something happened, and is
believed in nothing else: GitHub is asked once for all that came since. What was asked for is kept in memory alone;
whatever is missed here, the sweep finds.
"""

from __future__ import annotations

from datetime import timedelta

from mooring.domain.webhooks.recording import CLOCKS_DIFFER, reports
from mooring.ports import Clock, Object
from mooring.services.store import Key, key_of

# What came this long before this process first saw a Project may have come while nobody worked: it is asked for. What
# is older was acted on by another process; else each start would ask for every event that a status still tells of.
LATELY = timedelta(minutes=5)
# What stands for a sweep among GUIDs: none is empty.
_SWEEP = ""
# One for all Projects of which nothing is remembered.
_NOTHING: frozenset[str] = frozenset()


class Doubts:
    """The events that sources were proven anew for; no more of a Project than its status tells of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settled: dict[Key, frozenset[str]] = {}
        # Projects of whose repository a sweep was shown something else than is known.
        self._swept: set[Key] = set()

    def cast(self, key: Key) -> None:
        """Take note that a sweep was shown a repository otherwise than it is known, or not at all."""
        self._swept.add(key)

    def about(self, obj: Object) -> frozenset[str]:
        """Return the deliveries that nobody has acted on yet; a sweep stands among them as one of its own."""
        key, told = key_of(obj), reports(obj.get("status") or {})
        settled = self._settled.get(key)
        if settled is None:
            now = self._clock.now()
            # A time from far ahead is nobody's: it would be asked for at each start until then.
            settled = frozenset(
                guid for guid, at in told.items() if at is None or not -CLOCKS_DIFFER <= now - at <= LATELY
            )
        self._settled[key] = settled = settled & told.keys() or _NOTHING
        return frozenset(told) - settled | ({_SWEEP} if key in self._swept else _NOTHING)

    def settle(self, key: Key, about: frozenset[str]) -> None:
        """Remember that GitHub was asked, and that its answer is stored."""
        self._settled[key] = self._settled.get(key, _NOTHING) | about - {_SWEEP}
        if _SWEEP in about:
            self._swept.discard(key)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._settled.pop(key, None)
        self._swept.discard(key)

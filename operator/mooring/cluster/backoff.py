"""Growing waits with jitter. Pure: whoever uses it sleeps."""

from random import Random


class Backoff:
    """Waits up to a limit that doubles with each failure, so that many who failed at once come back spread."""

    __slots__ = ("_first", "_limit", "_longest", "_random")

    def __init__(self, first: float, longest: float, random: Random) -> None:
        self._first = first
        self._longest = longest
        self._limit = first
        self._random = random

    def next(self) -> float:
        """Return the seconds to wait after one more failure; at least a tenth of the limit: none comes at once."""
        limit = self._limit
        self._limit = min(limit * 2, self._longest)
        return limit * self._random.uniform(0.1, 1.0)

    def reset(self) -> None:
        """Start again with the first wait: it went well."""
        self._limit = self._first

"""How the token of each object stands, counted as it changes: metrics are read often, and of all objects."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from mooring.services.store import Key


class TokenState(StrEnum):
    """How the token of an object stands, for the metric."""

    USABLE = "usable"
    EXPIRING = "expiring"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NONE = "none"


class TokenStates:
    """The states by object, and how many of a kind are in each."""

    def __init__(self) -> None:
        self._states: dict[Key, TokenState] = {}
        self._counts: Counter[tuple[str, TokenState]] = Counter()

    def tell(self, key: Key, state: TokenState) -> None:
        """Take note of how the token of an object stands by now."""
        self.forget(key)
        self._states[key] = state
        self._counts[key.kind, state] += 1

    def forget(self, key: Key) -> None:
        """Drop an object that is gone."""
        before = self._states.pop(key, None)
        if before is not None:
            self._counts[key.kind, before] -= 1

    def count(self, kind: str, state: TokenState) -> int:
        """Count the objects of a kind whose tokens stand like that."""
        return self._counts[kind, state]

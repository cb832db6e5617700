"""Where branches pointed before, so that a lagging replica can be played."""

from __future__ import annotations

import time
from collections import deque

from lab.github.model import Repository

REMEMBERED_TIPS = 200


class RefHistory:
    """The former tips of every ref, a bounded number of each."""

    def __init__(self) -> None:
        self._tips: dict[int, dict[str, deque[tuple[float, str]]]] = {}

    def moved(self, repository: Repository, ref: str, before: str) -> None:
        """Remember what a ref pointed at until now."""
        tips = self._tips.setdefault(repository.id, {}).setdefault(ref, deque(maxlen=REMEMBERED_TIPS))
        tips.append((time.monotonic(), before))

    def at(self, repository: Repository, ref: str, moment: float) -> str | None:
        """Return what a ref pointed at then, or None when it has not moved since."""
        tips = self._tips.get(repository.id, {}).get(ref, ())
        return next((before for moved_at, before in tips if moved_at > moment), None)

    def forget(self, repository: Repository) -> None:
        """Let a repository be as if it had always been what it is now."""
        self._tips.pop(repository.id, None)

    def clear(self) -> None:
        """Forget every repository's."""
        self._tips.clear()

    def refs(self, repository: Repository) -> list[str]:
        """Return the refs of a repository that ever moved."""
        return list(self._tips.get(repository.id, ()))

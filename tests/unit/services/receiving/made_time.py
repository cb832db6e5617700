"""An event loop whose time is made: nobody waits, and what is due is due at once, in its order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Lets the time pass in which nothing happens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look at what is there, and jump to when something is due."""
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not found:
            assert timeout is not None, "everybody waits, and nothing is due"
            self.now += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the made time."""
        return self._jumping.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test in made time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)

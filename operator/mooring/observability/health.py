"""Whether the process is alive and ready, as small questions that each part of it can answer at any moment.

Alive means that it makes sense to let it go on: a restart is the answer to no. Ready means that it does its work: the
answer to no is patience. An API server that is away makes it unready, never dead.
"""

from collections.abc import Callable

# What is wrong, for a person; None where all is well.
Check = Callable[[], str | None]


class Health:
    """The checks of a process, by name. An empty list of checks means yes."""

    def __init__(self) -> None:
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}

    def must_live(self, name: str, check: Check) -> None:
        """Add a check whose failure asks for a restart."""
        self._alive[name] = check

    def must_be_ready(self, name: str, check: Check) -> None:
        """Add a check whose failure asks for patience."""
        self._ready[name] = check

    def not_alive(self) -> list[str]:
        """Return what is wrong with being alive, one line each."""
        return _failures(self._alive)

    def not_ready(self) -> list[str]:
        """Return what is missing, one line each; what is dead is not ready either."""
        return [*_failures(self._alive), *_failures(self._ready)]


def _failures(checks: dict[str, Check]) -> list[str]:
    return [f"{name}: {wrong}" for name, check in checks.items() if (wrong := check()) is not None]


class Latch:
    """Something that must have happened once, such as the first filling of a cache."""

    def __init__(self, missing: str) -> None:
        self._missing = missing
        self.is_set = False

    def set(self) -> None:
        """Say that it has happened."""
        self.is_set = True

    def __call__(self) -> str | None:
        """Say what is missing."""
        return None if self.is_set else self._missing

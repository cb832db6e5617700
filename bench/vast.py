"""The ten thousand Projects that several scenarios look at: made once, and taken down at the end."""

from __future__ import annotations

from contextlib import ExitStack

_stack = ExitStack()


def close() -> None:
    """Take it down, if it was made."""
    _stack.close()

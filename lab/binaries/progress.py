"""Saying what takes so long. Everything goes to stderr: stdout is for results."""

import sys


def say(text: str) -> None:
    """One line of progress."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A rough time, as a person would say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"

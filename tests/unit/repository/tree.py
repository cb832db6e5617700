"""The files of this repository, for scans over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
# What tools leave behind starts with a dot or is one of these; the rest is the project.
_LEFT_BEHIND = {"__pycache__", "build", "dist"}
_DOT_FOLDERS = {".ci", ".github"}


def files() -> Iterator[Path]:
    """Go through all files, in order."""
    yield from _below(ROOT)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name not in _DOT_FOLDERS
            if not hidden and path.name not in _LEFT_BEHIND and not path.name.endswith(".egg-info"):
                yield from _below(path)
        elif path.suffix != ".pyc":
            yield path


def texts(*patterns: str) -> dict[str, str]:
    """Return the text files that fit one of the patterns (none: all), by their path from the root."""
    found = {}
    for path in files():
        if not patterns or any(path.match(pattern) for pattern in patterns):
            content = path.read_bytes()
            if b"\0" not in content:
                found[path.relative_to(ROOT).as_posix()] = content.decode("utf-8")
    return found

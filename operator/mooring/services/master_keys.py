"""Reads the versions of the master key from the folder where the administrator keeps them. No message quotes a key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mooring.domain.webhooks.keys import BadMasterKey, read_masters

LARGEST_FILE = 4096
# More than anybody has; only the newest few count.
MOST_FILES = 100


class BadMasterKeys(Exception):
    """The folder has no usable keys; the text goes on after the setting's name, and says what to do."""


class MasterKeys:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Mapping[int, bytes]:
        """Return the keys by version; raise BadMasterKeys where one cannot be used, since others would be derived."""
        try:
            return read_masters({path.name: _content(path) for path in _files(self._folder)})
        except BadMasterKey as problem:
            raise BadMasterKeys(f"names a folder that {problem}") from None
        except OSError as problem:
            raise BadMasterKeys(
                f"names a folder whose keys cannot be read ({problem.strerror}); let this process read all of them"
            ) from None


def _files(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if len(paths) > MOST_FILES:
        raise BadMasterKey(f"has more than {MOST_FILES} files; leave only the keys that are needed")
    return paths


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        found = file.read(LARGEST_FILE + 1)
    if len(found) > LARGEST_FILE:
        raise BadMasterKey(f"has a file {path.name[:50]!r} of more than {LARGEST_FILE} bytes; take a shorter key")
    return found

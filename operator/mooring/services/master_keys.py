"""Reads the versions of the master key from a folder, where the administrator keeps one.

Each is a file named by its number, and all of its bytes are the key: a line's end at its end counts, since a key may be
any bytes. No message has a byte of one in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mooring.domain.webhooks.keys import MASTER_KEY_BYTES

LARGEST_KEY = 4096
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


class BadMasterKeys(Exception):
    """The folder has no usable keys; the text says what to do."""


class MasterKeys:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Mapping[int, bytes]:
        """Return the keys by version; raise BadMasterKeys where one cannot be used, since others would be derived."""
        try:
            files = {path.name: path for path in self._folder.iterdir() if _VERSION.fullmatch(path.name)}
            found = {int(name): _content(path) for name, path in files.items()}
        except OSError as problem:
            raise BadMasterKeys(
                f"names a folder whose keys cannot be read ({problem.strerror}); let this process read all of them"
            ) from None
        if not found:
            raise BadMasterKeys("names a folder without a key; put one into a file named 1")
        for version, key in sorted(found.items()):
            if not MASTER_KEY_BYTES <= len(key) <= LARGEST_KEY:
                raise BadMasterKeys(
                    f"names a folder with a key that cannot be used: version {version} must have from"
                    f" {MASTER_KEY_BYTES} to {LARGEST_KEY} bytes"
                )
        return found


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_KEY + 1)

"""What a commit would write, read from git's listing before any of it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from mooring.checkout.failures import Failed

FILE, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
_GROUP_WRITABLE = "100664"
"""Written by git's first versions, and checked out as a plain file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a link or a submodule."""

    mode: str
    oid: str
    size: int
    path: str


def parse(listing: bytes) -> list[Entry]:
    """Read `git ls-tree -r -z -l`. Paths are the file system's bytes, as Python writes them."""
    return [_entry(line) for line in listing.split(b"\0") if line]


def _entry(line: bytes) -> Entry:
    head, _, path = line.partition(b"\t")
    mode, _, oid, size = head.decode("ascii").split()
    if mode not in {FILE, PROGRAM, LINK, SUBMODULE, _GROUP_WRITABLE}:
        raise Failed(f"the commit has an entry of the unknown kind {mode}")
    return Entry(FILE if mode == _GROUP_WRITABLE else mode, oid, 0 if size == "-" else int(size), os.fsdecode(path))


def within(entries: Iterable[Entry], path: str | None) -> list[Entry]:
    """Return the entries that a path names: itself, or what is below it."""
    return [e for e in entries if path is None or e.path == path or e.path.startswith(f"{path}/")]


def pattern(path: str) -> str:
    """Return the one line of a sparse checkout that takes a path and nothing else."""
    return "/" + "".join(f"\\{c}" if c in "\\*?[ " else c for c in path) + "\n"


def blobs(batch: bytes) -> dict[str, bytes]:
    """Read the answers of `git cat-file --batch`: contents by id."""
    found, at = {}, 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        words = batch[at:end].decode("ascii").split(" ")
        if len(words) != 3:
            raise Failed(f"the commit's object {words[0]} is missing")
        size = int(words[2])
        found[words[0]] = batch[end + 1 : end + 1 + size]
        at = end + size + 2
    return found

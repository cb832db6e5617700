"""Whether the workspace already holds what is asked for: the container was started again in the same pod.

By then the workload may have had the workspace. So nothing there is believed, and its configuration is not even read:
the commit is listed from the objects by a repository of our own on the scratch volume, and each file is compared with
the id that git gives it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mooring.checkout import lfs, trees, workspace
from mooring.checkout.failures import Failed
from mooring.checkout.git import Git, GitError, Place, TooMuchOutput
from mooring.checkout.limits import Budget, Limits
from mooring.checkout.request import Request
from mooring.checkout.source import Part, Reader, Wanted
from mooring.checkout.timing import Deadline
from mooring.checkout.trees import Entry

CHUNK = 1024 * 1024


class Proof:
    """Looks at a workspace and changes nothing in it."""

    def __init__(self, request: Request, git: Git, limits: Limits, deadline: Deadline) -> None:
        self._request = request
        self._git = git
        self._reader = Reader(git, Budget(limits))
        self._deadline = deadline

    def holds(self, wanted: Wanted) -> bool:
        """Tell whether the workspace holds exactly this; what else lies there does not count."""
        with tempfile.TemporaryDirectory(prefix="mooring-proof-") as scratch:
            try:
                return self._proven(wanted, Path(scratch))
            except (Failed, GitError, TooMuchOutput, OSError):
                self._deadline.check()
                return False

    def _proven(self, wanted: Wanted, scratch: Path) -> bool:
        folder = wanted.folder(self._request.destination)
        if not _is_at(folder, wanted.revision):
            return False
        part = self._reader.part(wanted, self._place(folder, wanted, scratch))
        # Some file may look like one by chance, and then it is what was committed.
        pointers = self._reader.pointers(part) if self._request.lfs else {}
        for entry in part.entries:
            self._deadline.check()
            if entry.mode != trees.SUBMODULE and not self._is_as_committed(folder, entry, part, pointers):
                return False
        if not self._request.submodules:
            return True
        return all(self._proven(below, scratch) for below in self._reader.submodules(part))

    def _place(self, folder: Path, wanted: Wanted, scratch: Path) -> Place:
        own = Path(tempfile.mkdtemp(dir=scratch))
        self._git.run(Place(own, folder), *init(wanted.revision))
        return Place(own, folder, folder / ".git" / "objects")

    def _is_as_committed(self, folder: Path, entry: Entry, part: Part, pointers: dict[str, lfs.Pointer]) -> bool:
        path = folder / entry.path
        found = os.lstat(path)
        if entry.mode == trees.LINK:
            return stat.S_ISLNK(found.st_mode) and os.readlink(path) == part.links[entry.path]  # noqa: PTH115 - bytes as they are
        runs = bool(found.st_mode & stat.S_IXUSR)
        if not stat.S_ISREG(found.st_mode) or runs != (entry.mode == trees.PROGRAM):
            return False
        if found.st_size == entry.size and _git_id(path, entry) == entry.oid:
            return True
        pointer = pointers.get(entry.oid)
        return pointer is not None and found.st_size == pointer.size and _sha256(path) == pointer.oid


def init(revision: str) -> tuple[str, ...]:
    """Return the command that makes a repository, without anybody's templates, for ids of this length."""
    kind = "sha1" if len(revision) == 40 else "sha256"
    return ("init", "--quiet", "--template=", "--initial-branch=mooring", f"--object-format={kind}")


def _is_at(folder: Path, revision: str) -> bool:
    """Tell whether there is a repository whose HEAD is this commit; it is written last of all."""
    head = folder / ".git" / "HEAD"
    if not workspace.is_folder(folder / ".git") or not stat.S_ISREG(os.lstat(head).st_mode):
        return False
    with head.open("rb") as file:
        return file.read(100) == f"{revision}\n".encode()


def _chunks(path: Path) -> Iterator[bytes]:
    # What was a file a moment ago may be a pipe by now, or a link.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        while chunk := file.read(CHUNK):
            yield chunk


def _git_id(path: Path, entry: Entry) -> str:
    """Return the id that git gives to a file with this content."""
    digest = hashlib.new("sha1" if len(entry.oid) == 40 else "sha256", usedforsecurity=False)
    digest.update(f"blob {entry.size}\0".encode())
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()

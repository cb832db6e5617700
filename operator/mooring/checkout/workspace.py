"""The folder that everything goes into: what may be there before, and how it is emptied."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from mooring.checkout.failures import Failed


def check(destination: Path) -> None:
    """Raise Failed where the folder is no workspace: what is in it would be removed."""
    try:
        found = os.lstat(destination)
    except OSError as problem:
        raise Failed(f"there is no folder {destination}: {problem.strerror}. Mount the workspace there") from None
    if not stat.S_ISDIR(found.st_mode) or destination.resolve() == Path("/"):
        raise Failed(f"{destination} is not a folder of its own. Mount the workspace there")
    ours = not any(destination.iterdir()) or is_folder(destination / ".git") or destination.is_mount()
    if not ours:
        raise Failed(
            f"{destination} is neither empty, nor a checkout, nor a volume of its own; nothing in it was touched."
            " Name an empty folder"
        )


def empty(destination: Path) -> None:
    """Remove what is in the folder, following no link."""
    # Last what `check` knows a checkout by: an end in between leaves a folder that may still be emptied.
    inside = sorted(destination.iterdir(), key=lambda path: path.name == ".git")
    try:
        for path in inside:
            _remove(path)
    except OSError as problem:
        raise Failed(
            f"{destination} cannot be emptied: {problem.strerror}. Delete the pod: the next one has a new workspace"
        ) from None


def _remove(path: Path) -> None:
    if not is_folder(path):
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        # Programs write-protect folders, as Go does with its modules.
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o700, follow_symlinks=True)  # noqa: PTH101 - os.walk gives text, and no links
        shutil.rmtree(path)


def is_folder(path: Path) -> bool:
    """Tell whether this is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def size_of(folder: Path) -> int:
    """Return how many bytes the files of a folder have, as far as they are still there."""
    size = 0
    try:
        with os.scandir(folder) as found:
            for entry in found:
                size += _size(entry)
    except FileNotFoundError:
        return 0
    return size


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0

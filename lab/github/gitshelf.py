"""Where the bare repositories stand: on disk as soon as `git` has to see them, in memory until then.

FOLDER/repositories/<id>.git holds refs; its `objects` is a link to FOLDER/objects/<network>, one store for a repository
and all its forks. So a commit that was pushed to a fork can be read through its parent, as on GitHub. Nothing is ever
collected. A seed makes thousands of repositories that no `git` ever asks for: these never reach the disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from lab.github import gitobjects
from lab.github.gitobjects import ObjectKind, Save
from lab.github.model import Repository

CONFIGURATION = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
# A repository with more than this goes to disk, so that memory stays bounded.
MEMORY_LIMIT = 256 * 1024


@dataclass(slots=True)
class Draft:
    """A repository that only this process knows."""

    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def save(self, kind: ObjectKind, data: bytes) -> str:
        """Keep an object."""
        sha, _ = gitobjects.whole_object(kind, data)
        self.objects[sha] = (kind, data)
        self.size += len(data)
        return sha


class Shelf:
    """The repositories' folders and drafts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._repositories = folder / "repositories"
        self._stores = folder / "objects"
        for wanted in (folder, self._repositories, self._stores):
            wanted.mkdir(exist_ok=True, parents=True)
        self._configuration = folder / "config"
        self._configuration.write_text(CONFIGURATION)
        self._drafts: dict[int, Draft] = {}
        # What an earlier run left: its records are gone, and ids begin anew.
        self._throw_away()

    # Making and removing

    def create(self, repository: Repository) -> None:
        """Make an empty repository."""
        self._drafts[repository.id] = Draft()

    def fork(self, parent: Repository, fork: Repository) -> None:
        """Make a repository without refs in the store of its parent."""
        self._make(fork, self._store(parent))
        self._put_head(fork)

    def remove(self, repository: Repository) -> None:
        """Remove a repository; its store goes with the last of its network."""
        if self._drafts.pop(repository.id, None) is not None:
            return
        store = self._store(repository)
        shutil.rmtree(self._folder_of(repository))
        if store not in {(other / "objects").resolve() for other in self._repositories.iterdir()}:
            shutil.rmtree(store)

    def clear(self) -> None:
        """Remove every repository; the files go in the background."""
        self._drafts.clear()
        self._throw_away()

    def _throw_away(self) -> None:
        if any(self._repositories.iterdir()):
            trash = Path(tempfile.mkdtemp(prefix="trash-", dir=self._folder))
            for folder in (self._repositories, self._stores):
                folder.rename(trash / folder.name)
                folder.mkdir()
        for trash in self._folder.glob("trash-*"):
            _remove_in_background(trash)

    # Places

    def path(self, repository: Repository) -> Path:
        """Return the folder of a repository, which is on disk from now on."""
        draft = self._drafts.get(repository.id)
        if draft is not None:
            try:
                self._write(repository, draft)
            except OSError:
                # A full disk: the draft is still whole, and can be written once there is room.
                shutil.rmtree(self._folder_of(repository), ignore_errors=True)
                shutil.rmtree(self._stores / str(repository.id), ignore_errors=True)
                raise
            del self._drafts[repository.id]
        return self._folder_of(repository)

    def _folder_of(self, repository: Repository) -> Path:
        return self._repositories / f"{repository.id}.git"

    def _store(self, repository: Repository) -> Path:
        return (self.path(repository) / "objects").resolve()

    def _write(self, repository: Repository, draft: Draft) -> None:
        store = self._stores / str(repository.id)
        store.mkdir()
        self._make(repository, store)
        self._put_head(repository)
        for kind, data in draft.objects.values():
            gitobjects.write_object(store, kind, data)
        for ref, sha in draft.refs.items():
            gitobjects.write_ref(self._folder_of(repository), ref, sha)

    def _make(self, repository: Repository, store: Path) -> None:
        path = self._folder_of(repository)
        (path / "refs" / "heads").mkdir(parents=True)
        os.link(self._configuration, path / "config")
        (path / "objects").symlink_to(os.path.relpath(store, path))

    def write_head(self, repository: Repository) -> None:
        """Make a clone check out the branch that the record calls the default."""
        if repository.id not in self._drafts:
            self._put_head(repository)

    def _put_head(self, repository: Repository) -> None:
        """Write HEAD in one step, since a `git` may be reading it, and only where it says something else."""
        file, head = self._folder_of(repository) / "HEAD", f"ref: refs/heads/{repository.default_branch}\n"
        if file.exists() and file.read_text() == head:
            return
        fresh = file.with_name("HEAD.new")
        fresh.write_text(head)
        fresh.replace(file)

    # Objects and refs

    def saver(self, repository: Repository) -> Save:
        """Return what keeps a new object of a repository."""
        draft = self._drafts.get(repository.id)
        if draft is not None and draft.size < MEMORY_LIMIT:
            return draft.save
        store = self._store(repository)
        return lambda kind, data: gitobjects.write_object(store, kind, data)

    def read(self, repository: Repository, sha: str) -> tuple[str, bytes] | None:
        """Return an object that needs no `git` to be read."""
        draft = self._drafts.get(repository.id)
        if draft is not None and sha in draft.objects:
            return draft.objects[sha]
        return gitobjects.read_loose(self._store(repository), sha)

    def ref(self, repository: Repository, ref: str) -> str | None:
        """Return what a full ref points at."""
        draft = self._drafts.get(repository.id)
        return gitobjects.read_ref(self.path(repository), ref) if draft is None else draft.refs.get(ref)

    def set_ref(self, repository: Repository, ref: str, sha: str) -> None:
        """Point a full ref at a commit; ValueError when another ref is in its way."""
        draft = self._drafts.get(repository.id)
        if draft is None or any(_clash(ref, other) for other in draft.refs):
            gitobjects.write_ref(self.path(repository), ref, sha)
        else:
            draft.refs[ref] = sha

    def size_kib(self, repository: Repository) -> int:
        """Return the size of a repository's store."""
        draft = self._drafts.get(repository.id)
        if draft is not None:
            return draft.size // 1024
        return sum(file.stat().st_size for file in self._store(repository).rglob("*") if file.is_file()) // 1024


def _clash(one: str, two: str) -> bool:
    """Tell whether one of two refs would have to be a folder of the other."""
    return one.startswith(f"{two}/") or two.startswith(f"{one}/")


def _remove_in_background(trash: Path) -> None:
    """Remove a folder in a thread that the end of the process does not wait for; the next start takes the rest."""
    threading.Thread(target=shutil.rmtree, args=(trash,), kwargs={"ignore_errors": True}, daemon=True).start()

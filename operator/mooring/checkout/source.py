"""A commit with its submodules, as git's objects tell of it: read and judged before anything of it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mooring.checkout import lfs, limits, links, modules, trees
from mooring.checkout.failures import Failed
from mooring.checkout.git import Git, GitError, Place, TooMuchOutput
from mooring.checkout.limits import Budget
from mooring.checkout.timing import Deadline
from mooring.checkout.trees import Entry
from mooring.checkout.words import named

_BATCH_HEAD = 200
"""Bytes that `git cat-file --batch` says before and after a blob, at most."""

_AT_ONCE = 5000
"""So many small files are read into memory together."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One repository at one commit, and where in the workspace it goes ("" is the workspace itself)."""

    url: str
    revision: str
    prefix: str = ""
    path: str | None = None
    depth: int = 0

    def where(self, path: str) -> str:
        """Return a path of this repository as a path of the workspace."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def folder(self, destination: Path) -> Path:
        """Return its folder."""
        return destination / self.prefix if self.prefix else destination

    @property
    def shown(self) -> str:
        """Return what it is called in sentences."""
        return named(self.url)


@dataclass(slots=True)
class Part:
    """A repository whose objects are here."""

    wanted: Wanted
    place: Place
    entries: list[Entry]
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links and their targets."""


class Reader:
    """Reads commits out of objects that are here already."""

    def __init__(self, git: Git, budget: Budget) -> None:
        self._git = git
        self._budget = budget

    def part(self, wanted: Wanted, place: Place) -> Part:
        """Return what a commit would write; raise Failed where that is too much."""
        self._prove_commit(wanted, place)
        entries = self._entries(wanted, place)
        if wanted.path is not None and not entries:
            raise Failed(
                f"the commit {wanted.revision} of {wanted.shown} has no {named(wanted.path)}. Correct spec.source.path"
            )
        self._budget.take_bytes(sum(entry.size for entry in entries), wanted.shown)
        return Part(wanted, place, entries, self._links(place, entries))

    def submodules(self, part: Part) -> Iterator[Wanted]:
        """Go through what a repository has below it; raise Failed where that is too much, or elsewhere."""
        inside = [entry for entry in part.entries if entry.mode == trees.SUBMODULE]
        urls = self._urls(part) if inside else {}
        for entry in inside:
            shown = named(part.wanted.where(entry.path))
            if part.wanted.depth >= limits.MAX_DEPTH:
                raise Failed(f"the submodule {shown} lies deeper than {limits.MAX_DEPTH} submodules in one another")
            self._budget.take_submodule(shown)
            url = modules.address(entry.path, urls.get(entry.path), part.wanted.url)
            yield Wanted(url, entry.oid, part.wanted.where(entry.path), depth=part.wanted.depth + 1)

    def contents(self, place: Place, entries: Iterable[Entry]) -> dict[str, bytes]:
        """Return what these files hold, by id."""
        sizes = {entry.oid: entry.size for entry in entries}
        if not sizes:
            return {}
        limit = sum(sizes.values()) + _BATCH_HEAD * len(sizes)
        asked = "".join(f"{oid}\n" for oid in sizes).encode()
        return trees.blobs(self._git.run(place, "cat-file", "--batch", "--buffer", stdin=asked, limit=limit))

    def pointers(self, part: Part) -> dict[str, lfs.Pointer]:
        """Return what looks like a pointer to a large file, by id."""
        candidates, found = lfs.candidates(part.entries), dict[str, lfs.Pointer]()
        for start in range(0, len(candidates), _AT_ONCE):
            contents = self.contents(part.place, candidates[start : start + _AT_ONCE])
            found |= {oid: pointer for oid, content in contents.items() if (pointer := lfs.pointer(content))}
        return found

    def _prove_commit(self, wanted: Wanted, place: Place) -> None:
        try:
            found = self._git.run(
                place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted.revision}^{{commit}}"
            )
        except GitError:
            found = b""
        # What is peeled off a tag has another id.
        if found.decode("ascii", "replace").strip() != wanted.revision:
            raise Failed(f"{wanted.revision} is no commit of {wanted.shown}")

    def _entries(self, wanted: Wanted, place: Place) -> list[Entry]:
        below = () if wanted.path is None else (wanted.path,)
        command = ("ls-tree", "-r", "-z", "-l", "--full-tree", wanted.revision, "--", *below)
        try:
            listing = self._git.run(place, *command, limit=limits.MAX_LISTING)
        except TooMuchOutput:
            raise Failed(
                f"the commit of {wanted.shown} has too many files: their names alone take more than"
                f" {limits.MAX_LISTING >> 20} MiB. Name a folder in spec.source.path"
            ) from None
        # Before each becomes an object of ours: they take a multiple of the memory.
        self._budget.take_files(listing.count(b"\0"), wanted.shown)
        return trees.within(trees.parse(listing), wanted.path)

    def _links(self, place: Place, entries: list[Entry]) -> dict[str, str]:
        found = [entry for entry in entries if entry.mode == trees.LINK]
        for entry in found:
            if entry.size > limits.MAX_LINK:
                raise Failed(f"the symbolic link {named(entry.path)} is longer than a path may be. Take it out")
        if sum(entry.size for entry in found) > limits.MAX_LINKS:
            raise Failed("the commit has too many symbolic links. Name a folder in spec.source.path")
        targets = self.contents(place, found)
        return {entry.path: os.fsdecode(targets[entry.oid]) for entry in found}

    def _urls(self, part: Part) -> dict[str, str]:
        revision = part.wanted.revision
        command = ("config", "--no-includes", f"--blob={revision}:.gitmodules", "-z", "--list")
        try:
            return modules.parse(self._git.run(part.place, *command))
        except (GitError, TooMuchOutput):
            raise Failed(
                f"{part.wanted.shown} has submodules, but no .gitmodules that can be read. Correct it, or turn"
                " spec.source.submodules off"
            ) from None


def judge_links(parts: Iterable[Part], deadline: Deadline) -> None:
    """Raise Failed where a link leads out of the workspace, through whichever other links."""
    every = {part.wanted.where(path): target for part in parts for path, target in part.links.items()}
    cut = next((path for path, target in every.items() if "\0" in target), None)
    # The kernel would take what stands before the NUL for the whole.
    found = cut or links.first_leading_out(every, deadline.check)
    if found is not None:
        raise Failed(
            f"the symbolic link {named(found)} leads out of the repository, to {named(every[found])}."
            " Take it out, or let it lead to a file of the repository"
        )

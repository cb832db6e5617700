"""The bare repositories behind the lab's GitHub: the `Git` protocol, with real git data that a real `git` can clone.

Short work is done on the objects and refs themselves (`gitobjects`, kept by `gitshelf`), the rest by the `git` command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lab.github import gitdiff, gitobjects
from lab.github.context import ChangedFile, Comparison, GitCommit, Signature, TreeEntry
from lab.github.gitcommand import GitCommand, GitError
from lab.github.gitshelf import Shelf
from lab.github.model import ZERO_SHA, Repository
from lab.github.refhistory import RefHistory

# GitHub's own caps on a comparison.
COMPARED_COMMITS = 250
COMPARED_FILES = 300
PUSHED_COMMITS = 2048


class GitStore:
    """The repositories on disk."""

    def __init__(self, folder: Path) -> None:
        self._shelf = Shelf(folder.absolute())
        self.command = GitCommand(folder.absolute())
        self.history = RefHistory()
        self._locks: dict[int, asyncio.Lock] = {}

    # Repositories

    def path(self, repository: Repository) -> Path:
        """Return the bare repository's folder, for the `git` command."""
        return self._shelf.path(repository)

    def lock(self, repository: Repository) -> asyncio.Lock:
        """Return the lock that every change of a repository's refs takes."""
        return self._locks.setdefault(repository.id, asyncio.Lock())

    async def create(self, repository: Repository) -> None:
        """Make an empty repository."""
        self._shelf.create(repository)

    async def fork(self, parent: Repository, fork: Repository) -> None:
        """Make a repository with the parent's branches and tags, in the same store of objects."""
        self._shelf.fork(parent, fork)
        for ref, sha in (await self.refs(parent)).items():
            self._shelf.set_ref(fork, ref, sha)

    async def remove(self, repository: Repository) -> None:
        """Remove a repository; its objects stay as long as a fork uses them."""
        self._locks.pop(repository.id, None)
        self.history.forget(repository)
        await asyncio.to_thread(self._shelf.remove, repository)

    async def clear(self) -> None:
        """Remove every repository at once; the files go while the lab goes on."""
        self._locks.clear()
        self.history.clear()
        self._shelf.clear()

    def write_head(self, repository: Repository) -> None:
        """Make a clone check out the branch that the record calls the default."""
        self._shelf.write_head(repository)

    async def size_kib(self, repository: Repository) -> int:
        """Return the size of the objects, the forks' included."""
        return await asyncio.to_thread(self._shelf.size_kib, repository)

    # Refs

    async def refs(self, repository: Repository) -> dict[str, str]:
        """Return every ref and what it points at, an annotated tag as the tag object."""
        out = await self.command.run(self.path(repository), "for-each-ref", "--format=%(objectname) %(refname)")
        pairs = (line.split(" ", 1) for line in out.decode().splitlines())
        return {ref: sha for sha, ref in pairs}

    async def branches(self, repository: Repository) -> Sequence[tuple[str, str]]:
        """Return the branches by name."""
        return await self._named(repository, "refs/heads/")

    async def tags(self, repository: Repository) -> Sequence[tuple[str, str]]:
        """Return the tags by name, each with its commit."""
        tags = await self._named(repository, "refs/tags/")
        return [(name, await self._peel(repository, sha) or sha) for name, sha in tags]

    async def _named(self, repository: Repository, prefix: str) -> list[tuple[str, str]]:
        refs = await self.refs(repository)
        return sorted((ref.removeprefix(prefix), sha) for ref, sha in refs.items() if ref.startswith(prefix))

    async def branch(self, repository: Repository, name: str) -> str | None:
        """Return a branch's commit."""
        if not gitobjects.valid_ref(name):
            return None
        return self._shelf.ref(repository, f"refs/heads/{name}")

    async def resolve(self, repository: Repository, revision: str) -> str | None:
        """Return the commit that a branch, tag, HEAD, full ref or (short) SHA names."""
        if revision == "HEAD":
            return await self.branch(repository, repository.default_branch)
        if gitobjects.FULL_SHA.fullmatch(revision):
            return await self._peel(repository, revision)
        if not gitobjects.valid_ref(revision):
            return None
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", f"refs/{revision}", revision):
            sha = self._shelf.ref(repository, ref) if ref.startswith("refs/") else None
            if sha is not None:
                return await self._peel(repository, sha)
        return await self._short(repository, revision)

    async def _short(self, repository: Repository, revision: str) -> str | None:
        if len(revision) < 7 or not all(c in "0123456789abcdef" for c in revision):
            return None
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        out = await self.command.run(self.path(repository), *arguments, accept=(0, 1, 128))
        return out.decode().strip() or None

    async def _peel(self, repository: Repository, sha: str) -> str | None:
        for _ in range(10):
            found = await self.read(repository, sha)
            if found is None or found[0] in {"blob", "tree"}:
                return None
            if found[0] == "commit":
                return sha
            sha = gitobjects.tagged(found[1])
        return None

    # Objects

    async def read(self, repository: Repository, sha: str) -> tuple[str, bytes] | None:
        """Read one object, loose or packed."""
        near = self._shelf.read(repository, sha)
        if near is not None:
            return near
        out = await self.command.run(self.path(repository), "cat-file", "--batch", stdin=sha.encode() + b"\n")
        header, _, rest = out.partition(b"\n")
        words = header.decode().split(" ")
        return None if len(words) != 3 else (words[1], rest[: int(words[2])])

    async def commit(self, repository: Repository, revision: str, *, files: bool = True) -> GitCommit | None:
        """Return a commit, with its changes against the first parent unless told not to."""
        sha = await self.resolve(repository, revision)
        found = None if sha is None else await self.read(repository, sha)
        if sha is None or found is None:
            return None
        commit = gitobjects.parse_commit(sha, found[1])
        if not files:
            return commit
        before = commit.parents[0] if commit.parents else gitdiff.EMPTY_TREE
        return replace(commit, files=await self.changes(repository, before, sha))

    async def changes(self, repository: Repository, before: str, after: str) -> tuple[ChangedFile, ...]:
        """Return what differs between two commits or trees."""
        path = self.path(repository)
        raw, patches = await asyncio.gather(
            self.command.run(path, *gitdiff.DIFF_ARGUMENTS, before, after),
            self.command.run(path, *gitdiff.PATCH_ARGUMENTS, before, after),
        )
        return gitdiff.parse_diff(raw, patches)

    async def log(
        self, repository: Repository, revision: str, *, path: str | None, skip: int, limit: int
    ) -> Sequence[GitCommit]:
        """Return the newest commits first, without their files."""
        sha = await self.resolve(repository, revision)
        if sha is None:
            return []
        return await self._commits(repository, f"--skip={skip}", f"--max-count={limit}", sha, "--", *_below(path))

    async def count(self, repository: Repository, revision: str, *, path: str | None) -> int:
        """Return how many commits `log` would give without a limit."""
        sha = await self.resolve(repository, revision)
        if sha is None:
            return 0
        out = await self.command.run(self.path(repository), "rev-list", "--count", sha, "--", *_below(path))
        return int(out)

    async def _commits(self, repository: Repository, *arguments: str) -> list[GitCommit]:
        listed = await self.command.run(self.path(repository), "rev-list", *arguments)
        if not listed:
            return []
        out = await self.command.run(self.path(repository), "cat-file", "--batch", stdin=listed)
        commits, at = [], 0
        for sha in listed.decode().split():
            end = out.index(b"\n", at)
            size = int(out[at:end].split(b" ")[2])
            commits.append(gitobjects.parse_commit(sha, out[end + 1 : end + 1 + size]))
            at = end + size + 2
        return commits

    async def compare(self, repository: Repository, base: str, head: str) -> Comparison | None:
        """Compare from the merge base, as GitHub's three dots do; None also when there is no common commit."""
        one = await self.commit(repository, base, files=False)
        two = await self.commit(repository, head, files=False)
        if one is None or two is None:
            return None
        path = self.path(repository)
        found = (await self.command.run(path, "merge-base", one.sha, two.sha, accept=(0, 1))).decode().strip()
        merge_base = await self.commit(repository, found, files=False) if found else None
        if merge_base is None:
            return None
        counts = await self.command.run(path, "rev-list", "--left-right", "--count", f"{one.sha}...{two.sha}")
        behind, ahead = (int(number) for number in counts.split())
        return Comparison(
            base=one,
            head=two,
            merge_base=merge_base,
            ahead_by=ahead,
            behind_by=behind,
            commits=tuple(await self._oldest_first(repository, one.sha, two.sha, COMPARED_COMMITS)),
            files=(await self.changes(repository, merge_base.sha, two.sha))[:COMPARED_FILES],
        )

    async def _oldest_first(self, repository: Repository, base: str, head: str, limit: int) -> list[GitCommit]:
        """Return what head has and base has not; of too many the newest, as GitHub keeps them."""
        newest_first = await self._commits(repository, f"--max-count={limit}", "--topo-order", head, f"^{base}", "--")
        return newest_first[::-1]

    async def contents(
        self, repository: Repository, revision: str, path: str
    ) -> TreeEntry | Sequence[TreeEntry] | None:
        """Return a file with its bytes, or what is in a folder."""
        commit = await self.commit(repository, revision, files=False)
        if commit is None:
            return None
        item = gitobjects.TreeItem(gitobjects.TREE_MODE, "", commit.tree_sha)
        parts = [part for part in path.split("/") if part]
        for part in parts:
            below = await self._items(repository, item) if item.is_tree else []
            found = next((candidate for candidate in below if candidate.name == part), None)
            if found is None:
                return None
            item = found
        here = "/".join(parts)
        if item.is_tree:
            return await self._entries(repository, item, here)
        if item.mode == b"160000":
            return TreeEntry(path=here, kind="submodule", sha=item.sha, size=0)
        _, data = await self.read(repository, item.sha) or ("", b"")
        return TreeEntry(path=here, kind=_kind(item), sha=item.sha, size=len(data), content=data)

    async def _items(self, repository: Repository, tree: gitobjects.TreeItem) -> list[gitobjects.TreeItem]:
        found = await self.read(repository, tree.sha)
        return [] if found is None else gitobjects.parse_tree(found[1])

    async def _entries(self, repository: Repository, tree: gitobjects.TreeItem, here: str) -> list[TreeEntry]:
        items = await self._items(repository, tree)
        entries = []
        for item in items:
            kind = _kind(item)
            blob = await self.read(repository, item.sha) if kind in {"file", "symlink"} else None
            where = f"{here}/{item.name}" if here else item.name
            size = 0 if blob is None else len(blob[1])
            entries.append(TreeEntry(path=where, kind=kind, sha=item.sha, size=size))
        return entries

    # Changes

    async def write(
        self,
        repository: Repository,
        branch: str,
        changes: Mapping[str, bytes | None],
        *,
        message: str,
        author: Signature,
        parent: str | None = None,
    ) -> tuple[str, str]:
        """Commit changes (None removes a file) on a branch; returns (before, after). Without a parent: on its tip."""
        _refuse_bad_paths(changes)
        async with self.lock(repository):
            before = await self.branch(repository, branch)
            base = parent or before
            commit = None if base is None else await self.commit(repository, base, files=False)
            if commit is None and parent is not None:
                raise ValueError(f"commit {parent} is not in {repository.name}")
            known = {} if commit is None else await self._trees(repository, commit.tree_sha, changes)
            save = self._shelf.saver(repository)
            tree = gitobjects.change_tree(save, known.get, None if commit is None else commit.tree_sha, changes)
            tree = tree or gitobjects.write_tree(save, [])
            parents = () if commit is None else (commit.sha,)
            after = gitobjects.write_commit(save, tree, parents, message, author)
            self._point(repository, branch, after, before)
        return before or ZERO_SHA, after

    async def _trees(
        self, repository: Repository, root: str, paths: Mapping[str, bytes | None]
    ) -> dict[str, tuple[str, bytes]]:
        """Read the trees that a change of these paths goes through."""
        known: dict[str, tuple[str, bytes]] = {}
        for path in paths:
            sha: str | None = root
            for part in path.split("/"):
                found = None if sha is None else known.get(sha) or await self.read(repository, sha)
                if sha is None or found is None:
                    break
                known[sha] = found
                below = gitobjects.parse_tree(found[1])
                sha = next((item.sha for item in below if item.name == part and item.is_tree), None)
        return known

    async def set_branch(self, repository: Repository, branch: str, sha: str | None) -> tuple[str, str]:
        """Point a branch at a commit, also backwards, or delete it (None); returns (before, after)."""
        async with self.lock(repository):
            before = await self.branch(repository, branch)
            if sha is not None:
                if await self._peel(repository, sha) != sha:
                    raise ValueError(f"{sha} is not a commit in {repository.name}")
                self._point(repository, branch, sha, before)
            elif before is not None:
                await self.command.run(self.path(repository), "update-ref", "-d", f"refs/heads/{branch}")
                self.history.moved(repository, f"refs/heads/{branch}", before)
        return before or ZERO_SHA, sha or ZERO_SHA

    def _point(self, repository: Repository, branch: str, sha: str, before: str | None) -> None:
        if not gitobjects.valid_ref(branch):
            raise ValueError(f"{branch!r} is not a valid branch name")
        self._shelf.set_ref(repository, f"refs/heads/{branch}", sha)
        self.history.moved(repository, f"refs/heads/{branch}", before or ZERO_SHA)

    # What a push event tells

    async def pushed(
        self, repository: Repository, ref: str, before: str, after: str
    ) -> list[tuple[GitCommit, gitdiff.PushedCommit]]:
        """Return the commits that `after` has and `before` has not, oldest first, with their lists of files.

        Of a new ref: what no other branch has.
        """
        known = [f"^{before}"] if before != ZERO_SHA else await self._elsewhere(repository, ref)
        path = self.path(repository)
        range_ = (f"--max-count={PUSHED_COMMITS}", "--topo-order", after, *known, "--")
        out = await self.command.run(path, "log", *gitdiff.LISTS_ARGUMENTS, *range_)
        commits = await self._commits(repository, *range_)
        lists = {listed.sha: listed for listed in gitdiff.parse_lists(out)}
        return [(commit, lists[commit.sha]) for commit in reversed(commits)]

    async def distinct(self, repository: Repository, ref: str, after: str) -> set[str]:
        """Return the commits of a ref that no other branch has."""
        elsewhere = await self._elsewhere(repository, ref)
        arguments = (f"--max-count={PUSHED_COMMITS}", after, *elsewhere, "--")
        return set((await self.command.run(self.path(repository), "rev-list", *arguments)).decode().split())

    async def _elsewhere(self, repository: Repository, ref: str) -> list[str]:
        refs = await self.refs(repository)
        return sorted({f"^{sha}" for name, sha in refs.items() if name.startswith("refs/heads/") and name != ref})

    async def is_ancestor(self, repository: Repository, older: str, newer: str) -> bool:
        """Tell whether `newer` contains `older`."""
        path = self.path(repository)
        try:
            await self.command.run(path, "merge-base", "--is-ancestor", older, newer)
        except GitError:
            return False
        return True


def _kind(item: gitobjects.TreeItem) -> Literal["file", "dir", "symlink", "submodule"]:
    kinds: dict[bytes, Literal["dir", "symlink", "submodule"]]
    kinds = {gitobjects.TREE_MODE: "dir", b"120000": "symlink", b"160000": "submodule"}
    return kinds.get(item.mode, "file")


def _below(path: str | None) -> tuple[str, ...]:
    return () if path is None else (f":(literal){path}",)


def _refuse_bad_paths(changes: Mapping[str, bytes | None]) -> None:
    for path in changes:
        parts = path.split("/")
        if any(part in {"", ".", ".."} or part.casefold() == ".git" or "\0" in part for part in parts):
            raise ValueError(f"{path!r} is not a path that git can keep")

"""Reads of a replica that is behind: `Git` as the REST API sees it while a lag fault is in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.github.context import Comparison, GitCommit, Signature, TreeEntry
from lab.github.faults import Faults
from lab.github.gitstore import GitStore
from lab.github.model import ZERO_SHA, Repository
from lab.github.world import World


class LaggingGit:
    """The store, where branches may still point at what they were. Commits are found by SHA at once."""

    def __init__(self, store: GitStore, faults: Faults, world: World) -> None:
        self._store = store
        self._faults = faults
        self._world = world

    def _old_tip(self, repository: Repository, branch: str) -> str | None:
        """Return the tip that a lagging replica shows (zeros: no such branch yet), or None when it is up to date."""
        moment = self._faults.lag_moment(self._world.full_name(repository))
        return None if moment is None else self._store.history.at(repository, f"refs/heads/{branch}", moment)

    def _as_of(self, repository: Repository, revision: str) -> str:
        """Turn a branch into the commit that it was; anything else stays."""
        name = repository.default_branch if revision == "HEAD" else revision
        for prefix in ("refs/heads/", "heads/"):
            name = name.removeprefix(prefix)
        return self._old_tip(repository, name) or revision

    async def create(self, repository: Repository) -> None:
        """See `Git`."""
        await self._store.create(repository)

    async def remove(self, repository: Repository) -> None:
        """See `Git`."""
        await self._store.remove(repository)

    async def fork(self, parent: Repository, fork: Repository) -> None:
        """See `Git`."""
        await self._store.fork(parent, fork)

    async def branches(self, repository: Repository) -> Sequence[tuple[str, str]]:
        """Return the branches as they were."""
        tips = dict(await self._store.branches(repository))
        moved = (ref.removeprefix("refs/heads/") for ref in self._store.history.refs(repository))
        for branch in {*tips, *moved}:
            old = self._old_tip(repository, branch)
            if old is not None:
                tips[branch] = old
        return sorted((branch, sha) for branch, sha in tips.items() if sha != ZERO_SHA)

    async def tags(self, repository: Repository) -> Sequence[tuple[str, str]]:
        """See `Git`."""
        return await self._store.tags(repository)

    async def resolve(self, repository: Repository, revision: str) -> str | None:
        """Return the commit that a revision named."""
        return await self._store.resolve(repository, self._as_of(repository, revision))

    async def branch(self, repository: Repository, name: str) -> str | None:
        """Return a branch's commit as it was."""
        old = self._old_tip(repository, name)
        if old is None:
            return await self._store.branch(repository, name)
        return None if old == ZERO_SHA else old

    async def commit(self, repository: Repository, revision: str, *, files: bool = True) -> GitCommit | None:
        """Return the commit that a revision named."""
        return await self._store.commit(repository, self._as_of(repository, revision), files=files)

    async def log(
        self, repository: Repository, revision: str, *, path: str | None, skip: int, limit: int
    ) -> Sequence[GitCommit]:
        """Return the commits that a revision had."""
        as_of = self._as_of(repository, revision)
        return await self._store.log(repository, as_of, path=path, skip=skip, limit=limit)

    async def count(self, repository: Repository, revision: str, *, path: str | None) -> int:
        """Count the commits that a revision had."""
        return await self._store.count(repository, self._as_of(repository, revision), path=path)

    async def compare(self, repository: Repository, base: str, head: str) -> Comparison | None:
        """Compare what two revisions were."""
        return await self._store.compare(repository, self._as_of(repository, base), self._as_of(repository, head))

    async def contents(
        self, repository: Repository, revision: str, path: str
    ) -> TreeEntry | Sequence[TreeEntry] | None:
        """Return the contents of what a revision was."""
        return await self._store.contents(repository, self._as_of(repository, revision), path)

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
        """Write on the branch as it is: writes go to the primary."""
        return await self._store.write(repository, branch, changes, message=message, author=author, parent=parent)

    async def set_branch(self, repository: Repository, branch: str, sha: str | None) -> tuple[str, str]:
        """Move the branch as it is: writes go to the primary."""
        return await self._store.set_branch(repository, branch, sha)

    async def size_kib(self, repository: Repository) -> int:
        """See `Git`."""
        return await self._store.size_kib(repository)

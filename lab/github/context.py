"""What the parts of the lab's GitHub know of each other: protocols, and the context that carries them to a handler.

`rest` answers the API and asks `Git` for commits; whatever it changes, it tells `Events`. `gitstore`, `events` and
`deliveries` implement these protocols. `server` puts the context together.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from aiohttp import web

from lab.github.limits import Quotas
from lab.github.model import Account, App, Credential, Delivery, Hook, Installation, Push, Repository
from lab.github.world import World

FileChange = Literal["added", "removed", "modified", "renamed", "copied", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Signature:
    """Who wrote or committed, and when."""

    name: str
    email: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a commit or a comparison."""

    path: str
    status: FileChange
    sha: str
    additions: int = 0
    deletions: int = 0
    previous_path: str | None = None
    patch: str | None = None


@dataclass(frozen=True, slots=True)
class GitCommit:
    """A commit as git has it."""

    sha: str
    tree_sha: str
    message: str
    author: Signature
    committer: Signature
    parents: tuple[str, ...] = ()
    files: tuple[ChangedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `head` has that `base` has not, from their merge base (three dots)."""

    base: GitCommit
    head: GitCommit
    merge_base: GitCommit
    ahead_by: int
    behind_by: int
    # Oldest first.
    commits: tuple[GitCommit, ...]
    files: tuple[ChangedFile, ...]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file or a folder in a commit."""

    path: str
    kind: Literal["file", "dir", "symlink", "submodule"]
    sha: str
    size: int
    # Filled for a single file only.
    content: bytes | None = None


class Git(Protocol):
    """The bare repositories. A revision is a branch, a tag or a (short) SHA; an unknown one gives None."""

    async def create(self, repository: Repository) -> None: ...
    async def remove(self, repository: Repository) -> None: ...
    async def fork(self, parent: Repository, fork: Repository) -> None: ...
    async def branches(self, repository: Repository) -> Sequence[tuple[str, str]]: ...
    async def tags(self, repository: Repository) -> Sequence[tuple[str, str]]: ...
    async def resolve(self, repository: Repository, revision: str) -> str | None: ...
    async def branch(self, repository: Repository, name: str) -> str | None: ...
    async def commit(self, repository: Repository, revision: str, *, files: bool = True) -> GitCommit | None: ...
    async def log(
        self, repository: Repository, revision: str, *, path: str | None, skip: int, limit: int
    ) -> Sequence[GitCommit]: ...
    async def count(self, repository: Repository, revision: str, *, path: str | None) -> int: ...
    async def compare(self, repository: Repository, base: str, head: str) -> Comparison | None: ...
    async def contents(
        self, repository: Repository, revision: str, path: str
    ) -> TreeEntry | Sequence[TreeEntry] | None: ...
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
        ...

    async def set_branch(self, repository: Repository, branch: str, sha: str | None) -> tuple[str, str]:
        """Point a branch at a commit, also backwards, or delete it (None); returns (before, after)."""
        ...

    async def size_kib(self, repository: Repository) -> int: ...


class Events(Protocol):
    """Turns what happened into webhook events for every hook that wants them."""

    async def push(self, push: Push) -> None: ...
    async def ping(self, hook: Hook, sender: Account) -> None: ...
    async def test_push(self, hook: Hook, sender: Account) -> None: ...
    async def repository(
        self, action: str, repository: Repository, sender: Account, changes: dict[str, object]
    ) -> None:
        """Tell of created, deleted, renamed, transferred, privatized, publicized, archived, unarchived, edited."""
        ...

    async def installation(self, action: str, installation: Installation, sender: Account) -> None:
        """Tell of created, deleted, suspend, unsuspend, new_permissions_accepted."""
        ...

    async def installation_repositories(
        self, action: str, installation: Installation, changed: Sequence[Repository], sender: Account
    ) -> None:
        """Tell of repositories that were added to or removed from an installation."""
        ...

    async def installation_target(self, installation: Installation, former_login: str, sender: Account) -> None:
        """Tell that the account of an installation was renamed."""
        ...


class Deliveries(Protocol):
    """Sends events and remembers each attempt."""

    async def redeliver(self, delivery: Delivery) -> Delivery: ...


@dataclass(slots=True)
class Caller:
    """Who a request comes from. Nobody at all is a caller too."""

    credential: Credential | None = None
    account: Account | None = None
    installation: Installation | None = None
    app: App | None = None

    @property
    def name(self) -> str:
        """Return the public name for the journal."""
        if self.credential is not None:
            return self.credential.id
        return f"app-{self.app.id}" if self.app is not None else "anonymous"


@dataclass(slots=True)
class Context:
    """All that a handler may touch."""

    world: World
    git: Git
    events: Events
    deliveries: Deliveries
    # What the contract check found wrong with our own answers; tests fail when it is not empty.
    violations: list[str] = field(default_factory=list)
    # Rate limits and what has been used of them.
    quotas: Quotas = field(default_factory=Quotas)
    # One at a time looks at a repository's file and replaces it.
    editing: defaultdict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)

"""What the services need of the world, as protocols. `github`, `cluster` and `wiring` implement them.

Kubernetes objects are plain dicts here (see docs/decisions); what GitHub says comes as the small records below.
A method raises one of `domain.errors` and nothing else that a service would have to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mooring.domain.names import Kind, OwnKind

Object = dict[str, Any]


class AlreadyExists(Exception):
    """The first write of a child found an object of that name: it is not ours, and is left alone."""


class Changed(Exception):
    """The object was changed, removed or replaced since it was observed: observe again."""


class Clock(Protocol):
    """The time, so that tests can have their own."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class Cluster(Protocol):
    """The Kubernetes API, as far as the services use it. Every method is one request."""

    async def read(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, or None where there is none."""
        ...

    async def read_own(self, kind: OwnKind, namespace: str, name: str) -> Object | None:
        """Return one of the three kinds, fresh from the API server."""
        ...

    async def create(self, manifest: Object) -> Object:
        """Make a child where there is none; raise AlreadyExists where the name is taken, whoever was first."""
        ...

    async def apply(self, manifest: Object, *, uid: str) -> Object:
        """Apply a child by server-side apply, held to the uid that was observed; raise Changed where that is gone."""
        ...

    async def drop_data(self, secret: Object, keys: Iterable[str]) -> Object:
        """Take keys out of a Secret that others put in, held to its version; raise Changed where that moved on.

        An apply leaves alone what another manager owns.
        """
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete exactly the object that was observed; one that is gone is fine; raise Changed where it changed."""
        ...

    async def write_status(
        self,
        kind: OwnKind,
        namespace: str,
        name: str,
        status: Mapping[str, Any],
        *,
        uid: str,
        resource_version: str | None,
    ) -> Object:
        """Merge fields into a status (None removes one); with a resource version, raise Changed where it moved."""
        ...

    async def emit(self, subject: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post a Kubernetes Event about an object. Losing one is not an error."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a GitHub answers: every credential is bound to one and goes nowhere else."""

    api_url: str
    web_url: str


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """What GitHub says about a personal access token."""

    github_id: int
    login: str
    kind: str
    scopes: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """What GitHub says about a repository, to the credential that asked."""

    id: int
    node_id: str
    full_name: str
    private: bool
    default_branch: str


class GitHub(Protocol):
    """GitHub's REST API with a given credential (None: anonymous), on behalf of a namespace that pays for it."""

    async def identify(self, origin: Origin, token: str, *, namespace: str) -> TokenIdentity:
        """Validate a token; raise Stalled(TOKEN_INVALID) where GitHub refuses it."""
        ...

    async def repository(self, origin: Origin, token: str | None, full_name: str, *, namespace: str) -> RepositoryFacts:
        """Look a repository up by name; raise Stalled(REPOSITORY_NOT_FOUND)."""
        ...

    async def head(self, origin: Origin, token: str | None, repository_id: int, branch: str, *, namespace: str) -> str:
        """Return the commit at the tip of a branch; raise Stalled(BRANCH_NOT_FOUND)."""
        ...

    async def remote_head(self, url: str, token: str | None, branch: str | None, *, namespace: str) -> tuple[str, str]:
        """Ask a plain git URL for a branch (None: its default one); return the branch and the commit at its tip."""
        ...

    async def on_a_branch(
        self, origin: Origin, token: str | None, repository_id: int, sha: str, *, branch: str, namespace: str
    ) -> bool:
        """Tell whether a commit is reachable from a branch: a fork's commit is not, though its parent shows it."""
        ...


class Audit(Protocol):
    """The record of every use, change and removal of a credential: who, what, which object, never the value."""

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        """Write one line."""
        ...

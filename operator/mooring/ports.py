"""What the services need of the world, as protocols. `github`, `cluster` and `wiring` implement them.

Kubernetes objects are plain dicts here (see docs/decisions); what GitHub says comes as the small records below.
A method raises one of `domain.errors` and nothing else that a service would have to know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mooring.domain.comparisons import Comparison
from mooring.domain.installations import AppFacts, InstallationFacts, MintedToken
from mooring.domain.leadership import Lease
from mooring.domain.names import Kind, OwnKind
from mooring.domain.sweeping import Listed
from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.events import Event
from mooring.domain.webhooks.hooking import HookWish, RepositoryHook

# What GitHub says of installations, commits, hooks and deliveries are the domain's own words, and part of this port.
__all__ = [
    "AlreadyExists",
    "App",
    "AppFacts",
    "Attempt",
    "Audit",
    "Changed",
    "Clock",
    "Cluster",
    "Comparison",
    "Event",
    "GitHub",
    "GitHubWebhooks",
    "Hook",
    "HookWish",
    "Identities",
    "Identity",
    "InstallationFacts",
    "Leases",
    "Listed",
    "MintedToken",
    "Object",
    "Origin",
    "Receiver",
    "Records",
    "RepositoryFacts",
    "RepositoryHook",
    "TokenIdentity",
    "Verdict",
]

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

    async def pods(self, namespace: str, project: str) -> list[Object]:
        """List the pods of a Project, a bounded number of them."""
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

    async def keep_finalizer(self, obj: Object, finalizer: str, *, wanted: bool) -> Object | None:
        """Add or take away a finalizer of one of the three kinds, held to its version; raise Changed where it moved.

        Returns the object as it is then, None where that was what kept it.
        """
        ...

    async def emit(self, subject: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post a Kubernetes Event about an object. Losing one is not an error."""
        ...


class Records(Protocol):
    """Where the gateway records what came by webhook. Every method is one request, and is soon given up."""

    async def merge_recorded(
        self,
        kind: OwnKind,
        namespace: str,
        name: str,
        fields: Mapping[str, Any],
        *,
        resource_version: str,
        seconds: float,
    ) -> str:
        """Merge fields into a status, held to a version (else raise Changed); return the version that it has then."""
        ...

    async def read_recorded(self, kind: OwnKind, namespace: str, name: str, *, seconds: float) -> Object | None:
        """Return an object, fresh from the API server; None where there is none."""
        ...


class Leases(Protocol):
    """The one Lease that decides who leads. What is written is held to what was seen: else Changed is raised."""

    async def read(self, *, seconds: float) -> Lease | None:
        """Return the Lease as it is now, None where there is none."""
        ...

    async def take(self, seen: Lease | None, holder: str, lasting: int, transitions: int, *, seconds: float) -> Lease:
        """Make the Lease where there was none, or become its holder."""
        ...

    async def renew(self, held: Lease, *, seconds: float) -> Lease:
        """Say that its holder is still there."""
        ...

    async def release(self, held: Lease, *, seconds: float) -> Lease:
        """Leave it to whoever comes first."""
        ...

    async def follow(self, saw: Callable[[Lease | None], None]) -> None:
        """Tell of every change until cancelled; None where the Lease is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """A credential of a service account."""

    token: str = field(repr=False)
    expires_at: datetime


class Identities(Protocol):
    """Short-lived credentials of service accounts in the operator's own namespace."""

    async def issue(self, account: str, seconds: int) -> Identity:
        """Have one made, good for about so many seconds; the answer says for how long it is."""
        ...

    async def authorities(self) -> str:
        """Return the certificates, in PEM, that the API server is known by."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a GitHub answers: every credential is bound to one and goes nowhere else."""

    api_url: str
    web_url: str
    # Certificates to trust there beside the system's, in PEM; part of the origin, so that no other one trusts them.
    ca: str | None = field(default=None, repr=False)


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


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App with its key, and the one place where that is good."""

    origin: Origin
    app_id: int
    private_key: str = field(repr=False)
    # Identity and version of the Secret that it came from: what is made with it is shared under this name alone.
    source: str
    # The namespace whose own App it is; the operator's own one lends its App only to whom the administrator named.
    owner: str


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

    async def compare(
        self, origin: Origin, token: str | None, repository_id: int, base: str, head: str, *, namespace: str
    ) -> Comparison | None:
        """Compare two commits; None where GitHub does not know one of them (any more, or yet)."""
        ...

    def time_at(self, origin: Origin) -> datetime:
        """Return the time by the clock there, as its last answers showed it; before any, by our own."""
        ...

    async def app(self, app: App, *, namespace: str) -> AppFacts:
        """Prove an App's key; raise Stalled(APP_REFUSED) where it is refused, APP_KEY_MALFORMED where it is none."""
        ...

    async def installation(self, app: App, installation_id: int, *, namespace: str) -> InstallationFacts:
        """Read an installation, never an older answer than this call; raise Stalled(INSTALLATION_NOT_FOUND)."""
        ...

    async def find_installation(
        self, app: App, *, account: str | None = None, repository: str | None = None, namespace: str
    ) -> InstallationFacts:
        """Find the installation on an account, or the one that covers a repository (`owner/name`)."""
        ...

    async def installations(self, app: App, *, namespace: str) -> tuple[InstallationFacts, ...]:
        """List all installations of an App, every page; an answer holds for a little while."""
        ...

    async def mint(
        self,
        app: App,
        installation_id: int,
        *,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str] | None,
        namespace: str,
    ) -> MintedToken:
        """Make a token no wider than asked for (None: all that there is); one that came out wider is revoked.

        Raises Stalled(INSTALLATION_NOT_FOUND, INSTALLATION_SUSPENDED, SCOPE_REFUSED, APP_REFUSED). Never shared here.
        """
        ...

    async def revoke(self, origin: Origin, token: str, *, namespace: str) -> None:
        """End a token; one that GitHub does not take any more is success."""
        ...

    async def covered(self, origin: Origin, token: str, *, namespace: str) -> Mapping[int, str]:
        """List all repositories that an installation token reaches, every page: full names by id."""
        ...

    async def listed(self, origin: Origin, token: str, *, namespace: str) -> Mapping[int, Listed]:
        """List all repositories that an installation token reaches, every page, with when each was pushed to."""
        ...

    async def listed_to_person(
        self, origin: Origin, token: str, wanted: frozenset[int], *, namespace: str
    ) -> Mapping[int, Listed]:
        """List repositories that a personal access token reaches, the one that was pushed to last first.

        Reading ends when all that are wanted were found, or after a bounded number of pages: what is missing may be
        there all the same.
        """
        ...

    async def covered_count(self, origin: Origin, token: str, *, namespace: str) -> int:
        """Count the repositories that an installation token reaches, with one request."""
        ...


class GitHubWebhooks(Protocol):
    """What GitHub knows of webhooks, and does about them, with a given credential, on behalf of a namespace.

    Whoever may not manage a repository's hooks is told so with Stalled(HOOKS_FORBIDDEN), whatever is asked.
    """

    async def hooks(
        self, origin: Origin, token: str, repository_id: int, *, namespace: str
    ) -> tuple[RepositoryHook, ...]:
        """List the hooks of a repository, every page."""
        ...

    async def hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str
    ) -> RepositoryHook | None:
        """Read one hook; None where it is gone."""
        ...

    async def make_hook(
        self, origin: Origin, token: str, repository_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook:
        """Make a hook; raise Stalled(HOOK_LIMIT) where GitHub takes no more. Never repeated by itself."""
        ...

    async def change_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook | None:
        """Make a hook what it should be, its secret too; None where it is gone."""
        ...

    async def remove_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str
    ) -> None:
        """Remove a hook; one that is gone is success."""
        ...

    async def hook_attempts(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, since: datetime, namespace: str
    ) -> tuple[Attempt, ...]:
        """List a hook's deliveries since a moment, newest first, failed or not; of very many, the newest."""
        ...

    async def repeat_hook_delivery(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, attempt_id: int, *, namespace: str
    ) -> None:
        """Have a hook's delivery sent once more; one that GitHub does not have any more is left."""
        ...

    async def app_webhook_url(self, app: App, *, namespace: str) -> str | None:
        """Return where an App's webhooks go; None where they go nowhere."""
        ...

    async def failed_attempts(self, app: App, *, since: datetime, namespace: str) -> tuple[Attempt, ...]:
        """List an App's deliveries that failed since a moment, newest first; of very many, the newest."""
        ...

    async def repeat_delivery(self, app: App, attempt_id: int, *, namespace: str) -> None:
        """Have an App's delivery sent once more; one that GitHub does not have any more is left."""
        ...


@dataclass(frozen=True, slots=True)
class Hook:
    """An address that webhooks come to: whose it is, and what signs them."""

    # Names it for limits and logs, never to the sender.
    name: str
    origin: str
    # The newest first; at most three are good at a time.
    secrets: tuple[bytes, ...] = field(repr=False)
    # What its deliveries may speak of: the ways that proofs name (see `domain.webhooks.keys`), None for all of the
    # operator's own App.
    vias: frozenset[str]
    # The namespace that it belongs to, empty for the operator's own App: what it may take is limited by that.
    owner: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery is answered."""

    status: int
    # One word for metrics: recorded, duplicate, superseded, ignored, unavailable.
    outcome: str
    # One sentence for whoever reads GitHub's list of deliveries.
    sentence: str


class Receiver(Protocol):
    """What the gateway's server hands deliveries to."""

    def not_ready(self) -> str | None:
        """Say what is missing before anything can be answered; None where nothing is."""
        ...

    def hook(self, path_id: str | None) -> Hook | None:
        """Return the hook of an address (None: the operator's own App); None where there is none."""
        ...

    def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict | Awaitable[Verdict]:
        """Record what a delivery said, whose signature was verified; at once where nothing has to be stored."""
        ...


class Audit(Protocol):
    """The record of every use, change and removal of a credential: who, what, which object, never the value."""

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        """Write one line."""
        ...

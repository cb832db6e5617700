"""What exists on the lab's GitHub: plain records without behaviour.

Ids are numbers as on GitHub and never reused. Records refer to each other by id, never by name, because names change.
How a record looks on the wire is the business of `shapes`; who may see it is the business of `permissions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

AccountType = Literal["User", "Organization", "Bot"]
CredentialKind = Literal["classic", "fine-grained", "installation", "user-to-server"]
Access = Literal["none", "read", "write", "admin"]
Selection = Literal["all", "selected"]
TokenForm = Literal["short", "jwt", "mixed"]


@dataclass(slots=True)
class Account:
    """A person, an organisation, or the bot that acts for an App's installations."""

    id: int
    login: str
    type: AccountType
    created_at: datetime
    name: str | None = None
    email: str | None = None
    site_admin: bool = False
    # Organisations only: the ids of the people in it, and their role.
    members: dict[int, Literal["member", "admin"]] = field(default_factory=dict)


@dataclass(slots=True)
class Repository:
    """A repository's record; its commits live in a bare git repository on disk, found by this id."""

    id: int
    owner_id: int
    name: str
    created_at: datetime
    updated_at: datetime
    pushed_at: datetime
    private: bool = False
    default_branch: str = "main"
    description: str | None = None
    archived: bool = False
    disabled: bool = False
    is_template: bool = False
    # As GitHub does, measured after a push, not on every read.
    size_kib: int = 0
    # The repository that this one was forked from: both share one object store, as on GitHub.
    fork_of: int | None = None
    collaborators: dict[int, Access] = field(default_factory=dict)
    # Former (owner id, name) pairs: requests under them are redirected to the repository's id, as GitHub does.
    former_names: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class App:
    """A GitHub App: who it is, what it may ask for, where its webhooks go."""

    id: int
    slug: str
    name: str
    owner_id: int
    client_id: str
    client_secret: str
    created_at: datetime
    updated_at: datetime
    # Public halves only, as on GitHub: a key can be added and removed while the App runs.
    public_keys: list[str] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    webhook_url: str | None = None
    webhook_secret: str | None = None
    webhook_active: bool = True
    webhook_insecure_ssl: bool = False
    description: str | None = None
    # The account of type Bot under which installations act; made when first needed.
    bot_id: int | None = None


@dataclass(slots=True)
class Installation:
    """An App on an account, for all of its repositories or for selected ones."""

    id: int
    app_id: int
    account_id: int
    created_at: datetime
    updated_at: datetime
    repository_selection: Selection = "all"
    # Meaningful for "selected" only.
    repository_ids: set[int] = field(default_factory=set)
    permissions: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    suspended_at: datetime | None = None
    suspended_by: int | None = None
    # Which of today's two forms its tokens have; "mixed" alternates, so that nobody assumes a length.
    token_form: TokenForm = "mixed"  # noqa: S105 - the name of a form, no secret


@dataclass(slots=True)
class Credential:
    """A token in any of GitHub's forms. `value` never leaves the lab's memory but in the answer that creates it."""

    # A short public name for the journal and for tests, never the secret.
    id: str
    kind: CredentialKind
    value: str
    created_at: datetime
    user_id: int | None = None
    installation_id: int | None = None
    # User-to-server tokens: the App that the person authorized.
    app_id: int | None = None
    # Classic tokens: OAuth scopes. Others: permissions by name.
    scopes: list[str] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=dict)
    # None means every repository that the owner of the token reaches.
    repository_ids: set[int] | None = None
    # Fine-grained tokens are bound to one resource owner.
    owner_id: int | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    # The one origin that it may be sent to: the world that keeps it writes its own here.
    origin: str = ""


@dataclass(slots=True)
class Hook:
    """A webhook of one repository. An App's own webhook is part of its `App`."""

    id: int
    repository_id: int
    url: str
    created_at: datetime
    updated_at: datetime
    secret: str | None = None
    content_type: Literal["json", "form"] = "json"
    insecure_ssl: bool = False
    events: list[str] = field(default_factory=lambda: ["push"])
    active: bool = True
    last_response: dict[str, Any] = field(default_factory=lambda: {"code": None, "status": "unused", "message": None})


@dataclass(slots=True)
class Delivery:
    """One attempt to hand one event to one hook. A redelivery is a new record with the same GUID."""

    id: int
    guid: str
    event: str
    action: str | None
    # Exactly one of the two says whose hook it is.
    app_id: int | None
    hook_id: int | None
    installation_id: int | None
    repository_id: int | None
    url: str
    request_headers: dict[str, str]
    # The exact bytes that were signed.
    body: bytes
    created_at: datetime
    redelivery: bool = False
    delivered_at: datetime | None = None
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass(slots=True)
class CommitStatus:
    """A status that somebody set on a commit."""

    id: int
    repository_id: int
    sha: str
    state: Literal["error", "failure", "pending", "success"]
    context: str
    created_at: datetime
    updated_at: datetime
    creator_id: int
    description: str | None = None
    target_url: str | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where this GitHub answers, laid out like Enterprise Server: web and git at the root, REST below /api/v3."""

    web: str
    control: str

    @property
    def api(self) -> str:
        """The base of the REST API, without a trailing slash."""
        return f"{self.web}/api/v3"


@dataclass(frozen=True, slots=True)
class Push:
    """What one `git push` did to one ref; the source of the push event."""

    repository_id: int
    ref: str
    before: str
    after: str
    pusher_id: int
    # The installation that pushed, where it was one.
    installation_id: int | None = None


ZERO_SHA = "0" * 40

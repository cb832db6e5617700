"""GitHubUser: whose personal access tokens a namespace's Projects inherit."""

from typing import Annotated, Literal

from pydantic import Field

from mooring.domain.resources.common import (
    Conditions,
    Count,
    DnsLabel,
    Flag,
    Generation,
    GrantedNamespaces,
    HttpsUrl,
    Identifier,
    Login,
    Model,
    ObjectName,
    Resource,
    Time,
    TokenSecretRef,
    Word,
    text,
)
from mooring.domain.resources.schema import (
    ATOMIC,
    Column,
    KindInfo,
    ListMap,
    Rule,
    SetList,
    condition_columns,
    matches,
)

USER_ID_MAX = 128

OwnerPattern = Annotated[
    str,
    text(100),
    matches("^[A-Za-z0-9_*?-]+$", "must be an owner's login, or a glob of one with * and ?, such as acme-*"),
]


class OwnerToken(Model):
    """A token for the repositories of certain owners."""

    name: DnsLabel
    """Name of this entry; status and events speak of it. Example: `acme`."""
    owners: Annotated[tuple[OwnerPattern, ...], Field(min_length=1, max_length=50), SetList()]
    """Owners (users or organisations) whose repositories get this token, by exact login or by glob; case does not
    matter. Example: `[acme, acme-*]`."""
    secret_ref: TokenSecretRef
    """Where the token is."""


class UserGrant(Model):
    """Namespaces whose Projects may use this user's tokens."""

    namespaces: GrantedNamespaces
    """The namespaces that get the tokens. A personal access token cannot be narrowed: granting it gives it away to
    everybody who can read Secrets there."""


class GitHubUserSpec(Model):
    """What is asked for."""

    rules = (
        Rule(
            "has(self.userId) == has(oldSelf.userId) && (!has(self.userId) || self.userId == oldSelf.userId)",
            "userId is immutable: it cannot be changed, added or removed; make another GitHubUser",
            None,
        ),
    )

    user_id: Annotated[ObjectName, Field(max_length=USER_ID_MAX)] | None = None
    """Identity of the user in Mooring; the Secret `user-<userId>-global-secrets` is named after it. Immutable.
    Default: the object's name. Example: `jane`."""
    display_name: Word | None = None
    """Name to show to people. Default: none. Example: `Jane Doe`."""
    login: Login | None = None
    """The GitHub login that the token must prove. A token of somebody else is then refused. Default: any. Example:
    `octocat`."""
    api_url: HttpsUrl | None = None
    """The GitHub API that the tokens are for; the administrator must allow it. Default: the operator's, which is
    `https://api.github.com` unless set otherwise. Example: `https://github.example.com/api/v3`."""
    token_secret_ref: TokenSecretRef | None = None
    """Where the global token is. Default: the Secret `user-<userId>-global-secrets`, key `github-token`, which somebody
    else writes and Mooring only reads. When set, Mooring keeps that Secret as its copy."""
    tokens: Annotated[tuple[OwnerToken, ...], Field(max_length=32), ListMap(("name",))] = ()
    """Tokens by owner of the repository. The first one whose owners match wins over the global token. Default: none."""
    grants: Annotated[tuple[UserGrant, ...], Field(max_length=32), ATOMIC] = ()
    """Other namespaces whose Projects may refer to this user. Default: none."""
    suspend: Flag | None = None
    """True: the tokens are given to nobody, and the copies of them are removed. Default: false."""


class UserTokenStatus(Model):
    """What GitHub said about the global token; never the token."""

    fingerprint: Word | None = None
    """A short one-way mark of the token, by which people can tell two tokens apart."""
    kind: Word | None = None
    """What kind of token it is. Example: `fine-grained`."""
    scopes: Annotated[tuple[Word, ...], Field(max_length=100), ATOMIC] = ()
    """The scopes that GitHub reported; a fine-grained token has none to report. Example: `[repo, read:org]`."""
    expires_at: Time | None = None
    """When the token expires, if GitHub said so."""
    updated_at: Time | None = None
    """When this token was first seen here."""


class UserProjects(Model):
    """How many Projects refer to this user, by the token that they use."""

    global_: Count | None = Field(None, alias="global")
    """Projects with this user's global token."""
    project: Count | None = None
    """Projects with a token of their own."""
    none: Count | None = None
    """Projects with no token."""


class GitHubUserStatus(Model):
    """What is there."""

    observed_generation: Generation | None = None
    """The generation of the object that this status describes."""
    conditions: Conditions = ()
    """Observations: `Ready`, and one for each concern."""
    token_set: Flag | None = None
    """Whether a global token is there."""
    login: Word | None = None
    """The GitHub login that the global token belongs to."""
    github_id: Identifier | None = None
    """The GitHub id of that account; unlike the login it never changes."""
    token: UserTokenStatus | None = None
    """What is known about the global token."""
    projects: UserProjects | None = None
    """How many Projects refer to this user."""


class GitHubUser(Resource):
    """A GitHubUser holds the personal access tokens (PATs) that the Projects of its namespace inherit. The one named
    `default` serves every Project that names no other."""

    info = KindInfo(
        kind="GitHubUser",
        plural="githubusers",
        singular="githubuser",
        short_names=("ghu",),
        columns=(
            Column("Login", ".status.login", "The GitHub login that the global token belongs to."),
            Column("Token", ".status.tokenSet", "Whether a global token is there.", "boolean"),
            Column("Kind", ".status.token.kind", "What kind of token it is."),
            Column("Expires", ".status.token.expiresAt", "When the global token expires, if GitHub said so."),
            Column("Projects", ".status.projects.global", "Projects that use the global token.", "integer"),
            *condition_columns(),
            Column("UserID", ".spec.userId", "Identity of the user in Mooring, if set.", wide=True),
            Column("Suspend", ".spec.suspend", "Whether the tokens are given to nobody.", "boolean", wide=True),
        ),
    )
    rules = (
        Rule(
            f"has(self.spec.userId) || size(self.metadata.name) <= {USER_ID_MAX}",
            f"metadata.name must have at most {USER_ID_MAX} characters, or spec.userId must be set",
            lambda it: it.spec.user_id is not None or len(it.metadata.name) <= USER_ID_MAX,
        ),
    )

    api_version: Literal["mooring.dev/v1alpha1"] = "mooring.dev/v1alpha1"
    kind: Literal["GitHubUser"] = "GitHubUser"
    spec: GitHubUserSpec
    """What is asked for."""
    status: GitHubUserStatus | None = None
    """What is there; written by Mooring."""

    @property
    def user_id(self) -> str:
        """The identity in force: as asked for, else the object's name."""
        return self.spec.user_id or self.metadata.name

"""The form of a seed document: what `seed` makes of it is written there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.github.model import Access, TokenForm

AT_ONCE = 20_000
Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9\-]{0,38}$")]
NumberedLogin = Annotated[str, Field(pattern=r"^([A-Za-z0-9]|\{n\})([A-Za-z0-9\-]|\{n\}){0,38}$")]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._\-]{1,100}$")]
FullName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]


class _Seed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CountedSeed(_Seed):
    """One, or `count` of them with {n} in one of their names: 1, 2, 3 and so on."""

    NUMBERED: ClassVar[tuple[str, ...]] = ()
    id: int | None = None
    count: Annotated[int, Field(ge=1, le=AT_ONCE)] = 1

    @model_validator(mode="after")
    def _many_have_a_number(self) -> Self:
        if self.count > 1 and (self.id is not None or not any("{n}" in getattr(self, name) for name in self.NUMBERED)):
            raise ValueError(f"with a count, {' or '.join(self.NUMBERED)} needs {{n}}, and no id can be given")
        return self

    def each(self) -> Iterator[Self]:
        """Return every one of them, named."""
        for number in range(1, self.count + 1):
            yield self.model_copy(
                update={name: getattr(self, name).replace("{n}", str(number)) for name in self.NUMBERED}
            )


class UserSeed(CountedSeed):
    """A person."""

    NUMBERED = ("login",)
    login: NumberedLogin
    name: str | None = None
    email: str | None = None
    site_admin: bool = False


class OrganizationSeed(CountedSeed):
    """An organisation and who is in it."""

    NUMBERED = ("login",)
    login: NumberedLogin
    name: str | None = None
    members: dict[Login, Literal["member", "admin"]] = {}


class WebhookSeed(_Seed):
    """Where an App's events go."""

    url: str
    secret: str | None = None
    active: bool = True
    insecure_ssl: bool = False


class AppSeed(_Seed):
    """A GitHub App. Without a public key the lab makes a key and tells the private half once, in its answer."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")]
    owner: Login
    id: int | None = None
    name: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    public_key: str | None = None
    permissions: dict[str, Literal["read", "write", "admin"]] = {}
    events: list[str] = []
    webhook: WebhookSeed | None = None


class InstallationSeed(CountedSeed):
    """An App on an account; permissions and events are the App's own unless given."""

    NUMBERED = ("account",)
    app: str
    account: NumberedLogin
    repositories: Literal["all"] | list[RepositoryName] = "all"
    permissions: dict[str, Literal["read", "write", "admin"]] | None = None
    events: list[str] | None = None
    suspended: bool = False
    token_form: TokenForm = "mixed"  # noqa: S105 - a form, not a token


class HookSeed(_Seed):
    """A repository's webhook."""

    url: str
    secret: str | None = None
    events: list[str] = ["push"]
    active: bool = True
    content_type: Literal["json", "form"] = "json"
    insecure_ssl: bool = False


class RepositorySeed(CountedSeed):
    """A repository."""

    NUMBERED = ("owner", "name")
    owner: NumberedLogin
    name: Annotated[str, Field(min_length=1, max_length=100)]
    private: bool = False
    description: str | None = None
    default_branch: str = "main"
    archived: bool = False
    is_template: bool = False
    fork_of: FullName | None = None
    collaborators: dict[Login, Access] = {}
    # Files of the first commit on the default branch, then of one more commit on each other branch.
    files: dict[str, str] = {}
    branches: dict[str, dict[str, str]] = {}
    hooks: list[HookSeed] = []

    @model_validator(mode="after")
    def _many_are_no_forks(self) -> Self:
        if self.count > 1 and self.fork_of is not None:
            raise ValueError("with a count, no fork_of can be given")
        return self


class TokenSeed(_Seed):
    """A token of a person or of an installation, with a given or a fresh value."""

    # The public id, for the journal and the answer.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._\-]{1,60}$")]
    kind: Literal["classic", "fine-grained", "installation"] = "classic"
    user: Login | None = None
    app: str | None = None
    account: Login | None = None
    value: Annotated[str, Field(min_length=8)] | None = None
    form: Literal["short", "jwt"] = "short"
    scopes: list[str] = []
    permissions: dict[str, Literal["read", "write", "admin"]] = {}
    repositories: list[FullName] | None = None
    owner: Login | None = None
    # Seconds from now; negative for a token that has expired already.
    expires_in: float | None = None

    @model_validator(mode="after")
    def _has_a_bearer(self) -> TokenSeed:
        if self.kind == "installation" and (self.app is None or self.account is None):
            raise ValueError("an installation token needs app and account")
        if self.kind != "installation" and self.user is None:
            raise ValueError(f"a {self.kind} token needs user")
        return self


class Document(_Seed):
    """All that one seed makes, in this order."""

    users: list[UserSeed] = []
    organizations: list[OrganizationSeed] = []
    apps: list[AppSeed] = []
    repositories: list[RepositorySeed] = []
    installations: list[InstallationSeed] = []
    tokens: list[TokenSeed] = []

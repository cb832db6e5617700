"""GitHubInstallation: one installation of a GitHub App, and who may have tokens of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mooring.domain.resources.common import (
    CertificateRef,
    Conditions,
    Count,
    Flag,
    Generation,
    GrantedNamespaces,
    HttpsUrl,
    Identifier,
    Login,
    Model,
    NameRef,
    ObjectName,
    Permissions,
    RepositoryName,
    RepositoryScope,
    Resource,
    StringMap,
    Time,
    Word,
    exactly_one,
    text,
)
from mooring.domain.resources.schema import ATOMIC, Column, KindInfo, ListMap, Rule, SetList, condition_columns

Repositories = Annotated[tuple[RepositoryName, ...], Field(min_length=1, max_length=500), SetList()]


class OutputFormat(StrEnum):
    """The form in which a token is written into a Secret."""

    TOKEN = "Token"  # noqa: S105  # the name of a format
    BASIC_AUTH = "BasicAuth"
    NETRC = "Netrc"
    GIT_CREDENTIALS = "GitCredentials"
    DOCKER_CONFIG_JSON = "DockerConfigJson"
    TEMPLATE = "Template"


class InstallationPhase(StrEnum):
    """Where the installation stands at GitHub."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    DELETED = "Deleted"


class CaBundle(Model):
    """Certificates to trust, from one place."""

    rules = (exactly_one("secretRef", "configMapRef", message="exactly one of secretRef and configMapRef is required"),)

    secret_ref: CertificateRef | None = None
    """A Secret that holds the bundle in PEM."""
    config_map_ref: CertificateRef | None = None
    """A ConfigMap that holds the bundle in PEM."""


class TokenOutput(Model):
    """A Secret that always holds a fresh token of the installation; `format` says under which keys."""

    rules = (
        Rule(
            "(self.format == 'Template') == has(self.template)",
            "template is required with format Template, and refused with any other",
            lambda it: (it.format is OutputFormat.TEMPLATE) == (it.template is not None),
        ),
    )

    secret_name: ObjectName
    """Name of the Secret, which Mooring creates and owns in this namespace; one that exists already is left alone and
    reported. Example: `ci-token`."""
    format: OutputFormat
    """What the Secret holds, and under which key: `Token` (the bare token; `token`), `BasicAuth` (type
    kubernetes.io/basic-auth; `username` and `password`), `Netrc` (a line for git and curl; `.netrc`), `GitCredentials`
    (a line for git's credential store; `.git-credentials`), `DockerConfigJson` (a pull secret for GitHub's container
    registry, type kubernetes.io/dockerconfigjson; `.dockerconfigjson`) or `Template` (the filled template;
    `content`)."""
    permissions: Permissions | None = None
    """Narrows the token below `spec.permissions`. Default: no narrower. Example: `{contents: read}`."""
    repositories: Annotated[tuple[RepositoryName, ...], Field(min_length=1, max_length=100), SetList()] | None = None
    """Narrows the token below `spec.repositories`. Default: no narrower. Example: `[acme/api]`."""
    template: Annotated[str, text(16384, minimum=1)] | None = None
    """Text in which the placeholders `$(token)`, `$(host)`, `$(username)` and `$(expiresAt)` are replaced, and
    nothing else is. Only with format `Template`. Example: `machine $(host) login $(username) password $(token)`."""


class InstallationGrant(Model):
    """What other namespaces may have of this installation."""

    namespaces: GrantedNamespaces
    """The namespaces whose Projects may refer to this installation."""
    repositories: Annotated[tuple[RepositoryScope, ...], Field(min_length=1, max_length=100), SetList()]
    """The repositories that they may have tokens for: `owner/name`, or `owner/*` for all of that owner's. Required,
    so that nobody grants all by accident. Example: `[acme/api]`."""
    permissions: Permissions | None = None
    """The most that they may ask for, within `spec.permissions`. Default: `{contents: read, metadata: read}`."""


def _kept(field: str) -> str:
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


class GitHubInstallationSpec(Model):
    """What is asked for."""

    rules = (
        exactly_one(
            "installationId",
            "account",
            "repository",
            message="exactly one of installationId, account and repository is required",
        ),
        *(
            Rule(_kept(field), f"{field} is immutable: it cannot be changed, added or removed", None)
            for field in ("installationId", "account", "repository")
        ),
        Rule(
            "!has(self.apiUrl) || has(self.appSecretRef)",
            "apiUrl needs appSecretRef: another GitHub is only for an App of one's own",
            lambda it: it.api_url is None or it.app_secret_ref is not None,
        ),
        Rule(
            "!has(self.caBundle) || has(self.appSecretRef)",
            "caBundle needs appSecretRef: another GitHub is only for an App of one's own",
            lambda it: it.ca_bundle is None or it.app_secret_ref is not None,
        ),
    )

    installation_id: Identifier | None = None
    """The installation by its id, as in the URL of its settings page. One of `installationId`, `account` and
    `repository` is required; the choice and its value are immutable. Example: `12345678`."""
    account: Login | None = None
    """The installation by the login of the user or organisation that it is on; the id is looked up. Immutable. Example:
    `acme`."""
    repository: RepositoryName | None = None
    """The installation by a repository that it covers; the id is looked up. Immutable. Example: `acme/api`."""
    app_secret_ref: NameRef | None = None
    """A Secret with an App of one's own: `appId` and `privateKey`, and where used `webhookSecret`, `clientId` and
    `clientSecret`. Default: the operator's App, which the administrator must have bound to this namespace."""
    api_url: HttpsUrl | None = None
    """The GitHub API of the App; only with `appSecretRef`, and the administrator must allow it. Default: the
    operator's. Example: `https://github.example.com/api/v3`."""
    ca_bundle: CaBundle | None = None
    """Certificates to trust for `apiUrl` beside the system's; only with `appSecretRef`. Default: none."""
    permissions: Permissions | None = None
    """A ceiling: no token gets more. Default: what the installation has. Example: `{contents: read, metadata:
    read}`."""
    repositories: Repositories | None = None
    """A ceiling: no token reaches further. Default: what the installation covers. Example: `[acme/api, acme/web]`."""
    outputs: Annotated[tuple[TokenOutput, ...], Field(max_length=32), ListMap(("secretName",))] = ()
    """Secrets of this namespace that always hold a fresh token. Default: none."""
    grants: Annotated[tuple[InstallationGrant, ...], Field(max_length=32), ATOMIC] = ()
    """What other namespaces may have of this installation. Default: nothing."""
    suspend: Flag | None = None
    """True: no new token is made, and the outputs are removed. Default: false."""


class InstallationAccount(Model):
    """The user or organisation that the App is installed on."""

    login: Word | None = None
    """Its login, which it may change."""
    id: Identifier | None = None
    """Its id, which never changes; another id behind the same login stalls the installation."""
    type: Word | None = None
    """What it is. Example: `Organization`."""
    avatar_url: Annotated[str, text(1024)] | None = None
    """Address of its picture."""


class InstallationWebhook(Model):
    """Where GitHub must send this App's events."""

    url: Annotated[str, text(1024)] | None = None
    """The address to enter in the App's settings at GitHub."""


class InstallationHint(Model):
    """The last webhook about this installation; a hint that it should be read again, and no more."""

    event: Word | None = None
    """The event. Example: `installation_repositories`."""
    delivery: Word | None = None
    """The delivery's GUID."""
    received_at: Time | None = None
    """When the gateway received it."""


class GitHubInstallationStatus(Model):
    """What is there."""

    observed_generation: Generation | None = None
    """The generation of the object that this status describes."""
    conditions: Conditions = ()
    """Observations: `Ready`, and one for each concern."""
    phase: InstallationPhase | None = None
    """Where the installation stands at GitHub: `Active`, `Suspended` or `Deleted`."""
    installation_id: Identifier | None = None
    """The installation's id."""
    app_id: Identifier | None = None
    """Id of the GitHub App."""
    app_slug: Word | None = None
    """The App's name in URLs."""
    account: InstallationAccount | None = None
    """The user or organisation that the App is installed on."""
    repository_selection: Word | None = None
    """Whether the installation covers `all` repositories or `selected` ones, in GitHub's words."""
    repository_count: Count | None = None
    """How many repositories it covers. Which ones is asked when needed, and not kept here."""
    permissions: StringMap | None = None
    """What GitHub grants it."""
    events: Annotated[tuple[Word, ...], Field(max_length=100), ATOMIC] = ()
    """The events that GitHub sends for it. Example: `[push]`."""
    token_expires_at: Time | None = None
    """When the newest token expires."""
    webhook: InstallationWebhook | None = None
    """Where GitHub must send this App's events."""
    hint: InstallationHint | None = None
    """The last webhook about this installation; written by the gateway."""


class GitHubInstallation(Resource):
    """A GitHubInstallation is one installation of a GitHub App. Mooring makes its one-hour tokens on demand, as
    narrow as asked for, keeps them fresh in Secrets, and lets Projects clone with them."""

    info = KindInfo(
        kind="GitHubInstallation",
        plural="githubinstallations",
        singular="githubinstallation",
        short_names=("ghi",),
        columns=(
            Column("Account", ".status.account.login", "The user or organisation that the App is installed on."),
            Column("ID", ".status.installationId", "The installation's id.", "integer"),
            Column("Repositories", ".status.repositoryCount", "How many repositories it covers.", "integer"),
            Column("Phase", ".status.phase", "Where the installation stands at GitHub."),
            *condition_columns(),
            Column("App", ".status.appSlug", "The App's name in URLs.", wide=True),
            Column("Selection", ".status.repositorySelection", "All repositories or selected ones.", wide=True),
            Column("Expires", ".status.tokenExpiresAt", "When the newest token expires.", wide=True),
            Column("Webhook", ".status.webhook.url", "Where GitHub must send this App's events.", wide=True),
        ),
    )

    api_version: Literal["mooring.dev/v1alpha1"] = "mooring.dev/v1alpha1"
    kind: Literal["GitHubInstallation"] = "GitHubInstallation"
    spec: GitHubInstallationSpec
    """What is asked for."""
    status: GitHubInstallationStatus | None = None
    """What is there; written by Mooring."""

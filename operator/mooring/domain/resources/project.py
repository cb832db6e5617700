"""Project: a repository, the workload that it becomes, and when it is deployed again."""

from typing import Annotated, Literal

from pydantic import Field

from mooring.domain.resources.common import (
    Flag,
    GitHubObjectRef,
    Identifier,
    Model,
    ObjectName,
    RepositoryName,
    Resource,
    TokenSecretRef,
    set_fields,
    text,
)
from mooring.domain.resources.project_status import ProjectStatus
from mooring.domain.resources.schema import (
    Column,
    KindInfo,
    Rule,
    SetList,
    cel_matches,
    condition_columns,
    fits,
    matches,
)
from mooring.domain.resources.tokens import TokenSource
from mooring.domain.resources.workload import DEFAULT_TOKEN_ENV, WorkloadSpec

NAME_MAX = 40

HostName = Annotated[
    str,
    text(253),
    matches(
        r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "must be a full DNS name in lower case, such as shop.example.com",
    ),
]
GitHost = Annotated[
    str,
    text(260),
    matches(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?$",
        "must be a host in lower case, with a port if need be, such as github.example.com",
    ),
]
GitUrl = Annotated[
    str,
    text(1024),
    matches(
        "^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9_~-][A-Za-z0-9._~%-]*)+/?$",
        "must be https://HOST[:PORT]/PATH in ASCII, without user name, password, query and fragment",
    ),
]
_BRANCH_TEXT = r"^[^\x00-\x20\x7f~^:?*\[\\]+$"
_BRANCH_STARTS = ("-", "/", ".", "refs/heads/")
_BRANCH_ENDS = ("/", ".", ".lock")
_BRANCH_PARTS = ("..", "//", "@{", "/.", ".lock/")
Branch = Annotated[
    str,
    text(244, minimum=1),
    matches(_BRANCH_TEXT, r"must be a branch's name: no space, no control character and none of ~ ^ : ? * [ \ "[:-1]),
    Rule(
        " && ".join(
            [
                "self != '@'",
                *(f"!self.startsWith('{start}')" for start in _BRANCH_STARTS),
                *(f"!self.endsWith('{end}')" for end in _BRANCH_ENDS),
                *(f"!self.contains('{part}')" for part in _BRANCH_PARTS),
            ]
        ),
        "must be a branch's short name as git allows it: not starting with '-', '/', '.' or refs/heads/, not ending in"
        " '/', '.' or .lock, without '..', '//', '@{' or a part that starts with '.' or ends with .lock",
        lambda name: (
            name != "@"
            and not name.startswith(_BRANCH_STARTS)
            and not name.endswith(_BRANCH_ENDS)
            and not any(part in name for part in _BRANCH_PARTS)
        ),
    ),
]
_PATH_TEXT = r"^[^/\x00-\x1f\x7f\\][^\x00-\x1f\x7f\\]*$"
_RELATIVE_CEL = f"{cel_matches(_PATH_TEXT)} && !('/' + self + '/').contains('/../')"


def _is_relative(path: str) -> bool:
    return fits(_PATH_TEXT, path) and "/../" not in f"/{path}/"


RelativePath = Annotated[
    str,
    text(512, minimum=1),
    Rule(_RELATIVE_CEL, "must be a path inside the repository: relative, with '/', without '..'", _is_relative),
]
Glob = Annotated[
    str,
    text(256, minimum=1),
    Rule(
        _RELATIVE_CEL, "must be a glob of paths inside the repository: relative, with '/', without '..'", _is_relative
    ),
]
Globs = Annotated[tuple[Glob, ...], Field(max_length=50), SetList()]
Revision = Annotated[
    str,
    text(64),
    matches("^([0-9a-f]{40}|[0-9a-f]{64})$", "must be a whole commit id: 40 (or 64) lower-case hexadecimal digits"),
]
_DEBOUNCE_TEXT = "^[0-9]{1,6}(ms|s|m)$"
_DEBOUNCE_MAX_MS = 600_000
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000}


def _debounce_ms(duration: str) -> int:
    digits = duration.rstrip("ms")
    return int(digits) * _UNITS_MS[duration[len(digits) :]]


Debounce = Annotated[
    str,
    text(8),
    matches(_DEBOUNCE_TEXT, "must be a whole number with a unit (ms, s or m), such as 3s or 500ms"),
    Rule(
        f"!{cel_matches(_DEBOUNCE_TEXT)} || duration(self) <= duration('10m')",
        "must be at most 10m",
        lambda duration: not fits(_DEBOUNCE_TEXT, duration) or _debounce_ms(duration) <= _DEBOUNCE_MAX_MS,
    ),
]


# --- source ---


class GitHubSource(Model):
    """A repository at GitHub."""

    repository: RepositoryName
    """The repository as `owner/name`. Example: `acme/shop`."""
    repository_id: Identifier | None = None
    """GitHub's id of the repository, which a rename does not change. Set, it asserts the identity: another repository
    under the same name is refused. Default: learned at first sight. Example: `1296269`."""
    host: GitHost | None = None
    """Host of the GitHub that has it; the administrator must allow it. Default: the operator's, which is `github.com`
    unless set otherwise. Example: `github.example.com`."""


class GitSource(Model):
    """A repository anywhere else."""

    url: GitUrl
    """URL to clone from: https, on a host that the administrator allows, with no credential in it. Example:
    `https://git.example.com/acme/shop.git`."""


_OF_A_SOURCE = ("branch", "path", "include", "exclude", "revision", "submodules", "lfs")


class SourceSpec(Model):
    """Where the code comes from. Without `github` and `git` there is none, and the image is all."""

    rules = (
        Rule(
            "!has(self.github) || !has(self.git)",
            "at most one of github and git is allowed",
            lambda it: set_fields(it, "github", "git") < 2,
        ),
        Rule(
            "has(self.github) || has(self.git) || !("
            + " || ".join(f"has(self.{field})" for field in _OF_A_SOURCE)
            + ")",
            f"github or git is required with any of {', '.join(_OF_A_SOURCE)}",
            lambda it: set_fields(it, "github", "git") > 0 or set_fields(it, *_OF_A_SOURCE) == 0,
        ),
    )

    github: GitHubSource | None = None
    """A repository at GitHub; pushes to it arrive as webhooks. At most one of `github` and `git`."""
    git: GitSource | None = None
    """A repository anywhere else, by its URL; it is asked for news every few minutes."""
    branch: Branch | None = None
    """The branch to run. Default: the repository's own default branch. Example: `main`."""
    path: RelativePath | None = None
    """Folder of the repository that becomes the working copy. Default: all of it. Example: `services/shop`."""
    include: Globs = ()
    """Paths that matter: a push that changes none of them redeploys nothing. `*` stays inside a folder, `**` does not.
    Default: all. Example: `[src/**, Makefile]`."""
    exclude: Globs = ()
    """Paths that do not matter, even if included. Default: none. Example: `[docs/**]`."""
    revision: Revision | None = None
    """A commit to stay on; it must be reachable from a branch. Default: the branch's head."""
    submodules: Flag | None = None
    """True: submodules of the same host are checked out, too. Default: false."""
    lfs: Flag | None = None
    """True: files in Git LFS are fetched, too. Default: false."""


# --- token, deploy, expose ---


class TokenSpec(Model):
    """Which token the workload gets."""

    rules = (
        Rule(
            "!has(self.source) || self.source != 'project' || has(self.secretRef)",
            "secretRef is required with source project",
            lambda it: it.source is not TokenSource.PROJECT or it.secret_ref is not None,
        ),
        Rule(
            "!has(self.source) || self.source == 'project' || !has(self.secretRef)",
            "secretRef is refused with source global and source none",
            lambda it: it.source in (None, TokenSource.PROJECT) or it.secret_ref is None,
        ),
    )

    source: TokenSource | None = None
    """`project`: the token in `secretRef`, and no other. `global`: the user's. `none`: no token at all. Default:
    `project` with a `secretRef`; without one the user's token if there is one, else none."""
    secret_ref: TokenSecretRef | None = None
    """Where the Project's own token is; required with `project`, refused with `global` and `none`."""


class DeploySpec(Model):
    """When a push leads to a redeploy."""

    auto: Flag | None = None
    """False: a push waits in `status.pending` until somebody sets the annotation `mooring.dev/redeploy`. Default:
    true."""
    debounce: Debounce | None = None
    """Quiet time to wait for after the last push, at most five times that in all, so that a burst becomes one redeploy.
    A number with `ms`, `s` or `m`, at most `10m`. Default: `3s`."""
    skip_tokens: Annotated[tuple[Annotated[str, text(64, minimum=1)], ...], Field(max_length=20), SetList()] | None = (
        None
    )
    """Texts in the head commit's message that skip its redeploy; an empty list turns that off. Default: `[skip ci]`,
    `[ci skip]`, `[no ci]` and `[skip deploy]`."""


Annotations = Annotated[
    dict[str, Annotated[str, text(4096)]],
    Field(max_length=32),
    Rule(
        "self.all(key, size(key) <= 317 && "
        + cel_matches(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", "key")
        + ")",
        "keys must be names of annotations, such as example.com/timeout",
        lambda it: all(
            len(key) <= 317
            and fits(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", key)
            for key in it
        ),
    ),
]


class ExposeSpec(Model):
    """How the workload is reached: a Service for its ports, and an Ingress to the first of them where a host is
    given."""

    rules = (
        Rule(
            "has(self.host) || !(has(self.className) || has(self.tlsSecretName) || has(self.annotations))",
            "host is required with any of className, tlsSecretName, annotations",
            lambda it: it.host is not None or set_fields(it, "class_name", "tls_secret_name", "annotations") == 0,
        ),
    )

    host: HostName | None = None
    """Host name of the Ingress; its suffix must be on the administrator's list, and the first Project to ask for a host
    keeps it. Default: no Ingress. Example: `shop.example.com`."""
    class_name: ObjectName | None = None
    """Class of the Ingress; it must be on the administrator's list. Default: the cluster's. Example: `nginx`."""
    tls_secret_name: ObjectName | None = None
    """A Secret of type kubernetes.io/tls with the host's certificate. Default: no TLS at the Ingress. Example:
    `shop-tls`."""
    annotations: Annotations | None = None
    """Annotations of the Ingress; their keys must be on the administrator's list. Default: none."""


# --- the kind ---

_REPOSITORY_COLUMN = ".spec.source['github','git']['repository','url']"
"""Whichever of the two is there; from the spec, so that it shows before anything was read."""


class ProjectSpec(Model):
    """What is asked for."""

    rules = (
        Rule(
            "!has(self.workload.env) || (has(self.token) && has(self.token.source) && self.token.source == 'none')"
            " || !self.workload.env.exists(e, e.name =="
            f" (has(self.workload.tokenEnv) ? self.workload.tokenEnv : '{DEFAULT_TOKEN_ENV}'))",
            f"workload.env must not set workload.tokenEnv (default {DEFAULT_TOKEN_ENV}), unless token.source is none",
            lambda it: it.token_env_is_free(),
        ),
        Rule(
            "!has(self.expose) || (has(self.workload.ports) && size(self.workload.ports) > 0)",
            "expose needs at least one port in workload.ports",
            lambda it: it.expose is None or bool(it.workload.ports),
        ),
    )

    source: SourceSpec | None = None
    """Where the code comes from. Default: nowhere; the image is all."""
    user_ref: GitHubObjectRef | None = None
    """The GitHubUser whose global token may be inherited. Default: the one named `default` in this namespace, if
    there is one."""
    installation_ref: GitHubObjectRef | None = None
    """The GitHubInstallation that the source is cloned with and that its webhooks come through. Default: none."""
    token: TokenSpec | None = None
    """Which token the workload gets as `GITHUB_TOKEN`. Default: the user's if there is one, else none."""
    workload: WorkloadSpec
    """What runs: one container, in Kubernetes' own words."""
    deploy: DeploySpec | None = None
    """When a push leads to a redeploy. Default: always, 3 seconds after the last one."""
    expose: ExposeSpec | None = None
    """How the workload is reached. Default: not at all."""
    suspend: Flag | None = None
    """True: no pod runs; everything else is kept and fresh. Default: false."""

    def token_env_is_free(self) -> bool:
        """Whether no variable of the workload has the name that the token gets."""
        if self.token is not None and self.token.source is TokenSource.NONE:
            return True
        name = self.workload.token_env or DEFAULT_TOKEN_ENV
        return all(variable.name != name for variable in self.workload.env)


class Project(Resource):
    """A Project ties a repository to a running workload: Mooring checks the repository out, runs the workload with the
    right GitHub token, and redeploys it exactly once when a push lands on its branch."""

    info = KindInfo(
        kind="Project",
        plural="projects",
        singular="project",
        short_names=("mproj",),
        columns=(
            Column("Repository", _REPOSITORY_COLUMN, "The repository that the code comes from."),
            Column("Branch", ".status.source.branch", "The branch that is followed."),
            Column("Token", ".status.token.source", "Whose token the workload has: project, global or none."),
            Column("Revision", ".status.revision.shortSha", "The commit that runs."),
            *condition_columns(),
            Column("Delivery", ".status.revision.delivery", "The webhook that led to this revision.", wide=True),
            Column("URL", ".status.url", "Where the workload is reached.", wide=True),
            Column("Installation", ".spec.installationRef.name", "The installation it is cloned with.", wide=True),
        ),
    )
    rules = (
        Rule(
            f"size(self.metadata.name) <= {NAME_MAX}",
            f"metadata.name must have at most {NAME_MAX} characters: names of other objects are made of it",
            lambda it: len(it.metadata.name) <= NAME_MAX,
        ),
        Rule(
            cel_matches("^[a-z]([-a-z0-9]*[a-z0-9])?$", "self.metadata.name"),
            "metadata.name must be the name of a Service: lower-case letters, digits and '-', starting with a letter",
            lambda it: fits("^[a-z]([-a-z0-9]*[a-z0-9])?$", it.metadata.name),
        ),
    )

    api_version: Literal["mooring.dev/v1alpha1"] = "mooring.dev/v1alpha1"
    kind: Literal["Project"] = "Project"
    spec: ProjectSpec
    """What is asked for."""
    status: ProjectStatus | None = None
    """What is there; written by Mooring."""

"""The workload of a Project: one container, described in Kubernetes' own names and types."""

from typing import Annotated

from pydantic import Field, StrictInt

from mooring.domain.resources.common import Count, Generation, LabelMap, Model, NameRef, ObjectName, text
from mooring.domain.resources.kubernetes import (
    ContainerPort,
    EnvFromSource,
    EnvVar,
    Probe,
    ResourceRequirements,
    StoppingProbe,
)
from mooring.domain.resources.scheduling import Affinity, Toleration
from mooring.domain.resources.schema import ATOMIC, ATOMIC_MAP, Extra, ListMap, Rule, cel_matches, fits, matches

DEFAULT_TOKEN_ENV = "GITHUB_TOKEN"  # noqa: S105  # the name of a variable

Argument = Annotated[str, text(8192)]
Arguments = Annotated[tuple[Argument, ...], Field(max_length=256), ATOMIC]
Image = Annotated[
    str,
    text(512),
    matches(
        "^[A-Za-z0-9][-A-Za-z0-9._:/@]*$",
        "must be an image's name, such as registry.example.com/acme/shop:1.2 or a digest",
    ),
]
_ABSOLUTE = r"^/[^\x00-\x1f\x7f\\:]*$"
_ABSOLUTE_CEL = f"{cel_matches(_ABSOLUTE)} && !(self + '/').contains('/../')"


def _is_absolute(path: str) -> bool:
    return fits(_ABSOLUTE, path) and "/../" not in f"{path}/"


AbsolutePath = Annotated[
    str, text(512), Rule(_ABSOLUTE_CEL, "must be an absolute path, without '..' and ':'", _is_absolute)
]
MountPath = Annotated[
    str,
    text(512),
    Rule(
        f"{_ABSOLUTE_CEL} && {cel_matches('[^/.]')}",
        "must be an absolute path below /, without '..' and ':'",
        lambda path: _is_absolute(path) and path.strip("/.") != "",
    ),
]
CIdentifier = Annotated[
    str,
    text(128),
    matches("^[A-Za-z_][A-Za-z0-9_]*$", "must be a C identifier: letters, digits and '_', not starting with a digit"),
]
UserNumber = Annotated[StrictInt, Field(ge=1, le=2_147_483_647), Extra({"format": "int64"})]
GroupNumber = Annotated[StrictInt, Field(ge=0, le=2_147_483_647), Extra({"format": "int64"})]

_ONCE = "!has(self.{probe}) || !has(self.{probe}.successThreshold) || self.{probe}.successThreshold == 1"


def _one_success(attribute: str, field: str) -> Rule:
    return Rule(
        _ONCE.format(probe=field),
        f"{field}.successThreshold must be 1",
        lambda it: getattr(it, attribute) is None or getattr(it, attribute).success_threshold in (None, 1),
    )


def _port_names_differ(workload: "WorkloadSpec") -> bool:
    names = [port.name for port in workload.ports if port.name is not None]
    return len(set(names)) == len(names)


class WorkloadSpec(Model):
    """What runs: one container in a Deployment, under the restricted Pod Security Standard."""

    rules = (
        Rule(
            "!has(self.ports) || self.ports.all(p, !has(p.name)"
            " || self.ports.filter(q, has(q.name) && q.name == p.name).size() == 1)",
            "ports must have different names",
            _port_names_differ,
        ),
        _one_success("startup_probe", "startupProbe"),
        _one_success("liveness_probe", "livenessProbe"),
    )

    image: Image
    """The container's image. Example: `registry.example.com/acme/shop:1.2`."""
    image_pull_secrets: Annotated[tuple[NameRef, ...], Field(max_length=16), ListMap(("name",))] = ()
    """Secrets of this namespace to pull the image with. Default: none."""
    command: Arguments = ()
    """What the container runs, as a list and never a shell line. Default: the image's entry point. Example: `[python,
    -m, shop]`."""
    args: Arguments = ()
    """Arguments of the command. Default: the image's. Example: `[--port, "8080"]`."""
    working_dir: AbsolutePath | None = None
    """Folder that the command starts in. Default: `mountPath` if there is a source, else the image's. Example:
    `/workspace`."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=200), ListMap(("name",))] = ()
    """Variables of the environment. Default: none."""
    env_from: Annotated[tuple[EnvFromSource, ...], Field(max_length=32), ATOMIC] = ()
    """Secrets and ConfigMaps whose keys become variables; of two with the same name the last one counts, and `env`
    before all. Default: none."""
    ports: Annotated[tuple[ContainerPort, ...], Field(max_length=32), ListMap(("containerPort", "protocol"))] = ()
    """Ports that the container listens on. Default: none."""
    replicas: Count | None = None
    """How many pods. Default: not set by Mooring, so that an autoscaler may own it; Kubernetes then starts one."""
    resources: ResourceRequirements | None = None
    """What the container may use and what is kept free for it. Default: none."""
    startup_probe: StoppingProbe | None = None
    """Whether the container has started; until then the other probes wait. Default: none."""
    readiness_probe: Probe | None = None
    """Whether the container may get traffic; a rollout waits for it. Default: with a TCP port among `ports`, whether it
    takes a connection there (on the one named `http`, else the first), asked every 2 seconds; else none."""
    liveness_probe: StoppingProbe | None = None
    """Whether the container must be restarted. Default: none."""
    termination_grace_period_seconds: Generation | None = None
    """Seconds that the container has to stop. Default: 30."""
    run_as_user: UserNumber | None = None
    """User number of the processes; never 0, which is root. Default: the image's. Example: `1000`."""
    run_as_group: GroupNumber | None = None
    """Group number of the processes. Default: the image's. Example: `1000`."""
    fs_group: GroupNumber | None = None
    """Group number that owns the mounted files. Default: none. Example: `1000`."""
    node_selector: Annotated[LabelMap, ATOMIC_MAP] | None = None
    """Labels that a node must have. Default: none. Example: `{kubernetes.io/arch: arm64}`."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32), ATOMIC] = ()
    """Taints of nodes that the pods put up with. Default: none."""
    affinity: Affinity | None = None
    """Rules for where the pods run. Default: none."""
    service_account_name: ObjectName | None = None
    """Service account of the pods; it must carry the annotation `mooring.dev/allow-projects: "true"`. Default: the
    pods get no token of the cluster."""
    token_env: CIdentifier | None = None
    """Variable that carries the GitHub token. Default: `GITHUB_TOKEN`."""
    mount_path: MountPath | None = None
    """Where the source is mounted in the container. Default: `/workspace`."""

"""The parts of a workload's container in Kubernetes' own names and types: environment, ports, resources, probes.

What the restricted Pod Security Standard forbids is not here: host ports, hosts of probes, privileges.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StrictInt
from pydantic_core import CoreSchema, core_schema

from mooring.domain.resources.common import (
    Count,
    DataKey,
    Flag,
    Model,
    ObjectName,
    exactly_one,
    set_fields,
    text,
)
from mooring.domain.resources.schema import ATOMIC, INT_OR_STRING, KEPT, Extra, Rule, fits, matches

PORT_MAX = 65535


class IntOrString:
    """A value that is a number or a text; both are checked by the schema's own keywords, which need no CEL."""

    def __init__(self, *, pattern: str, minimum: int, maximum: int | None = None, max_length: int) -> None:
        self.pattern, self.minimum, self.maximum, self.max_length = pattern, minimum, maximum, max_length

    def check(self, value: Any) -> int | str:
        """Accept what the schema accepts."""
        if isinstance(value, str):
            if len(value) <= self.max_length and fits(self.pattern, value):
                return value
            raise ValueError(f"a text here should match {self.pattern}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be a number or a text")  # noqa: TRY004  # pydantic expects a ValueError
        if value < self.minimum:
            raise ValueError(f"a number here should be greater than or equal to {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"a number here should be less than or equal to {self.maximum}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take the value as it is, then check it."""
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The form that Kubernetes' structural schemas have for such a value."""
        schema: dict[str, Any] = {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            INT_OR_STRING: True,
            "pattern": self.pattern,
            "maxLength": self.max_length,
            "minimum": self.minimum,
        }
        return schema if self.maximum is None else {**schema, "maximum": self.maximum}


_DIGITS = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)"
# An exponent of two digits at most: the API server works long on 1e999999999.
_SUFFIX = "([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})"
Quantity = Annotated[int | str, IntOrString(pattern=rf"^{_DIGITS}{_SUFFIX}?$", minimum=0, max_length=40)]
ProbePort = Annotated[
    int | str,
    IntOrString(pattern="^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$", minimum=1, maximum=PORT_MAX, max_length=15),
]
PortNumber = Annotated[StrictInt, Field(ge=1, le=PORT_MAX), Extra({"format": "int32"})]
PortName = Annotated[
    str,
    text(15),
    Rule(
        "self.matches(r'^[a-z0-9]([a-z0-9-]*[a-z0-9])?$') && self.matches(r'[a-z]') && !self.contains('--')",
        "must be a port's name: at most 15 lower-case letters, digits and single '-', with at least one letter",
        lambda name: fits("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and any(map(str.isalpha, name)) and "--" not in name,
    ),
]
EnvName = Annotated[
    str,
    text(253),
    matches("^[-._a-zA-Z][-._a-zA-Z0-9]*$", "must be the name of a variable: letters, digits, '_', '-' and '.'"),
]
EnvPrefix = Annotated[
    str,
    text(128),
    matches(
        "^[-._a-zA-Z][-._a-zA-Z0-9]*$", "must be the start of a variable's name: letters, digits, '_', '-' and '.'"
    ),
]
FieldPath = Annotated[
    str,
    text(400),
    matches(
        r"^(metadata|spec|status)\.[A-Za-z]+(\[\x27[-A-Za-z0-9._/]+\x27\])?$",
        "must be a field of the Pod, such as metadata.name, spec.nodeName or status.podIP",
    ),
]


# --- environment ---


class SecretKeySelector(Model):
    """A key of a Secret."""

    one_owner = True

    name: ObjectName
    """Name of a Secret in this namespace."""
    key: DataKey
    """Key in the Secret's data."""
    optional: Flag | None = None
    """True: the pod starts even if the Secret or the key is not there. Default: false."""


class ConfigMapKeySelector(Model):
    """A key of a ConfigMap."""

    one_owner = True

    name: ObjectName
    """Name of a ConfigMap in this namespace."""
    key: DataKey
    """Key in the ConfigMap's data."""
    optional: Flag | None = None
    """True: the pod starts even if the ConfigMap or the key is not there. Default: false."""


class ObjectFieldSelector(Model):
    """A field of the pod itself."""

    one_owner = True

    api_version: Annotated[str, text(64)] | None = None
    """Version of the schema that the path is written in. Default: `v1`."""
    field_path: FieldPath
    """Path of the field. Example: `metadata.name`."""


class ResourceFieldSelector(Model):
    """A resource limit or request of the container."""

    one_owner = True

    container_name: ObjectName | None = None
    """Name of the container. Default: the workload's own."""
    resource: Annotated[str, text(128, minimum=1)]
    """The resource. Example: `limits.memory`."""
    divisor: Quantity | None = None
    """Unit of the value. Default: `1`. Example: `1Mi`."""


class EnvVarSource(Model):
    """Where a variable's value comes from."""

    rules = (
        exactly_one(
            "secretKeyRef",
            "configMapKeyRef",
            "fieldRef",
            "resourceFieldRef",
            message="exactly one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef is required",
        ),
    )

    secret_key_ref: SecretKeySelector | None = None
    """A key of a Secret in this namespace."""
    config_map_key_ref: ConfigMapKeySelector | None = None
    """A key of a ConfigMap in this namespace."""
    field_ref: ObjectFieldSelector | None = None
    """A field of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """A resource limit or request of the container."""


class EnvVar(Model):
    """A variable of the container's environment."""

    rules = (
        Rule(
            "!has(self.value) || !has(self.valueFrom)",
            "value and valueFrom exclude each other",
            lambda it: set_fields(it, "value", "value_from") < 2,
        ),
    )

    name: EnvName
    """Name of the variable. Example: `LOG_LEVEL`."""
    value: Annotated[str, text(32768)] | None = None
    """Its value; `$(NAME)` stands for an earlier variable. Not the place for a secret. Default: empty."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of `value`."""


class OptionalNameRef(Model):
    """An object of this namespace that may be missing."""

    one_owner = True

    name: ObjectName
    """Name of the object, in this namespace."""
    optional: Flag | None = None
    """True: the pod starts even if the object is not there. Default: false."""


class EnvFromSource(Model):
    """A Secret or ConfigMap whose keys all become variables."""

    rules = (exactly_one("configMapRef", "secretRef", message="exactly one of configMapRef and secretRef is required"),)

    prefix: EnvPrefix | None = None
    """Text put before each key. Default: none. Example: `DB_`."""
    config_map_ref: OptionalNameRef | None = None
    """A ConfigMap of this namespace."""
    secret_ref: OptionalNameRef | None = None
    """A Secret of this namespace."""


# --- ports and resources ---


class Protocol(StrEnum):
    """Kubernetes' names of transport protocols."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class ContainerPort(Model):
    """A port that the container listens on."""

    name: PortName | None = None
    """Name of the port, unique among the workload's ports. Example: `http`."""
    container_port: PortNumber
    """Number of the port, 1 to 65535. Example: `8080`."""
    protocol: Annotated[Protocol, KEPT] = Protocol.TCP
    """Protocol of the port: `TCP`, `UDP` or `SCTP`. Default: `TCP`."""


Quantities = Annotated[dict[str, Quantity], Field(max_length=32)]


class ResourceRequirements(Model):
    """What the container may use and what is kept free for it."""

    limits: Quantities | None = None
    """The most that the container may use. Example: `{cpu: "1", memory: 512Mi}`."""
    requests: Quantities | None = None
    """What is kept free for the container; default: the limits. Example: `{cpu: 100m, memory: 128Mi}`."""


# --- probes ---


class UriScheme(StrEnum):
    """Kubernetes' names of URI schemes."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class ExecAction(Model):
    """A command that is run in the container; exit code 0 means healthy."""

    command: Annotated[tuple[Annotated[str, text(4096)], ...], Field(min_length=1, max_length=64), ATOMIC]
    """The command and its arguments; no shell is involved. Example: `[cat, /tmp/ready]`."""


class HttpHeader(Model):
    """A header of the probe's request."""

    name: Annotated[
        str,
        text(256),
        matches("^[-A-Za-z0-9!#$%&*+.^_`|~]+$", "must be the name of an HTTP header, such as X-Probe"),
    ]
    """Name of the header. Example: `X-Probe`."""
    value: Annotated[str, text(1024)]
    """Value of the header."""


class HttpGetAction(Model):
    """A request to the container; a status from 200 to 399 means healthy."""

    path: Annotated[str, text(2048)] | None = None
    """Path of the request. Default: `/`. Example: `/healthz`."""
    port: ProbePort
    """Number or name of the container's port. Example: `8080`."""
    scheme: UriScheme | None = None
    """`HTTP` or `HTTPS`. Default: `HTTP`."""
    http_headers: Annotated[tuple[HttpHeader, ...], Field(max_length=32), ATOMIC] = ()
    """Headers of the request. Default: none."""


class TcpSocketAction(Model):
    """A connection to the container; one that opens means healthy."""

    port: ProbePort
    """Number or name of the container's port. Example: `5432`."""


class GrpcAction(Model):
    """A call of the gRPC health service."""

    port: PortNumber
    """Number of the container's port. Example: `9000`."""
    service: Annotated[str, text(256)] | None = None
    """Name of the service to ask about. Default: none, which asks about the server."""


class Probe(Model):
    """A question that the node asks the container again and again."""

    rules = (
        exactly_one(
            "exec",
            "httpGet",
            "tcpSocket",
            "grpc",
            message="exactly one of exec, httpGet, tcpSocket and grpc is required",
        ),
    )

    exec: ExecAction | None = None
    """Ask by a command in the container."""
    http_get: HttpGetAction | None = None
    """Ask by an HTTP request."""
    tcp_socket: TcpSocketAction | None = None
    """Ask by opening a connection."""
    grpc: GrpcAction | None = None
    """Ask by gRPC's health protocol."""
    initial_delay_seconds: Count | None = None
    """Seconds to wait after the container's start. Default: 0."""
    timeout_seconds: Annotated[Count, Field(ge=1)] | None = None
    """Seconds after which the question counts as failed. Default: 1."""
    period_seconds: Annotated[Count, Field(ge=1)] | None = None
    """Seconds between two questions. Default: 10."""
    success_threshold: Annotated[Count, Field(ge=1)] | None = None
    """Answers in a row that make the container healthy; must be 1 but for a readinessProbe. Default: 1."""
    failure_threshold: Annotated[Count, Field(ge=1)] | None = None
    """Failures in a row that make it unhealthy. Default: 3."""


class StoppingProbe(Probe):
    """A question whose failure stops the container."""

    termination_grace_period_seconds: Annotated[Count, Field(ge=1)] | None = None
    """Seconds for the container to stop after a failed probe. Default: the workload's."""

"""The settings of a process: environment and files -> one frozen model, parsed once, with every problem told at once.

What an administrator may change while Mooring runs is no setting: it stands in the policy (`domain.policy`). A problem
names its variable and never repeats the value, because people put secrets into the wrong variable.
"""

import errno
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from mooring.domain import origins
from mooring.domain.names import GATEWAY_ACCOUNT

PREFIX = "MOORING_"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# The processes that have settings. They may share one environment, so what one alone uses is not held against the
# other: it need not be set, and its files need not be there.
Command = Literal["operator", "gateway", "release"]
Network = IPv4Network | IPv6Network

# Variables of our name that are not the product's, each with its reason.
FOREIGN = {
    "MOORING_CACHE_DIR": "the folder where builds and tests keep what they downloaded, set by the Makefile",
}
# Kubernetes sets these in every pod for every Service of the namespace, and ours may be called mooring-something.
_SERVICE_LINK = re.compile(
    r"MOORING_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)

_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,510}")
_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one variable, and what to do."""

    variable: str
    sentence: str

    def __str__(self) -> str:
        """Return the line that a person reads."""
        return f"{self.variable} {self.sentence}"


class SettingsError(Exception):
    """The environment is wrong. The text has a summary in its first line, and a line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.variable))
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        lines = [f"{count} in the environment; nothing was started", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a server listens. No host: on every address. Port 0, with a host alone: the system chooses."""

    host: str | None
    port: int

    def __str__(self) -> str:
        """Return it as it is written in a variable."""
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host or ""
        return f"{host}:{self.port}"


class CannotListenError(Exception):
    """The port that a setting names cannot be had; the text is one line for the person who chose it."""

    def __init__(self, listen: Listen, problem: OSError, *, variable: str) -> None:
        if problem.errno == errno.EADDRINUSE:
            why = f"the port is in use; stop its user, or set {variable}"
        else:
            why = f"{problem.strerror or type(problem).__name__}; set {variable} to an address of this machine"
        super().__init__(f"cannot listen on {listen}: {why}")


# --- from text to value; a ValueError says what is wrong and what to do, and reads on after the variable's name ---


def parse_listen(value: Any) -> Any:
    """Read `:8081`, `127.0.0.1:0` or `[::1]:8081`."""
    if not isinstance(value, str):
        return value
    expected = "write :PORT or ADDRESS:PORT, such as :8081, 127.0.0.1:8081 or [::1]:8081"
    host, separator, port = value.rpartition(":")
    if not separator or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"has no port from 0 to 65535; {expected}")
    if not host and int(port) == 0:
        # The system would choose one for IPv4 and another for IPv6.
        raise ValueError("has port 0 without an address; write 127.0.0.1:0, or name a port")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return Listen(str(ip_address(bare)) if bare else None, int(port))
    except ValueError:
        raise ValueError(f"has a host that is not an IP address; {expected}") from None


def parse_duration(value: Any) -> Any:
    """Read `10m`, `3s` or `1h30m`."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if not found or not any(found.groups()):
        raise ValueError("is not a duration; write hours, minutes and seconds, such as 10m, 3s or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _sweep_interval(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(hours=24):
        raise ValueError("is out of bounds; write a duration from 1s to 24h")
    return value


def _flag(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in {"true", "false"}:
        raise ValueError("is neither true nor false; write one of the two")
    return value == "true"


def _names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    wrong = [number for number, name in enumerate(names, 1) if not _DNS_LABEL.fullmatch(name)]
    if wrong:
        which = ", ".join(f"no. {number}" for number in wrong[:10])
        raise ValueError(f"has entries that are no namespace's name ({which}); write names with commas between them")
    return names


def _hosts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = []
    for number, entry in enumerate((entry.strip() for entry in value.split(",") if entry.strip()), 1):
        try:
            found.append(str(origins.parse_host(entry)))
        except origins.BadUrl:
            sentence = f"has an entry that is no host (no. {number}); write HOST or HOST:PORT, with commas between them"
            raise ValueError(sentence) from None
    return tuple(dict.fromkeys(found))


def _matching(pattern: re.Pattern[str], sentence: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise ValueError(sentence)
        return value

    return BeforeValidator(check)


def _url(value: Any, info: ValidationInfo) -> Any:
    """Check a URL; plain http needs MOORING_DEVELOPMENT, which is read before."""
    if not isinstance(value, str):
        return value
    scheme, separator, rest = value.partition("://")
    plain = scheme == "http" and bool(info.data.get("development"))
    try:
        checked = origins.api_url(f"https://{rest}" if plain and separator else value)
    except origins.BadUrl:
        hint = "; plain http needs MOORING_DEVELOPMENT=true" if scheme == "http" and not plain else ""
        raise ValueError(
            f"is no https URL{hint}; write https://HOST[:PORT][/PATH] in ASCII, without user name, query and fragment"
        ) from None
    return value.rstrip("/") if plain else checked


def _own_port(value: Listen, info: ValidationInfo) -> Listen:
    """Refuse the port of another server that was read before: the containers of a Pod share their ports."""
    for name, other in info.data.items():
        if isinstance(other, Listen) and value.port == other.port != 0:
            raise ValueError(f"has the port of {PREFIX + name.upper()}; give it one of its own")
    return value


def _certificates(value: Path, info: ValidationInfo) -> Path:
    if not _is_used_by("operator", info):
        return value
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        raise ValueError("names a file without a certificate in PEM; name one that has the authority's") from None
    except OSError as problem:
        raise ValueError(f"names a file that cannot be read ({problem.strerror}); name one that can") from None
    return value


def _folder(command: Command, sentence: str, mode: int = os.R_OK | os.X_OK) -> AfterValidator:
    """Check a folder that one command uses."""

    def check(value: Path, info: ValidationInfo) -> Path:
        if _is_used_by(command, info) and not (value.is_dir() and os.access(value, mode)):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _is_used_by(command: Command, info: ValidationInfo) -> bool:
    """Tell whether it is this command that starts: its files alone have to be there."""
    return info.context is None or info.context["command"] == command


def parse_networks(value: Any) -> Any:
    """Read `10.0.0.7, 192.168.0.0/16, fd00::/8`; an address stands for itself alone."""
    if not isinstance(value, str):
        return value
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    found = [_network(entry) for entry in entries]
    if wrong := [f"no. {number}" for number, network in enumerate(found, 1) if network is None]:
        raise ValueError(
            f"has entries that are no address and no network ({', '.join(wrong[:10])}); write such as 10.0.0.7 or "
            "192.168.0.0/16, the bits after the prefix zero, with commas between them"
        )
    if any(network is not None and network.prefixlen == 0 for network in found):
        # Everybody could then say which address he comes from.
        raise ValueError("trusts every address there is; name those of your proxies")
    return tuple(dict.fromkeys(found))


def _network(entry: str) -> Network | None:
    try:
        # A scope (fe80::1%eth0) means something on one machine only; a netmask (/255.0.0.0) has two readings.
        return ip_network(entry) if re.fullmatch(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?", entry) else None
    except ValueError:
        return None


Namespace = Annotated[
    str,
    _matching(_DNS_LABEL, "is no namespace's name; write lower-case letters, digits and '-', such as mooring-system"),
]
ObjectName = Annotated[
    str, _matching(_OBJECT_NAME, "is no object's name; write lower-case letters, digits, '-' and '.'")
]
Image = Annotated[str, _matching(_IMAGE, "is no image; write one such as registry.example.com/mooring:1.0.0")]
Url = Annotated[str, BeforeValidator(_url)]
MasterKeys = Annotated[
    Path, _folder("operator", "names no folder that can be read; mount the Secret with the keys, and name its folder")
]
WebhookFolder = Annotated[
    Path, _folder("gateway", "names no folder that can be read; mount the Secret mooring-webhook, and name its folder")
]
GatewayCredential = Annotated[
    Path,
    _folder(
        "operator",
        "names no folder that can be written to; mount a volume in memory, and name its folder",
        os.W_OK | os.X_OK,
    ),
]
ListenAddress = Annotated[Listen, BeforeValidator(parse_listen), AfterValidator(_own_port)]
SweepInterval = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_sweep_interval)]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    _matching(re.compile("debug|info|warning|error"), "is no level; write debug, info, warning or error"),
]


class Settings(BaseModel):
    """What a process is told at its start. A docstring's last sentence, `Default: …`, is part of the reference."""

    model_config = ConfigDict(
        alias_generator=lambda name: PREFIX + name.upper(),
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        validate_default=True,  # the port that is a default may be the one that another variable was given
    )

    # First, because the URLs below are read in its light.
    development: Annotated[bool, BeforeValidator(_flag)] = False
    """`true` allows plain http in the URLs below. For one's own machine only. Default: `false`."""
    namespace: Namespace
    """The namespace that the process runs in, with its policy, its own App and its Lease. Default: that of the pod's
    service account; required elsewhere."""
    watch_namespaces: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """The namespaces to work in, with commas between them; their Roles must be there. Default: all of them."""
    github_api_url: Url = "https://api.github.com"
    """The GitHub that objects without an `apiUrl` mean. Default: `https://api.github.com`."""
    github_ca_file: Annotated[Path, AfterValidator(_certificates)] | None = None
    """A file with certificates in PEM to trust for that GitHub, instead of the system's; what fetches sources from
    there gets them too, if they have at most 32 KiB. Default: the system's."""
    large_file_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    """Hosts that the large files (Git LFS) of that GitHub may come from beside its own, such as `s3.example.com`, with
    commas between them. No credential of ours goes there. Those of `github.com` are known. Default: none."""
    github_app_secret: ObjectName = "mooring-github-app"  # noqa: S105 - an object's name
    """The Secret of the operator's own GitHub App, in the namespace of the process. Default: `mooring-github-app`."""
    policy_configmap: ObjectName = "mooring-policy"
    """The ConfigMap with the administrator's policy, in the namespace of the process. Default: `mooring-policy`."""
    public_base_url: Url | None = None
    """Where GitHub reaches the gateway from outside, such as `https://mooring.example.com`. Default: none; no address
    for webhooks is shown then."""
    master_key_dir: MasterKeys | None = None
    """A folder with the keys that secrets of webhooks are derived from, in files named `1`, `2`, …, at least 32 bytes
    each; only the operator reads it. Default: none; the operator then makes keys, and keeps them in the Secret
    `mooring-webhook`."""
    webhook_dir: WebhookFolder | None = None
    """The folder where the Secret `mooring-webhook` is mounted, with what the gateway has to know. Required for the
    gateway; the operator does not use it."""
    gateway_token_dir: GatewayCredential | None = None
    """A folder, in memory, in which the operator keeps a short-lived credential of the gateway's service account for
    the gateway beside it, as files `token`, `ca.crt` and `namespace`. Default: none; the gateway then has its own."""
    gateway_account: ObjectName = GATEWAY_ACCOUNT
    """The gateway's service account, in the namespace of the process. Default: `mooring-gateway`."""
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(parse_networks)] = ()
    """The addresses or networks of the proxies before the gateway whose `X-Forwarded-For` is believed, with commas
    between them. Default: none."""
    checkout_image: Annotated[Image, Field(validate_default=False)] = ""
    """The image that fetches a Project's source: as a rule Mooring's own. Required for the operator; the gateway does
    not use it."""
    sweep_interval: SweepInterval = timedelta(minutes=10)
    """Within what time a push is deployed whose webhook never came: so often repositories are looked at by themselves,
    and what cannot be used for now is tried again. Default: `10m`."""
    log_level: LogLevel = "info"
    """The least level of Mooring's own logs: `debug`, `info`, `warning` or `error`. Libraries log from `warning` on,
    whatever stands here. Default: `info`."""
    operator_listen: ListenAddress = Listen(None, 8081)
    """Where the operator serves health, readiness and metrics. Default: `:8081`."""
    gateway_listen: ListenAddress = Listen(None, 8080)
    """Where the gateway takes webhooks. Default: `:8080`."""
    gateway_admin_listen: ListenAddress = Listen(None, 8082)
    """Where the gateway serves health, readiness and metrics. Default: `:8082`."""

    @classmethod
    def load(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        command: Command = "operator",
        namespace_file: Path = NAMESPACE_FILE,
    ) -> Self:
        """Read the environment (by default the process's own) for a command; raise SettingsError with every problem."""
        given = _given(os.environ if environment is None else environment)
        known = {variable: value for variable, value in given.items() if variable in VARIABLES}
        problems = [_unknown(variable) for variable in given if variable not in VARIABLES]
        if "MOORING_NAMESPACE" not in known and (namespace := _namespace_of_pod(namespace_file)):
            known["MOORING_NAMESPACE"] = namespace
        problems += [_missing(variable) for variable in _REQUIRED[command] if variable not in known]
        try:
            settings = cls.model_validate(known, context={"command": command})
        except ValidationError as error:
            raise SettingsError([*problems, *_problems(error)]) from None
        if problems:
            raise SettingsError(problems)
        return settings


VARIABLES = {PREFIX + name.upper(): field.description or "" for name, field in Settings.model_fields.items()}


_REQUIRED: Mapping[Command, tuple[str, ...]] = {
    "operator": ("MOORING_NAMESPACE", "MOORING_CHECKOUT_IMAGE"),
    "gateway": ("MOORING_NAMESPACE", "MOORING_WEBHOOK_DIR"),
    "release": ("MOORING_NAMESPACE",),
}
_WANTED = {
    "MOORING_NAMESPACE": "name the namespace that Mooring runs in, such as mooring-system",
    "MOORING_CHECKOUT_IMAGE": "name the image that fetches sources: as a rule Mooring's own",
    "MOORING_WEBHOOK_DIR": "mount the Secret mooring-webhook, and name its folder",
}


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """Our variables that have a value; an empty one is as good as none, since charts often leave those behind."""
    return {
        variable: value.strip()
        for variable, value in environment.items()
        if variable.startswith(PREFIX) and value.strip() and not _is_foreign(variable, value)
    }


def _is_foreign(variable: str, value: str) -> bool:
    if variable in VARIABLES:
        return False
    # A person who means a port writes a number; a Service's variable of this form has a URL.
    links_port = variable.endswith("_PORT") and "://" in value
    return links_port or variable in FOREIGN or _SERVICE_LINK.fullmatch(variable) is not None


def _unknown(variable: str) -> Problem:
    near = get_close_matches(variable, VARIABLES, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else "remove it; docs/reference/settings.md lists all"
    return Problem(variable, f"is no setting; {hint}")


def _missing(variable: str) -> Problem:
    return Problem(variable, f"is not set; {_WANTED[variable]}")


def _namespace_of_pod(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _problems(error: ValidationError) -> list[Problem]:
    problems = []
    for entry in error.errors(include_url=False, include_input=False):
        # A default that was refused comes under its field's name, all else under the variable's.
        variable = PREFIX + str(entry["loc"][0]).removeprefix(PREFIX).upper()
        if entry["type"] == "missing":
            continue  # told by the command's own list
        told = str(entry["ctx"]["error"]) if entry["type"] == "value_error" else f"is wrong: {entry['msg']}"
        problems.append(Problem(variable, told))
    return problems

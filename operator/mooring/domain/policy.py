"""The administrator's policy: what tenants may use beyond their own namespace. Parsed whole, or refused whole.

It comes from a ConfigMap that tenants cannot write; reading and watching that is the cluster's affair. No policy allows
nothing extra, and so does one that cannot be read: the caller keeps the last good one or falls back to `Policy()`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)
from pydantic.alias_generators import to_camel

from mooring.domain import origins

KEY = "policy.yaml"
MAXIMUM_BYTES = 256 * 1024
_MAXIMUM_DEPTH = 8
_MAXIMUM_PROBLEMS = 20

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_DNS = rf"{_LABEL}(?:\.{_LABEL})*"
_SUFFIX = re.compile(rf"\.?{_DNS}")
_HOST_NAME = re.compile(_DNS)
_ANNOTATION = re.compile(rf"{_DNS}/\*|(?:{_DNS}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?:\*|[A-Za-z0-9._-]+)")
_PERMISSION = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LEVELS = frozenset({"read", "write", "admin"})
_OWN_ANNOTATIONS = "mooring.dev/"


class PolicyError(Exception):
    """The policy cannot be used. The text has a summary in its first line, and a line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        shown = [f"  {problem}" for problem in self.problems[:_MAXIMUM_PROBLEMS]]
        if left := len(self.problems) - len(shown):
            shown.append(f"  and {left} more")
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        super().__init__("\n".join([f"{count} in the policy; nothing of it is used", *shown]))


def _like(pattern: re.Pattern[str], sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _host(value: str) -> str:
    return str(origins.parse_host(value))


def _not_ours(value: str) -> str:
    if value.startswith(_OWN_ANNOTATIONS):
        raise ValueError("annotations of mooring.dev are Mooring's own; leave it out")
    return value


def _permission_names(value: dict[str, str]) -> dict[str, str]:
    for name, level in value.items():
        if not _PERMISSION.fullmatch(name) or level not in _LEVELS:
            raise ValueError("write GitHub's names with read, write or admin, such as contents: read")
    return value


Text = Annotated[StrictStr, Field(max_length=512)]
Identifier = Annotated[StrictInt, Field(ge=1, le=2**63 - 1)]
Namespace = Annotated[Text, _like(_NAMESPACE, "write a namespace's name; there is no wildcard")]
Repository = Annotated[Text, _like(_REPOSITORY, "write owner/name, or owner/* for all of that owner's")]
Suffix = Annotated[Text, _like(_SUFFIX, "write a DNS name such as apps.example.com, without a wildcard")]
ClassName = Annotated[Text, _like(_HOST_NAME, "write the name of an IngressClass")]
AnnotationKey = Annotated[
    Text,
    _like(_ANNOTATION, "write an annotation's key, or PREFIX/* for all with that prefix"),
    AfterValidator(_not_ours),
]
Permissions = Annotated[dict[Text, Text], Field(max_length=64), AfterValidator(_permission_names)]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True)


class Binding(_Part):
    """One account's installation of the operator's App, lent to namespaces."""

    api_url: Annotated[Text, AfterValidator(origins.api_url)]
    app_id: Identifier
    account_id: Identifier
    namespaces: Annotated[tuple[Namespace, ...], Field(min_length=1, max_length=1000)]
    repositories: Annotated[tuple[Repository, ...], Field(min_length=1, max_length=1000)] | None = None
    permissions: Permissions | None = None

    def covers(self, full_name: str) -> bool:
        """Tell whether the binding lends this repository (`owner/name`); without a list it lends all."""
        if self.repositories is None:
            return True
        name = full_name.casefold()
        return any(_covers(entry.casefold(), name) for entry in self.repositories)


class IngressPolicy(_Part):
    """What tenants may publish."""

    host_suffixes: Annotated[tuple[Suffix, ...], Field(max_length=1000)] = ()
    class_names: Annotated[tuple[ClassName, ...], Field(max_length=100)] = ()
    annotation_keys: Annotated[tuple[AnnotationKey, ...], Field(max_length=1000)] = ()

    def host_allowed(self, host: str) -> bool:
        """Tell whether a host is a listed name or stands under one; `.example.com` lists only what stands under it.

        A wildcard is never allowed: it would take the hosts of others.
        """
        return _HOST_NAME.fullmatch(host) is not None and any(_under(host, suffix) for suffix in self.host_suffixes)

    def class_allowed(self, name: str | None) -> bool:
        """Tell whether a class may be named. None names none: the cluster's own default serves it."""
        return name is None or name in self.class_names

    def forbidden_annotations(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the keys that are not allowed, in order."""
        return tuple(key for key in sorted(keys) if not self.annotation_allowed(key))

    def annotation_allowed(self, key: str) -> bool:
        """Tell whether a key is listed, or its prefix with `/*`."""
        prefix, separator, _ = key.rpartition("/")
        return not key.endswith("*") and (
            key in self.annotation_keys or f"{prefix}{separator}*" in self.annotation_keys
        )


class Policy(_Part):
    """All that the administrator allows; by default nothing."""

    bindings: Annotated[tuple[Binding, ...], Field(max_length=1000)] = ()
    # An entry without a port means 443. `origins.AllowedHosts` puts the operator's own GitHub beside them, and decides.
    allowed_hosts: Annotated[tuple[Annotated[Text, AfterValidator(_host)], ...], Field(max_length=1000)] = ()
    ingress: IngressPolicy = IngressPolicy()
    raw_pod_templates: StrictBool = False

    @field_validator("bindings")
    @classmethod
    def _bindings_are_clear(cls, bindings: tuple[Binding, ...]) -> tuple[Binding, ...]:
        """Two bindings of one account for one namespace would leave open which of them counts."""
        seen = set()
        for number, binding in enumerate(bindings):
            for namespace in binding.namespaces:
                key = (binding.api_url, binding.app_id, binding.account_id, namespace)
                if key in seen:
                    raise ValueError(f"no. {number} lends an account to {namespace} once more; merge the two")
                seen.add(key)
        return bindings

    def bindings_of(self, api_url: str, app_id: int, namespace: str) -> tuple[Binding, ...]:
        """Return what this namespace may use of an App: none means that nothing may be asked of GitHub for it."""
        origin = origins.host_of(api_url)
        return tuple(
            binding
            for binding in self.bindings
            if origins.host_of(binding.api_url) == origin
            and binding.app_id == app_id
            and namespace in binding.namespaces
        )

    def binding(self, api_url: str, app_id: int, account_id: int, namespace: str) -> Binding | None:
        """Return the one binding of an account to a namespace."""
        found = self.bindings_of(api_url, app_id, namespace)
        return next((binding for binding in found if binding.account_id == account_id), None)


def _covers(entry: str, name: str) -> bool:
    return name.startswith(entry[:-1]) if entry.endswith("/*") else name == entry


def _under(host: str, suffix: str) -> bool:
    return host.endswith(suffix) if suffix.startswith(".") else host == suffix or host.endswith(f".{suffix}")


# --- from the ConfigMap to the model ---


def from_config_map(data: Mapping[str, str] | None) -> Policy:
    """Read a ConfigMap's data (None: there is no ConfigMap); raise PolicyError with every problem."""
    if data is None:
        return Policy()
    if KEY not in data:
        raise PolicyError([f"the ConfigMap has no key {KEY}; add it, or delete the ConfigMap to allow nothing"])
    return parse_policy(data[KEY])


def parse_policy(text: str) -> Policy:
    """Read the YAML of a policy; raise PolicyError with every problem."""
    if len(text.encode()) > MAXIMUM_BYTES:
        raise PolicyError([f"it is larger than {MAXIMUM_BYTES // 1024} KiB; make it smaller"])
    try:
        return Policy.model_validate({} if (document := _document(text)) is None else document)
    except yaml.YAMLError as error:
        raise PolicyError([_yaml_problem(error)]) from None
    except ValidationError as error:
        raise PolicyError(_problems(error)) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C where PyYAML was built with it
    """YAML without what a policy has no use for: a key that stands there twice is refused, not overruled."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key is no plain text", key)
            if key.value in seen:
                raise _refused("a key stands there twice", key)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _refused(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _document(text: str) -> Any:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if getattr(event, "anchor", None):  # an alias has one too
            raise _refused("anchors and aliases are not taken", event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAXIMUM_DEPTH:
            raise _refused("it is nested too deeply", event)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except ValueError:
        # Such as a date in month 13, which YAML takes for a date all the same.
        raise yaml.MarkedYAMLError(problem="a value cannot be read; put it in quotes") from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"
    told = [text for name in ("context", "problem") if (text := getattr(error, name, None))]
    return f"{where}: {', '.join(told) or 'it is not YAML'}"


_SENTENCES = {
    "extra_forbidden": "is not known; remove it, or correct its spelling",
    "missing": "is missing",
    "invalid_key": "is a key that is no text; put it in quotes, or remove it",
    "int_type": "write a number without quotes",
    "string_type": "write a text in quotes",
    "bool_type": "write true or false",
    "tuple_type": "write a list",
    "dict_type": "write a map",
    "model_type": "write a map",
    "model_attributes_type": "write a map",
}


def _problems(error: ValidationError) -> list[str]:
    entries = error.errors(include_url=False)
    lists = {entry["loc"][:-1] for entry in entries}
    # A list whose only entries were refused is not too short as well.
    return [_problem(dict(entry)) for entry in entries if entry["type"] != "too_short" or entry["loc"] not in lists]


def _problem(entry: Mapping[str, Any]) -> str:
    path = ""
    for step in entry["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    if entry["type"] == "value_error":
        sentence = str(entry["ctx"]["error"])
    else:
        sentence = _SENTENCES.get(entry["type"], entry["msg"])
    return f"{path}: {sentence}" if path else sentence

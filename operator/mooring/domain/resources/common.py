"""What the three kinds share: the base of all models, texts with a form, references, grants and conditions.

Parsing is for an operator: fields that this version does not know are ignored, because a newer version may have written
them; what it does know must be well-formed, though the API server has checked it before. Models are frozen.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StrictBool, StrictInt, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from mooring.domain.resources.schema import (
    ATOMIC,
    KEPT,
    MAP_TYPE,
    VALIDATIONS,
    Extra,
    KindInfo,
    ListMap,
    Rule,
    SetList,
    cel_matches,
    fits,
    matches,
)


class Model(BaseModel):
    """The base of everything that stands in a spec or a status."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # an env value may be a secret that somebody put in the wrong place
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Constraints on the object as a whole."""
    one_owner: ClassVar[bool] = False
    """True where the fields make sense only together: one field manager then owns them all."""

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the rules and the map type of this model to its schema."""
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        if cls.rules:
            schema[VALIDATIONS] = [rule.as_schema() for rule in cls.rules]
        if cls.one_owner:
            schema[MAP_TYPE] = "atomic"
        return reference

    def to_api(self) -> dict[str, Any]:
        """The object as the API server takes it: its own names, and only what was set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def set_fields(model: Model, *names: str) -> int:
    """How many of these fields have a value: what CEL's `has` counts."""
    return sum(getattr(model, name) not in (None, ()) for name in names)


def exactly_one(*aliases: str, message: str) -> Rule:
    """A rule that exactly one of these optional fields (no lists among them) is there."""
    names = [_attribute(alias) for alias in aliases]
    counted = ", ".join(f"has(self.{alias})" for alias in aliases)
    return Rule(f"[{counted}].filter(x, x).size() == 1", message, lambda model: set_fields(model, *names) == 1)


def _attribute(alias: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in alias)


# --- scalars and texts with a form ---

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_REPOSITORY = "[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+"
_REPOSITORY_ENDS = ("/.", "/..", ".git")
_INT32_MAX = 2**31 - 1
_EXACT_MAX = 2**53 - 1  # the API server compares bounds as floating-point numbers, so a larger one is refused


def text(maximum: int, *, minimum: int | None = None) -> Any:
    """The bounds of a string: every string has a maximum, or the cost of rules could not be estimated."""
    return Field(min_length=minimum, max_length=maximum)


Word = Annotated[str, text(128)]
Line = Annotated[str, text(512)]
Flag = StrictBool
Time = Annotated[datetime, Extra({"maxLength": 64})]
Count = Annotated[StrictInt, Field(ge=0, le=_INT32_MAX), Extra({"format": "int32"})]
Identifier = Annotated[StrictInt, Field(ge=1, le=_EXACT_MAX), Extra({"format": "int64"})]
Generation = Annotated[StrictInt, Field(ge=0, le=_EXACT_MAX), Extra({"format": "int64"})]

DnsLabel = Annotated[
    str,
    text(63),
    matches(f"^{_LABEL}$", "must be a DNS label: lower-case letters, digits and '-', such as team-a"),
]
ObjectName = Annotated[
    str,
    text(253),
    matches(
        f"^{_SUBDOMAIN}$", "must be an object's name: lower-case letters, digits, '-' and '.', such as github-token"
    ),
]
DataKey = Annotated[
    str,
    text(253),
    matches("^[-._a-zA-Z0-9]+$", "must be a key in a Secret or ConfigMap: letters, digits, '-', '_' and '.'"),
]
Login = Annotated[
    str,
    text(100),
    matches("^[A-Za-z0-9][A-Za-z0-9_-]*$", "must be a GitHub login: letters, digits, '-' and '_', without @"),
]
HttpsUrl = Annotated[
    str,
    text(512),
    matches(
        "^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$",
        "must be https://HOST[:PORT][/PATH] in ASCII, without user name, query and fragment",
    ),
]
RepositoryName = Annotated[
    str,
    text(140),
    Rule(
        f"{cel_matches(f'^{_REPOSITORY}$')} && " + " && ".join(f"!self.endsWith('{end}')" for end in _REPOSITORY_ENDS),
        "must be owner/name as GitHub shows it, without .git",
        lambda name: fits(f"^{_REPOSITORY}$", name) and not name.endswith(_REPOSITORY_ENDS),
    ),
]
RepositoryScope = Annotated[
    str,
    text(140),
    matches(
        r"^[A-Za-z0-9][A-Za-z0-9_-]*/(\*|[A-Za-z0-9._-]+)$", "must be owner/name, or owner/* for all of that owner's"
    ),
]
PermissionLevel = Annotated[
    str, text(16), matches("^(read|write|admin)$", "must be one of GitHub's own levels: read, write, admin")
]
Permissions = Annotated[
    dict[str, PermissionLevel],
    Field(max_length=64),
    Rule(
        f"self.all(name, size(name) <= 64 && {cel_matches('^[a-z][a-z0-9_]*$', 'name')})",
        "keys must be GitHub's names of permissions, such as contents or pull_requests",
        lambda levels: all(len(name) <= 64 and fits("^[a-z][a-z0-9_]*$", name) for name in levels),
    ),
]
"""A map from permission to level. The levels are GitHub's words in GitHub's spelling, so they are no enum of ours."""

StringMap = Annotated[dict[str, Annotated[str, text(256)]], Field(max_length=64)]


# --- references ---


class NameRef(Model):
    """An object of this namespace."""

    one_owner = True

    name: ObjectName
    """Name of the object, in this object's own namespace. Example: `my-secret`."""


class TokenSecretRef(Model):
    """A token in a Secret of this namespace."""

    one_owner = True

    name: ObjectName
    """Name of a Secret of type Opaque in this object's own namespace. Example: `payments-pat`."""
    key: Annotated[DataKey, KEPT] = "github-token"
    """Key in the Secret's data whose value is the token. Default: `github-token`."""


class CertificateRef(Model):
    """A certificate bundle in a Secret or ConfigMap of this namespace."""

    one_owner = True

    name: ObjectName
    """Name of the object, in this object's own namespace. Example: `ghes-ca`."""
    key: Annotated[DataKey, KEPT] = "ca.crt"
    """Key in the object's data whose value is the bundle in PEM. Default: `ca.crt`."""


class GitHubObjectRef(Model):
    """A GitHubUser or GitHubInstallation, here or in a namespace that grants it."""

    one_owner = True

    name: ObjectName
    """Name of the object. Example: `default`."""
    namespace: DnsLabel | None = None
    """Namespace of the object. Default: this object's own. Another namespace must grant its use, in the `grants` of the
    object that is referred to; without that grant it looks as if the object did not exist. Example: `platform`."""


# --- grants ---


class SelectorOperator(StrEnum):
    """How a label is compared with the values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


LabelKey = Annotated[
    str,
    text(317),
    matches(
        f"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
        "must be a label's key: a name of at most 63 characters, optionally after a DNS prefix and '/'",
    ),
]
LabelValue = Annotated[
    str,
    text(63),
    matches(
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a label's value: letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    ),
]
LabelMap = Annotated[dict[str, Annotated[str, text(63)]], Field(max_length=32)]


class LabelRequirement(Model):
    """One condition on a label."""

    rules = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
            " : !has(self.values) || size(self.values) == 0",
            "values are required with In and NotIn, and refused with Exists and DoesNotExist",
            lambda it: (it.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN}) == bool(it.values),
        ),
    )

    key: LabelKey
    """The label's key. Example: `team`."""
    operator: SelectorOperator
    """How the label is compared: `In` or `NotIn` the values, or whether it `Exists` or `DoesNotExist`."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=16), ATOMIC] = ()
    """The values to compare with; required with `In` and `NotIn`, refused otherwise. Example: `[payments, billing]`."""


class LabelSelector(Model):
    """Labels that an object must carry; all parts must match."""

    one_owner = True

    match_labels: LabelMap | None = None
    """Labels and the exact values that they must have. Example: `{team: payments}`."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=8), ATOMIC] = ()
    """Conditions on labels, all of which must hold."""


class GrantedNamespaces(Model):
    """The namespaces that a grant is for: listed by name, or selected by their labels."""

    rules = (
        exactly_one("names", "selector", message="exactly one of names and selector is required"),
        Rule(
            "!has(self.selector) || (has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0)"
            " || (has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)",
            "selector must not be empty: that would select every namespace",
            lambda it: it.selector is None or bool(it.selector.match_labels or it.selector.match_expressions),
        ),
    )

    names: Annotated[tuple[DnsLabel, ...], Field(min_length=1, max_length=100), SetList()] | None = None
    """Namespaces by name. Example: `[team-a, team-b]`."""
    selector: LabelSelector | None = None
    """Namespaces by their labels. It must not be empty. Whoever may label a namespace can then give it this grant.
    Example: `{matchLabels: {team: payments}}`."""


# --- conditions and metadata ---


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation about the object, in the form that all of Kubernetes uses."""

    type: Annotated[str, text(316, minimum=1)]
    """What is observed. Example: `Ready`."""
    status: ConditionStatus
    """Whether it holds: `True`, `False` or `Unknown`."""
    reason: Annotated[str, text(256, minimum=1)]
    """Why, in one word for programs. Example: `TokenExpired`."""
    message: Annotated[str, text(2048)]
    """Why, and what to do next, for people."""
    last_transition_time: Time
    """When the status last changed."""
    observed_generation: Generation | None = None
    """The generation of the object that this was observed on; older than `metadata.generation` means out of date."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListMap(("type",))]


class ObjectMeta(Model):
    """The part of an object's metadata that Mooring reads; the API server defines and checks all of it."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None


class Resource(Model):
    """The base of the three kinds."""

    info: ClassVar[KindInfo]

    metadata: ObjectMeta

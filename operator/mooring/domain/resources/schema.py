"""What a type hint cannot say about a field: rules, list types, kept defaults, and how a kind presents itself.

The models carry these beside their fields, so each constraint has one place. A `Rule` holds the CEL expression that the
API server evaluates and its twin in Python, which the models evaluate again: what is checked at the door is checked in
the domain too. Turning models into CustomResourceDefinitions is not done here, but in `mooring.crds`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

GROUP = "mooring.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "mooring"

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
INT_OR_STRING = "x-kubernetes-int-or-string"
KEEP_DEFAULT = "x-mooring-keep-default"
"""Marks a default that belongs in the schema; the generator removes the mark. All other defaults live in the
operator."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One constraint, in CEL for the API server and in Python for the domain.

    `holds` is None for a transition (the expression names `oldSelf`): the domain sees one state of an object, not two.
    The expression must be cheap on every legal value: its cost is estimated from the maxima of what it reads.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None

    def check(self, value: Any) -> Any:
        """Return the value, or raise ValueError with the very message that the API server gives."""
        if self.holds is not None and not self.holds(value):
            raise ValueError(self.message)
        return value

    def as_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the value after its own type has accepted it."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add this rule to those that the schema of the value already has."""
        schema = handler(core)
        schema[VALIDATIONS] = [*schema.get(VALIDATIONS, []), self.as_schema()]
        return schema


def matches(pattern: str, message: str) -> Rule:
    """A rule that a string as a whole matches a pattern, which both RE2 and Python must read alike.

    A rule and not the schema's own `pattern`, because the API server would answer with the bare expression.
    """
    return Rule(cel_matches(pattern), message, lambda text: fits(pattern, text))


def cel_matches(pattern: str, subject: str = "self") -> str:
    """The CEL expression for `fits`."""
    if "'" in pattern:
        raise ValueError(f"a pattern stands in single quotes in CEL and must not contain one: {pattern}")
    return f"{subject}.matches(r'{pattern}')"


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text matches."""
    return re.fullmatch(pattern, text) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Extra:
    """Keywords that go into a field's schema as they are."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the keywords to the schema of the value."""
        schema = handler(core)
        schema.update(self.keywords)
        return schema


@dataclass(frozen=True, slots=True)
class ListMap:
    """A list whose items are told apart by key fields, so that two managers can own different items."""

    keys: tuple[str, ...]

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Refuse two items with the same keys, as the API server does."""
        attributes = [re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower() for key in self.keys]
        seen = [tuple(getattr(item, name) for name in attributes) for item in items]
        if len(set(seen)) != len(seen):
            raise ValueError(f"two items have the same {' and '.join(self.keys)}")
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check uniqueness after the items themselves are accepted."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Declare the list's type and keys."""
        schema = handler(core)
        schema.update({LIST_TYPE: "map", LIST_MAP_KEYS: list(self.keys)})
        return schema


@dataclass(frozen=True, slots=True)
class SetList:
    """A list of distinct scalars, of which two managers can own different ones."""

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Refuse an item that is there twice, as the API server does."""
        if len(set(items)) != len(items):
            raise ValueError("an item is listed twice")
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check uniqueness after the items themselves are accepted."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Declare the list's type."""
        schema = handler(core)
        schema[LIST_TYPE] = "set"
        return schema


ATOMIC = Extra({LIST_TYPE: "atomic"})
"""A list that one manager owns as a whole, because its order or its sum is what counts."""

ATOMIC_MAP = Extra({MAP_TYPE: "atomic"})
"""A map that one manager owns as a whole."""

KEPT = Extra({KEEP_DEFAULT: True})
"""On a field whose default belongs in the schema: part of the object's meaning, not a policy."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; the wide ones show with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


def condition_columns() -> tuple[Column, ...]:
    """The columns that every kind ends with."""
    ready = '.status.conditions[?(@.type=="Ready")]'
    return (
        Column("Ready", f"{ready}.status", "Whether everything that was asked for is in place."),
        Column("Status", f"{ready}.reason", "Why, in one word; the conditions say it in a sentence."),
        Column("Age", ".metadata.creationTimestamp", "How long the object exists.", "date"),
    )


@dataclass(frozen=True, slots=True)
class KindInfo:
    """How a kind is named and listed."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

"""The schema of the chart's values knows all of them, says what each means, and leaves nothing open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mooring.domain.names import GATEWAY_ACCOUNT, WEBHOOK_SECRET
from mooring.domain.policy import Policy
from mooring.settings import VARIABLES
from tests.unit.docs.chart_page import CHART, schema, values

# Kubernetes' own, which are passed on as they are.
OPEN = {"nodeAffinity", "podAffinity", "podAntiAffinity", "labelSelector", "namespaceSelector", "podSelector", "global"}
# What a values file need not say.
UNSAID = {"global"}


def parts(part: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through all schemas within a schema."""
    if isinstance(part, Mapping):
        if "type" in part or "$ref" in part:
            yield name, part
        for key, inner in part.items():
            if key in {"properties", "$defs", "patternProperties"}:
                for inner_name, schema_of in inner.items():
                    yield from parts(schema_of, inner_name)
            elif isinstance(inner, Mapping):
                yield from parts(inner, name)


def test_no_object_takes_what_is_not_known() -> None:
    for name, part in parts(schema()):
        if part.get("type") == "object" and name not in OPEN:
            closed = part.get("additionalProperties")
            # A map has values of one type; anything else is closed.
            assert closed is False or (closed == {"type": "string"} and "properties" not in part), name


def test_every_value_is_described() -> None:
    def check(part: Mapping[str, Any], prefix: str) -> None:
        for name, inner in part.get("properties", {}).items():
            assert len(inner.get("description", "")) > 5, f"{prefix}{name}"
            check(inner, f"{prefix}{name}.")

    check(schema(), "")


def _paths(part: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in part.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _paths(inner, f"{prefix}{name}.")


def _given(found: Mapping[str, Any], known: set[str], prefix: str = "") -> Iterator[str]:
    for name, inner in found.items():
        yield f"{prefix}{name}"
        if isinstance(inner, Mapping):
            yield from (path for path in _given(inner, known, f"{prefix}{name}.") if path in known)


def test_every_value_has_its_default_and_no_other_has_one() -> None:
    known = set(_paths(schema()))
    given = set(_given(values(), known))

    # The policy is empty: then it is somebody else's.
    assert known - given - UNSAID == {path for path in known if path.startswith("policy.content.")}
    assert given <= known


def test_the_policy_has_the_parts_that_the_operator_reads() -> None:
    content = schema()["properties"]["policy"]["properties"]["content"]

    assert set(content["properties"]) == {field.alias or name for name, field in Policy.model_fields.items()}


def _templates() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in sorted((CHART / "templates").iterdir()))


def test_every_setting_is_set_by_the_chart_or_has_one_right_value_in_a_pod() -> None:
    text = _templates()
    ports = {"MOORING_OPERATOR_LISTEN", "MOORING_GATEWAY_LISTEN", "MOORING_GATEWAY_ADMIN_LISTEN"}

    assert {variable for variable in VARIABLES if f"name: {variable}\n" not in text} == ports


def test_names_are_those_of_the_code() -> None:
    assert values()["serviceAccount"]["gatewayName"] == GATEWAY_ACCOUNT
    assert _templates().count(f"secretName: {WEBHOOK_SECRET}") == 2

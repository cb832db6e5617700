"""The page of the reference about the chart's values: meanings from their schema, defaults from the values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[3] / "helm" / "mooring"
HEAD = """
# The chart's values

`helm show values helm/mooring` prints them with their defaults. Anything else is refused, by the chart's schema or with
a sentence that says what to do; so is a combination that cannot work, such as a route without `gateway.url`. The
[guide](../guide/install.md) shows how to install with them.

"""


def schema() -> dict[str, Any]:
    """Return the schema of the values."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return found


def values() -> dict[str, Any]:
    """Return the values."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return found


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Go through all values: path, type, meaning and default."""
    yield from _rows(schema(), values(), "")


def _rows(part: Mapping[str, Any], given: Any, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, inner in part["properties"].items():
        default = given.get(name) if isinstance(given, Mapping) else None
        if inner.get("properties"):
            yield f"`{prefix}{name}`", "", str(inner["description"]), ""
            yield from _rows(inner, default, f"{prefix}{name}.")
        elif not (prefix == "" and name == "global"):
            yield f"`{prefix}{name}`", _kind(inner), str(inner["description"]), _default(default)


def _kind(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{one}`" for one in part["enum"])
    if "$ref" in part or part.get("type") == "object":
        return "map"
    kind = part["type"]
    return " or ".join(kind) if isinstance(kind, list) else "list" if kind == "array" else str(kind)


def _default(value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"

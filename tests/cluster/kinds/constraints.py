"""What the generated schemas demand: every rule, enum and pattern, with the place where it stands.

A place is written like a path with `[]` for a list's items and `.*` for a map's values: `spec.workload.ports[].name`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from mooring import crds

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One demand of a schema, and the text that the API server answers with when it is not met."""

    kind: str
    place: str
    sort: str
    answer: str


@cache
def root_schemas() -> dict[str, Schema]:
    """The schema of each kind, as it is in the YAML that people apply."""
    definitions = [yaml.safe_load(text) for text in crds.files().values()]
    return {
        crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in definitions
    }


def nodes(schema: Schema, place: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its place, the root's being empty."""
    yield place, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{place}.{name}" if place else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{place}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from nodes(schema["additionalProperties"], f"{place}.*")


def constraints() -> Iterator[Constraint]:
    """Every rule, enum and pattern of the three kinds."""
    for kind, root in root_schemas().items():
        for place, node in nodes(root):
            for rule in node.get("x-kubernetes-validations", []):
                yield Constraint(kind, place, "rule", rule["message"])
            if "enum" in node:
                yield Constraint(kind, place, "enum", ", ".join(f'"{value}"' for value in node["enum"]))
            if "pattern" in node:
                yield Constraint(kind, place, "pattern", node["pattern"])


def segments(path: str) -> list[str | int]:
    """The steps of a path: `a.b[0].c` is a, b, 0, c."""
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", path)]


def place_of(root: Schema, path: str) -> str:
    """The place in the schema that a path in an object leads to."""
    node, place = root, ""
    for step in segments(path):
        if isinstance(step, int):
            node, place = node["items"], f"{place}[]"
        elif step in node.get("properties", {}):
            node, place = node["properties"][step], f"{place}.{step}" if place else step
        else:
            node, place = node["additionalProperties"], f"{place}.*"
    return place

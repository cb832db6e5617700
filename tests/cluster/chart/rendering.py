"""The chart as Helm renders it, the manifests as kustomize builds them, and how one object is held against another."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from lab import binaries
from tests.cluster.conftest import ROOT

CHART, MANIFESTS = ROOT / "helm" / "mooring", ROOT / "manifests"
NAMESPACE = "mooring-system"
# By kind, and name or namespace/name where it is in another namespace than Mooring's.
Documents = dict[str, Any]
GONE = object()
SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)


class Refused(Exception):
    """Helm does not take the values."""


def render(values: Mapping[str, Any], *options: str) -> Documents:
    """Render the chart with some values."""
    return by_name(_rendered(json.dumps(values), options))


@functools.cache
def _rendered(values: str, options: tuple[str, ...]) -> str:
    return helm("template", "mooring", str(CHART), "--namespace", NAMESPACE, "--values", "-", *options, stdin=values)


def helm(*arguments: str, stdin: str = "") -> str:
    """Run Helm; raise Refused with what it says. It keeps nothing of its own."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [binaries.find("helm"), *arguments],
            env={"HOME": home},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


@functools.cache
def _built(folder: str) -> str:
    done = subprocess.run(
        [binaries.find("kubectl"), "kustomize", str(MANIFESTS / folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(folder: str) -> Documents:
    """Build a kustomization of the manifests."""
    return by_name(_built(folder))


@functools.cache
def _parsed(text: str) -> Any:
    """Read a document. Most of them are the same in each render, and the definitions are long."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader both


def by_name(text: str) -> Documents:
    """Sort documents by kind and name; none is there twice. They are shared: nobody may change one."""
    found: Documents = {}
    # Helm makes a document of a comment, too.
    for document in filter(None, map(_parsed, SEPARATOR.split(text))):
        metadata = document["metadata"]
        place = "" if metadata.get("namespace", NAMESPACE) == NAMESPACE else f"{metadata['namespace']}/"
        name = f"{document['kind']}/{place}{metadata['name']}"
        assert name not in found, f"{name} is there twice"
        found[name] = document
    return found


def changed(before: Documents, after: Documents) -> set[str]:
    """Return the names of the objects that differ, came or went."""
    return {name for name in before.keys() | after.keys() if before.get(name, GONE) != after.get(name, GONE)}


def matching(names: Iterable[str], pattern: str) -> set[str]:
    """Return the names that a pattern of file names matches."""
    return {name for name in names if fnmatchcase(name, pattern)}


def at(document: Any, path: str) -> list[Any]:
    """Return what stands at a path: names of fields, of list entries by their `name`, numbers, `*` for all of a list.

    A dot is part of a name. Nothing there: an empty list.
    """
    found = [document]
    for step in filter(None, path.split("/")):
        found = [inner for one in found for inner in _step(one, step)]
    return found


def _step(value: Any, step: str) -> Iterator[Any]:
    step = step.replace("~1", "/")
    if isinstance(value, dict):
        if step in value:
            yield value[step]
    elif isinstance(value, list) and step == "*":
        yield from value
    elif isinstance(value, list) and step.isdigit():
        yield from value[int(step) : int(step) + 1]
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict) and one.get("name") == step)


def leaves(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Name every value that a schema knows, by its path with dots."""
    for name, inner in schema["properties"].items():
        if inner.get("properties"):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return values with one of them set."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, the second one winning, as Helm merges values."""
    result = dict(one)
    for key, value in other.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def folder_of(path: Path) -> str:
    """Name a folder of the manifests."""
    return str(path.relative_to(MANIFESTS))

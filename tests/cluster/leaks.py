"""Looks for secrets where none may be: in everything that an operator writes, shows or is started with.

A secret is found plain, in base64 at any alignment, in hex and URL-encoded, and also when only half of it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lab.github import tags
from tests.cluster.conftest import PATIENCE
from tests.cluster.harness import GROUPS, People

# What people themselves wrote into a spec in clear text stands there; it must stand nowhere else.
SPECS = "specs"
ADMIN_PATHS = ("/metrics", "/readyz", "/healthz")


def forms(secret: str) -> dict[str, str]:
    """Return how each half of a secret may be written, by the name of the form."""
    assert len(secret) >= tags.SHORTEST, "a secret as short as this would be found by chance"
    return {form: written.decode() for form, written in tags.forms(secret).items()}


@dataclass(frozen=True)
class Outputs:
    """Where a process may leave something: its files, its admin server, itself, and the objects of some namespaces."""

    folder: Path
    # Files of the folder that hold secrets by right.
    by_right: frozenset[str]
    admin: str
    pid: int
    people: Sequence[People]

    def texts(self) -> Iterator[tuple[str, str]]:
        """Return everything, by its channel."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name not in self.by_right:
                yield f"file {path.name}", path.read_bytes().decode(errors="replace")
        for path_of_url in ADMIN_PATHS:
            yield path_of_url, httpx.get(self.admin + path_of_url, timeout=PATIENCE, trust_env=False).text
        for name in ("cmdline", "environ"):
            yield f"process {name}", Path(f"/proc/{self.pid}/{name}").read_bytes().decode(errors="replace")
        for people in self.people:
            yield from objects(people)


def objects(people: People) -> Iterator[tuple[str, str]]:
    """Return the objects of a namespace, part by part; of Secrets and what people wrote into ConfigMaps no data."""
    for kind in GROUPS:
        for obj in people.list(kind):
            metadata = obj["metadata"]
            where = f"{kind} {metadata['name']}"
            yield f"{where}: metadata", json.dumps(metadata)
            yield f"{where}: status", json.dumps(obj.get("status"))
            rest = {key: value for key, value in obj.items() if key not in {"metadata", "status", "data"}}
            # An Event has no spec: all of it is words of somebody.
            yield f"{where}: {'words' if kind == 'Event' else SPECS}", json.dumps(rest)


def scan(outputs: Outputs, secrets: Mapping[str, str], in_specs: Iterable[str] = ()) -> list[str]:
    """Return where which secret was found, in which form; those of `in_specs` may stand in specs."""
    needles = [(name, form, text) for name, secret in secrets.items() for form, text in forms(secret).items()]
    allowed = frozenset(in_specs)
    found = []
    for channel, text in outputs.texts():
        lowered = text.lower()
        for name, form, needle in needles:
            if channel.endswith(SPECS) and name in allowed:
                continue
            # Hex and escapes come in either case.
            insensitive = form.endswith(("hex", "url"))
            if needle in text or (insensitive and needle.lower() in lowered):
                found.append(f"{name} ({form}) in {channel}")
    return found


def channels(found: Iterable[str]) -> set[str]:
    """Return the channels of what a scan found."""
    return {line.partition(") in ")[2] for line in found}


def planted_object(kind: str, name: str, **parts: Any) -> dict[str, Any]:
    """Return an object with something in its metadata or elsewhere."""
    metadata = {**parts.pop("metadata", {}), "name": name}
    versions = {"Event": "events.k8s.io/v1", "ConfigMap": "v1", "Pod": "v1", "Secret": "v1"}
    return {"apiVersion": versions[kind], "kind": kind, "metadata": metadata, **parts}

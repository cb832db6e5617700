"""What the product asked, to be asked once more by a client that does nothing else, of other objects of the same kind.

The bodies are taken from the objects themselves: of a child the fields that the product applied, of one of the three
kinds its status, an Event as it is stored. So the floor follows whatever the product writes, without knowing it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.floor import Request, request
from bench.site import Asked

Object = dict[str, Any]
JSON, APPLY, MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"
MANAGER = "mooring"
# A text as a whole in JSON, that may be a name or a uid.
_WORD = re.compile(r'"([a-z0-9-]+)"')
# How much of what was asked the floor may leave out where it does not know how to ask it: it is quicker for that.
LEFT_OUT = 0.02


class Unknown(Exception):
    """The product asks much that the floor does not know."""


@dataclass(frozen=True, slots=True)
class Target:
    """The API server, and as whom it is asked."""

    server: str
    headers: Mapping[str, str] = field(repr=False)

    def write(self, method: str, path: str, body: Mapping[str, Any], content_type: str) -> Request:
        """Return a write, serialised."""
        content = json.dumps(body, separators=(",", ":")).encode()
        return request(method, self.server + path, content, content_type=content_type, headers=self.headers)

    def read(self, path: str) -> Request:
        """Return a read."""
        return request("GET", self.server + path, headers=self.headers)


# --- writes ---


def applied(obj: Mapping[str, Any]) -> Object:
    """Return what the product applied: the fields of an object that managedFields books to it, and its name."""
    entries = [
        one for one in obj["metadata"]["managedFields"] if (one["manager"], one["operation"]) == (MANAGER, "Apply")
    ]
    if not entries:
        raise Unknown(f"{obj['kind']} {obj['metadata']['name']} has no field that the product applied")
    body: Object = _picked(obj, entries[0]["fieldsV1"])
    place = {key: obj["metadata"][key] for key in ("name", "namespace")}
    named = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return {**named, **body, "metadata": {**body.get("metadata", {}), **place}}


def _picked(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return a part of a value, by one level of fieldsV1: `f:` names a field, `k:` and `v:` entries of a list."""
    inner = {name: below for name, below in fields.items() if name != "."}
    if not inner:
        return value
    if isinstance(value, Mapping):
        names = {name.removeprefix("f:"): below for name, below in inner.items()}
        return {name: _picked(value[name], below) for name, below in names.items() if name in value}
    return [one for name, below in inner.items() for one in _entries(value, name, below)]


def _entries(values: Sequence[Any], name: str, below: Mapping[str, Any]) -> list[Any]:
    key = json.loads(name[2:])
    if name.startswith("v:"):
        return [key]
    found = [one for one in values if all(one.get(part) == wanted for part, wanted in key.items())]
    return [{**_picked(one, below), **key} for one in found]


def moved(obj: Mapping[str, Any], names: Mapping[str, str]) -> Object:
    """Return an object with other names and uids wherever they stand as a whole value."""
    found: Object = json.loads(_WORD.sub(lambda word: f'"{names.get(word[1], word[1])}"', json.dumps(obj)))
    return found


def child(to: Target, body: Mapping[str, Any], collection: str, number: int, of: int) -> Request:
    """Return the write of a child, the first time as the product makes sure that there is none yet."""
    metadata = dict(body["metadata"])
    if of == 1:
        metadata["resourceVersion"] = "1"
    elif number:
        metadata["annotations"] = {**metadata.get("annotations", {}), "mooring.dev/write": str(number)}
    path = f"{collection}/{metadata['name']}?fieldManager={MANAGER}&force=true"
    return to.write("PATCH", path, {**body, "metadata": metadata}, APPLY)


def status(to: Target, obj: Mapping[str, Any], collection: str, number: int, of: int) -> Request:
    """Return the write of a status; each of several differs, because a write of the same costs the server less."""
    fields = dict(obj["status"])
    if number < of - 1:
        fields["conditions"] = [{**one, "message": f"{one['message']} ({number})"} for one in fields["conditions"]]
    path = f"{collection}/{obj['metadata']['name']}/status?fieldManager={MANAGER}"
    return to.write("PATCH", path, {"status": fields}, MERGE)


def finalizers(to: Target, obj: Mapping[str, Any], collection: str) -> Request:
    """Return the write that keeps an object until the product lets go of it."""
    path = f"{collection}/{obj['metadata']['name']}?fieldManager={MANAGER}"
    return to.write("PATCH", path, {"metadata": {"finalizers": obj["metadata"].get("finalizers") or []}}, MERGE)


def event(to: Target, obj: Mapping[str, Any], collection: str) -> Request:
    """Return the posting of an Event."""
    kept = {
        key: value for key, value in obj.items() if key not in {"metadata", "deprecatedSource"} and value is not None
    }
    prefix = str(obj["metadata"].get("generateName") or f"{obj['regarding']['name']}-")
    return to.write("POST", collection, {**kept, "metadata": {"generateName": prefix}}, JSON)


def numbered(asked: Iterable[Asked]) -> list[tuple[Asked, int, int]]:
    """Return each write with how many of the same came before it to the same object, and how many there are."""
    several = list(asked)
    totals = Counter((one.sort, one.namespace, one.name) for one in several)
    seen: Counter[Any] = Counter()
    found = []
    for one in several:
        key = (one.sort, one.namespace, one.name)
        found.append((one, seen[key], totals[key]))
        seen[key] += 1
    return found


# --- order, and what is left out ---


def mixed(groups: Iterable[Sequence[Request]]) -> list[Request]:
    """Return the requests of all groups, each group spread evenly over the whole."""
    placed = [
        ((number + 0.5) / len(group), order, one)
        for order, group in enumerate(groups)
        for number, one in enumerate(group)
    ]
    return [one for _, _, one in sorted(placed, key=lambda each: each[:2])]


def check_left_out(kept: int, left_out: Mapping[str, int]) -> None:
    """Raise Unknown where so much is left out that the floor would be none."""
    missing = sum(left_out.values())
    if missing > LEFT_OUT * (kept + missing):
        raise Unknown(f"the floor cannot ask what the product does: {dict(left_out)} beside {kept} that it can")


def by_sort(requests: Iterable[tuple[str, Request]]) -> list[list[Request]]:
    """Group requests by what they are."""
    groups: defaultdict[str, list[Request]] = defaultdict(list)
    for sort, one in requests:
        groups[sort].append(one)
    return list(groups.values())

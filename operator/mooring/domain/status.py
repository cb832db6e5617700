"""Statuses as fields: what differs from what is stored, so that only that is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the gateway writes of a Project, at any time.
_RECORDS = frozenset({"push", "deliveries"})
# What changes with every write.
_VERSIONED = frozenset({"resourceVersion", "managedFields"})


def differ_in_records_alone(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether between two versions of an object nothing happened but that the gateway recorded a delivery.

    What was decided on the earlier one is still right then: a push that came since is not among it.
    """

    def rest(obj: Mapping[str, Any]) -> Mapping[str, Any]:
        apart = {"metadata": _VERSIONED, "status": _RECORDS}
        others = {part: {k: v for k, v in (obj.get(part) or {}).items() if k not in apart[part]} for part in apart}
        return {**obj, **others}

    return rest(before) == rest(after)


def changed_fields(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch from one status to the other: None for a field that must go, nothing for what is right.

    Lists are replaced whole. Fields that are not wanted are left alone: another writer may own them.
    """
    patch: dict[str, Any] = {}
    for name, value in wanted.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := changed_fields(old, value):
                patch[name] = inner
        elif isinstance(value, Mapping):
            patch[name] = without_nothing(value)
        elif value != old:
            patch[name] = value
    return patch


def merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the API server makes of a status and a merge patch: None takes a field away, lists come whole."""
    found = {name: value for name, value in before.items() if name not in patch}
    for name, value in patch.items():
        if isinstance(value, Mapping):
            old = before.get(name)
            found[name] = merged(old if isinstance(old, Mapping) else {}, value)
        elif value is not None:
            found[name] = value
    return found


def without_nothing(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without its empty fields, all the way down."""
    return {
        name: without_nothing(entry) if isinstance(entry, Mapping) else entry
        for name, entry in value.items()
        if entry is not None
    }

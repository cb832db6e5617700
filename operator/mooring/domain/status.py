"""Statuses as fields: what differs from what is stored, so that only that is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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


def without_nothing(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without its empty fields, all the way down."""
    return {
        name: without_nothing(entry) if isinstance(entry, Mapping) else entry
        for name, entry in value.items()
        if entry is not None
    }

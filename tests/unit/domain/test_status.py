"""The merge patch of a status: it leads to what is wanted, and a second one is never needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.status import changed_fields, merged, without_nothing

FIELDS = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from(["x", "y", ""]) | st.integers(2, 4) | st.booleans()
LISTS = st.lists(SCALARS, max_size=2)
STORED: st.SearchStrategy[Any] = st.recursive(
    SCALARS | LISTS, lambda inner: st.dictionaries(FIELDS, inner, max_size=3), max_leaves=8
)
WISHES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | LISTS | st.none(), lambda inner: st.dictionaries(FIELDS, inner, max_size=3), max_leaves=8
)
STATUSES = st.dictionaries(FIELDS, STORED, max_size=3)
WANTED = st.dictionaries(FIELDS, WISHES, max_size=3)


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, as RFC 7396 spells it out."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def holds(wanted: Any, stored: Any) -> bool:
    """Tell whether a status has what is wanted; what is not spoken of may be anything."""
    if not isinstance(wanted, Mapping):
        return type(wanted) is type(stored) and bool(wanted == stored)
    return isinstance(stored, Mapping) and all(
        name not in stored if value is None else name in stored and holds(value, stored[name])
        for name, value in wanted.items()
    )


def untouched(before: Any, after: Any, wanted: Any) -> bool:
    """Tell whether all fields that nobody spoke of are as they were."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping) and isinstance(wanted, Mapping)):
        return True
    return all(
        untouched(value, after.get(name), wanted[name]) if name in wanted else after.get(name) == value
        for name, value in before.items()
    )


@given(before=STATUSES, wanted=WANTED)
def test_the_patch_leads_to_what_is_wanted_and_is_needed_once(before: dict[str, Any], wanted: dict[str, Any]) -> None:
    after = merge_patch(before, changed_fields(before, wanted))
    assert holds(wanted, after)
    assert untouched(before, after, wanted)
    assert changed_fields(after, wanted) == {}


@given(before=STATUSES, patch=WANTED)
def test_what_a_patch_makes_of_a_status_is_known_beforehand(before: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merged(before, patch) == merge_patch(before, patch)


@given(value=WANTED)
def test_without_nothing_has_no_empty_field_at_any_depth(value: dict[str, Any]) -> None:
    def depths(found: Any) -> list[Any]:
        return (
            [found, *(deeper for inner in found.values() for deeper in depths(inner))]
            if isinstance(found, Mapping)
            else [found]
        )

    assert None not in depths(without_nothing(value))


@pytest.mark.parametrize(
    ("before", "wanted", "patch"),
    [
        ({}, {}, {}),
        ({"url": "a"}, {"url": None}, {"url": None}),
        ({}, {"url": None}, {}),
        ({"token": {"kind": "a", "from": "x"}}, {"token": {"kind": "a", "from": None}}, {"token": {"from": None}}),
        ({"history": [{"sha": "1"}, {"sha": "2"}]}, {"history": [{"sha": "1"}]}, {"history": [{"sha": "1"}]}),
        ({}, {"source": {"branch": "main", "nodeId": None}}, {"source": {"branch": "main"}}),
        ({"push": {"sha": "1"}}, {"token": None}, {}),
    ],
)  # fmt: skip
def test_only_what_changed_is_written(before: dict[str, Any], wanted: dict[str, Any], patch: dict[str, Any]) -> None:
    assert changed_fields(before, wanted) == patch

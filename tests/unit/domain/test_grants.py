"""Grants: nothing across namespaces by accident."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.domain.grants import is_granted, needs_labels
from mooring.domain.resources.common import GrantedNamespaces


def grants(*specs: dict[str, Any]) -> list[GrantedNamespaces]:
    return [GrantedNamespaces.model_validate(spec) for spec in specs]


TEAM = {"selector": {"matchLabels": {"team": "a"}}}


def by(operator: str, *values: str) -> dict[str, Any]:
    requirement: dict[str, Any] = {"key": "team", "operator": operator}
    return {"selector": {"matchExpressions": [requirement | ({"values": list(values)} if values else {})]}}


@pytest.mark.parametrize(
    ("given", "labels", "granted"),
    [
        ([], {}, False),
        ([{"names": ["other"]}], {}, False),
        ([{"names": ["b"]}], {}, True),
        ([TEAM], {"team": "a", "x": "y"}, True),
        ([TEAM], {"team": "b"}, False),
        ([TEAM], {}, False),
        ([TEAM], None, False),
        ([by("In", "a")], {"team": "a"}, True),
        ([by("In", "a")], {}, False),
        ([by("NotIn", "a")], {"team": "a"}, False),
        ([by("NotIn", "a")], {}, True),
        ([by("Exists")], {"team": ""}, True),
        ([by("DoesNotExist")], {"team": ""}, False),
        ([by("DoesNotExist")], {}, True),
    ],
)  # fmt: skip
def test_a_namespace_gets_what_is_granted_and_no_more(
    given: list[dict[str, Any]], labels: dict[str, str] | None, granted: bool
) -> None:
    assert is_granted(grants(*given), owner="a", consumer="b", labels=labels) is granted


def test_one_s_own_namespace_needs_no_grant() -> None:
    assert is_granted([], owner="a", consumer="a", labels=None)


def test_only_selectors_need_labels() -> None:
    assert needs_labels(grants(TEAM))
    assert not needs_labels(grants({"names": ["b"]}))

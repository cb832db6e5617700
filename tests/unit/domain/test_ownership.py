"""Ownership: a controller reference with this uid, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.domain.ownership import is_owned

OURS = {"kind": "Project", "name": "shop", "uid": "u1", "controller": True}


@pytest.mark.parametrize(
    ("metadata", "owned"),
    [
        ({"ownerReferences": [OURS]}, True),
        ({"ownerReferences": [{"uid": "u2", "controller": False}, OURS]}, True),
        ({}, False),
        ({"ownerReferences": None}, False),
        ({"ownerReferences": []}, False),
        ({"ownerReferences": [{**OURS, "uid": "u2"}]}, False),
        ({"ownerReferences": [{**OURS, "controller": False}]}, False),
        ({"ownerReferences": [{**OURS, "controller": "true"}]}, False),
        ({"ownerReferences": [{key: value for key, value in OURS.items() if key != "controller"}]}, False),
        # The same name, and labels: they prove nothing.
        ({"labels": {"app.kubernetes.io/managed-by": "mooring", "mooring.dev/project": "shop"}}, False),
    ],
)
def test_each_case(metadata: dict[str, Any], owned: bool) -> None:
    assert is_owned({"metadata": metadata}, "u1") is owned

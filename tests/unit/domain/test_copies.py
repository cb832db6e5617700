"""The copy of a user's global token: made, mended and removed where it is ours, left alone where it is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mooring.domain import names
from mooring.domain.copies import CopyStep, copy_manifest, plan_copy
from mooring.domain.ownership import is_owned
from mooring.domain.secret_tokens import token_in
from tests.unit.objects import OTHER_PAT, PAT, user

OWNER = user("jane", {"userId": "j.doe", "tokenSecretRef": {"name": "pat"}})
WANTED = copy_manifest(OWNER, PAT)


def altered(**changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(WANTED)
    for path, value in changes.items():
        *above, last = path.split("__")
        place = found
        for step in above:
            place = place[step]
        place[last] = value
    return found


FOREIGN = altered(metadata__ownerReferences=[{**WANTED["metadata"]["ownerReferences"][0], "uid": "else"}])
WITH_MORE = altered(metadata__labels={**WANTED["metadata"]["labels"], "team": "a"})


def test_the_copy_is_what_a_project_reads_and_belongs_to_the_user() -> None:
    assert WANTED["metadata"]["name"] == "user-j.doe-global-secrets"
    assert token_in(WANTED, "copy", names.GLOBAL_TOKEN_KEY, named=True) == PAT
    assert is_owned(WANTED, "uid-jane")


def test_the_copy_of_a_user_with_a_long_name_has_a_label_that_kubernetes_takes() -> None:
    labels = copy_manifest(user("a" * 253, {"userId": "jane"}), PAT)["metadata"]["labels"]
    assert len(labels[names.USER_LABEL]) == 63


@pytest.mark.parametrize(
    ("live", "wanted", "step"),
    [
        (None, None, CopyStep.KEEP),
        (None, WANTED, CopyStep.CREATE),
        (WANTED, WANTED, CopyStep.KEEP),
        (WITH_MORE, WANTED, CopyStep.KEEP),
        (WANTED, None, CopyStep.DELETE),
        (WANTED, copy_manifest(OWNER, OTHER_PAT), CopyStep.APPLY),
        (altered(data={}), WANTED, CopyStep.APPLY),
        (altered(data={**WANTED["data"], "more": "eA=="}), WANTED, CopyStep.APPLY),
        (altered(metadata__labels={}), WANTED, CopyStep.APPLY),
        (altered(metadata__labels=None), WANTED, CopyStep.APPLY),
        (FOREIGN, WANTED, CopyStep.FOREIGN),
        (FOREIGN, None, CopyStep.KEEP),
        (altered(metadata__ownerReferences=None), WANTED, CopyStep.FOREIGN),
        (altered(metadata__ownerReferences=None), None, CopyStep.KEEP),
    ],
)
def test_each_case(live: dict[str, Any] | None, wanted: dict[str, Any] | None, step: CopyStep) -> None:
    assert plan_copy(OWNER, live, wanted) is step

"""Clone Secrets: who has a place keeps it, none is too full, and each belongs to the Projects that use it."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import names
from mooring.domain.clones import MOST_OWNERS, ProjectOwner, assign, clone_manifest, is_ours
from tests.unit.objects import NOW

LIMIT = 3
REPOSITORIES = st.lists(st.integers(1, 25), unique=True)
# As it may have been found: with doubles, overfull, and with gaps between the numbers.
BEFORE = st.dictionaries(st.integers(0, 6), st.lists(st.integers(1, 25), max_size=5), max_size=5)


def place_of(places: dict[int, tuple[int, ...]]) -> dict[int, int]:
    return {repository: number for number, held in places.items() for repository in held}


# --- places ---


@given(BEFORE, REPOSITORIES)
def test_every_repository_has_one_place_and_no_place_is_empty_or_too_full(
    before: dict[int, list[int]], wanted: list[int]
) -> None:
    after = assign(before, wanted, LIMIT)
    assert sorted(repository for held in after.values() for repository in held) == sorted(wanted)
    assert all(0 < len(held) <= LIMIT for held in after.values())
    # No more Secrets than those that were there, or than it takes.
    kept = {number for number, held in before.items() if set(held) & set(wanted)}
    assert len(after) <= max(len(kept), -(-len(wanted) // LIMIT))


@given(BEFORE, REPOSITORIES, REPOSITORIES)
def test_who_has_a_place_keeps_it(before: dict[int, list[int]], wanted: list[int], later: list[int]) -> None:
    first = assign(before, wanted, LIMIT)
    assert assign(first, wanted, LIMIT) == first
    assert assign(first, reversed(wanted), LIMIT) == first
    now, then = place_of(first), place_of(assign(first, later, LIMIT))
    assert all(then[repository] == now[repository] for repository in now.keys() & then.keys())


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ({}, [], {}),
        ({0: [1]}, [], {}),
        ({}, [9, 8, 7, 6], {0: (7, 8, 9), 1: (6,)}),
        ({0: [1, 2, 3], 1: [4]}, [1, 2, 3, 4, 5, 6, 7], {0: (1, 2, 3), 1: (4, 5, 6), 2: (7,)}),
        ({0: [1, 2, 3], 1: [4]}, [5, 1, 3, 4], {0: (1, 3, 5), 1: (4,)}),
        # A lower number that is free comes before a new one at the end, but after room in what is there.
        ({1: [4, 5, 6], 2: [7]}, [4, 5, 6, 7, 8, 9, 10], {0: (10,), 1: (4, 5, 6), 2: (7, 8, 9)}),
        ({0: [1, 2, 3, 4]}, [1, 2, 3, 4], {0: (1, 2, 3), 1: (4,)}),
        ({0: [1], 1: [1, 2]}, [1, 2], {0: (1,), 1: (2,)}),
    ],
)
def test_each_case(before: dict[int, list[int]], wanted: list[int], after: dict[int, tuple[int, ...]]) -> None:
    assert assign(before, wanted, LIMIT) == after


def test_github_s_limit_is_the_limit() -> None:
    assert {number: len(held) for number, held in assign({}, range(1, 1002)).items()} == {0: 500, 1: 500, 2: 1}


# --- the Secret ---

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
TOKEN = "ghs_" + "a" * 36


def owners(count: int) -> list[ProjectOwner]:
    """Return Projects, the youngest first."""
    made = [ProjectOwner(f"p{number}", f"uid-{number:02}", NOW + timedelta(hours=number)) for number in range(count)]
    return made[::-1]


def manifest(count: int = 2, name: str = "acme") -> dict[str, Any]:
    return clone_manifest(
        namespace="team-a",
        installation_name=name,
        installation_uid=UID,
        number=1,
        token=TOKEN,
        origin="https://github.com",
        owners=owners(count),
        annotations={names.REQUEST_ANNOTATION: "d"},
    )


def test_a_clone_secret_holds_the_token_and_says_whose_it_is() -> None:
    reference = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Project", "blockOwnerDeletion": False}
    assert manifest() == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "mooring-clone-0a1b2c3d-1",
            "namespace": "team-a",
            "labels": {names.MANAGED_BY: "mooring", names.INSTALLATION_LABEL: "acme"},
            "annotations": {names.REQUEST_ANNOTATION: "d"},
            "ownerReferences": [
                {**reference, "name": "p0", "uid": "uid-00", "controller": True},
                {**reference, "name": "p1", "uid": "uid-01", "controller": False},
            ],
        },
        "type": "Opaque",
        "data": {
            "token": base64.b64encode(TOKEN.encode()).decode(),
            "origin": base64.b64encode(b"https://github.com").decode(),
        },
    }


def test_a_clone_secret_says_whom_to_trust_where_that_is_known() -> None:
    made = clone_manifest(
        namespace="team-a", installation_name="acme", installation_uid=UID, number=0, token=TOKEN,
        origin="https://github.com", authorities="-- ca --", owners=owners(1), annotations={},
    )  # fmt: skip
    assert {key: base64.b64decode(value).decode() for key, value in made["data"].items()} == {
        "token": TOKEN,
        "ca.crt": "-- ca --",
        "origin": "https://github.com",
    }


def test_the_oldest_projects_own_it_and_the_oldest_controls_it() -> None:
    found = manifest(50)["metadata"]["ownerReferences"]
    assert [it["name"] for it in found] == [f"p{number}" for number in range(MOST_OWNERS)]
    assert [it["controller"] for it in found] == [True] + [False] * (MOST_OWNERS - 1)


def test_a_project_of_unknown_age_is_the_youngest() -> None:
    unknown = ProjectOwner("new", "uid-000")
    made = clone_manifest(
        namespace="team-a", installation_name="acme", installation_uid=UID, number=0, token=TOKEN,
        origin="https://github.com", owners=[unknown, *owners(2)], annotations={},
    )  # fmt: skip
    assert [it["name"] for it in made["metadata"]["ownerReferences"]] == ["p0", "p1", "new"]


def test_a_secret_that_nobody_needs_is_not_made() -> None:
    with pytest.raises(ValueError, match="delete it"):
        manifest(0)


def test_a_name_of_any_length_fits_the_label() -> None:
    value = manifest(name="a" * 253)["metadata"]["labels"][names.INSTALLATION_LABEL]
    assert len(value) <= 63
    assert value != manifest(name="a" * 252)["metadata"]["labels"][names.INSTALLATION_LABEL]


# --- whose it is ---


def reference(uid: str, *, controller: bool | None = None, kind: str = "Project", group: str = "mooring.dev") -> Any:
    made = {"apiVersion": f"{group}/v1alpha1", "kind": kind, "name": "n", "uid": uid}
    return made if controller is None else {**made, "controller": controller}


@pytest.mark.parametrize(
    ("references", "ours"),
    [
        (manifest()["metadata"]["ownerReferences"], True),
        ([reference("uid-00", controller=True)], True),
        # The Project in control is gone, and the next is not yet in its place.
        ([reference("gone", controller=True), reference("uid-00", controller=False)], True),
        ([reference("uid-00", controller=False)], True),
        ([reference("uid-00")], True),
        ([reference("gone", controller=True)], False),
        ([reference("else", controller=True, kind="GitHubUser"), reference("uid-00")], False),
        ([reference("else", controller=True, kind="Project", group="example.com"), reference("uid-00")], False),
        ([reference("uid-00", controller=True, kind="GitHubUser")], False),
        ([reference("uid-00", controller=True, group="mooring.dev.example.com")], False),
        ([], False),
        (None, False),
    ],
)
def test_a_secret_is_ours_by_a_project_that_is_there(references: list[Any] | None, ours: bool) -> None:
    live = {"metadata": {"labels": manifest()["metadata"]["labels"], "ownerReferences": references}}
    assert is_ours(live, {"uid-00", "uid-01"}) is ours

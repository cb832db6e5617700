"""Lists of repositories with when each was pushed to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.domain.sweeping import Listed
from mooring.github import facts
from mooring.github.facts import Malformed

REPOSITORY: dict[str, Any] = {
    "id": 7,
    "full_name": "acme/web",
    "private": True,
    "pushed_at": "2026-11-21T05:00:00+01:00",
}
LISTED = Listed("acme/web", True, datetime(2026, 11, 21, 4, 0, tzinfo=UTC))


def test_a_page() -> None:
    """An installation's has a frame, a person's has none."""
    assert facts.listed({"total_count": 1, "repositories": [REPOSITORY]}, 1) == {7: LISTED}
    assert facts.listed_to_person([REPOSITORY], 1) == {7: LISTED}


def test_a_repository_that_nobody_pushed_to() -> None:
    """GitHub says so."""
    assert facts.listed_to_person([{**REPOSITORY, "pushed_at": None}], 1)[7].pushed_at is None


@pytest.mark.parametrize("name", ["id", "full_name", "private", "pushed_at"])
def test_what_lacks_something(name: str) -> None:
    """Nothing is guessed: least of all that nobody pushed."""
    with pytest.raises(Malformed):
        facts.listed_to_person([{key: value for key, value in REPOSITORY.items() if key != name}], 1)


@pytest.mark.parametrize(
    "change", [{"id": "7"}, {"id": 0}, {"full_name": "web"}, {"private": 1}, {"pushed_at": 1}, {"pushed_at": "soon"}]
)
def test_what_is_of_the_wrong_kind(change: dict[str, Any]) -> None:
    """Refused."""
    with pytest.raises(Malformed):
        facts.listed_to_person([{**REPOSITORY, **change}], 1)


def test_what_is_no_page() -> None:
    """Of the other form, or of more entries than were asked for."""
    framed: list[Any] = [
        [REPOSITORY],
        {"repositories": [REPOSITORY] * 2},
        {"repositories": None},
        {"repositories": [1]},
    ]
    bare: list[Any] = [{"repositories": [REPOSITORY]}, [REPOSITORY] * 2, [None]]
    for document in framed:
        with pytest.raises(Malformed):
            facts.listed(document, 1)
    for document in bare:
        with pytest.raises(Malformed):
            facts.listed_to_person(document, 1)

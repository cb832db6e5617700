"""The ladder: every cell of the table, and every transition between two cells."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from mooring.domain.errors import Stalled, Transient
from mooring.domain.reasons import Reason
from mooring.domain.tokens import Candidate, Resolution, get_effective_github_token, matches_owner

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCES = (None, "project", "global", "none")


def usable(origin: str) -> Candidate:
    return Candidate(origin, token=f"ghp_{origin}", kind="classic", api_url="https://api.github.com")


def broken(origin: str, reason: Reason) -> Candidate:
    return Candidate(origin, trouble=Stalled(reason, f"{origin}: {reason.sentence}"))


GLOBAL = {
    "set": usable("global"),
    "missing": broken("global", Reason.SECRET_NOT_FOUND),
    "removed": None,
    "expired": broken("global", Reason.TOKEN_EXPIRED),
    "unknown": Candidate("global", trouble=Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")),
}
PROJECT = {
    "unset": None,
    "set": usable("project"),
    "changed": usable("project-2"),
    "missing": broken("project", Reason.SECRET_NOT_FOUND),
}
# The expectation is written out, not computed: (source, token, reason) by (asked, project, global).
OWN = {
    "set": ("project", "ghp_project", Reason.PROJECT_TOKEN),
    "changed": ("project", "ghp_project-2", Reason.PROJECT_TOKEN),
}
OWN_MISSING = ("none", None, Reason.SECRET_NOT_FOUND)
INHERITED = {
    "set": ("global", "ghp_global", Reason.GLOBAL_TOKEN),
    "missing": ("none", None, Reason.SECRET_NOT_FOUND),
    "expired": ("none", None, Reason.TOKEN_EXPIRED),
    "unknown": ("none", None, Reason.GITHUB_UNAVAILABLE),
}


def expected(asked: str | None, project: str, inherited: str) -> tuple[str, str | None, Reason]:
    if asked == "none":
        return ("none", None, Reason.OPTED_OUT)
    if asked == "project" and project == "unset":
        return ("none", None, Reason.INVALID_SPEC)
    if asked == "project" or (asked is None and project != "unset"):
        return OWN.get(project, OWN_MISSING)
    if inherited == "removed":
        return ("none", None, Reason.GLOBAL_TOKEN_MISSING if asked == "global" else Reason.NO_TOKEN)
    return INHERITED[inherited]


CELLS = list(itertools.product(SOURCES, PROJECT, GLOBAL))


def climb(cell: tuple[str | None, str, str]) -> Resolution:
    asked, project, inherited = cell
    return get_effective_github_token(asked, PROJECT[project], GLOBAL[inherited])  # type: ignore[arg-type]  # literals


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(map(str, cell)))
def test_each_cell_has_its_token_and_its_reason(cell: tuple[str | None, str, str]) -> None:
    found = climb(cell)
    assert (found.source, found.token, found.reason) == expected(*cell)
    assert (found.trouble is None) == (found.reason in {
        Reason.PROJECT_TOKEN, Reason.GLOBAL_TOKEN, Reason.NO_TOKEN, Reason.OPTED_OUT,
    })  # fmt: skip


def test_no_transition_borrows_a_token_or_keeps_an_old_one() -> None:
    for before, after in itertools.permutations(CELLS, 2):
        climb(before)
        found = climb(after)
        assert (found.source, found.token, found.reason) == expected(*after), (before, after)


@pytest.mark.parametrize("asked", ["project", None])
def test_a_named_project_token_never_falls_back_to_the_global_one(asked: str | None) -> None:
    found = get_effective_github_token(asked, PROJECT["missing"], GLOBAL["set"])  # type: ignore[arg-type]  # literals
    assert found.token is None
    assert isinstance(found.trouble, Stalled)


def test_what_may_still_come_is_told_from_what_a_person_must_mend() -> None:
    assert climb((None, "unset", "unknown")).undecided
    assert not climb((None, "unset", "expired")).undecided


def test_a_token_is_in_no_text_form() -> None:
    expires = NOW + timedelta(days=1)
    candidate = Candidate("Secret a", token="ghp_verysecret", expires_at=expires)
    resolution = get_effective_github_token(None, candidate, None)
    assert resolution.token == "ghp_verysecret"
    for text in (repr(candidate), str(candidate), repr(resolution), str(resolution), resolution.message):
        assert "verysecret" not in text


@pytest.mark.parametrize(
    ("owner", "patterns", "fits"),
    [
        ("acme", ["acme"], True),
        ("Acme", ["aCME"], True),
        ("acme-labs", ["acme"], False),
        ("acme-labs", ["acme-*"], True),
        ("acme", ["acme-*"], False),
        ("acmex", ["acme?"], True),
        ("other", [], False),
    ],
)
def test_owners_match_exactly_or_by_glob(owner: str, patterns: list[str], fits: bool) -> None:
    assert matches_owner(owner, patterns) is fits

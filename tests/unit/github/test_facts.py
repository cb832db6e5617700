"""From GitHub's documents to records."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.comparisons import Comparison
from mooring.github import facts
from mooring.ports import RepositoryFacts, TokenIdentity

SHA, OTHER = "a" * 40, "b" * 40
REPOSITORY = {
    "id": 7,
    "node_id": "R_7",
    "full_name": "acme/web",
    "private": True,
    "default_branch": "main",
    "more": None,
}


def test_identity() -> None:
    """Who, which kind, which scopes, until when."""
    headers = {"x-oauth-scopes": "repo, read:org", "github-authentication-token-expiration": "2026-11-21 03:33:00 UTC"}
    expires = datetime(2026, 11, 21, 3, 33, tzinfo=UTC)
    expected = TokenIdentity(1, "jane", "classic", ("repo", "read:org"), expires)
    assert facts.identity({"id": 1, "login": "jane"}, headers, "ghp_x") == expected
    bare = facts.identity({"id": 1, "login": "jane"}, {}, "github_pat_x")
    assert (bare.kind, bare.scopes, bare.expires_at) == ("fine-grained", (), None)


@pytest.mark.parametrize(
    ("header", "hour"),
    [
        ("2026-11-21 03:33:00 UTC", 3),
        ("2026-11-21 03:33:00 +0000", 3),
        ("2026-11-21 03:33:00 -0700", 10),
        (" 2026-11-21 05:33:00 +02:00 ", 3),
    ],
)
def test_expiry(header: str, hour: int) -> None:
    """GitHub writes either a zone or an offset."""
    assert facts.expiry(header) == datetime(2026, 11, 21, hour, 33, tzinfo=UTC)


@pytest.mark.parametrize("header", ["", "never", "2026-11-21", "2026-13-01 00:00:00 UTC", "9" * 50])
def test_no_expiry(header: str) -> None:
    """What cannot be read is not told."""
    assert facts.expiry(header) is None


def test_repository() -> None:
    """All that is needed, of the right types."""
    assert facts.repository(REPOSITORY) == RepositoryFacts(7, "R_7", "acme/web", private=True, default_branch="main")
    for change in (
        {"id": "7"},
        {"id": True},
        {"id": 0},
        {"full_name": "acme/../x"},
        {"full_name": None},
        {"private": "yes"},
        {"default_branch": 1},
    ):
        with pytest.raises(facts.Malformed):
            facts.repository({**REPOSITORY, **change})
    nothings: list[Any] = [[], None, {}, "x"]
    for document in nothings:
        with pytest.raises(facts.Malformed):
            facts.repository(document)


def test_tip() -> None:
    """The answer must be about the branch that was asked for."""
    document = {"ref": "refs/heads/feature/x", "object": {"sha": SHA, "type": "commit"}}
    assert facts.tip(document, "feature/x") == SHA
    assert facts.tip(document, "feature") is None
    with pytest.raises(facts.Malformed):
        facts.tip({"ref": "refs/heads/x", "object": {"sha": "main"}}, "x")
    with pytest.raises(facts.Malformed):
        facts.tip([document], "x")


@pytest.mark.parametrize(
    ("status", "base", "expected"),
    [
        ("behind", SHA, True),
        ("identical", SHA, True),
        ("ahead", OTHER, False),
        ("diverged", OTHER, False),
        ("behind", OTHER, False),
        ("ahead", SHA, False),
    ],
)
def test_contains(status: str, base: str, expected: bool) -> None:
    """A commit is in the history only where it is its own merge base with the tip."""
    assert facts.contains({"status": status, "merge_base_commit": {"sha": base}}, SHA) is expected


@pytest.mark.parametrize("branch", ["main", "feature/x", "v1.0", "ünïcode", "a-b_c", "100%", "a#b", "HEAD", "x" * 255])
def test_branches(branch: str) -> None:
    """Names that git takes."""
    assert facts.is_branch(branch)


@pytest.mark.parametrize(
    "branch",
    [
        *("", "a b", "a..b", "../x", "a/../b", "a/./b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "-a"),
        *("a~1", "a^", "a:b", "owner:main", "a?", "a*", "a[", "a\\b", "a@{0}", "@", "a\nb", "a\x7f", "a.", "x" * 256),
    ],
)
def test_no_branches(branch: str) -> None:
    """Names that git refuses are not asked for."""
    assert not facts.is_branch(branch)


@given(st.text(max_size=20))
def test_any_text_is_judged(text: str) -> None:
    """No name raises, lone surrogates included."""
    assert facts.is_branch(text) in {True, False}
    assert facts.is_branch("\ud800") in {True, False}
    assert facts.is_full_name(text) in {True, False}


def test_a_comparison() -> None:
    """Relation, paths and the head's message; a list of files that may not be whole is none."""
    commits = [{"sha": OTHER, "commit": {"message": "one"}}, {"sha": SHA, "commit": {"message": "two"}}]
    files = [{"filename": "a"}, {"filename": "c", "previous_filename": "b"}]
    document: dict[str, Any] = {"status": "ahead", "commits": commits, "files": files}
    assert facts.comparison(document, SHA) == Comparison("ahead", frozenset("abc"), "two")
    assert facts.comparison({**document, "commits": commits[::-1]}, SHA).message == "two"
    assert facts.comparison({**document, "commits": []}, SHA).message is None
    assert facts.comparison({**document, "files": []}, SHA).paths == frozenset()
    assert facts.comparison({**document, "files": None}, SHA).paths is None
    assert facts.comparison({**document, "files": [{"filename": str(n)} for n in range(299)]}, SHA).paths is not None
    assert facts.comparison({**document, "files": [{"filename": str(n)} for n in range(300)]}, SHA).paths is None
    del document["files"]
    assert facts.comparison(document, SHA).paths is None
    changes: list[dict[str, Any]] = [
        {"status": "sideways"},
        {"status": None},
        {"commits": None},
        {"commits": [{"sha": "main"}]},
        {"commits": [{"sha": SHA}]},
        {"commits": ["x"]},
        {"files": ["x"]},
        {"files": [{}]},
        {"files": [{"filename": "a", "previous_filename": None}]},
    ]
    for change in changes:
        with pytest.raises(facts.Malformed):
            facts.comparison({"files": files, "commits": commits, "status": "ahead", **change}, SHA)

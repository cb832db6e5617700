"""Documents about Apps: what is read, what is refused, and whether a token is what was asked for."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.github import app_facts
from mooring.github.facts import Malformed
from mooring.github.pages import following

AT = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
INSTALLATION: dict[str, Any] = {
    "id": 7,
    "app_id": 1,
    "app_slug": "moor",
    "account": {"id": 5, "login": "acme", "type": "Organization", "avatar_url": "https://a.example/5"},
    "target_type": "Organization",
    "repository_selection": "selected",
    "permissions": {"contents": "read"},
    "events": ["push"],
    "suspended_at": None,
}
TOKEN: dict[str, Any] = {
    "token": "ghs_" + "a" * 36,
    "expires_at": "2026-11-21T05:00:00Z",
    "permissions": {"contents": "read", "metadata": "read"},
    "repositories": [{"id": 1}, {"id": 2}],
}


def test_an_installation() -> None:
    """Account, selection, permissions, whether it is suspended."""
    found = app_facts.installation(INSTALLATION)
    assert (found.id, found.app_id, found.account_id, found.account_login) == (7, 1, 5, "acme")
    assert (found.selection, found.permissions, found.events) == ("selected", {"contents": "read"}, ("push",))
    assert not found.suspended
    assert app_facts.installation({**INSTALLATION, "suspended_at": "2026-11-21T04:00:00Z"}).suspended


def test_an_enterprise() -> None:
    """It has a slug and no type."""
    account = {"id": 5, "slug": "globex", "avatar_url": "x"}
    found = app_facts.installation({**INSTALLATION, "account": account, "target_type": "Enterprise"})
    assert (found.account_login, found.account_type) == ("globex", "Enterprise")


@pytest.mark.parametrize(
    "name", ["id", "app_id", "app_slug", "account", "repository_selection", "permissions", "events"]
)
def test_an_installation_that_lacks_something(name: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Malformed):
        app_facts.installation({**INSTALLATION, name: None})


def test_a_page_of_installations() -> None:
    """What belongs to no account any more is left out; another App's, and too many, are no answer."""
    gone = {**INSTALLATION, "account": None}
    assert [each.id for each in app_facts.installations([gone, INSTALLATION], 1, 100)] == [7]
    for page, app_id, most in (([INSTALLATION], 2, 100), ([INSTALLATION] * 3, 1, 2), ({}, 1, 100), ([[]], 1, 100)):
        with pytest.raises(Malformed):
            app_facts.installations(page, app_id, most)


def test_a_token() -> None:
    """Its times, permissions and repositories."""
    found = app_facts.minted(TOKEN, AT, frozenset({1, 2}))
    assert (found.issued_at, found.expires_at) == (AT, datetime(2026, 11, 21, 5, 0, tzinfo=UTC))
    assert found.repository_ids == frozenset({1, 2})
    assert app_facts.minted(TOKEN, AT, None).repository_ids is None
    assert TOKEN["token"] not in repr(found)


BROKEN = [
    {"token": "ghp_" + "a" * 36},
    {"token": "ghs_" + "a" * 36 + "\n"},
    {"token": None},
    {"expires_at": "soon"},
    {"expires_at": "2026-11-21T04:00:00Z"},
    {"expires_at": "0001-01-01T00:00:00+14:00"},
    {"permissions": {"contents": 1}},
    {"repositories": None},
    {"repositories": [{"id": "1"}]},
]


@pytest.mark.parametrize("change", BROKEN)
def test_a_token_that_lacks_something(change: dict[str, Any]) -> None:
    """A person's, one without an end, one at its end, one that may do who knows what."""
    with pytest.raises(Malformed):
        app_facts.minted({**deepcopy(TOKEN), **change}, AT, frozenset({1, 2}))


SCOPES: list[tuple[dict[str, str], dict[str, str] | None, bool]] = [
    ({"contents": "read", "metadata": "read"}, {"contents": "read"}, True),
    ({"contents": "read"}, {"contents": "write"}, True),
    ({"contents": "write"}, {"contents": "write"}, True),
    ({}, {"contents": "write"}, True),
    ({"contents": "write"}, {"contents": "read"}, False),
    ({"contents": "admin"}, {"contents": "write"}, False),
    ({"contents": "read", "issues": "read"}, {"contents": "read"}, False),
    ({"contents": "read", "metadata": "write"}, {"contents": "read"}, False),
    ({"contents": "owner"}, {"contents": "admin"}, False),
    ({"contents": "owner"}, {"contents": "owner"}, False),
    ({"contents": "admin"}, None, True),
]


@pytest.mark.parametrize(("given", "asked", "fits"), SCOPES)
def test_permissions(given: dict[str, str], asked: dict[str, str] | None, fits: bool) -> None:
    """No more than asked; an unknown word is more than anything."""
    found = app_facts.minted({**TOKEN, "permissions": given}, AT, None)
    assert app_facts.is_as_asked(found, None, asked) is fits


@pytest.mark.parametrize(("asked", "fits"), [({1, 2}, True), ({1}, False), ({1, 2, 3}, False), ({1, 3}, False)])
def test_repositories(asked: set[int], fits: bool) -> None:
    """Exactly those."""
    ids = frozenset(asked)
    assert app_facts.is_as_asked(app_facts.minted(TOKEN, AT, ids), ids, None) is fits


LINKS = [
    ('<https://a/x?page=2>; rel="next", <https://a/x?page=9>; rel="last"', "https://a/x?page=2"),
    ('<https://a/x?page=1>; rel="prev", <https://a/x?page=3>; rel="next"', "https://a/x?page=3"),
    ('<https://a/x?page=1>; title="t"; rel="next"', "https://a/x?page=1"),
    ('<https://a/x?page=1>; rel="prev"', None),
    ("next", None),
    ("", None),
    ("<" * 100_000, None),
    ("<a>;" * 100_000, None),
]


@pytest.mark.parametrize(("header", "found"), LINKS, ids=range(len(LINKS)))
def test_the_next_page(header: str, found: str | None) -> None:
    """By its relation, wherever in the header it stands."""
    assert following(header) == found

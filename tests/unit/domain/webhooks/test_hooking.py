"""What is wrong with a hook as GitHub shows it, which one is ours, and which deliveries are asked for again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.hooking import (
    HookWish,
    Noted,
    Place,
    RepositoryHook,
    has_failed,
    is_ours,
    noted_in,
    ours,
    to_repeat,
    wrongs,
)
from tests.unit.objects import NOW

URL = "https://mooring.example.com/webhooks/github/abc234"
WISH = HookWish(URL, "hush")
NOTED = Noted(5, 1, "2026-03-01T12:00:00Z")
RIGHT = RepositoryHook(5, URL, frozenset({"push", "repository"}), True, "json", False, NOW)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ()),
        ({"url": "https://elsewhere.example.com/webhooks/github/abc234"}, ("url",)),
        ({"events": frozenset({"push"})}, ("events",)),
        ({"events": frozenset({"push", "repository", "issues"})}, ("events",)),
        ({"active": False}, ("active",)),
        ({"content_type": "form"}, ("content type",)),
        ({"insecure_ssl": True}, ("TLS",)),
        ({"updated_at": NOW + timedelta(seconds=1)}, ("edited",)),
        ({"updated_at": NOW - timedelta(seconds=1)}, ("edited",)),
        ({"last_status": 500}, ()),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], named: tuple[str, ...]) -> None:
    assert wrongs(replace(RIGHT, **change), WISH, NOTED) == named


def test_one_that_was_never_noted_counts_as_edited() -> None:
    assert wrongs(RIGHT, WISH, Noted(5, 0, None)) == ("edited",)


@pytest.mark.parametrize(
    ("url", "it_is"),
    [
        (URL, True),
        ("https://before.example.com/webhooks/github/abc234", True),
        ("https://mooring.example.com/behind/webhooks/github/abc234", True),
        (URL + "5", False),
        (URL + "/", False),
        ("https://mooring.example.com/abc234", False),
        ("https://mooring.example.com/?/webhooks/github/abc234", False),
        ("https://mooring.example.com/webhooks/github", False),
        ("https://[::1/webhooks/github/abc234", False),
    ],
)
def test_the_path_says_whose_it_is(url: str, it_is: bool) -> None:
    assert is_ours(replace(RIGHT, url=url), "abc234") is it_is


def test_of_a_list_the_oldest_of_ours_counts() -> None:
    others = [replace(RIGHT, id=1, url="https://ci.example.com/hook"), replace(RIGHT, id=2, url=URL + "x")]
    assert ours(others, "abc234") is None
    assert ours([*others, replace(RIGHT, id=9), RIGHT], "abc234") == RIGHT


def test_what_a_status_names() -> None:
    told = {"hookId": 5, "repositoryId": 7, "apiUrl": "https://api.github.com", "secretVersion": 2, "updatedAt": "x"}
    assert noted_in("team-a", {"webhook": told}) == (Place("team-a", "https://api.github.com", 7), Noted(5, 2, "x"))
    for missing in ("hookId", "repositoryId", "apiUrl"):
        assert noted_in("team-a", {"webhook": {**told, missing: None}}) is None
    assert noted_in("team-a", {}) is None


@pytest.mark.parametrize(
    ("status", "failed"), [(None, False), (0, True), (200, False), (202, False), (302, True), (503, True)]
)
def test_what_counts_as_failed(status: int | None, failed: bool) -> None:
    assert has_failed(replace(RIGHT, last_status=status)) is failed


def attempt(number: int, guid: str, *, repeated: bool = False, ok: bool = False, event: str = "push") -> Attempt:
    return Attempt(number, guid, event, NOW + timedelta(seconds=number), repeated, ok)


def test_what_never_arrived_is_asked_for_again_the_oldest_first() -> None:
    told = [
        attempt(9, "late"),
        attempt(8, "arrived", repeated=True, ok=True),
        attempt(7, "arrived"),
        attempt(6, "of repository", event="repository"),
        attempt(5, "ping", event="ping"),
        *(attempt(4 - number, "thrice", repeated=number < 3) for number in range(4)),
        attempt(0, "twice"),
        *(attempt(-number, "twice", repeated=True) for number in (1, 2)),
    ]
    # Of several attempts the newest is named: GitHub sends what it was, once more.
    assert [(it.guid, it.id) for it in to_repeat(told)] == [("twice", 0), ("of repository", 6), ("late", 9)]


def test_a_look_asks_for_few() -> None:
    chosen = to_repeat(attempt(number, str(number)) for number in range(50))
    assert [it.id for it in chosen] == list(range(20))


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(WISH)

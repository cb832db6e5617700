"""The document with the cursors: it says the same when it is read again, and never outgrows a ConfigMap."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.webhooks.attempts import AT_ONCE, KEPT, Asked, Cursor
from mooring.domain.webhooks.cursors import (
    MOST_APPS,
    MOST_ATTEMPTS,
    MOST_OF_AN_APP,
    AppPlace,
    BadCursors,
    at_once,
    dump,
    parse,
    share,
    worth_keeping,
)
from tests.unit.objects import NOW

API = "https://api.github.com"
LARGEST_CONFIG_MAP = 2**20


def place(number: int = 1) -> AppPlace:
    return AppPlace(API, number, "team-a", f"app-{number}")


def cursor(attempts: int = 2, *, ago: timedelta = timedelta(hours=1), first: int = 1) -> Cursor:
    asked = {first + n: Asked(NOW, 1 + n % 3, is_sure=n % 2 == 0) for n in range(attempts)}
    return Cursor(NOW - ago, asked)


def test_what_is_written_is_read_again() -> None:
    cursors = {place(1): cursor(), place(2): Cursor(NOW + timedelta(microseconds=1))}
    assert parse(dump(cursors)) == cursors
    assert parse(dump({})) == {}
    assert dump(parse(dump(cursors))) == dump(cursors)


def good() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump({place(): cursor(1)}))
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"apps": "all"},
        {"apps": [{}]},
        {"more": 1},
        *(
            {"apps": [good()["apps"][0] | spoilt]}
            for spoilt in (
                {"since": "yesterday"},
                {"since": "2026-03-01T12:00:00"},
                {"app_id": "1"},
                {"app_id": -1},
                {"secret": None},
                {"asked": {"one": [1, 1, 1]}},
                {"asked": {"1" * 20: [1, 1, 1]}},
                {"asked": {"1": [1, 0, 1]}},
                {"asked": {"1": [10**12, 1, 1]}},
                {"asked": {"1": [1, 1]}},
                {"asked": {str(n): [1, 1, 1] for n in range(MOST_OF_AN_APP + 1)}},
            )
        ),
        {"apps": good()["apps"] * (MOST_APPS + 1)},
    ],
)
def test_what_is_none_of_ours_is_refused_and_not_quoted(change: dict[str, Any]) -> None:
    with pytest.raises(BadCursors) as refused:
        parse(json.dumps(good() | change))
    assert "yesterday" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "\x00"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BadCursors):
        parse(text)


def test_what_nobody_uses_is_kept_while_it_matters() -> None:
    old = cursor(ago=KEPT)
    cursors = {place(1): old, place(2): old, place(3): cursor()}
    assert set(worth_keeping(cursors, {place(2)}, NOW)) == {place(2), place(3)}


@pytest.mark.parametrize("apps", [1, 2, 10, 100, 256, 10_000])
def test_each_look_has_room_for_what_it_asks(apps: int) -> None:
    assert 1 <= at_once(apps) <= AT_ONCE
    assert at_once(apps) <= share(apps) - at_once(apps) + 1
    assert share(apps) <= MOST_OF_AN_APP
    assert share(apps) * min(apps, MOST_APPS) <= MOST_ATTEMPTS


def test_it_never_outgrows_a_config_map() -> None:
    long = 10**18
    apps = {
        AppPlace(API + "/x" * 200, long + n, "n" * 63, "s" * 253): cursor(MOST_OF_AN_APP if n % 2 else 46, first=long)
        for n in range(2 * MOST_APPS)
    }
    kept = worth_keeping(apps, apps, NOW)
    assert len(dump(kept)) < LARGEST_CONFIG_MAP
    # The smaller ones stay: what has the most to remember goes first.
    assert len(kept) == MOST_APPS
    assert {len(each.asked) for each in kept.values()} == {46}


def test_what_remembers_nothing_goes_first() -> None:
    idle = {place(n): Cursor(NOW) for n in range(MOST_APPS)}
    busy = {place(1000): cursor(), place(1001): cursor(MOST_OF_AN_APP)}
    kept = worth_keeping(idle | busy, (), NOW)
    assert len(kept) == MOST_APPS
    assert busy.keys() <= kept.keys()
    crowd = {place(n): cursor(MOST_OF_AN_APP) for n in range(20)}
    assert sum(len(each.asked) for each in worth_keeping(crowd, (), NOW).values()) == MOST_ATTEMPTS

"""Which Apps are told of when one Secret cannot hold them all."""

from __future__ import annotations

from mooring.domain.webhooks.keys import AppHook, dump, from_chance
from mooring.domain.webhooks.sharing import LARGEST_DOCUMENT, Dated, document_of

KEYS = from_chance(bytes)
OWN = AppHook("https://api.github.com", ("own",))


def app(number: int, *secrets: str) -> AppHook:
    return AppHook(
        "https://api.github.com", secrets or ("s" * 64,), f"team-{number % 50:02}", f"github-app-{number:05}"
    )


def dated(number: int, *secrets: str) -> Dated:
    return Dated(f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z", app(number, *secrets))


def test_all_are_told_of_where_they_fit() -> None:
    document, left_out = document_of(KEYS, OWN, [dated(2), dated(1)])
    assert (set(document.apps), left_out) == ({OWN, app(1), app(2)}, 0)
    assert document_of(KEYS, None, []) == (document_of(KEYS, None, [])[0], 0)
    assert document_of(KEYS, None, [])[0].apps == ()


def test_the_newest_are_left_out_in_whatever_order_they_come() -> None:
    long = ["s" * 1024, "t" * 1024, "u" * 1024]
    apps = [dated(number, *long) for number in range(600)]
    own = AppHook("https://api.github.com", tuple(letter * 1024 for letter in "abc"))
    document, left_out = document_of(KEYS, own, apps)
    assert LARGEST_DOCUMENT - 4096 < len(dump(document)) <= LARGEST_DOCUMENT
    told = len(document.apps) - 1
    assert told + left_out == 600
    assert set(document.apps) == {own, *(each.app for each in apps[:told])}
    assert set(document_of(KEYS, own, [*apps[300:], *apps[:300][::-1]])[0].apps) == set(document.apps)


def test_a_newer_one_that_would_fit_does_not_take_the_place_of_an_older_one() -> None:
    full = [dated(number, *("x" * 1024,) * 3) for number in range(290)]
    document, _ = document_of(KEYS, None, full)
    told = len(document.apps)
    apps = [*full[:told], dated(told, *("x" * 1024,) * 3), dated(told + 1, "x")]
    assert document_of(KEYS, None, apps)[1] == 2


def test_the_promised_number_of_apps_fits() -> None:
    apps = [dated(number % 3600, "s" * 64)._replace(app=app(number)) for number in range(4000)]
    assert document_of(KEYS, OWN, apps)[1] == 0
    assert document_of(KEYS, OWN, [dated(number, *("x" * 1024,) * 3) for number in range(280)])[1] == 0

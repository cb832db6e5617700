"""Which Apps are told of when one Secret cannot hold them all."""

from __future__ import annotations

from mooring.domain.webhooks.keys import AppHook, Document, dump, from_chance
from mooring.domain.webhooks.sharing import LARGEST_DOCUMENT, LARGEST_SHARE, Dated, document_of

KEYS = from_chance(bytes)
OWN = AppHook("https://api.github.com", ("own",))


def app(number: int, *secrets: str, namespace: str = "") -> AppHook:
    where = namespace or f"team-{number % 50:02}"
    return AppHook("https://api.github.com", secrets or ("s" * 64,), where, f"github-app-{number:05}")


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


def test_one_namespace_does_not_take_the_place_of_others() -> None:
    """However old its objects are, and whatever it fills them with."""
    long = [letter * 256 for letter in '"\\\x00']
    apps = (app(number, *long, namespace="b") for number in range(2000))
    greedy = [Dated(f"2025-01-01T00:00:{number % 60:02}Z", each) for number, each in enumerate(apps)]
    others = [dated(number, "hush") for number in range(1000)]
    document, left_out = document_of(KEYS, OWN, [*greedy, *others])
    taken = [each for each in document.apps if each.namespace == "b"]
    assert {each.app for each in others} | {OWN} <= set(document.apps)
    assert left_out == len(greedy) - len(taken)
    # It has what it may have, and the first ones are those that it keeps.
    length = len(dump(Document(KEYS, tuple(taken)))) - len(dump(Document(KEYS)))
    assert LARGEST_SHARE - 4096 < length <= LARGEST_SHARE
    in_order = sorted(greedy, key=lambda one: (one.since, one.app.secret))
    assert set(taken) == {each.app for each in in_order[: len(taken)]}
    # Nor does a smaller one that is newer take the place of an older one there.
    late = Dated("2026-02-01T00:00:00Z", app(5000, "x", namespace="b"))
    assert late.app not in document_of(KEYS, OWN, [*greedy, late])[0].apps


def test_what_one_namespace_is_promised_fits() -> None:
    for count, values in ((300, ("s" * 64,)), (60, ("x" * 256, "y" * 256, "z" * 256))):
        apps = [Dated("2026-01-01T00:00:00Z", app(number, *values, namespace="n" * 30)) for number in range(count)]
        assert document_of(KEYS, OWN, apps)[1] == 0


def test_the_promised_number_of_apps_fits() -> None:
    apps = [dated(number % 3600, "s" * 64)._replace(app=app(number)) for number in range(4000)]
    assert document_of(KEYS, OWN, apps)[1] == 0
    assert document_of(KEYS, OWN, [dated(number, *("x" * 256,) * 3) for number in range(900)])[1] == 0

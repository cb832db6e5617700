"""The parts of GitHub's protocol that need no server: pages, cursors, ETags, limits, token forms, schema conversion."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from lab.github import contract, etags, pagination, tokens
from lab.github.errors import ApiError
from lab.github.limits import KEPT_WINDOWS, Quotas, scaled

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("query", "number", "size"),
    [
        ({}, 1, 30),
        ({"page": "3", "per_page": "10"}, 3, 10),
        ({"page": "0", "per_page": "0"}, 1, 30),
        ({"page": "-1", "per_page": "x"}, 1, 30),
        ({"per_page": "101"}, 1, 100),
        ({"page": "9" * 40}, 1, 30),
        ({"page": "²"}, 1, 30),
    ],
)
def test_pages(query: dict[str, str], number: int, size: int) -> None:
    assert pagination.page_of(query) == pagination.Page(number, size)


@pytest.mark.parametrize(
    ("page", "total", "rels"),
    [
        (1, 0, []),
        (1, 30, []),
        (1, 31, ["next", "last"]),
        (2, 61, ["prev", "next", "last", "first"]),
        (3, 61, ["prev", "first"]),
        (9, 61, ["prev", "first"]),
    ],
)
def test_links(page: int, total: int, rels: list[str]) -> None:
    links = pagination.Page(page, 30).links("https://h/api/v3/x", {"page": str(page), "q": "a b"}, total)
    assert re.findall(r'rel="(\w+)"', links or "") == rels
    if page == 9:
        assert links is not None
        assert "page=3" in links
    assert "q=a+b" in (links or "q=a+b")


def test_cursors() -> None:
    assert pagination.cursor_of({}) is None
    assert pagination.cursor_of({"cursor": pagination.cursor(7)}) == 7
    for bad in ("7", "", "v1_", "v1_-1", "v2_7", "v1_" + "9" * 30):
        with pytest.raises(ApiError):
            pagination.cursor_of({"cursor": bad})
    assert pagination.cursor_links("https://h/x", {}, None) is None


def test_etags() -> None:
    tag = etags.etag(b"body", credential="Bearer one", accept="a")
    others = [
        etags.etag(b"other", credential="Bearer one", accept="a"),
        etags.etag(b"body", credential="Bearer two", accept="a"),
        etags.etag(b"body", credential="Bearer one", accept="b"),
    ]
    assert len({tag, *others}) == 4
    for header in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        assert etags.matches(header, tag)
    assert not etags.matches(others[0], tag)
    assert etags.unchanged_since(etags.http_date(NOW), etags.http_date(NOW))
    assert not etags.unchanged_since(etags.http_date(NOW - timedelta(seconds=1)), etags.http_date(NOW))
    assert not etags.unchanged_since("junk", etags.http_date(NOW))


def test_an_hour_of_requests() -> None:
    quotas = Quotas()
    window = quotas.open("user:1", 2, NOW)
    assert [window.spend() for _ in range(3)] == [True, True, False]
    window.refund()
    assert window.remaining == 1
    assert quotas.known("user:1", NOW + timedelta(minutes=59)) is window
    assert quotas.known("user:1", NOW + timedelta(hours=1)) is None
    quotas.exhaust("user:1", NOW)
    assert window.remaining == 0


def test_a_minute_of_points() -> None:
    quotas = Quotas()
    quotas.limits.points_per_minute = 6
    assert [quotas.charge("u", "/x", 5, NOW), quotas.charge("u", "/x", 5, NOW)] == [True, False]
    assert quotas.charge("u", "/x", 1, NOW)
    assert quotas.charge("u", "/y", 5, NOW)
    assert quotas.charge("u", "/x", 5, NOW + timedelta(minutes=1))


def test_requests_under_way() -> None:
    quotas = Quotas()
    quotas.limits.concurrent = 1
    assert [quotas.enter("u"), quotas.enter("u"), quotas.enter("v")] == [True, False, True]
    quotas.leave("u")
    assert quotas.enter("u")


def test_memory_of_limits_is_bounded() -> None:
    quotas = Quotas()
    for number in range(KEPT_WINDOWS):
        quotas.open(f"address:{number}", 60, NOW)
        quotas.charge(f"address:{number}", "/", 1, NOW)
    later = NOW + timedelta(hours=2)
    quotas.open("user:1", 60, later)
    quotas.charge("user:1", "/", 1, later)
    assert quotas.known("address:1", NOW) is None


@pytest.mark.parametrize(
    ("repositories", "people", "limit"),
    [(0, 0, 5000), (20, 20, 5000), (21, 20, 5050), (30, 30, 6000), (9999, 1, 12500)],
)
def test_limits_grow_with_an_installation(repositories: int, people: int, limit: int) -> None:
    assert scaled(5000, repositories=repositories, people=people) == limit


def test_forms_of_tokens() -> None:
    assert re.fullmatch(r"ghp_\w{36}", tokens.classic())
    assert re.fullmatch(r"github_pat_\w{22}_\w{59}", tokens.fine_grained())
    assert re.fullmatch(r"ghu_\w{36}", tokens.user_to_server())
    assert re.fullmatch(r"ghs_\w{36}", tokens.installation())
    long = tokens.installation_jwt(12, 34, NOW)
    assert re.fullmatch(r"ghs_12_[\w-]+\.[\w-]+\.[\w-]+", long)
    assert 480 < len(long) < 560
    assert tokens.classic() != tokens.classic()


@pytest.mark.parametrize(
    ("openapi", "draft7"),
    [
        ({"type": "string", "nullable": True, "description": "d"}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"anyOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]},
        ),
        ({"nullable": True, "allOf": [{"$ref": "#/x"}]}, {"anyOf": [{"type": "null"}, {"allOf": [{"$ref": "#/x"}]}]}),
        (OBJECT, {**OBJECT, "additionalProperties": False}),
        ({**OBJECT, "additionalProperties": True}, {**OBJECT, "additionalProperties": True}),
        ({"type": "object"}, {"type": "object"}),
        ({"allOf": [OBJECT]}, {"allOf": [{**OBJECT, "additionalProperties": False}]}),
        ({"allOf": [OBJECT, OBJECT]}, {"allOf": [OBJECT, OBJECT]}),
        ({"type": "array", "items": OBJECT}, {"type": "array", "items": {**OBJECT, "additionalProperties": False}}),
        # A property may be called like a keyword.
        (
            {"type": "object", "properties": {"title": {"type": "string"}}},
            {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False},
        ),
    ],
)
def test_openapi_becomes_json_schema(openapi: object, draft7: object) -> None:
    assert contract.converted(openapi) == draft7

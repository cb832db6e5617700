"""What GitHub's answers mean, from bytes alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.github import answers
from mooring.github.answers import (
    Answer,
    Empty,
    Failed,
    Forbidden,
    Limited,
    Moved,
    NotFound,
    Objection,
    Ok,
    Rejected,
    Result,
    Suspended,
    Unauthorized,
)

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
RESET = str(int((NOW + timedelta(minutes=20)).timestamp()))
PRIMARY = "API rate limit exceeded for user ID 1."
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
LOCKOUT = "Maximum number of login attempts exceeded. Please try again later."
NO_PERMISSION = "Resource not accessible by personal access token"


def decode(status: int, message: str = "", **headers: str) -> Answer:
    """Decode an error answer; header names are written with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers.decode(status, named, json.dumps({"message": message}).encode(), now=NOW)


def wait(answer: Answer, result: Result) -> float:
    """Return how long a limit lasts, in seconds, and hold it against the kind that it should be."""
    assert isinstance(answer, Limited)
    assert answer.result == result
    return (answer.until - NOW).total_seconds()


def test_documents() -> None:
    """An object or a list is an answer; anything else is none."""
    assert answers.decode(200, {"a": "b"}, b'{"id": 1}', now=NOW) == Ok({"id": 1}, {"a": "b"})
    assert answers.decode(201, {}, b"[]", now=NOW) == Ok([], {})
    for body in (b"", b"<html>", b'{"id": 1', b'"text"', b"null", b"[" * 100_000, b"\xff"):
        assert isinstance(answers.decode(200, {}, body, now=NOW), Failed)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Unauthorized()),
        (404, NotFound()),
        (410, NotFound()),
        (422, Rejected()),
        (451, Forbidden()),
        (403, Forbidden()),
    ],
)
def test_plain_refusals(status: int, expected: Answer) -> None:
    """Each refusal has one meaning."""
    assert decode(status, NO_PERMISSION) == expected


OBJECTIONS = [
    ({"errors": [{"message": 'The "push" event cannot have more than 20 hooks'}]}, Objection.NO_ROOM),
    ({"errors": ["x", {"message": 1}, {"message": "Hook already exists on this repository"}]}, Objection.TWIN),
    ({"message": "Hook already exists on this repository"}, Objection.TWIN),
    ({"message": "Validation Failed", "errors": "Hook"}, Objection.OTHER),
    ({"errors": [{"message": "x"}] * 20 + [{"message": "hook already exists"}]}, Objection.OTHER),
    ([], Objection.OTHER),
]


@pytest.mark.parametrize(("body", "why"), OBJECTIONS)
def test_objections(body: object, why: Objection) -> None:
    """Two make a difference, wherever they are said."""
    assert answers.decode(422, {}, json.dumps(body).encode(), now=NOW) == Rejected(why)


def test_apps_and_installations() -> None:
    """An App that does not exist is a wrong credential, and a suspended installation no lack of a permission."""
    assert decode(404, "Integration not found") == Unauthorized()
    assert decode(403, "This installation has been suspended") == Suspended()
    assert isinstance(decode(403, "This installation has been suspended", x_ratelimit_remaining="0"), Limited)


def test_limits_by_another_clock() -> None:
    """Times that GitHub names are by its own clock: it may be an hour ahead or behind."""
    for ahead in (timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=120)):
        reset = str(int((NOW + ahead + timedelta(minutes=20)).timestamp()))
        until = (NOW + ahead + timedelta(minutes=20)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        primary = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
        for headers in (primary, {"retry-after": until}):
            answer = answers.decode(403, headers, b"{}", now=NOW, ahead=ahead)
            assert isinstance(answer, Limited)
            assert answer.until - NOW == timedelta(minutes=20, seconds=1)


def test_an_empty_repository() -> None:
    """409 is an empty repository only where GitHub says so."""
    assert decode(409, "Git Repository is empty.") == Empty()
    assert isinstance(decode(409, "Conflict"), Failed)


@pytest.mark.parametrize("status", [100, 204, 302, 303, 304, 400, 418, 500, 502, 503, 504, 599])
def test_failures(status: int) -> None:
    """What has no meaning of its own is a failure."""
    assert decode(status, "Server Error").result == (Result.OK if status == 204 else Result.ERROR)


def test_moved() -> None:
    """Only the three redirects that keep the method and the place, and only with a place."""
    for status in (301, 307, 308):
        assert decode(status, location="/x") == Moved("/x")
        assert isinstance(decode(status), Failed)


@pytest.mark.parametrize("status", [403, 429])
def test_primary_limit(status: int) -> None:
    """Nothing remains: wait until the reset."""
    answer = decode(status, PRIMARY, x_ratelimit_remaining="0", x_ratelimit_reset=RESET)
    assert wait(answer, Result.PRIMARY_LIMIT) == 20 * 60 + 1


def test_primary_limit_with_useless_times() -> None:
    """A missing or wrong reset is a minute; a far one an hour; a past one is now."""
    for reset in ("", "soon", "-5", "9" * 40, "\uff11\uff12"):
        answer = decode(403, PRIMARY, x_ratelimit_remaining="0", x_ratelimit_reset=reset)
        assert wait(answer, Result.PRIMARY_LIMIT) == 61
    answer = decode(403, PRIMARY, x_ratelimit_remaining="0", x_ratelimit_reset="99999999999")
    assert wait(answer, Result.PRIMARY_LIMIT) == 65 * 60
    answer = decode(403, PRIMARY, x_ratelimit_remaining="0", x_ratelimit_reset="1")
    assert wait(answer, Result.PRIMARY_LIMIT) == 1


@pytest.mark.parametrize("status", [403, 429])
def test_secondary_limit(status: int) -> None:
    """Retry-After is kept; without it, a minute."""
    assert wait(decode(status, SECONDARY, retry_after="7"), Result.SECONDARY_LIMIT) == 8
    assert wait(decode(status, SECONDARY), Result.SECONDARY_LIMIT) == 61
    assert wait(decode(status, "", retry_after="7"), Result.SECONDARY_LIMIT) == 8
    zero = decode(status, SECONDARY, x_ratelimit_remaining="0", x_ratelimit_reset=RESET)
    assert wait(zero, Result.SECONDARY_LIMIT) == 61


def test_retry_after_as_a_date() -> None:
    """HTTP allows a date."""
    answer = decode(429, SECONDARY, retry_after="Sat, 21 Nov 2026 04:02:00 GMT")
    assert wait(answer, Result.SECONDARY_LIMIT) == 121
    assert wait(decode(429, SECONDARY, retry_after="Sat, 99 Nov"), Result.SECONDARY_LIMIT) == 61


def test_other_limits() -> None:
    """A bare 429 is a limit; a lockout after wrong passwords passes too; a missing permission is not a limit."""
    assert wait(decode(429), Result.SECONDARY_LIMIT) == 61
    assert wait(decode(403, LOCKOUT), Result.SECONDARY_LIMIT) == 61
    assert decode(403, NO_PERMISSION, x_ratelimit_remaining="4999", x_ratelimit_reset=RESET) == Forbidden()


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=60),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "location"]),
        st.text(max_size=30),
    ),
)
def test_every_answer_means_something(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Nothing that a server sends raises, and no wait is endless."""
    answer = answers.decode(status, headers, body, now=NOW)
    if isinstance(answer, Limited):
        assert NOW < answer.until <= NOW + timedelta(minutes=65)


def test_words_are_fit_for_a_log() -> None:
    """One bounded line without control characters."""
    assert answers.plain(answers.words(b'{"message": "Not\\u001b[31m\\nFound"}')) == "Not [31m Found"
    assert answers.plain(answers.words(b"<html>\n\x00")) == "<html>  "
    for body in (b'{"message": "' + b"x" * 100_000 + b'"}', b"\xff" * 100_000):
        assert len(answers.words(body)) == 16 * 1024
        assert len(answers.plain(answers.words(body))) == 300

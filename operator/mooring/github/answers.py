"""What an answer of GitHub's means: from status, headers and body to one of a few outcomes. Pure; no I/O.

GitHub's own words are kept for the operator's log alone (`words`), bounded and without control characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum, auto
from typing import Any

from mooring.github.limits import LIMITS, Limits

_REDIRECTS = frozenset({301, 307, 308})
_MAX_WORDS = 300
# So much is looked through for secrets before it is cut to that: a secret that was cut first would not be known.
_MAX_SAID = 16 * 1024
# After several wrong credentials GitHub refuses the right ones of that account too, for a while, with a plain 403.
_LOCKOUT = "login attempts exceeded"
# To the JWT of an App that does not exist, whatever was asked.
_NO_SUCH_APP = "integration not found"
_SUSPENDED = "installation has been suspended"
# GitHub writes one or two.
_MAX_ERRORS = 20
_SECONDARY = ("secondary rate limit", "abuse detection")


class Result(StrEnum):
    """The outcomes, as the metric counts them."""

    OK = "ok"
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    PRIMARY_LIMIT = "primary_limit"
    SECONDARY_LIMIT = "secondary_limit"
    ERROR = "error"


class Objection(Enum):
    """What GitHub has against something, where that makes a difference."""

    OTHER = auto()
    # A repository has as many hooks for an event as it may.
    NO_ROOM = auto()
    # There is such a hook already.
    TWIN = auto()


_OBJECTIONS = {"cannot have more than": Objection.NO_ROOM, "hook already exists": Objection.TWIN}


@dataclass(frozen=True, slots=True)
class Ok:
    """A document, and the headers that came with it (lower-case names)."""

    value: Any
    headers: Mapping[str, str]
    result: Result = Result.OK


@dataclass(frozen=True, slots=True)
class Moved:
    """It is elsewhere; whether we go there is decided by who asked."""

    location: str
    result: Result = Result.OK


@dataclass(frozen=True, slots=True)
class NotFound:
    """It is not there, or may not be seen: GitHub makes no difference."""

    result: Result = Result.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Empty:
    """The repository has no commit."""

    result: Result = Result.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The credential is wrong, revoked or expired."""

    result: Result = Result.UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The credential is good and may not do this."""

    result: Result = Result.FORBIDDEN


@dataclass(frozen=True, slots=True)
class Suspended:
    """The credential is good, and its installation may do nothing until its owner resumes it."""

    result: Result = Result.FORBIDDEN


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was sent makes no sense to GitHub, or goes further than it may."""

    why: Objection = Objection.OTHER
    result: Result = Result.ERROR


@dataclass(frozen=True, slots=True)
class Limited:
    """Too much was asked: nothing more before a certain time."""

    until: datetime
    result: Result


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer. The reason is in our words."""

    why: str
    result: Result = Result.ERROR


Answer = Ok | Moved | NotFound | Empty | Unauthorized | Forbidden | Suspended | Rejected | Limited | Failed


Read = Callable[[Mapping[str, str], bytes], Answer]


def document(headers: Mapping[str, str], body: bytes) -> Answer:
    """Read a good answer of the REST API: an object or a list."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Failed("answered with something that is not JSON")
    if not isinstance(value, dict | list):
        return Failed("answered with JSON that is neither object nor list")
    return Ok(value, headers)


def nothing(headers: Mapping[str, str], _body: bytes) -> Answer:
    """Read a good answer that has no document."""
    return Ok(None, headers)


def decode(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    ahead: timedelta = timedelta(0),
    limits: Limits = LIMITS,
    read: Read = document,
) -> Answer:
    """Tell what an answer means; `headers` has lower-case names, and the clock there is ahead of `now` by so much."""
    if 200 <= status < 300:
        return read(headers, body)
    if status in _REDIRECTS and headers.get("location"):
        return Moved(headers["location"])
    if status in {403, 429}:
        return _refusal(status, headers, body, _Here(now, ahead, limits))
    if status == 404 and _message(body) == _NO_SUCH_APP:
        return Unauthorized()
    if status == 409 and "empty" in _message(body):
        return Empty()
    known = Rejected(_objection(body)) if status == 422 else _PLAIN.get(status)
    return known or Failed(f"answered with status {status}")


_PLAIN: Mapping[int, Answer] = {
    401: Unauthorized(),
    404: NotFound(),
    410: NotFound(),
    # Blocked, by law or by GitHub's terms: no credential changes that.
    451: Forbidden(),
}


@dataclass(frozen=True, slots=True)
class _Here:
    """The moment of an answer by our clock, and how far GitHub's is ahead of it."""

    now: datetime
    ahead: timedelta
    limits: Limits


def _refusal(status: int, headers: Mapping[str, str], body: bytes, here: _Here) -> Answer:
    """Tell the things apart that GitHub says with 403 and 429: permission, suspension, primary and secondary limit."""
    message = _message(body)
    after, soon = _retry_after(headers, here), here.now + here.limits.secondary_wait
    if any(words in message for words in (*_SECONDARY, _LOCKOUT)):
        return _limited(Result.SECONDARY_LIMIT, after or soon, here)
    if headers.get("x-ratelimit-remaining") == "0":
        # Also where this request was the last of the window and lacks a permission: the next one shows that.
        times = [time for time in (after, _reset(headers, here)) if time is not None]
        return _limited(Result.PRIMARY_LIMIT, max(times, default=soon), here)
    if status == 429 or after is not None:
        return _limited(Result.SECONDARY_LIMIT, after or soon, here)
    return Suspended() if _SUSPENDED in message else Forbidden()


def _objection(body: bytes) -> Objection:
    """Read which of the things that make a difference GitHub objects to, in its list of errors or instead of one."""
    said = [_message(body), *_errors(body)]
    found = (why for words, why in _OBJECTIONS.items() if any(words in each for each in said))
    return next(found, Objection.OTHER)


def _errors(body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = value.get("errors") if isinstance(value, dict) else None
    if not isinstance(errors, list):
        return []
    found = (each.get("message") for each in errors[:_MAX_ERRORS] if isinstance(each, dict))
    return [message.lower() for message in found if isinstance(message, str)]


def _limited(result: Result, until: datetime, here: _Here) -> Limited:
    # A second more: GitHub's clock and ours are not one, and both count in whole seconds.
    soonest = here.now + timedelta(seconds=1)
    return Limited(min(max(until + timedelta(seconds=1), soonest), here.now + here.limits.longest_wait), result)


def _retry_after(headers: Mapping[str, str], here: _Here) -> datetime | None:
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 8:
        return here.now + timedelta(seconds=int(text))
    try:
        parsed = parsedate_to_datetime(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - here.ahead
    except (ValueError, OverflowError):
        return None


def _reset(headers: Mapping[str, str], here: _Here) -> datetime | None:
    text = headers.get("x-ratelimit-reset", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        return None
    return datetime.fromtimestamp(int(text), UTC) - here.ahead


def _message(body: bytes) -> str:
    """Return the lower-case words of an error body, or nothing where it has none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    return message.lower() if isinstance(message, str) else ""


def date(headers: Mapping[str, str]) -> datetime | None:
    """Return when an answer was written, by the clock there."""
    try:
        parsed = parsedate_to_datetime(headers.get("date", ""))
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def words(body: bytes) -> str:
    """Return what GitHub said, for the operator's log, where it still has to be made fit for that; bounded."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return str(value["message"][:_MAX_SAID])
    return body[:_MAX_SAID].decode("utf-8", "replace")


def plain(text: str) -> str:
    """Return the beginning of a text as one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_WORDS])

"""What a delivery says: JSON that can hurt nobody, and of it only what is used, each with its type checked.

A payload is a hint (D2). Nothing here is believed; what is of the wrong type is refused all the same, because whoever
sends it is not GitHub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

# Deeper than any payload of GitHub's, and far from what a parser's stack takes.
DEEPEST = 64
MOST_DIGITS = 32
REF_LENGTH = 300
LOGIN_LENGTH = 100
_HEADS = "refs/heads/"
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LARGEST_ID = 2**53
# The events that something follows from.
PUSH = "push"
NOTICES = frozenset({"installation", "installation_repositories", "installation_target", "repository"})


class BadPayload(Exception):
    """What was sent is no payload of GitHub's; the text says why, for the sender."""


@dataclass(frozen=True, slots=True)
class Push:
    """A ref that was moved."""

    repository_id: int
    ref: str
    sha: str
    before: str
    pushed_at: datetime | None = None
    sender: str | None = None

    @property
    def deletes(self) -> bool:
        """Tell whether the ref is gone."""
        return set(self.sha) == {"0"}

    @property
    def branch(self) -> str | None:
        """Return the branch; None where it is a tag or anything else."""
        return self.ref.removeprefix(_HEADS) if self.ref.startswith(_HEADS) else None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about an installation or a repository that has to be read again."""

    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None


Event = Push | Notice


def parse_json(body: bytes) -> Mapping[str, Any]:
    """Return the object that a body is; raise BadPayload."""
    if _depth(body) > DEEPEST:
        raise BadPayload("the JSON is nested too deep")
    try:
        found = json.loads(
            body.decode(),
            object_pairs_hook=_without_doubles,
            parse_constant=_no_number,
            parse_int=_integer,
            parse_float=_float,
        )
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise BadPayload("the body is not JSON") from None
    if not isinstance(found, dict):
        raise BadPayload("the body is no JSON object")
    return found


_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def _depth(body: bytes) -> int:
    """Return how deep brackets are nested, without any recursion."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return 0
    deepest = depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", _QUOTED.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > deepest:
            deepest = depth
            if deepest > DEEPEST:
                break
    return deepest


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadPayload("a key stands twice in one object")
    return found


def _no_number(_: str) -> NoReturn:
    raise BadPayload("the body is not JSON")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise BadPayload("a number has too many digits")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MOST_DIGITS:
        raise BadPayload("a number has too many digits")
    return float(text)


def read(event: str, payload: Mapping[str, Any]) -> Event | None:
    """Return what an event says; None where nothing follows from events of its kind. Raises BadPayload."""
    if event == PUSH:
        return _push(payload)
    if event in NOTICES:
        action = payload.get("action")
        return Notice(
            event,
            action[:LOGIN_LENGTH] if isinstance(action, str) else None,
            _id_in(payload, "installation", required=event != "repository"),
            _id_in(payload, "repository", required=event == "repository"),
        )
    return None


def _push(payload: Mapping[str, Any]) -> Push:
    repository = payload.get("repository")
    repository_id = _id_in(payload, "repository", required=True)
    assert repository_id is not None and isinstance(repository, dict)  # noqa: S101, PT018 - `_id_in` looked
    return Push(
        repository_id=repository_id,
        ref=_text(payload, "ref", REF_LENGTH),
        sha=_commit(payload, "after"),
        before=_commit(payload, "before"),
        pushed_at=_moment(repository.get("pushed_at")),
        sender=_login(payload.get("sender")),
    )


def _id_in(payload: Mapping[str, Any], name: str, *, required: bool) -> int | None:
    found = payload.get(name)
    if found is None and not required:
        return None
    number = found.get("id") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < _LARGEST_ID:
        raise BadPayload(f"{name}.id is not an id")
    return number


def _text(payload: Mapping[str, Any], name: str, most: int) -> str:
    found = payload.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= most or not found.isprintable():
        raise BadPayload(f"{name} is not a text of at most {most} characters")
    return found


def _commit(payload: Mapping[str, Any], name: str) -> str:
    found = payload.get(name)
    if not isinstance(found, str) or _SHA.fullmatch(found) is None:
        raise BadPayload(f"{name} is not the id of a commit")
    return found


def _moment(found: Any) -> datetime | None:
    """Read when the push was: seconds since 1970 in a push, a text elsewhere."""
    if found is None:
        return None
    try:
        if isinstance(found, int) and not isinstance(found, bool):
            return datetime.fromtimestamp(found, UTC)
        if isinstance(found, str):
            moment = datetime.fromisoformat(found)
            return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        pass
    raise BadPayload("repository.pushed_at is not a time")


def _login(sender: Any) -> str | None:
    if sender is None:
        return None
    login = sender.get("login") if isinstance(sender, dict) else None
    if not isinstance(login, str) or not 0 < len(login) <= LOGIN_LENGTH or not login.isprintable():
        raise BadPayload("sender.login is not a login")
    return login

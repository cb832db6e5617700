"""What a delivery says: of its JSON (see `scanning`) only what is used, each with its type checked.

A payload is a hint (D2). Nothing here is believed; what is of the wrong type is refused all the same, because whoever
sends it is not GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

WORD_LENGTH = 100
_HEADS = "refs/heads/"
# What git allows, which is more than what is printable: a branch's name may have joined emojis. Such a ref is written
# down only where a Project follows that very branch. Surrogates are no characters, and could not be written at all.
_REF = re.compile(r"[^\x00-\x20\x7f\ud800-\udfff]{1,300}")
# As GitHub writes it everywhere but in a push, where it is a number.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LARGEST_ID = 2**53
# The events that something follows from.
PUSH = "push"
REPOSITORY = "repository"
NOTICES = frozenset({"installation", "installation_repositories", "installation_target", REPOSITORY})


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
    sender: str | None = None


Event = Push | Notice


def read(event: str, payload: Mapping[str, Any]) -> Event | None:
    """Return what an event says; None where nothing follows from events of its kind. Raises BadPayload."""
    if event == PUSH:
        return _push(payload)
    if event in NOTICES:
        return Notice(
            event,
            _word(payload.get("action"), "action"),
            _id_in(payload, "installation", required=event != REPOSITORY),
            _id_in(payload, "repository", required=event == REPOSITORY),
            _login(payload.get("sender")),
        )
    return None


def _push(payload: Mapping[str, Any]) -> Push:
    repository = payload.get("repository")
    repository_id = _id_in(payload, "repository", required=True)
    assert repository_id is not None and isinstance(repository, dict)  # noqa: S101, PT018 - `_id_in` looked
    return Push(
        repository_id=repository_id,
        ref=_ref(payload),
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


def _ref(payload: Mapping[str, Any]) -> str:
    found = payload.get("ref")
    if not isinstance(found, str) or _REF.fullmatch(found) is None:
        raise BadPayload("ref is not the name of a ref")
    return found


def _commit(payload: Mapping[str, Any], name: str) -> str:
    found = payload.get(name)
    if not isinstance(found, str) or _SHA.fullmatch(found) is None:
        raise BadPayload(f"{name} is not the id of a commit")
    return found


def _moment(found: Any) -> datetime | None:
    """Read when the push was: seconds since 1970 in a push, a text elsewhere."""
    moment: datetime | None = None
    if found is None:
        return None
    try:
        if isinstance(found, int) and not isinstance(found, bool):
            moment = datetime.fromtimestamp(found, UTC)
        elif isinstance(found, str) and _MOMENT.fullmatch(found):
            moment = datetime.fromisoformat(found).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    # Years before could not be written with four digits each.
    if moment is None or moment < _EPOCH:
        raise BadPayload("repository.pushed_at is not a time")
    return moment


def _login(sender: Any) -> str | None:
    if sender is None:
        return None
    login = _word(sender.get("login") if isinstance(sender, dict) else False, "sender.login")
    if login is None:
        raise BadPayload("sender.login is missing")
    return login


def _word(found: Any, name: str) -> str | None:
    """Read a text for people, which must not hold anything that changes how the rest of a line looks."""
    if found is None:
        return None
    if not isinstance(found, str) or not 0 < len(found) <= WORD_LENGTH or not found.isprintable():
        raise BadPayload(f"{name} is not a printable text of at most {WORD_LENGTH} characters")
    return found

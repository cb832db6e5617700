"""When an installation token is replaced, and what is remembered of it on the Secret that holds it.

Times are by GitHub's clock throughout: `now` too. What a Secret remembers saves requests and authorizes nothing; what
cannot be read, or cannot be true, counts as due.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from mooring.domain import names
from mooring.domain.conditions import timestamp
from mooring.domain.installations import MintedToken
from mooring.domain.scopes import MOST_REPOSITORIES

# No installation token lives longer, today or in any announcement of GitHub's.
LONGEST_LIFE = timedelta(hours=24)
# The part of its life after which every token is due.
LATEST_SHARE = 2 / 3
# How far ahead of our idea of GitHub's clock a token may seem to be issued: before its first answer that idea is our
# own clock, and a clock that is wrong by minutes must not make a restart ask for every token anew.
SKEW = timedelta(minutes=10)

_SEED = "mooring.dev/refresh/v1:"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_ID = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST_ID = 2**63 - 1
_EVERYTHING = "*"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Freshness(StrEnum):
    """Where a token is in its life."""

    FRESH = "Fresh"
    # Still good, and to be replaced now.
    DUE = "Due"
    ENDED = "Ended"


def refresh_at(issued_at: datetime, expires_at: datetime, seed: str) -> datetime:
    """Return when a token is due: between a half and two thirds of its life, at a moment that the seed picks.

    The seed names the holder (such as an object's uid and a Secret's name), so that tokens made together do not come
    due together, and a restart finds the same moment. Whole seconds, as that is what a Secret remembers.
    """
    issued, life = issued_at.replace(microsecond=0), _life(issued_at, expires_at)
    if not _is_plausible(life):
        return issued
    share = int.from_bytes(sha256((_SEED + seed).encode()).digest()[:8], "big") / 2**64
    return issued + life / 2 + life / 6 * share


def state(issued_at: datetime, expires_at: datetime, seed: str, now: datetime) -> Freshness:
    """Tell whether a token is good, due or dead. One whose life makes no sense is due."""
    if not _is_plausible(_life(issued_at, expires_at)) or issued_at > now + SKEW:
        return Freshness.DUE
    if now >= expires_at:
        return Freshness.ENDED
    return Freshness.DUE if now >= refresh_at(issued_at, expires_at, seed) else Freshness.FRESH


def _life(issued_at: datetime, expires_at: datetime) -> timedelta:
    return expires_at.replace(microsecond=0) - issued_at.replace(microsecond=0)


def _is_plausible(life: timedelta) -> bool:
    return timedelta(0) < life <= LONGEST_LIFE


# --- what a Secret remembers ---


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a Secret says of the token in it."""

    # What was asked for: see `scopes.request_digest`.
    digest: str
    issued_at: datetime
    expires_at: datetime
    # None: all that the installation covers.
    repository_ids: frozenset[int] | None
    fingerprint: str


def token_annotations(token: MintedToken, *, digest: str, fingerprint: str) -> dict[str, str]:
    """Return the annotations for a Secret with this token."""
    ids = token.repository_ids
    return {
        names.REQUEST_ANNOTATION: digest,
        names.ISSUED_ANNOTATION: timestamp(token.issued_at),
        names.EXPIRES_ANNOTATION: timestamp(token.expires_at),
        names.REPOSITORIES_ANNOTATION: _EVERYTHING if ids is None else ",".join(map(str, sorted(ids))),
        names.FINGERPRINT_ANNOTATION: fingerprint,
    }


def read_annotations(found: Mapping[str, str] | None) -> Remembered | None:
    """Read them back; None where one is missing or is not what Mooring writes."""
    told = found or {}
    digest, mark = told.get(names.REQUEST_ANNOTATION, ""), told.get(names.FINGERPRINT_ANNOTATION, "")
    if not _DIGEST.fullmatch(digest) or not _DIGEST.fullmatch(mark):
        return None
    try:
        return Remembered(
            digest=digest,
            issued_at=_time(told.get(names.ISSUED_ANNOTATION, "")),
            expires_at=_time(told.get(names.EXPIRES_ANNOTATION, "")),
            repository_ids=_ids(told.get(names.REPOSITORIES_ANNOTATION, "")),
            fingerprint=mark,
        )
    except ValueError:
        return None


def _time(text: str) -> datetime:
    read = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    if timestamp(read) != text:
        raise ValueError("not in the form that is written")
    return read


def _ids(text: str) -> frozenset[int] | None:
    if text == _EVERYTHING:
        return None
    parts = text.split(",", MOST_REPOSITORIES)
    if len(parts) > MOST_REPOSITORIES or not all(_ID.fullmatch(part) for part in parts):
        raise ValueError("not a list of ids")
    ids = frozenset(int(part) for part in parts)
    if max(ids) > _LARGEST_ID or len(ids) < len(parts):
        raise ValueError("not a list of different ids")
    return ids

"""ETags: weak, and bound to the credential, so that a new token makes every remembered one worthless, as on GitHub."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime


def etag(body: bytes, *, credential: str, accept: str) -> str:
    """Return the tag of a body as one credential sees it in one representation."""
    digest = hashlib.sha256()
    for part in (credential.encode(), accept.encode(), body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f'W/"{digest.hexdigest()}"'


def matches(if_none_match: str, tag: str) -> bool:
    """Tell whether the client has this very representation. Weak comparison: GitHub's proxies drop the W/."""
    wanted = tag.removeprefix("W/")
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return wanted in candidates or candidates == ["*"]


def http_date(moment: datetime) -> str:
    """Return a moment as HTTP writes it."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def unchanged_since(if_modified_since: str, last_modified: str) -> bool:
    """Tell whether nothing happened after the moment that the client names; an unreadable one means no."""
    try:
        return parsedate_to_datetime(last_modified) <= parsedate_to_datetime(if_modified_since)
    except (TypeError, ValueError):
        return False

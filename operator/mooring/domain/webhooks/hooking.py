"""Webhooks of repositories, as GitHub tells of them, and as they should be. The secret of one is never told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

# What a repository's hook is to send: pushes, and what becomes of the repository itself.
EVENTS = ("push", "repository")


@dataclass(frozen=True, slots=True)
class RepositoryHook:
    """A webhook of a repository, as GitHub tells of it."""

    id: int
    url: str
    events: frozenset[str]
    active: bool
    content_type: str
    insecure_ssl: bool
    updated_at: datetime
    # What its last delivery was answered with; None where there was none, or no answer.
    last_status: int | None = None


@dataclass(frozen=True, slots=True)
class HookWish:
    """A webhook as it should be: JSON, signed, over TLS that is checked."""

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...] = EVENTS

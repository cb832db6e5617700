"""Webhooks of repositories, as GitHub tells of them, and as they should be. The secret of one is never told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mooring.domain.conditions import timestamp
from mooring.domain.webhooks.attempts import Attempt

# What a repository's hook is to send: pushes, and what becomes of the repository itself.
EVENTS = ("push", "repository")
# Where gateways take deliveries; the id of a hook comes behind it.
PATH = "/webhooks/github"
# Deliveries of so long ago are not asked for again: the sweep has found their pushes.
REPEATED_WITHIN = timedelta(days=1)
# How often one delivery is asked for again, and how many are at a time.
REPETITIONS, REPEATED_AT_ONCE = 3, 20
# Stands for a status where nobody answered at all: the most common failure, and no less one than a 503.
NO_ANSWER = 0


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
    # What its last delivery was answered with: NO_ANSWER where nobody answered, None where there was none yet.
    last_status: int | None = None


@dataclass(frozen=True, slots=True)
class HookWish:
    """A webhook as it should be: JSON, signed, over TLS that is checked."""

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...] = EVENTS


class Place(NamedTuple):
    """A repository, and the namespace whose Projects follow it: together they have one hook."""

    namespace: str
    api_url: str
    repository_id: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What is remembered of a hook. It comes from statuses, so it authorizes nothing."""

    id: int
    # Of the key that its secret was last derived from.
    version: int
    # When we changed it last, as GitHub said then and Kubernetes writes it.
    updated_at: str | None


def noted_in(namespace: str, status: Mapping[str, Any]) -> tuple[Place, Noted] | None:
    """Read the hook that the status of a Project names; None where it names none."""
    told: Mapping[str, Any] = status.get("webhook") or {}
    hook, repository, api = told.get("hookId"), told.get("repositoryId"), told.get("apiUrl")
    if not isinstance(hook, int) or not isinstance(repository, int) or not isinstance(api, str):
        return None
    version, updated_at = told.get("secretVersion"), told.get("updatedAt")
    noted = Noted(hook, version if isinstance(version, int) else 0, updated_at)
    return Place(namespace, api, repository), noted


def is_ours(hook: RepositoryHook, path_id: str) -> bool:
    """Tell whether a hook is one of ours: nobody else can know that path. The host before it may have been another."""
    try:
        return urlsplit(hook.url).path.endswith(f"{PATH}/{path_id}")
    except ValueError:
        return False  # no address at all


def ours(hooks: Iterable[RepositoryHook], path_id: str) -> RepositoryHook | None:
    """Return the hook of a list that is ours, the oldest if there are several."""
    return min((hook for hook in hooks if is_ours(hook, path_id)), key=lambda hook: hook.id, default=None)


def wrongs(found: RepositoryHook, wish: HookWish, noted: Noted) -> tuple[str, ...]:
    """Name what is not as it should be. A secret is never shown, so one that anybody touched counts as wrong."""
    checks = {
        "url": found.url == wish.url,
        "events": found.events == frozenset(wish.events),
        "active": found.active,
        "content type": found.content_type == "json",
        "TLS": not found.insecure_ssl,
        "edited": timestamp(found.updated_at) == noted.updated_at,
    }
    return tuple(name for name, right in checks.items() if not right)


def has_failed(found: RepositoryHook) -> bool:
    """Tell whether the last delivery of a hook did not arrive, as far as there was one."""
    return found.last_status is not None and not 200 <= found.last_status < 300


def to_repeat(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Choose what to ask for again: what never arrived, and was not asked for too often, the oldest first.

    All attempts have to be among these, those that succeeded too: nothing else says that a delivery has arrived.
    """
    by_guid: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_guid[attempt.guid].append(attempt)
    chosen = [
        max(each, key=lambda attempt: attempt.id)
        for each in by_guid.values()
        if each[0].event in EVENTS
        and not any(attempt.succeeded for attempt in each)
        and sum(attempt.is_repeated for attempt in each) < REPETITIONS
    ]
    return tuple(sorted(chosen, key=lambda attempt: (attempt.delivered_at, attempt.id))[:REPEATED_AT_ONCE])

"""From GitHub's documents about webhooks and their deliveries to records. Pure. No secret is in them."""

from __future__ import annotations

from typing import Any

from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.hooking import NO_ANSWER, HookWish, RepositoryHook
from mooring.github.facts import Malformed, field, moment, number, page, text

_MOST_EVENTS = 500
# What GitHub takes for granted where a config does not say it.
_FORM = "form"
_INSECURE = {"0": False, "1": True}
# Of a delivery whose answer has not come yet.
_UNDER_WAY = "pending"
# Of a hook that has sent nothing, or waits for its first answer.
_NOTHING_SENT = (None, "unused", _UNDER_WAY)
# As GitHub's own list of failures: a redirect, which it does not follow, is none.
_GOOD = range(200, 400)


def hook(document: Any) -> RepositoryHook:
    """Read a repository's hook."""
    config = field(document, "config", dict)
    return RepositoryHook(
        id=number(document, "id"),
        url=_optional(config, "url", ""),
        events=_events(document),
        active=field(document, "active", bool),
        content_type=_optional(config, "content_type", _FORM),
        insecure_ssl=_insecure(config),
        updated_at=moment(document, "updated_at"),
        last_status=_last_status(document),
    )


def hooks(document: Any, most: int) -> list[RepositoryHook]:
    """Read a page of a repository's hooks."""
    return [hook(each) for each in page(document, most)]


def wanted(wish: HookWish) -> dict[str, Any]:
    """Write down a hook as it should be: all of it, because a config without a secret would take it away."""
    config = {"url": wish.url, "content_type": "json", "secret": wish.secret, "insecure_ssl": "0"}
    return {"active": True, "events": list(wish.events), "config": config}


def app_webhook_url(document: Any) -> str | None:
    """Read where an App's webhooks go."""
    if not isinstance(document, dict):
        raise Malformed("config")
    return _optional(document, "url", "") or None


def attempts(document: Any, most: int) -> list[Attempt]:
    """Read a page of deliveries, without those that are still under way."""
    return [_attempt(each) for each in page(document, most) if not _is_under_way(each)]


def _is_under_way(document: Any) -> bool:
    """Tell whether a delivery has no outcome yet: it has no time, or no answer and GitHub's word for that."""
    if not isinstance(document, dict):
        raise Malformed("delivery")
    pending = document.get("status") == _UNDER_WAY and document.get("status_code") in {0, None}
    return pending or document.get("delivered_at", 0) is None


def _attempt(document: Any) -> Attempt:
    return Attempt(
        id=number(document, "id"),
        guid=text(document, "guid"),
        event=text(document, "event"),
        delivered_at=moment(document, "delivered_at"),
        is_repeated=field(document, "redelivery", bool),
        succeeded=_status(document, "status_code") in _GOOD,
    )


def _events(document: Any) -> frozenset[str]:
    events = field(document, "events", list)
    if len(events) > _MOST_EVENTS or not all(isinstance(event, str) for event in events):
        raise Malformed("events")
    return frozenset(events)


def _insecure(config: dict[str, Any]) -> bool:
    """Read whether certificates go unchecked; GitHub writes a number or its text."""
    value = config.get("insecure_ssl", "0")
    if isinstance(value, bool) or str(value) not in _INSECURE:
        raise Malformed("insecure_ssl")
    return _INSECURE[str(value)]


def _last_status(document: Any) -> int | None:
    """Read what the last delivery was answered with: zero where nobody answered, None where nothing was sent yet."""
    last = field(document, "last_response", dict)
    if last.get("code") is None:
        return None if last.get("status") in _NOTHING_SENT else NO_ANSWER
    return _status(last, "code")


def _status(document: Any, name: str) -> int:
    value = field(document, name, int)
    if isinstance(value, bool) or value < 0:
        raise Malformed(name)
    return value


def _optional(config: dict[str, Any], name: str, default: str) -> str:
    return default if config.get(name) is None else text(config, name)

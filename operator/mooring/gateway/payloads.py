"""From the bytes of a verified body to the little of it that is used, without holding the event loop for long."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mooring.domain.webhooks import events
from mooring.gateway.limits import MIB

# To parse that much takes some tens of milliseconds.
_AT_ONCE = MIB

# What is read of a payload (see `domain.webhooks.events`): of an object only these fields, of others all.
_USED: Mapping[str, frozenset[str]] = {
    "action": frozenset(),
    "after": frozenset(),
    "before": frozenset(),
    "installation": frozenset({"id"}),
    "ref": frozenset(),
    "repository": frozenset({"id", "pushed_at"}),
    "sender": frozenset({"login"}),
}


async def payload_of(body: bytes | bytearray) -> Mapping[str, Any]:
    """Parse a body; raise BadPayload. A payload is kept until it is recorded: all that is not used goes here."""
    if len(body) <= _AT_ONCE:
        return _used(events.parse_json(bytes(body)))
    return _used(await asyncio.to_thread(events.parse_json, bytes(body)))


def _used(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: _fields(payload[name], wanted) for name, wanted in _USED.items() if name in payload}


def _fields(value: Any, wanted: frozenset[str]) -> Any:
    """Keep what is wanted of an object; what is of another type stays, to be refused."""
    if not isinstance(value, dict):
        return value
    return {name: value[name] for name in wanted if name in value}


def subject(payload: Mapping[str, Any]) -> str | None:
    """Name the repository or installation that a payload is about, for limits; None where it names none."""
    for kind in ("repository", "installation"):
        found = payload.get(kind)
        number = found.get("id") if isinstance(found, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return f"{kind}/{number}"
    return None

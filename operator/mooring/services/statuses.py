"""Writes the status of any of the three kinds: only what changed, and an Event for each transition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mooring.domain.conditions import Wanted, merge
from mooring.domain.events import transitions
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.status import changed_fields, differ_in_records_alone
from mooring.ports import Changed, Object
from mooring.services.platform import Platform
from mooring.services.store import key_of
from mooring.services.token_states import TokenState

# Tells whether a newer version of an object asks to decide anew, though only the gateway wrote meanwhile.
Overtaken = Callable[[Object], bool]


def never(_: Object) -> bool:
    """Say that what was decided stands, whatever is recorded meanwhile."""
    return False


async def write(
    platform: Platform,
    obj: Object,
    fields: Mapping[str, Any],
    wanted: Iterable[Wanted],
    *,
    overtaken: Overtaken = never,
) -> Object:
    """Store what differs, held to the object as it was seen, and return the object as it is then."""
    wanted = list(wanted)
    metadata, before = obj["metadata"], obj.get("status") or {}
    token = next((condition for condition in wanted if condition.type is ConditionType.TOKEN_RESOLVED), None)
    if token is not None:
        platform.token_states.tell(key_of(obj), _state(token))
    known = before.get("conditions") or []
    conditions = merge(known, wanted, generation=int(metadata.get("generation", 0)), now=platform.clock.now())
    patch = changed_fields(before, {**fields, "conditions": conditions})
    if not patch:
        return obj
    stored = await _store(platform, obj, patch, overtaken)
    platform.store.put(stored)
    if token is not None and token.status is False and token.reason.value != _reason(known):
        platform.audit.record(
            "token.refused",
            kind=obj["kind"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            reason=token.reason.value,
        )
    for event in transitions(known, conditions):
        platform.herald.tell(obj, warning=event.warning, reason=event.reason, message=event.message)
    return stored


async def _store(platform: Platform, obj: Object, patch: Mapping[str, Any], overtaken: Overtaken) -> Object:
    """Write, once more where the gateway alone was faster: else pushes without end would keep everything else away."""
    try:
        return await _write_onto(platform, obj, patch)
    except Changed:
        newer = await refresh(platform, obj)
        if newer is None or not differ_in_records_alone(obj, newer) or overtaken(newer):
            raise
    try:
        return await _write_onto(platform, newer, patch)
    except Changed:
        await refresh(platform, obj)
        raise


async def _write_onto(platform: Platform, obj: Object, patch: Mapping[str, Any]) -> Object:
    metadata = obj["metadata"]
    return await platform.cluster.write_status(
        obj["kind"],
        metadata["namespace"],
        metadata["name"],
        patch,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )


def _state(token: Wanted) -> TokenState:
    """Sum a condition up for the metric."""
    if token.status is not True:
        return TokenState.REFUSED if token.status is False else TokenState.UNKNOWN
    if token.reason in {Reason.NO_TOKEN, Reason.OPTED_OUT}:
        return TokenState.NONE
    return TokenState.EXPIRING if token.reason is Reason.TOKEN_EXPIRING else TokenState.USABLE


def _reason(conditions: Iterable[Mapping[str, Any]]) -> str | None:
    kind = ConditionType.TOKEN_RESOLVED.value
    return next((condition.get("reason") for condition in conditions if condition.get("type") == kind), None)


async def refresh(platform: Platform, obj: Object) -> Object | None:
    """Learn what became of an object, and return it; None where it is gone.

    A watch that starts anew does not tell of what went while it was away.
    """
    key, uid = key_of(obj), obj["metadata"]["uid"]
    found = await platform.cluster.read_own(*key)
    if found is None or found["metadata"]["uid"] != uid:
        platform.store.drop(key, uid=uid)
    if found is not None:
        platform.store.put(found)
    return found

"""The finalizer that keeps a Project until its repository's hook is removed, or left to others."""

from __future__ import annotations

from mooring.domain import names
from mooring.domain.status import differ_in_records_alone
from mooring.ports import Changed, Object
from mooring.services import statuses
from mooring.services.platform import Platform


async def hold(platform: Platform, obj: Object) -> Object:
    """Keep a Project from going before its hook is seen to. Nothing is made for one that goes already."""
    if is_held(obj):
        return obj
    if obj["metadata"].get("deletionTimestamp"):
        raise Changed("it is being deleted")
    return await _keep(platform, obj, wanted=True) or obj


async def let_go(platform: Platform, obj: Object) -> Object | None:
    """Take the finalizer away; return the Project as it is then, None where that was what kept it."""
    return await _keep(platform, obj, wanted=False) if is_held(obj) else obj


def is_held(obj: Object) -> bool:
    """Tell whether a Project has the finalizer."""
    return names.HOOK_FINALIZER in (obj["metadata"].get("finalizers") or ())


async def _keep(platform: Platform, obj: Object, *, wanted: bool) -> Object | None:
    """Write, once more where the gateway alone was faster, as for a status."""
    try:
        return _kept(platform, await platform.cluster.keep_finalizer(obj, names.HOOK_FINALIZER, wanted=wanted))
    except Changed:
        newer = await statuses.refresh(platform, obj)
        if newer is None or not differ_in_records_alone(obj, newer):
            raise
    return _kept(platform, await platform.cluster.keep_finalizer(newer, names.HOOK_FINALIZER, wanted=wanted))


def _kept(platform: Platform, stored: Object | None) -> Object | None:
    if stored is not None:
        platform.store.put(stored)
    return stored

"""What became of webhook deliveries, an App's and a repository hook's alike, and asking for one again."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from lab.github import errors, pagination, shapes
from lab.github.errors import ApiError
from lab.github.model import Delivery, Hook
from lab.github.permissions import Level
from lab.github.rest.call import Call, Route

Owned = Callable[[Delivery], bool]


def _of_app(call: Call) -> Owned:
    app = call.app()
    return lambda delivery: delivery.app_id == app.id


def hook_of(call: Call, level: Level) -> Hook:
    """Return the hook of the path."""
    repository = call.repository("repository_hooks", level)
    found = call.world.hooks.get(int(call.params["hook_id"]))
    if found is None or found.repository_id != repository.id:
        raise errors.not_found()
    return found


def _of_hook(call: Call, level: Level) -> Owned:
    hook = hook_of(call, level)
    return lambda delivery: delivery.hook_id == hook.id


def _list(call: Call, owned: Owned) -> web.Response:
    """Answer with a page of deliveries, newest first; those still under way are not shown."""
    size = call.page().size
    start = pagination.cursor_of(call.query)
    status = call.query.get("status")
    if status not in {None, "success", "failure"}:
        raise errors.invalid("HookDelivery", "status", "invalid")
    shown: list[Delivery] = []
    for delivery in sorted(call.world.deliveries.values(), key=lambda found: found.id, reverse=True):
        if len(shown) > size:
            break
        if owned(delivery) and (start is None or delivery.id <= start) and _has_status(delivery, status):
            shown.append(delivery)
    following = shown[size].id if len(shown) > size else None
    link = pagination.cursor_links(call.canonical_url(), call.query, following)
    headers = {} if link is None else {"Link": link}
    return call.json([shapes.delivery_item(delivery) for delivery in shown[:size]], headers=headers)


def _has_status(delivery: Delivery, wanted: str | None) -> bool:
    if delivery.delivered_at is None:
        return False
    succeeded = 200 <= delivery.status_code < 400
    return wanted is None or succeeded == (wanted == "success")


def _one(call: Call, owned: Owned) -> Delivery:
    found = call.world.deliveries.get(int(call.params["delivery_id"]))
    if found is None or not owned(found) or found.delivered_at is None:
        raise errors.not_found()
    return found


async def of_app(call: Call) -> web.Response:
    """GET /app/hook/deliveries"""
    return _list(call, _of_app(call))


async def of_hook(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries"""
    return _list(call, _of_hook(call, "read"))


async def one_of_app(call: Call) -> web.Response:
    """GET /app/hook/deliveries/{delivery_id}"""
    return call.json(shapes.delivery(_one(call, _of_app(call))))


async def one_of_hook(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}"""
    return call.json(shapes.delivery(_one(call, _of_hook(call, "read"))))


async def _again(call: Call, owned: Owned) -> web.Response:
    delivery = _one(call, owned)
    try:
        await call.ctx.deliveries.redeliver(delivery)
    except LookupError as error:
        raise ApiError(422, str(error)) from error
    return call.json({}, status=202)


async def again_for_app(call: Call) -> web.Response:
    """POST /app/hook/deliveries/{delivery_id}/attempts"""
    return await _again(call, _of_app(call))


async def again_for_hook(call: Call) -> web.Response:
    """POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts"""
    return await _again(call, _of_hook(call, "write"))


HOOK = "/hooks/{hook_id:[0-9]{1,18}}"
DELIVERY = "/deliveries/{delivery_id:[0-9]{1,18}}"
APP_ROUTES = (
    Route("GET", "/app/hook/deliveries", of_app),
    Route("GET", f"/app/hook{DELIVERY}", one_of_app),
    Route("POST", f"/app/hook{DELIVERY}/attempts", again_for_app),
)
BELOW = (
    Route("GET", f"{HOOK}/deliveries", of_hook),
    Route("GET", f"{HOOK}{DELIVERY}", one_of_hook),
    Route("POST", f"{HOOK}{DELIVERY}/attempts", again_for_hook),
)

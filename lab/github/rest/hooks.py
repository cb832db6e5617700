"""A repository's webhooks. What became of their deliveries is in `deliveries`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from lab.github import errors, shapes
from lab.github.errors import ApiError
from lab.github.model import Hook
from lab.github.rest.call import Body, Call, Route
from lab.github.rest.deliveries import HOOK, hook_of

# GitHub allows so many hooks for one event of one repository.
HOOKS_AN_EVENT = 20
# Classic scopes that let remove a hook; write:repo_hook does everything else.
REMOVING = frozenset({"admin:repo_hook", "repo", "public_repo"})


async def listing(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/hooks"""
    found = call.repository("repository_hooks")
    return call.listed(call.world.hooks_of(found), lambda hook: shapes.hook(call.ctx, hook))


async def get(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/hooks/{hook_id}"""
    return call.json(shapes.hook(call.ctx, hook_of(call, "read")))


async def create(call: Call) -> web.Response:
    """POST /repos/{owner}/{repo}/hooks"""
    repository = call.repository("repository_hooks", "write")
    body = await call.body()
    if body.get("name", str, "web") != "web":
        raise _refused('"name" must be "web"')
    now = call.world.clock.now()
    number = call.world.new_id()
    # Unlike what most want, GitHub sends a form where nothing is said.
    hook = Hook(number, repository.id, url="", created_at=now, updated_at=now, content_type="form")
    _configure(hook, Body(body.need("config", dict)))
    if not hook.url:
        raise _refused("url is missing", field="url")
    hook.events = _distinct(body.strings("events") or ["push"])
    hook.active = body.get("active", bool, True)
    _check_room(call, hook)
    call.world.hooks[hook.id] = hook
    await call.ctx.events.ping(hook, call.actor())
    shape = shapes.hook(call.ctx, hook)
    return call.json(shape, status=201, headers={"Location": shape["url"]})


def _configure(hook: Hook, config: Body) -> None:
    """Take what a config names; what it does not name stays."""
    url = config.get("url", str, hook.url)
    if url and urlsplit(url).scheme not in {"http", "https"}:
        raise _refused("url is not a valid URL", field="url")
    content_type = config.get("content_type", str, hook.content_type)
    if content_type not in {"json", "form"}:
        raise _refused("content_type must be json or form", field="content_type")
    hook.url, hook.content_type = url, content_type
    hook.secret = config.get("secret", str, hook.secret) or None
    if "insecure_ssl" in config:
        hook.insecure_ssl = insecure(config)


def insecure(config: Body) -> bool:
    """Return whether certificates go unchecked; GitHub takes a number or its text."""
    value = str(config.fields["insecure_ssl"])
    if value not in {"0", "1"}:
        raise _refused("insecure_ssl must be 0 or 1", field="insecure_ssl")
    return value == "1"


def _distinct(events: list[str]) -> list[str]:
    return list(dict.fromkeys(events))


def _check_room(call: Call, hook: Hook) -> None:
    """Refuse a hook with another's config and one of its events, and more hooks for an event than GitHub allows."""
    others = [h for h in call.world.hooks.values() if h.repository_id == hook.repository_id and h.id != hook.id]
    if any(_visible(other) == _visible(hook) and set(other.events) & set(hook.events) for other in others):
        raise _refused("Hook already exists on this repository")
    counts = Counter(event for other in others for event in other.events)
    for event in hook.events:
        if counts[event] >= HOOKS_AN_EVENT:
            raise _refused(f'The "{event}" event cannot have more than {HOOKS_AN_EVENT} hooks')


def _visible(hook: Hook) -> tuple[str, str, bool]:
    """Return what a config is compared by; secrets are not."""
    return hook.url, hook.content_type, hook.insecure_ssl


def _refused(message: str, *, field: str | None = None) -> ApiError:
    entry: dict[str, Any] = {"resource": "Hook", "code": "custom", "message": message}
    return ApiError(422, "Validation Failed", errors=[entry if field is None else {**entry, "field": field}])


async def update(call: Call) -> web.Response:
    """PATCH /repos/{owner}/{repo}/hooks/{hook_id}"""
    known = hook_of(call, "write")
    body = await call.body()
    # Changed as a whole or not at all.
    hook = replace(known)
    config = body.get("config", dict)
    if config is not None:
        # A config given here replaces the old one: a secret left out is a secret removed, as GitHub warns.
        hook.secret = None
        _configure(hook, Body(config))
    _update_events(hook, body)
    hook.active = body.get("active", bool, hook.active)
    _check_room(call, hook)
    hook.updated_at = call.world.clock.now()
    call.world.hooks[known.id] = hook
    return call.json(shapes.hook(call.ctx, hook))


def _update_events(hook: Hook, body: Body) -> None:
    events = body.strings("events") or hook.events
    added, removed = body.strings("add_events") or [], set(body.strings("remove_events") or [])
    hook.events = [event for event in _distinct([*events, *added]) if event not in removed]


async def config(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/hooks/{hook_id}/config"""
    return call.json(shapes.hook_config(hook_of(call, "read")))


async def update_config(call: Call) -> web.Response:
    """PATCH /repos/{owner}/{repo}/hooks/{hook_id}/config"""
    hook = hook_of(call, "write")
    _configure(hook, await call.body())
    hook.updated_at = call.world.clock.now()
    return call.json(shapes.hook_config(hook))


async def delete(call: Call) -> web.Response:
    """DELETE /repos/{owner}/{repo}/hooks/{hook_id}"""
    hook = hook_of(call, "write")
    credential = call.caller.credential
    if credential is not None and credential.kind == "classic" and not REMOVING & set(credential.scopes):
        raise errors.not_found()
    del call.world.hooks[hook.id]
    return call.empty()


async def ping(call: Call) -> web.Response:
    """POST /repos/{owner}/{repo}/hooks/{hook_id}/pings"""
    await call.ctx.events.ping(hook_of(call, "write"), call.actor())
    return call.empty()


async def test(call: Call) -> web.Response:
    """POST /repos/{owner}/{repo}/hooks/{hook_id}/tests"""
    await call.ctx.events.test_push(hook_of(call, "write"), call.actor())
    return call.empty()


BELOW = (
    Route("GET", "/hooks", listing),
    Route("POST", "/hooks", create),
    Route("GET", HOOK, get),
    Route("PATCH", HOOK, update),
    Route("DELETE", HOOK, delete),
    Route("GET", f"{HOOK}/config", config),
    Route("PATCH", f"{HOOK}/config", update_config),
    Route("POST", f"{HOOK}/pings", ping),
    Route("POST", f"{HOOK}/tests", test),
)

"""All routes of the REST API in one table, and how they get into an application."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from lab.github import contract
from lab.github.contract import PREFIX
from lab.github.rest import (
    accounts,
    apps,
    commits,
    contents,
    deliveries,
    hooks,
    installations,
    meta,
    refs,
    repositories,
    statuses,
)
from lab.github.rest.call import Call, Handler, Route

TOP = (
    *meta.ROUTES,
    *accounts.ROUTES,
    *apps.ROUTES,
    *installations.ROUTES,
    *deliveries.APP_ROUTES,
    *repositories.ROUTES,
)
# Below a repository, in the order in which they are tried: a ref may contain slashes, so what follows one comes first.
BELOW_REPOSITORY = (
    *repositories.BELOW,
    *installations.BELOW,
    *deliveries.BELOW,
    *hooks.BELOW,
    *statuses.BELOW,
    *refs.BELOW,
    *commits.BELOW,
    *contents.BELOW,
)
# By name, and by id: the latter is where GitHub's redirects and Link headers lead.
REPOSITORY_BASES = ("/repos/{owner}/{repo}", "/repositories/{repository_id:[0-9]{1,18}}")


def add_to(app: web.Application, prefix: str = "/api/v3") -> None:
    """Add every route below a prefix, and have GitHub's document at hand before the first request."""
    app[PREFIX] = prefix
    app.on_startup.append(_load_contract)
    every = [*TOP]
    for base in REPOSITORY_BASES:
        every += [Route(route.method, f"{base}{route.path}", route.handler) for route in BELOW_REPOSITORY]
    for route in every:
        app.router.add_route(route.method, f"{prefix}{route.path}", _handled(route.handler))
        if route.method == "GET":
            app.router.add_route("HEAD", f"{prefix}{route.path}", _handled(route.handler))


async def _load_contract(_: web.Application) -> None:
    # The first time ever this is a download, so the loop must not wait for it.
    await asyncio.to_thread(contract.contract)


def _handled(handler: Handler) -> WebHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(Call(request))

    return handle

"""People and organisations."""

from __future__ import annotations

from aiohttp import web

from lab.github import errors, shapes
from lab.github.model import Account
from lab.github.rest.call import Call, Route


async def myself(call: Call) -> web.Response:
    """GET /user"""
    person = call.person()
    return call.json(_visible(call, person))


async def user(call: Call) -> web.Response:
    """GET /users/{username} and GET /user/{account_id}"""
    found = call.account()
    return call.json(_visible(call, found))


def _visible(call: Call, account: Account) -> dict[str, object]:
    credential = call.caller.credential
    own = call.caller.account is account and credential is not None and credential.kind != "installation"
    scopes = set(credential.scopes) if credential is not None else set()
    if own and call.request.path.endswith("/user") and (scopes & {"user", "read:user"}):
        return shapes.private_user(call.ctx, account)
    return shapes.public_user(call.ctx, account)


async def organization(call: Call) -> web.Response:
    """GET /orgs/{org}"""
    found = call.account()
    if found.type != "Organization":
        raise errors.not_found()
    return call.json(shapes.organization(call.ctx, found))


ROUTES = (
    Route("GET", "/user", myself),
    Route("GET", "/user/{account_id:[0-9]{1,18}}", user),
    Route("GET", "/users/{username}", user),
    Route("GET", "/orgs/{org}", organization),
)

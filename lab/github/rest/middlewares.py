"""What happens around every request to the REST API, outermost first: check, identify, limit, shape errors, compare."""

from __future__ import annotations

import secrets
from datetime import timedelta
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lab.github import auth, contract, errors, etags, limits, permissions
from lab.github.context import CALLER, CONTEXT, Caller, Context
from lab.github.errors import ApiError
from lab.github.limits import Window
from lab.github.model import Credential
from lab.github.rest.call import ACCEPTED_SCOPES

ENTERPRISE_VERSION = "3.19.0"
API_VERSIONS = ("2022-11-28", "2026-03-10")
REFUSAL: web.RequestKey[ApiError] = web.RequestKey("refusal", ApiError)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
VARY = "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept, X-Requested-With"


def all_of(prefix: str) -> list[Middleware]:
    """Return the middlewares for the API below a prefix; requests elsewhere pass them untouched."""
    around = [identify, decorate, limit, shape_errors, compare, admit]
    return [contract.middleware(prefix), *(_only_below(prefix, middleware) for middleware in around)]


def _only_below(prefix: str, middleware: Middleware) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == prefix or request.path.startswith(f"{prefix}/"):
            return await middleware(request, handler)
        return await handler(request)

    return guarded


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who calls. A refusal is kept until the limits were applied: it costs a request too."""
    request[REQUEST_ID] = secrets.token_hex(16).upper()
    request[CALLER] = Caller()
    try:
        request[CALLER] = auth.resolve(request.app[CONTEXT], request.headers.get("Authorization"))
    except ApiError as refusal:
        request[REFUSAL] = refusal
    return await handler(request)


@web.middleware
async def decorate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the headers that GitHub sends with every answer."""
    response = await handler(request)
    headers = response.headers
    headers["X-GitHub-Request-Id"] = request[REQUEST_ID]
    headers["X-GitHub-Enterprise-Version"] = ENTERPRISE_VERSION
    headers["X-GitHub-Api-Version-Selected"] = request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0])
    headers["X-GitHub-Media-Type"] = _media_type(request)
    credential = request[CALLER].credential
    if credential is not None:
        headers.update(_credential_headers(request, credential))
    return response


def _media_type(request: web.Request) -> str:
    accepted = request.headers.get("Accept", "").split(",")[0].split(";")[0].strip()
    name, _, form = accepted.removeprefix("application/vnd.github").partition("+")
    words = [word for word in name.split(".") if word and word != "v3"]
    if not accepted.startswith("application/vnd.github") or not words:
        return "github.v3; format=json"
    return f"github.v3; param={words[0]}" + (f"; format={form}" if form else "")


def _credential_headers(request: web.Request, credential: Credential) -> dict[str, str]:
    found: dict[str, str] = {}
    if credential.kind == "classic":
        found["X-OAuth-Scopes"] = ", ".join(credential.scopes)
        found["X-Accepted-OAuth-Scopes"] = request.get(ACCEPTED_SCOPES, "")
    if credential.expires_at is not None and credential.kind in {"classic", "fine-grained"}:
        found["GitHub-Authentication-Token-Expiration"] = credential.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return found


# Limits


@web.middleware
async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Apply the primary and the secondary limits, and tell the caller how much is left."""
    ctx = request.app[CONTEXT]
    name = quota_name(request)
    window = _window(ctx, request, name)
    free = request.path.endswith("/rate_limit")
    if not free and not window.spend():
        return _with_limits(_exhausted(request, ctx), window)
    if not ctx.quotas.enter(name):
        return _with_limits(_secondary(ctx), window)
    try:
        points = limits.READ_POINTS if request.method in {"GET", "HEAD", "OPTIONS"} else limits.WRITE_POINTS
        if not free and not ctx.quotas.charge(name, request.path, points, ctx.world.clock.now()):
            return _with_limits(_secondary(ctx), window)
        response = await handler(request)
    finally:
        ctx.quotas.leave(name)
    if response.status == HTTPStatus.NOT_MODIFIED:
        window.refund()
    return _with_limits(response, window)


def quota_name(request: web.Request) -> str:
    """Return whose limit a request counts against: a person's tokens share one, an installation's too."""
    caller = request[CALLER]
    if caller.installation is not None:
        return f"installation:{caller.installation.id}"
    if caller.account is not None:
        return f"user:{caller.account.id}"
    return f"app:{caller.app.id}" if caller.app is not None else f"address:{request.remote}"


def _window(ctx: Context, request: web.Request, name: str) -> Window:
    now = ctx.world.clock.now()
    known = ctx.quotas.known(name, now)
    return known or ctx.quotas.open(name, _hourly(ctx, request[CALLER]), now)


def _hourly(ctx: Context, caller: Caller) -> int:
    if caller.installation is not None:
        account = ctx.world.accounts[caller.installation.account_id]
        repositories = len(ctx.world.covered(caller.installation))
        return limits.scaled(ctx.quotas.limits.authenticated, repositories=repositories, people=len(account.members))
    known = caller.account is not None or caller.app is not None
    return ctx.quotas.limits.authenticated if known else ctx.quotas.limits.anonymous


def _exhausted(request: web.Request, ctx: Context) -> web.Response:
    kind, _, number = quota_name(request).partition(":")
    who = {"installation": f"installation ID {number}", "user": f"user ID {number}", "app": f"app ID {number}"}
    message = f"API rate limit exceeded for {who.get(kind, number)}."
    if kind == "address":
        message += " (But here's the good news: Authenticated requests get a higher rate limit.)"
    return ApiError(ctx.quotas.limits.exhausted_status, message, documentation=errors.RATE_LIMITS).response()


def _secondary(ctx: Context) -> web.Response:
    current = ctx.quotas.limits
    return ApiError(
        current.secondary_status,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        documentation=errors.SECONDARY_LIMITS,
        headers={"Retry-After": str(current.secondary_retry_after)},
    ).response()


def _with_limits(response: web.StreamResponse, window: Window) -> web.StreamResponse:
    response.headers["X-RateLimit-Limit"] = str(window.limit)
    response.headers["X-RateLimit-Remaining"] = str(window.remaining)
    response.headers["X-RateLimit-Used"] = str(window.used)
    # Rounded up: whoever waits until then must find the window over.
    ends = window.reset_at + timedelta(microseconds=999_999)
    response.headers["X-RateLimit-Reset"] = str(int(ends.timestamp()))
    response.headers["X-RateLimit-Resource"] = "core"
    return response


# Errors


@web.middleware
async def shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals, and what aiohttp itself refuses, into GitHub's error bodies."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response(_documentation(request))
    except web.HTTPRequestEntityTooLarge:
        return errors.ApiError(422, "Sorry, your input was too large.").response(_documentation(request))
    except web.HTTPException as error:
        if error.status not in {404, 405}:
            raise
        return errors.not_found().response(_documentation(request))


def _documentation(request: web.Request) -> str:
    found = contract.documented(request)
    return errors.DOCUMENTATION if found is None else found.page or errors.DOCUMENTATION


@web.middleware
async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse bad credentials and unknown versions of the API before any handler runs."""
    refusal = request.get(REFUSAL)
    if refusal is not None:
        raise errors.not_a_jwt() if _for_apps(request) and refusal.message == "Bad credentials" else refusal
    version = request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0])
    if version not in API_VERSIONS:
        raise ApiError(400, f'"{version[:40]}" is not a supported API version. Try one of: {", ".join(API_VERSIONS)}.')
    return await handler(request)


def _for_apps(request: web.Request) -> bool:
    found = contract.documented(request)
    return found is not None and found.name.split(" ", 1)[1].startswith("/app")


# Conditional requests


@web.middleware
async def compare(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tag what was read, and answer 304 to whoever has it already."""
    response = await handler(request)
    cacheable = request.method in {"GET", "HEAD"} and response.status == HTTPStatus.OK
    if not cacheable or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    if request.path.endswith("/rate_limit"):
        response.headers["Cache-Control"] = "no-cache"
        return response
    identity = request.headers.get("Authorization", "")
    tag = etags.etag(response.body, credential=identity, accept=request.headers.get("Accept", ""))
    response.headers["ETag"] = tag
    response.headers["Vary"] = VARY
    scope = "private" if permissions.is_somebody(request[CALLER]) else "public"
    response.headers["Cache-Control"] = f"{scope}, max-age=60, s-maxage=60"
    return _not_modified(response) if _client_has(request, response, tag) else response


def _client_has(request: web.Request, response: web.Response, tag: str) -> bool:
    asked = request.headers.get("If-None-Match")
    if asked is not None:
        return etags.matches(asked, tag)
    since, modified = request.headers.get("If-Modified-Since"), response.headers.get("Last-Modified")
    return since is not None and modified is not None and etags.unchanged_since(since, modified)


def _not_modified(response: web.Response) -> web.Response:
    kept = {name: value for name, value in response.headers.items() if name not in {"Content-Type", "Content-Length"}}
    return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=kept)

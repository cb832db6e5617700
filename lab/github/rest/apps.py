"""What an App does with its JWT: itself, its installations, their tokens, its webhook."""

from __future__ import annotations

from aiohttp import web

from lab.github import errors, permissions, shapes, tokens
from lab.github.errors import ApiError
from lab.github.journal import ASKED, MINTED
from lab.github.model import Account, App, Credential, Installation, Repository
from lab.github.rest.call import Body, Call, Route
from lab.github.rest.hooks import insecure

# GitHub lets one token name so many repositories.
TOKEN_REPOSITORIES = 500
# With this header a client chooses the form of a new token.
FORM_HEADER = "X-GitHub-Stateless-S2S-Token"


async def app(call: Call) -> web.Response:
    """GET /app"""
    return call.json(shapes.app(call.ctx, call.app()))


def _installations(call: Call, app: App) -> list[Installation]:
    return [found for found in call.world.installations.values() if found.app_id == app.id]


async def installations(call: Call) -> web.Response:
    """GET /app/installations"""
    found = _installations(call, call.app())
    return call.listed(found, lambda installation: shapes.installation(call.ctx, installation))


def _installation(call: Call) -> Installation:
    """Return the installation of the path: another App's is not found."""
    caller = call.app()
    found = call.world.installations.get(int(call.params["installation_id"]))
    if found is None or found.app_id != caller.id:
        raise errors.not_found()
    return found


async def installation(call: Call) -> web.Response:
    """GET /app/installations/{installation_id}"""
    return call.json(shapes.installation(call.ctx, _installation(call)))


def _sender(call: Call) -> Account:
    return call.world.accounts[call.app().owner_id]


async def uninstall(call: Call) -> web.Response:
    """DELETE /app/installations/{installation_id}"""
    found = _installation(call)
    call.world.forget_installation(found)
    await call.ctx.events.installation("deleted", found, _sender(call))
    return call.empty()


async def suspend(call: Call) -> web.Response:
    """PUT /app/installations/{installation_id}/suspended"""
    found = _installation(call)
    if found.suspended_at is None:
        found.suspended_at = found.updated_at = call.world.clock.now()
        found.suspended_by = _sender(call).id
        await call.ctx.events.installation("suspend", found, _sender(call))
    return call.empty()


async def unsuspend(call: Call) -> web.Response:
    """DELETE /app/installations/{installation_id}/suspended"""
    found = _installation(call)
    if found.suspended_at is not None:
        found.updated_at = call.world.clock.now()
        found.suspended_at = found.suspended_by = None
        await call.ctx.events.installation("unsuspend", found, _sender(call))
    return call.empty()


# Tokens


async def mint(call: Call) -> web.Response:
    """POST /app/installations/{installation_id}/access_tokens"""
    body = await call.body()
    call.request[ASKED] = body.fields
    found = _installation(call)
    if found.suspended_at is not None:
        raise errors.suspended()
    chosen = _chosen(call, found, body)
    granted = _granted(found, body)
    if chosen is None:
        _check_complexity(call, found, body)
    now = call.world.clock.now()
    credential = Credential(
        id=call.world.credential_name("installation"),
        kind="installation",
        value="",
        created_at=now,
        installation_id=found.id,
        permissions=granted,
        repository_ids=None if chosen is None else {repository.id for repository in chosen},
        # In whole seconds, as it is told.
        expires_at=(now + call.world.token_lifetime).replace(microsecond=0),
    )
    credential.value = _value(call, found, credential)
    call.world.add_credential(credential)
    call.request[MINTED] = credential.id
    selection = found.repository_selection if chosen is None else "selected"
    return call.json(shapes.installation_token(call.ctx, credential, selection, chosen), status=201)


def _chosen(call: Call, installation: Installation, body: Body) -> list[Repository] | None:
    """Return the repositories that a token is narrowed to, or None where it is not."""
    names, ids = body.strings("repositories"), body.numbers("repository_ids")
    if not names and not ids:
        return None
    wanted = {*(name.casefold() for name in names or []), *(ids or [])}
    if len(wanted) > TOKEN_REPOSITORIES:
        raise ApiError(422, f"Too many repositories for installation: at most {TOKEN_REPOSITORIES} can be listed.")
    covered = call.world.covered(installation)
    found = [r for r in covered if r.id in wanted or r.name.casefold() in wanted]
    known = {r.id for r in found} | {r.name.casefold() for r in found}
    if not wanted <= known:
        raise ApiError(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    return found


def _granted(installation: Installation, body: Body) -> dict[str, str]:
    """Return a token's permissions: those asked for, which must lie within the installation's, or all of them."""
    held = {"metadata": "read", **installation.permissions}
    wanted = body.get("permissions", dict)
    if not wanted:
        return held
    for name, level in wanted.items():
        if not isinstance(level, str) or level not in {"read", "write", "admin"}:
            raise errors.malformed(f"For 'properties/permissions/{name}', it must be read, write or admin.")
        if not permissions.covers(held.get(name), level):
            raise ApiError(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


def _check_complexity(call: Call, installation: Installation, body: Body) -> None:
    """Refuse a token that narrows permissions over more selected repositories than GitHub will write down."""
    largest, wanted = call.ctx.quotas.limits.token_complexity, body.get("permissions", dict)
    if largest is None or not wanted or installation.repository_selection == "all":
        return
    reach = largest // len(wanted)
    if len(call.world.covered(installation)) > reach:
        raise ApiError(
            422,
            f"Too many repositories for installation: with these permissions it can have access to {reach}. List"
            " repositories, ask for fewer permissions, or install the App on all repositories.",
        )


def _value(call: Call, installation: Installation, credential: Credential) -> str:
    """Return a token in the form that the request, else the installation, asks for."""
    asked = call.request.headers.get(FORM_HEADER, "").lower()
    forms = {"enabled": True, "disabled": False}
    settled = {"jwt": True, "short": False}
    # Mixed: every second one is long.
    alternating = int(credential.id.rsplit("-", 1)[-1]) % 2 == 0
    long = forms.get(asked, settled.get(installation.token_form, alternating))
    if long and credential.expires_at is not None:
        return tokens.installation_jwt(installation.app_id, installation.id, credential.expires_at)
    return tokens.installation()


# The App's webhook


async def hook_config(call: Call) -> web.Response:
    """GET /app/hook/config"""
    found = call.app()
    if found.webhook_url is None:
        raise errors.not_found()
    return call.json(shapes.app_hook_config(found))


async def update_hook_config(call: Call) -> web.Response:
    """PATCH /app/hook/config"""
    found = call.app()
    body = await call.body()
    url = body.get("url", str, found.webhook_url)
    if url is not None and not url.startswith(("http://", "https://")):
        raise errors.invalid("Hook", "url", "invalid", "url is not a valid URL")
    unchecked = insecure(body) if "insecure_ssl" in body else found.webhook_insecure_ssl
    found.webhook_secret = body.get("secret", str, found.webhook_secret) or None
    found.webhook_url, found.webhook_insecure_ssl = url, unchecked
    found.updated_at = call.world.clock.now()
    return call.json(shapes.app_hook_config(found))


INSTALLATION = "/app/installations/{installation_id:[0-9]{1,18}}"
ROUTES = (
    Route("GET", "/app", app),
    Route("GET", "/app/installations", installations),
    Route("GET", INSTALLATION, installation),
    Route("DELETE", INSTALLATION, uninstall),
    Route("PUT", f"{INSTALLATION}/suspended", suspend),
    Route("DELETE", f"{INSTALLATION}/suspended", unsuspend),
    Route("POST", f"{INSTALLATION}/access_tokens", mint),
    Route("GET", "/app/hook/config", hook_config),
    Route("PATCH", "/app/hook/config", update_hook_config),
)

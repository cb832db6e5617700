"""Finding installations, and what a token sees of its own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.github import errors, permissions, shapes
from lab.github.errors import ApiError
from lab.github.model import Account, App, Installation, Repository
from lab.github.rest.call import Call, Route

NOT_AN_INSTALLATION = (
    "You must authenticate with an installation access token in order to list repositories for an installation."
)
NOT_AUTHORIZED = "You must authenticate with an access token authorized to a GitHub App in order to list installations"


# With a JWT


def _found(call: Call, account: Account, repository: Repository | None = None) -> web.Response:
    installation = call.world.installation_of(call.app(), account)
    if installation is None or (repository is not None and not call.world.covers(installation, repository)):
        raise errors.not_found()
    return call.json(shapes.installation(call.ctx, installation))


async def of_user(call: Call) -> web.Response:
    """GET /users/{username}/installation"""
    call.app()
    return _found(call, call.account())


async def of_organization(call: Call) -> web.Response:
    """GET /orgs/{org}/installation"""
    call.app()
    account = call.account()
    if account.type != "Organization":
        raise errors.not_found()
    return _found(call, account)


async def of_repository(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/installation"""
    call.app()
    found = call.named_repository()
    return _found(call, call.world.owner(found), found)


# With an installation token


async def repositories(call: Call) -> web.Response:
    """GET /installation/repositories"""
    installation, credential = call.caller.installation, call.caller.credential
    if installation is None or credential is None:
        raise ApiError(403, NOT_AN_INSTALLATION) if call.caller.account else errors.requires_authentication()
    limited = credential.repository_ids
    covered = [r for r in call.world.covered(installation) if limited is None or r.id in limited]
    selection = installation.repository_selection if limited is None else "selected"
    return _repositories(call, covered, selection)


def _repositories(call: Call, found: list[Repository], selection: str) -> web.Response:
    shown = [shapes.repository(call.ctx, repository, call.caller) for repository in call.page().of(found)]
    body = {"total_count": len(found), "repository_selection": selection, "repositories": shown}
    return call.json(body, headers=call.links(len(found)))


async def revoke(call: Call) -> web.Response:
    """DELETE /installation/token"""
    credential = call.caller.credential
    if credential is None or call.caller.installation is None:
        raise ApiError(403, NOT_AN_INSTALLATION) if call.caller.account else errors.requires_authentication()
    credential.revoked_at = call.world.clock.now()
    return call.empty()


# With a token of a person who authorized the App


def _authorized_app(call: Call) -> App:
    call.person()
    credential = call.caller.credential
    if credential is None or credential.kind != "user-to-server" or call.caller.app is None:
        raise ApiError(403, NOT_AUTHORIZED)
    return call.caller.app


def _reachable(call: Call, installation: Installation) -> list[Repository]:
    """Return the repositories of an installation that the calling person works on."""
    person = call.person()
    least = permissions.RANK["read"]
    return [
        repository
        for repository in call.world.covered(installation)
        if permissions.RANK[permissions.role(call.ctx, person, repository)] >= least
    ]


def _is_accessible(call: Call, installation: Installation) -> bool:
    person = call.person()
    account = call.world.accounts[installation.account_id]
    return account is person or person.id in account.members or bool(_reachable(call, installation))


async def mine(call: Call) -> web.Response:
    """GET /user/installations"""
    app = _authorized_app(call)
    every = [i for i in call.world.installations.values() if i.app_id == app.id and _is_accessible(call, i)]
    shown: list[dict[str, Any]] = [shapes.installation(call.ctx, i) for i in call.page().of(every)]
    return call.json({"total_count": len(every), "installations": shown}, headers=call.links(len(every)))


async def my_repositories(call: Call) -> web.Response:
    """GET /user/installations/{installation_id}/repositories"""
    app = _authorized_app(call)
    found = call.world.installations.get(int(call.params["installation_id"]))
    if found is None or found.app_id != app.id or not _is_accessible(call, found):
        raise errors.not_found()
    return _repositories(call, _reachable(call, found), found.repository_selection)


ROUTES = (
    Route("GET", "/users/{username}/installation", of_user),
    Route("GET", "/orgs/{org}/installation", of_organization),
    Route("GET", "/installation/repositories", repositories),
    Route("DELETE", "/installation/token", revoke),
    Route("GET", "/user/installations", mine),
    Route("GET", "/user/installations/{installation_id:[0-9]{1,18}}/repositories", my_repositories),
)
BELOW = (Route("GET", "/installation", of_repository),)

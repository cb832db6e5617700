"""Repositories themselves: listing, creating, changing and removing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aiohttp import web

from lab.github import errors, etags, permissions, shapes
from lab.github.context import Signature
from lab.github.errors import ApiError
from lab.github.model import Account, Repository
from lab.github.rest.call import Body, Call, Route

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
ORDERS: dict[str, Callable[[Repository], Any]] = {
    "created": lambda found: found.created_at,
    "updated": lambda found: found.updated_at,
    "pushed": lambda found: found.pushed_at,
}


async def mine(call: Call) -> web.Response:
    """GET /user/repos"""
    person = call.person()
    wanted = [found for found in call.world.repositories.values() if _concerns(call, person, found)]
    return _list(call, wanted, default="full_name")


def _concerns(call: Call, person: Account, repository: Repository) -> bool:
    """Tell whether a person owns a repository, works on it, or belongs to the organisation that owns it."""
    owner = call.world.owner(repository)
    relations = {
        "owner": owner is person,
        "collaborator": person.id in repository.collaborators,
        "organization_member": person.id in owner.members,
    }
    wanted = call.query.get("affiliation", "owner,collaborator,organization_member").split(",")
    kind = {"owner": ["owner"], "member": ["collaborator", "organization_member"]}.get(call.query.get("type", ""))
    return any(relations.get(name.strip(), False) for name in kind or wanted)


async def of_account(call: Call) -> web.Response:
    """GET /users/{username}/repos, GET /orgs/{org}/repos and their forms by id"""
    account = call.account()
    organization = call.params.get("org") is not None or "/organizations/" in call.request.path
    if organization and account.type != "Organization":
        raise errors.not_found()
    return _list(call, call.world.repositories_of(account), default="created" if organization else "full_name")


def _list(call: Call, found: Iterable[Repository], *, default: str) -> web.Response:
    visible = [r for r in found if permissions.sees(call.ctx, call.caller, r) and _selected(call, r)]
    order = call.query.get("sort", default)
    # By name ascending, by time newest first, unless told otherwise.
    direction = call.query.get("direction") or ("desc" if order in ORDERS else "asc")
    by_name: Callable[[Repository], Any] = lambda r: call.world.full_name(r).casefold()  # noqa: E731 - one of several keys
    visible.sort(key=ORDERS.get(order, by_name), reverse=direction == "desc")
    return call.listed(visible, lambda r: shapes.repository(call.ctx, r, call.caller))


def _selected(call: Call, repository: Repository) -> bool:
    for wanted in (call.query.get("visibility"), call.query.get("type")):
        if wanted in {"public", "private"} and repository.private != (wanted == "private"):
            return False
    since, before = call.query.get("since"), call.query.get("before")
    after = since is None or repository.updated_at >= _moment(since)
    return after and (before is None or repository.updated_at < _moment(before))


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise errors.invalid("Repository", "since", "invalid", "must be a time in UTC such as 2026-01-31T12:00:00Z")
    return found


async def get(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}"""
    found = call.repository()
    headers = {"Last-Modified": etags.http_date(max(found.updated_at, found.pushed_at))}
    return call.json(shapes.full_repository(call.ctx, found, call.caller), headers=headers)


# Creating


async def create_mine(call: Call) -> web.Response:
    """POST /user/repos"""
    person = call.person()
    credential = call.caller.credential
    if credential is not None and credential.kind == "classic" and not {"repo", "public_repo"} & set(credential.scopes):
        raise errors.not_found()
    return await _create(call, person)


async def create_for_organization(call: Call) -> web.Response:
    """POST /orgs/{org}/repos"""
    account, actor = call.account(), call.actor()
    installation = call.caller.installation
    if account.type != "Organization":
        raise errors.not_found()
    if installation is not None:
        granted = permissions.grants(call.caller, "administration", "write")
        if installation.account_id != account.id or not granted:
            raise permissions.not_for_integrations({"X-Accepted-GitHub-Permissions": "administration=write"})
    elif actor.id not in account.members:
        raise ApiError(403, "You need admin access to the organization before adding a repository to it.")
    return await _create(call, account)


async def _create(call: Call, owner: Account) -> web.Response:
    _check_token(call, owner)
    body = await call.body()
    name = _name(call, owner, body.need("name", str))
    private = body.get("private", bool, False) or body.get("visibility", str, "public") in {"private", "internal"}
    now = call.world.clock.now()
    record = Repository(
        id=call.world.new_id(),
        owner_id=owner.id,
        name=name,
        created_at=now,
        updated_at=now,
        pushed_at=now,
        private=private,
        description=body.get("description", str),
        is_template=body.get("is_template", bool, False),
    )
    call.world.add_repository(record)
    await call.git.create(record)
    if body.get("auto_init", bool, False):
        await _first_commit(call, record)
    await call.ctx.events.repository("created", record, call.actor(), {})
    shape = shapes.full_repository(call.ctx, record, call.caller)
    return call.json(shape, status=201, headers={"Location": shape["url"]})


def _check_token(call: Call, owner: Account) -> None:
    """Refuse a fine-grained token that may not administer this owner's repositories."""
    credential = call.caller.credential
    if credential is None or credential.kind != "fine-grained":
        return
    owned = credential.owner_id in {None, owner.id}
    if not owned or credential.permissions.get("administration") != "write":
        headers = {"X-Accepted-GitHub-Permissions": "administration=write"}
        raise ApiError(403, "Resource not accessible by personal access token", headers=headers)


def _name(call: Call, owner: Account, wanted: str, *, but: Repository | None = None) -> str:
    """Return the name that GitHub makes of what was asked for, when it is free."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).removesuffix(".git")
    if not NAME.fullmatch(name) or name in {".", ".."}:
        raise _refused_name("is too short or not a name")
    taken = call.world.repository(owner.login, name)
    if taken is not None and taken is not but:
        raise _refused_name("name already exists on this account")
    return name


def _refused_name(reason: str) -> ApiError:
    entry = {"resource": "Repository", "code": "custom", "field": "name", "message": reason}
    return ApiError(422, "Repository creation failed.", errors=[entry])


async def _first_commit(call: Call, record: Repository) -> None:
    text = f"# {record.name}\n" + (f"{record.description}\n" if record.description else "")
    await call.git.write(
        record,
        record.default_branch,
        {"README.md": text.encode()},
        message="Initial commit",
        author=signature(call),
    )
    record.size_kib = await call.git.size_kib(record)


def signature(call: Call) -> Signature:
    """Return the caller as the author of a commit."""
    actor = call.actor()
    email = actor.email or shapes.noreply_email(call.ctx, actor)
    return Signature(name=actor.name or actor.login, email=email, at=call.world.clock.now())


# Changing and removing


async def update(call: Call) -> web.Response:
    """PATCH /repos/{owner}/{repo}"""
    found = call.repository("administration", "write", archived=True)
    body = await call.body()
    if found.archived and body.get("archived", bool, True):
        raise ApiError(403, "Repository was archived so is read-only.")
    wanted = await _checked(call, found, body)
    for change in (_rename, _show, _describe, _archive):
        await change(call, found, wanted)
    return call.json(shapes.full_repository(call.ctx, found, call.caller))


async def _checked(call: Call, found: Repository, body: Body) -> dict[str, Any]:
    """Return the fields that differ from what is, all of them valid: an update is done whole or not at all."""
    wanted: dict[str, Any] = {
        "description": body.get("description", str, found.description),
        "archived": body.get("archived", bool, found.archived),
        "default_branch": body.get("default_branch", str, found.default_branch),
        "is_template": body.get("is_template", bool, found.is_template),
        "private": body.get("private", bool, found.private),
        "name": body.get("name", str, found.name),
    }
    if "visibility" in body:
        wanted["private"] = body.get("visibility", str) != "public"
    if wanted["name"] != found.name:
        wanted["name"] = _name(call, call.world.owner(found), wanted["name"], but=found)
    branch = wanted["default_branch"]
    if branch != found.default_branch and await call.git.branch(found, branch) is None:
        raise errors.invalid("Repository", "default_branch", "invalid", f"The branch {branch} was not found.")
    return {name: value for name, value in wanted.items() if value != getattr(found, name)}


async def _rename(call: Call, found: Repository, wanted: dict[str, Any]) -> None:
    if "name" in wanted:
        before = found.name
        call.world.move_repository(found, owner_id=found.owner_id, name=wanted["name"])
        await _tell(call, found, "renamed", {"repository": {"name": {"from": before}}})


async def _show(call: Call, found: Repository, wanted: dict[str, Any]) -> None:
    if "private" in wanted:
        found.private = wanted["private"]
        await _tell(call, found, "privatized" if found.private else "publicized", {})


async def _describe(call: Call, found: Repository, wanted: dict[str, Any]) -> None:
    edited = {name: wanted[name] for name in ("description", "default_branch", "is_template") if name in wanted}
    changes: dict[str, object] = {}
    for name, value in edited.items():
        if name != "is_template":
            changes[name] = {"from": getattr(found, name)}
        setattr(found, name, value)
    if changes:
        await _tell(call, found, "edited", changes)


async def _archive(call: Call, found: Repository, wanted: dict[str, Any]) -> None:
    if "archived" in wanted:
        found.archived = wanted["archived"]
        await _tell(call, found, "archived" if found.archived else "unarchived", {})


async def _tell(call: Call, found: Repository, action: str, changes: dict[str, object]) -> None:
    found.updated_at = call.world.clock.now()
    await call.ctx.events.repository(action, found, call.actor(), changes)


async def delete(call: Call) -> web.Response:
    """DELETE /repos/{owner}/{repo}"""
    found = call.repository("administration", "write", archived=True)
    credential = call.caller.credential
    if credential is not None and credential.kind == "classic" and "delete_repo" not in credential.scopes:
        raise ApiError(403, "Must have admin rights to Repository.")
    # First the event: who is told hangs on the record.
    await call.ctx.events.repository("deleted", found, call.actor(), {})
    call.world.remove_repository(found)
    await call.git.remove(found)
    return call.empty()


ROUTES = (
    Route("GET", "/user/repos", mine),
    Route("POST", "/user/repos", create_mine),
    Route("GET", "/users/{username}/repos", of_account),
    Route("GET", "/user/{account_id:[0-9]{1,18}}/repos", of_account),
    Route("GET", "/orgs/{org}/repos", of_account),
    Route("POST", "/orgs/{org}/repos", create_for_organization),
    Route("GET", "/organizations/{account_id:[0-9]{1,18}}/repos", of_account),
)
BELOW = (Route("GET", "", get), Route("PATCH", "", update), Route("DELETE", "", delete))

"""One request to the REST API as a handler sees it: who calls, what about, and the ways to answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from aiohttp import web

from lab.github import errors, pagination, permissions
from lab.github.context import CALLER, CONTEXT, Caller, Context, Git
from lab.github.contract import PREFIX
from lab.github.errors import ApiError
from lab.github.model import Account, App, Repository
from lab.github.permissions import Level
from lab.github.world import World

Item = TypeVar("Item")
Json = dict[str, Any]
Handler = Callable[["Call"], Awaitable[web.Response]]

ACCEPTED_SCOPES: web.RequestKey[str] = web.RequestKey("accepted_scopes", str)
TYPE_NAMES = {str: "a string", bool: "a boolean", list: "an array", dict: "an object", int: "an integer"}
MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path below the API, in aiohttp's syntax."""

    method: str
    path: str
    handler: Handler


class Body:
    """A JSON object that was sent, read field by field; a field of the wrong type is GitHub's 422."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def __contains__(self, name: object) -> bool:
        return self.fields.get(str(name)) is not None

    def get(self, name: str, kind: type[Item], default: Any = None) -> Any:
        """Return a field, or the default where it is absent or null."""
        value = self.fields.get(name)
        if value is None:
            return default
        # True is an int for Python, but not for JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise errors.malformed(f"For 'properties/{name}', {json.dumps(value)[:100]} is not {TYPE_NAMES[kind]}.")
        return value

    def need(self, name: str, kind: type[Item]) -> Any:
        """Return a field that must be there."""
        value = self.get(name, kind, MISSING)
        if value is MISSING:
            raise errors.not_supplied(name)
        return value

    def strings(self, name: str) -> list[str] | None:
        """Return a list of strings, or nothing where it is absent."""
        found: list[Any] | None = self.get(name, list)
        if found is not None and not all(isinstance(entry, str) for entry in found):
            raise errors.malformed(f"For 'properties/{name}', every item must be a string.")
        return found

    def numbers(self, name: str) -> list[int] | None:
        """Return a list of integers, or nothing where it is absent."""
        found: list[Any] | None = self.get(name, list)
        if found is not None and not all(isinstance(entry, int) and not isinstance(entry, bool) for entry in found):
            raise errors.malformed(f"For 'properties/{name}', every item must be an integer.")
        return found


class Call:
    """A request with the world around it."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.ctx: Context = request.app[CONTEXT]
        self.caller: Caller = request[CALLER]
        self.query = request.query
        self.params = request.match_info

    @property
    def world(self) -> World:
        """Return all records."""
        return self.ctx.world

    @property
    def git(self) -> Git:
        """Return the bare repositories."""
        return self.ctx.git

    # Who calls

    def person(self) -> Account:
        """Return the person who calls; a stranger or an App gets GitHub's refusal."""
        if self.caller.app is not None and (self.caller.credential is None or self.caller.installation is not None):
            raise permissions.not_for_integrations()
        if self.caller.account is None:
            raise errors.requires_authentication()
        return self.caller.account

    def actor(self) -> Account:
        """Return the account that acts: a person, or the bot of an installation."""
        if self.caller.account is None:
            raise errors.requires_authentication()
        return self.caller.account

    def app(self) -> App:
        """Return the App that calls with its JWT; everything else is refused as GitHub does."""
        if self.caller.app is None or self.caller.credential is not None:
            raise errors.not_a_jwt()
        return self.caller.app

    # What about

    def repository(self, permission: str = "metadata", level: Level = "read", *, archived: bool = False) -> Repository:
        """Return the repository of the path, as far as the caller has a permission on it.

        A repository that moved is answered with a redirect. An archived one takes no writes unless `archived` says so.
        """
        found = self.named_repository()
        self.request[ACCEPTED_SCOPES] = permissions.accepted_scopes(permission, found)
        permissions.require(self.ctx, self.caller, found, permission, level)
        if found.archived and level == "write" and not archived:
            raise ApiError(403, "Repository was archived so is read-only.")
        return found

    def named_repository(self) -> Repository:
        """Return the repository of the path whoever may see it; for Apps that look themselves up."""
        number = self.params.get("repository_id")
        if number is not None:
            found = self.world.repositories.get(int(number))
        else:
            owner, name = self.params["owner"], self.params["repo"]
            found = self.world.repository(owner, name)
            moved = None if found is not None else self.world.moved(owner, name)
            if moved is not None and (permissions.sees(self.ctx, self.caller, moved) or self._installed_on(moved)):
                raise self._redirect(moved)
        if found is None:
            raise errors.not_found()
        return found

    def _installed_on(self, repository: Repository) -> bool:
        """Tell whether the App that calls with its JWT reaches a repository."""
        installations = self.world.installations_covering(repository)
        return self.caller.app is not None and any(found.app_id == self.caller.app.id for found in installations)

    def _redirect(self, repository: Repository) -> ApiError:
        below = self._raw_path.split("/", 4)[4:]
        path = "/".join([f"/repositories/{repository.id}", *below])
        query = self.request.rel_url.raw_query_string
        url = f"{self.world.addresses.api}{path}{'?' if query else ''}{query}"
        status, message = (301, "Moved Permanently") if self.request.method in {"GET", "HEAD"} else (307, "Moved")
        return ApiError(status, message, headers={"Location": url}, extra={"url": url})

    @cached_property
    def _raw_path(self) -> str:
        return self.request.rel_url.raw_path.removeprefix(self.request.app[PREFIX])

    def account(self, login: str | None = None) -> Account:
        """Return the account of the path."""
        number = self.params.get("account_id")
        if number is not None:
            found = self.world.accounts.get(int(number))
        else:
            found = self.world.account(login or self.params.get("username") or self.params["org"])
        if found is None:
            raise errors.not_found()
        return found

    # Input

    async def body(self) -> Body:
        """Return the JSON object that was sent; none at all counts as an empty one."""
        raw = await self.request.read()
        if not raw:
            return Body({})
        try:
            parsed = json.loads(raw)
        except ValueError:
            raise ApiError(400, "Problems parsing JSON") from None
        if not isinstance(parsed, dict):
            raise ApiError(400, "Body should be a JSON object")
        return Body(parsed)

    # Answers

    def json(self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Answer with JSON."""
        return web.json_response(data, status=status, headers=headers)

    def empty(self) -> web.Response:
        """Answer that it is done."""
        return web.Response(status=204)

    def page(self) -> pagination.Page:
        """Return the page that was asked for."""
        return pagination.page_of(self.query)

    def links(self, total: int, page: pagination.Page | None = None) -> dict[str, str]:
        """Return the Link header for a list of so many items, when it needs one."""
        link = (page or self.page()).links(self.canonical_url(), self.query, total)
        return {} if link is None else {"Link": link}

    def listed(self, items: Sequence[Item], shape: Callable[[Item], Any]) -> web.Response:
        """Answer with one page of a list."""
        shown = [shape(item) for item in self.page().of(items)]
        return self.json(shown, headers=self.links(len(items)))

    def canonical_url(self) -> str:
        """Return this request's address by ids instead of names, as GitHub's Link headers have it."""
        parts = self._raw_path.split("/")
        if parts[1] == "repos" and len(parts) > 4:
            found = self.named_repository()
            parts[1:4] = ["repositories", str(found.id)]
        elif parts[1] in {"orgs", "users"} and len(parts) > 3:
            account = self.account()
            parts[1:3] = ["organizations" if parts[1] == "orgs" else "user", str(account.id)]
        return f"{self.world.addresses.api}{'/'.join(parts)}"

"""What was asked of the lab's GitHub: every request in a bounded ring, and never a secret.

Credentials appear under their public ids. What looks like a token, or is one that this world knows, is hidden in paths,
queries and user agents too.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from aiohttp import web

from lab.github.context import CALLER
from lab.github.world import World

KEPT = 100_000
HIDDEN = "[hidden]"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Of the newest so many mints the journal knows what was asked for, and of each so much.
KEPT_MINTS = 10_000
KEPT_NAMES = 500
KEPT_LETTERS = 100

# Set on a request whose connection a fault has cut.
CUT: web.RequestKey[bool] = web.RequestKey("cut", bool)
# Set on a request for a token: the body as it came, and the public id of the token that was made.
ASKED: web.RequestKey[Mapping[str, Any]] = web.RequestKey("asked", Mapping)
MINTED: web.RequestKey[str] = web.RequestKey("minted", str)

_SECRET_PARAMETERS = {"access_token", "token", "client_secret", "code", "code_verifier", "refresh_token"}
_TOKEN = re.compile(r"gh[pousr]_[A-Za-z0-9_.\-]+|github_pat_\w+|eyJ[\w\-]+\.[\w\-]+\.[\w\-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and how it was answered; status 0 means that the connection was cut instead."""

    number: int
    time: datetime
    method: str
    # With its query.
    path: str
    credential: str
    # scheme://host:port as the client named it.
    origin: str
    remote: str
    status: int
    user_agent: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the entry for the control API."""
        return {**asdict(self), "time": self.time.isoformat()}


@dataclass(frozen=True, slots=True)
class Mint:
    """What a request for an installation token asked for, and the public id of the token that it got."""

    asked: Mapping[str, Any]
    minted: str | None


class Journal:
    """The last requests, oldest first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        # Apart from the entries, because one may name 500 repositories.
        self._mints: dict[int, Mint] = {}
        self._last = 0
        # How often all was forgotten.
        self._age = 0

    @property
    def last(self) -> int:
        """Return the number of the newest entry."""
        return self._last

    def clear(self) -> None:
        """Forget all entries, and what is under way; numbers go on."""
        self._age += 1
        self._entries.clear()
        self._mints.clear()

    def since(self, number: int, limit: int) -> list[Entry]:
        """Return entries with a higher number, oldest first."""
        if not self._entries:
            return []
        skipped = max(0, number - self._entries[0].number + 1)
        wanted = range(skipped, min(skipped + limit, len(self._entries)))
        return [self._entries[index] for index in wanted]

    def told(self, entry: Entry) -> dict[str, Any]:
        """Return an entry for the control API, with what was asked for where it was a token."""
        mint = self._mints.get(entry.number)
        return entry.as_json() if mint is None else {**entry.as_json(), "asked": mint.asked, "minted": mint.minted}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a request however it ends, unless all was forgotten meanwhile."""
        started, status, age = time.monotonic(), 500, self._age
        try:
            response = await handler(request)
            status = 0 if request.get(CUT) else response.status
        except web.HTTPException as answer:
            status = answer.status
            raise
        except ConnectionError:
            status = 0
            raise
        else:
            return response
        finally:
            if age == self._age:
                self._record(request, status, time.monotonic() - started)

    def _record(self, request: web.Request, status: int, seconds: float) -> None:
        self._last += 1
        if ASKED in request:
            self._mints[self._last] = Mint(self._asked(request[ASKED]), request.get(MINTED))
            if len(self._mints) > KEPT_MINTS:
                del self._mints[next(iter(self._mints))]
        caller = request.get(CALLER)
        known = caller is not None and (caller.credential is not None or caller.app is not None)
        self._entries.append(
            Entry(
                number=self._last,
                time=self._world.clock.now(),
                method=request.method,
                path=self.without_secrets(request.path_qs),
                credential=caller.name if known and caller is not None else presented(self._world, request),
                origin=f"{request.scheme}://{request.host}",
                remote=request.remote or "",
                status=status,
                user_agent=self._hide(request.headers.get("User-Agent", "")),
                seconds=round(seconds, 4),
            )
        )

    def _asked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the narrowing that a body asks for: ids in order, and nothing long, odd or secret."""
        ids, names, permissions = (body.get(field) for field in ("repository_ids", "repositories", "permissions"))
        asked: dict[str, Any] = {}
        if isinstance(ids, list):
            asked["repository_ids"] = sorted(each for each in ids if isinstance(each, int))[:KEPT_NAMES]
        if isinstance(names, list):
            asked["repositories"] = [self._short(each) for each in names[:KEPT_NAMES]]
        if isinstance(permissions, dict):
            few = list(permissions.items())[:KEPT_NAMES]
            asked["permissions"] = {self._short(name): self._short(level) for name, level in few}
        return asked

    def _short(self, value: object) -> str:
        return self._hide(str(value))[:KEPT_LETTERS]

    def without_secrets(self, path: str) -> str:
        """Return a path and query with every token in it hidden."""
        path, question, query = path.partition("?")
        segments = [self._hide(segment) for segment in path.split("/")]
        pairs = [self._pair(pair) for pair in query.split("&")]
        return "/".join(segments) + question + "&".join(pairs)

    def _pair(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if unquote_plus(name).casefold() in _SECRET_PARAMETERS:
            value = HIDDEN
        return f"{self._hide(name)}{equals}{self._hide(value)}"

    def _hide(self, text: str) -> str:
        forms = (unquote_plus(text), unquote(text))
        known = any(self._world.credential(form) is not None for form in forms)
        return HIDDEN if known or _TOKEN.search(forms[0]) else text


def shown_token(authorization: str) -> str | None:
    """Return the token in an Authorization header: a bearer's, or Basic's password (or its user name, alone)."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.casefold() in {"bearer", "token"}:
        return value.strip() or None
    if scheme.casefold() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user if password in {"", "x-oauth-basic"} else password


def presented(world: World, request: web.Request) -> str:
    """Name the credential that a request shows, before anybody has checked it."""
    token = shown_token(request.headers.get("Authorization", ""))
    if not token:
        return "anonymous"
    credential = world.credential(token)
    return credential.id if credential is not None else app_name(world, token)


def app_name(world: World, token: str) -> str:
    """Name the App that a JWT says it comes from: by its number or by its client id."""
    try:
        payload = token.split(".")[1]
        issuer = str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"])
    except (IndexError, ValueError, KeyError, TypeError):
        return "unknown"
    apps = world.apps.values()
    return next((f"app-{app.id}" for app in apps if issuer in {str(app.id), app.client_id}), "unknown")

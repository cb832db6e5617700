"""Tokens of installations: made, checked for what they may do, and ended. Nothing is kept or shared here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.github import answers, app_facts, troubles
from mooring.github.answers import Answer, NotFound, Ok, Rejected, Suspended, Unauthorized
from mooring.github.apps import Apps, Caller
from mooring.github.asking import Asker, Desk
from mooring.github.clocks import Clocks
from mooring.github.limits import Limits
from mooring.github.session import Request
from mooring.ports import App, MintedToken

logger = logging.getLogger("mooring.github")


class Outcome(StrEnum):
    """What came of making a token, as the metric counts it."""

    OK = "ok"
    REFUSED = "refused"
    LIMITED = "limited"
    ERROR = "error"


class Mint:
    """Makes tokens and ends them."""

    def __init__(self, desk: Desk, apps: Apps, *, clocks: Clocks, registry: CollectorRegistry, limits: Limits) -> None:
        self._desk = desk
        self._apps = apps
        self._clocks = clocks
        self._limits = limits
        self._mints = Counter(
            "mooring_token_mints", "Installation tokens by what came of making them.", ["result"], registry=registry
        )
        for outcome in Outcome:
            self._mints.labels(outcome.value)

    async def mint(
        self,
        app: App,
        installation_id: int,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str] | None,
        namespace: str,
    ) -> MintedToken:
        """Make a token, and count what came of it."""
        outcome = Outcome.ERROR
        try:
            minted = await self._mint(app, installation_id, repository_ids, permissions, namespace)
            outcome = Outcome.OK
        except Stalled:
            outcome = Outcome.REFUSED
            raise
        except Waiting:
            outcome = Outcome.LIMITED
            raise
        finally:
            self._mints.labels(outcome.value).inc()
        return minted

    async def _mint(
        self,
        app: App,
        installation_id: int,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str] | None,
        namespace: str,
    ) -> MintedToken:
        caller = self._apps.caller(app, namespace)
        body = self._body(caller, installation_id, repository_ids, permissions)
        url = f"{caller.asker.place.base}/app/installations/{int(installation_id)}/access_tokens"
        request = Request(url, method="POST", body=body)
        made = self._made(caller, installation_id, await self._apps.signed(caller, request))
        token = self._desk.read(caller.asker, partial(app_facts.token, made.value))
        asker = self._desk.with_token(app.origin, token, namespace)
        # Its own Date: the token's life began then.
        issued_at = answers.date(made.headers) or self._clocks.now(asker.place.line)
        try:
            minted = self._desk.read(caller.asker, partial(app_facts.minted, made.value, issued_at, repository_ids))
            if not app_facts.is_as_asked(minted, repository_ids, permissions):
                raise troubles.scope_refused(caller.asker.host, installation_id)
        except Trouble:
            await self._undo(asker, installation_id)
            raise
        self._desk.belongs(asker, installation_id, minted.expires_at - minted.issued_at)
        return minted

    def _body(
        self,
        caller: Caller,
        installation_id: int,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        """Write down what is asked for. An empty list would be everything to GitHub: it is sent to nobody."""
        empty = (repository_ids is not None and not repository_ids) or (permissions is not None and not permissions)
        if empty or len(repository_ids or ()) > self._limits.token_repositories:
            raise troubles.scope_refused(caller.asker.host, installation_id)
        body: dict[str, Any] = {}
        if repository_ids is not None:
            body["repository_ids"] = sorted(repository_ids)
        if permissions is not None:
            body["permissions"] = dict(sorted(permissions.items()))
        return body

    def _made(self, caller: Caller, installation_id: int, answer: Answer) -> Ok:
        host, which = caller.asker.host, f"with the id {installation_id}"
        if isinstance(answer, Rejected):
            raise troubles.scope_refused(host, installation_id)
        answer = self._desk.usable(caller.asker, answer)
        if isinstance(answer, Ok):
            return answer
        if isinstance(answer, Suspended):
            raise troubles.installation_suspended(host, which)
        if isinstance(answer, NotFound):
            raise troubles.installation_not_found(host, which)
        raise troubles.scope_refused(host, installation_id)

    async def _undo(self, token: Asker, installation_id: int) -> None:
        """End a token that nobody shall have. It ends by itself within the hour where that fails."""
        try:
            await self.revoke(replace(token, free=True))
        except Trouble as trouble:
            logger.warning(
                "a token of the installation %s at %s was not as asked for, and could not be revoked: %s",
                installation_id,
                token.host,
                trouble.reason,
            )
        else:
            logger.warning(
                "a token of the installation %s at %s was not as asked for: revoked", installation_id, token.host
            )

    async def revoke(self, token: Asker) -> None:
        """End a token; one that GitHub does not take (401, 403, 404) is at its end already."""
        url = f"{token.place.base}/installation/token"
        request = Request(url, method="DELETE", read=answers.nothing)
        answer = await self._desk.ask(token, request)
        if not isinstance(answer, Unauthorized):
            self._desk.usable(token, answer)

"""`ports.GitHubWebhooks`: hooks of repositories, where an App's webhooks go, and what became of deliveries.

What changes something is sent once, and never again by itself: GitHub may have done it although no answer came.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.webhooks.attempts import Attempt
from mooring.domain.webhooks.hooking import HookWish, RepositoryHook
from mooring.github import answers, facts, hook_facts, troubles
from mooring.github.answers import Answer, NotFound, Objection, Ok, Rejected
from mooring.github.apps import Apps, Caller
from mooring.github.asking import Asker, Desk
from mooring.github.limits import Limits
from mooring.github.pages import Pages
from mooring.github.session import Request
from mooring.ports import App, Origin

# Says what an answer to a token means; raises where GitHub refuses the token, or says: not now.
Judged = Callable[[Asker, Answer], Answer]

_APP_DELIVERIES = "/app/hook/deliveries"
_SCOPES_HEADER = "x-oauth-scopes"
# Classic tokens may read hooks with the one, and have deliveries repeated with any of the others.
_READ_ONLY = "read:repo_hook"
_WRITE = frozenset({"write:repo_hook", "admin:repo_hook", "repo", "public_repo"})


class Webhooks:
    """Webhooks at GitHub, for every namespace and origin."""

    def __init__(self, desk: Desk, pages: Pages, apps: Apps, judged: Judged, limits: Limits) -> None:
        self._desk = desk
        self._pages = pages
        self._apps = apps
        self._judged = judged
        self._limits = limits

    # --- hooks of repositories ---

    async def hooks(
        self, origin: Origin, token: str, repository_id: int, *, namespace: str
    ) -> tuple[RepositoryHook, ...]:
        """List the hooks of a repository, as they are now."""
        asker = self._desk.with_token(origin, token, namespace)
        work = partial(self._hooks, asker, repository_id)
        return await self._desk.shared(asker, f"hooks {repository_id}", work, fresh=True)

    async def hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str
    ) -> RepositoryHook | None:
        """Read one hook, as it is now."""
        asker = self._desk.with_token(origin, token, namespace)
        work = partial(self._hook, asker, repository_id, hook_id)
        return await self._desk.shared(asker, f"hook {repository_id} {hook_id}", work, fresh=True)

    async def make_hook(
        self, origin: Origin, token: str, repository_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook:
        """Make a hook with one request. Raises Transient where GitHub has it already: whoever lists again, finds it."""
        asker = self._desk.with_token(origin, token, namespace)
        request = _writing(asker, "POST", _hooks_path(repository_id), wish)
        answer = await self._write(asker, repository_id, request)
        if not isinstance(answer, Ok):
            raise _forbidden(asker, repository_id)
        return self._desk.read(asker, partial(hook_facts.hook, answer.value))

    async def change_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, wish: HookWish, *, namespace: str
    ) -> RepositoryHook | None:
        """Make a hook what it should be, its secret too; None where it is gone."""
        asker = self._desk.with_token(origin, token, namespace)
        request = _writing(asker, "PATCH", _hook_path(repository_id, hook_id), wish)
        answer = await self._write(asker, repository_id, request)
        if isinstance(answer, Ok):
            return self._desk.read(asker, partial(hook_facts.hook, answer.value))
        await self._prove_gone(asker, repository_id, hook_id, answer)
        return None

    async def remove_hook(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, namespace: str
    ) -> None:
        """Remove a hook; one that is gone is success."""
        asker = self._desk.with_token(origin, token, namespace)
        url = f"{asker.place.base}{_hook_path(repository_id, hook_id)}"
        answer = await self._ask(asker, Request(url, method="DELETE", read=answers.nothing))
        if not isinstance(answer, Ok):
            await self._prove_gone(asker, repository_id, hook_id, answer)

    # --- deliveries of repositories' hooks ---

    async def hook_attempts(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, *, since: datetime, namespace: str
    ) -> tuple[Attempt, ...]:
        """List a hook's deliveries since a moment; of a hook that is gone there are none."""
        asker = self._desk.with_token(origin, token, namespace)
        path = f"{_hook_path(repository_id, hook_id)}/deliveries"
        wanted = _Since(self._desk, asker, since, self._limits.page)
        most = self._limits.attempt_pages
        try:
            await self._pages.read_some(asker, path, partial(self._ask, asker), wanted.take, most=most)
        except _Refused as refused:
            await self._prove_gone(asker, repository_id, hook_id, refused.answer)
        return wanted.found()

    async def repeat_hook_delivery(
        self, origin: Origin, token: str, repository_id: int, hook_id: int, attempt_id: int, *, namespace: str
    ) -> None:
        """Have a hook's delivery sent once more; one that GitHub does not have any more is left."""
        asker = self._desk.with_token(origin, token, namespace)
        url = f"{asker.place.base}{_hook_path(repository_id, hook_id)}/deliveries/{int(attempt_id)}/attempts"
        answer = await self._desk.ask(asker, Request(url, method="POST", read=answers.nothing))
        if isinstance(answer, Rejected):
            return
        answer = self._judged(asker, answer)
        if not isinstance(answer, Ok):
            await self._prove_may_write(asker, repository_id, answer)

    # --- Apps ---

    async def app_webhook_url(self, app: App, *, namespace: str) -> str | None:
        """Return where an App's webhooks go; None where they go nowhere."""
        caller = self._apps.caller(app, namespace)
        work = partial(self._app_webhook_url, caller)
        return await self._desk.shared(caller.asker, caller.question("webhook url"), work, fresh=True)

    async def failed_attempts(self, app: App, *, since: datetime, namespace: str) -> tuple[Attempt, ...]:
        """List an App's deliveries that failed since a moment."""
        caller = self._apps.caller(app, namespace)
        wanted = _Since(self._desk, caller.asker, since, self._limits.page)
        ask = partial(self._ask_as_app, caller)
        query, most = {"status": "failure"}, self._limits.failed_pages
        try:
            await self._pages.read_some(caller.asker, _APP_DELIVERIES, ask, wanted.take, most=most, query=query)
        except _Refused:
            raise _shows_no_deliveries(caller.asker) from None
        # A server that does not know the filter lists all.
        return tuple(each for each in wanted.found() if not each.succeeded)

    async def repeat_delivery(self, app: App, attempt_id: int, *, namespace: str) -> None:
        """Have an App's delivery sent once more; one that GitHub does not have any more is left."""
        caller = self._apps.caller(app, namespace)
        url = f"{caller.asker.place.base}{_APP_DELIVERIES}/{int(attempt_id)}/attempts"
        answer = await self._apps.signed(caller, Request(url, method="POST", read=answers.nothing))
        if isinstance(answer, Rejected | NotFound):
            return
        if not isinstance(self._desk.usable(caller.asker, answer), Ok):
            raise _shows_no_deliveries(caller.asker)

    # --- how each is answered ---

    async def _hooks(self, asker: Asker, repository_id: int) -> tuple[RepositoryHook, ...]:
        return (await self._list(asker, repository_id))[0]

    async def _list(self, asker: Asker, repository_id: int) -> tuple[tuple[RepositoryHook, ...], frozenset[str]]:
        """Return the hooks, and the scopes that GitHub says the token has."""
        found: list[RepositoryHook] = []
        scopes: set[str] = set()

        def take(answer: Answer) -> None:
            if not isinstance(answer, Ok):
                raise _forbidden(asker, repository_id)
            found.extend(self._desk.read(asker, partial(hook_facts.hooks, answer.value, self._limits.page)))
            scopes.update(facts.scopes(answer.headers.get(_SCOPES_HEADER, "")))

        await self._pages.read(asker, _hooks_path(repository_id), partial(self._ask, asker), take)
        return tuple(found), frozenset(scopes)

    async def _hook(self, asker: Asker, repository_id: int, hook_id: int) -> RepositoryHook | None:
        answer = await self._ask(asker, Request(f"{asker.place.base}{_hook_path(repository_id, hook_id)}"))
        if isinstance(answer, Ok):
            return self._desk.read(asker, partial(hook_facts.hook, answer.value))
        await self._prove_gone(asker, repository_id, hook_id, answer)
        return None

    async def _prove_gone(self, asker: Asker, repository_id: int, hook_id: int, answer: Answer) -> None:
        """Raise unless the hook is gone. The list tells: whoever may not see it, or not do that, gets the same 404."""
        if isinstance(answer, NotFound):
            listed, _ = await self._list(asker, repository_id)
            if all(each.id != hook_id for each in listed):
                return
        raise _forbidden(asker, repository_id)

    async def _prove_may_write(self, asker: Asker, repository_id: int, answer: Answer) -> None:
        """Raise where a delivery is missing only to a token that may do no more than read, if that."""
        if isinstance(answer, NotFound):
            _, scopes = await self._list(asker, repository_id)
            if _READ_ONLY not in scopes or scopes & _WRITE:
                return
        raise _forbidden(asker, repository_id)

    async def _app_webhook_url(self, caller: Caller) -> str | None:
        answer = await self._ask_as_app(caller, Request(f"{caller.asker.place.base}/app/hook/config"))
        if isinstance(answer, NotFound):
            return None
        if not isinstance(answer, Ok):
            raise troubles.unavailable(caller.asker.host, "does not show the App where its webhooks go")
        return self._desk.read(caller.asker, partial(hook_facts.app_webhook_url, answer.value))

    async def _write(self, asker: Asker, repository_id: int, request: Request) -> Answer:
        """Send a hook as it should be."""
        answer = await self._desk.ask(asker, request)
        if not isinstance(answer, Rejected):
            return self._judged(asker, answer)
        raise _OBJECTED.get(answer.why, troubles.hook_refused)(asker.host, _named(repository_id))

    async def _ask(self, asker: Asker, request: Request) -> Answer:
        return self._judged(asker, await self._desk.ask(asker, request))

    async def _ask_as_app(self, caller: Caller, request: Request) -> Answer:
        return self._desk.usable(caller.asker, await self._apps.signed(caller, request))


_OBJECTED: dict[Objection, Callable[[str, str], Trouble]] = {
    Objection.NO_ROOM: troubles.hook_limit,
    Objection.TWIN: troubles.hook_exists,
}


class _Refused(Exception):
    """A list of deliveries is not shown."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class _Since:
    """Gathers deliveries, newest first, until a page ends before a moment."""

    def __init__(self, desk: Desk, asker: Asker, since: datetime, most: int) -> None:
        self._desk = desk
        self._asker = asker
        self._since = since
        self._most = most
        self._found: list[Attempt] = []

    def take(self, answer: Answer) -> bool:
        """Take a page; tell whether all that follows is older."""
        if not isinstance(answer, Ok):
            raise _Refused(answer)
        page = self._desk.read(self._asker, partial(hook_facts.attempts, answer.value, self._most))
        self._found.extend(each for each in page if each.delivered_at >= self._since)
        return bool(page) and page[-1].delivered_at < self._since

    def found(self) -> tuple[Attempt, ...]:
        """Return them."""
        return tuple(self._found)


def _writing(asker: Asker, method: str, path: str, wish: HookWish) -> Request:
    url = f"{asker.place.base}{path}"
    return Request(url, method=method, body=hook_facts.wanted(wish), secrets=(wish.secret,))


def _hooks_path(repository_id: int) -> str:
    return f"/repositories/{int(repository_id)}/hooks"


def _hook_path(repository_id: int, hook_id: int) -> str:
    return f"{_hooks_path(repository_id)}/{int(hook_id)}"


def _named(repository_id: int) -> str:
    return f"with the id {repository_id}"


def _forbidden(asker: Asker, repository_id: int) -> Stalled:
    return troubles.hooks_forbidden(asker.host, _named(repository_id))


def _shows_no_deliveries(asker: Asker) -> Trouble:
    return troubles.unavailable(asker.host, "does not show the App its webhooks' deliveries")

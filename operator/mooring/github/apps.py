"""What an App asks with its key: itself, and its installations.

Nothing that is made with a key (a JWT, an answer) is kept or shared but under the key's own name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

from mooring.domain.errors import Trouble
from mooring.domain.reasons import Reason
from mooring.github import app_facts, facts, troubles
from mooring.github.answers import Answer, Ok, Unauthorized
from mooring.github.app_jwt import AppKey, Malformed
from mooring.github.asking import Asker, Desk, shown
from mooring.github.clocks import Clocks
from mooring.github.credentials import Credential, Scheme
from mooring.github.limits import Limits
from mooring.github.memory import Memory
from mooring.github.pages import Pages
from mooring.github.session import Request
from mooring.ports import App, AppFacts, Clock, InstallationFacts

_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Caller:
    """An App that asks, with the key that signs for it."""

    asker: Asker
    app: App
    key: AppKey

    def question(self, text: str) -> str:
        """Name a question: what comes of it is for those alone who have the key from the same Secret."""
        return f"{self.app.source} {text}"


class Apps:
    """The questions of Apps."""

    def __init__(self, desk: Desk, pages: Pages, *, clock: Clock, clocks: Clocks, limits: Limits) -> None:
        self._desk = desk
        self._pages = pages
        self._clocks = clocks
        self._limits = limits
        # None: it is no key. To find that out again would take as long.
        self._keys: Memory[tuple[AppKey | None]] = Memory(clock, limits.keys)
        self._proven: Memory[AppFacts] = Memory(clock, limits.remembered)
        self._lists: Memory[tuple[InstallationFacts, ...]] = Memory(clock, limits.lists)
        # Not what is asked for by number: that is always read anew.
        self._missing = {Reason.INSTALLATION_NOT_FOUND: limits.missing_repository_for}

    # --- the questions ---

    async def app(self, app: App, namespace: str) -> AppFacts:
        """Ask GitHub which App the key belongs to."""
        caller = self.caller(app, namespace)
        known = self._proven.get(_shared_key(caller))
        if known is not None:
            return known
        return await self._desk.shared(caller.asker, caller.question("app"), partial(self._app, caller))

    async def installation(self, app: App, installation_id: int, namespace: str) -> InstallationFacts:
        """Read an installation by its number, as it is now."""
        caller = self.caller(app, namespace)
        work = partial(self._installation, caller, installation_id)
        question = caller.question(f"installation {installation_id}")
        return await self._desk.shared(caller.asker, question, work, fresh=True)

    async def of_account(self, app: App, account: str, namespace: str) -> InstallationFacts:
        """Find the installation on an account, by its present name."""
        caller = self.caller(app, namespace)
        if _LOGIN.fullmatch(account) is None:
            raise troubles.installation_not_found(caller.asker.host, f"on the account {shown(account)}")
        question = caller.question(f"account {account.lower()}")
        work = partial(self._of_account, caller, account)
        return await self._desk.shared(caller.asker, question, work, remembered=self._missing)

    async def of_repository(self, app: App, repository: str, namespace: str) -> InstallationFacts:
        """Find the installation that covers a repository, by its present name."""
        caller = self.caller(app, namespace)
        if not facts.is_full_name(repository):
            raise troubles.installation_not_found(caller.asker.host, f"for the repository {shown(repository)}")
        question = caller.question(f"of repository {repository.lower()}")
        work = partial(self._of_repository, caller, repository)
        return await self._desk.shared(caller.asker, question, work, remembered=self._missing)

    async def installations(self, app: App, namespace: str) -> tuple[InstallationFacts, ...]:
        """List all installations. One list serves all namespaces; whoever asks first pays for it."""
        caller = self.caller(app, namespace)
        known = self._lists.get(_shared_key(caller))
        if known is not None:
            return known
        flight = (*_shared_key(caller), "installations")
        payer, outcome = await self._listed_by(caller, flight)
        if isinstance(outcome, Trouble) and outcome.reason == Reason.BUDGET_SPENT and payer != namespace:
            # Another namespace's share is no matter of this one.
            _, outcome = await self._listed_by(caller, (*flight, namespace))
        if isinstance(outcome, Trouble):
            raise troubles.renewed(outcome)
        return outcome

    # --- how each is answered ---

    async def _app(self, caller: Caller) -> AppFacts:
        answer = await self._ask(caller, Request(f"{caller.asker.place.base}/app"))
        if isinstance(answer, Ok):
            found = self._desk.read(caller.asker, partial(app_facts.app, answer.value))
            if found.id == caller.app.app_id:
                self._proven.keep(_shared_key(caller), found, self._limits.identity_for)
                return found
        raise troubles.app_refused(caller.asker.host, caller.app.app_id)

    async def _installation(self, caller: Caller, installation_id: int) -> InstallationFacts:
        which = f"with the id {installation_id}"
        missing = partial(troubles.installation_not_found, caller.asker.host, which)
        if not 0 < installation_id <= _LARGEST_ID:
            raise missing()
        found = await self._asked(caller, f"/app/installations/{int(installation_id)}")
        if found is None or found.id != installation_id:
            raise missing()
        return found

    async def _of_account(self, caller: Caller, account: str) -> InstallationFacts:
        def is_it(found: InstallationFacts) -> bool:
            return found.account_login.lower() == account.lower()

        for path in (f"/orgs/{account}/installation", f"/users/{account}/installation"):
            found = await self._asked(caller, path)
            if found is not None and is_it(found):
                return found
        # Such as an enterprise's, which neither path shows.
        for each in await self.installations(caller.app, caller.asker.namespace):
            if is_it(each):
                return each
        raise troubles.installation_not_found(caller.asker.host, f"on the account {account}")

    async def _of_repository(self, caller: Caller, repository: str) -> InstallationFacts:
        found = await self._asked(caller, f"/repos/{repository}/installation")
        owner = repository.partition("/")[0]
        if found is None or found.account_login.lower() != owner.lower():
            raise troubles.installation_not_found(caller.asker.host, f"for the repository {repository}")
        return found

    async def _asked(self, caller: Caller, path: str) -> InstallationFacts | None:
        """Ask for one installation; another App's is none."""
        answer = await self._ask(caller, Request(f"{caller.asker.place.base}{path}"))
        if not isinstance(answer, Ok):
            return None
        found = self._desk.read(caller.asker, partial(app_facts.installation, answer.value))
        return found if found.app_id == caller.app.app_id else None

    async def _listed_by(
        self, caller: Caller, flight: tuple[str, ...]
    ) -> tuple[str, tuple[InstallationFacts, ...] | Trouble]:
        async def work() -> tuple[str, tuple[InstallationFacts, ...] | Trouble]:
            try:
                return caller.asker.namespace, await self._listed(caller)
            except Trouble as trouble:
                return caller.asker.namespace, trouble

        outcome = await self._desk.joined(flight, work)
        return outcome if isinstance(outcome, tuple) else (caller.asker.namespace, outcome)

    async def _listed(self, caller: Caller) -> tuple[InstallationFacts, ...]:
        found: list[InstallationFacts] = []

        def take(answer: Answer) -> None:
            if not isinstance(answer, Ok):
                raise troubles.unavailable(caller.asker.host, "does not show the App its installations")
            page = partial(app_facts.installations, answer.value, caller.app.app_id, self._limits.page)
            found.extend(self._desk.read(caller.asker, page))

        await self._pages.read(caller.asker, "/app/installations", partial(self._ask, caller), take)
        self._lists.keep(_shared_key(caller), tuple(found), self._limits.installations_for)
        return tuple(found)

    # --- what surrounds them ---

    def caller(self, app: App, namespace: str) -> Caller:
        """Refuse what cannot be a key, before anything is sent."""
        asker = self._desk.with_app(app.origin, app.app_id, app.private_key, namespace)
        known = self._keys.get(asker.key[-1])
        if known is None:
            known = (_key(app),)
            self._keys.keep(asker.key[-1], known, self._limits.key_for)
        if known[0] is None:
            raise troubles.app_key_malformed()
        return Caller(asker, app, known[0])

    async def _ask(self, caller: Caller, request: Request) -> Answer:
        return self._desk.usable(caller.asker, await self.signed(caller, request))

    async def signed(self, caller: Caller, request: Request) -> Answer:
        """Ask as an App. Where GitHub's clock was not what we took it for, sign by the right time and ask once more."""
        asker = caller.asker
        for _ in range(2):
            assumed = self._clocks.ahead(asker.place.line)
            signed = caller.key.sign(caller.app.app_id, self._clocks.now(asker.place.line))
            answer = await self._desk.ask(replace(asker, credential=Credential(signed, Scheme.BEARER)), request)
            if not isinstance(answer, Unauthorized):
                return answer
            if abs(self._clocks.ahead(asker.place.line) - assumed) <= self._limits.clock_slack:
                break
        refusal = troubles.app_refused(asker.host, caller.app.app_id)
        self._desk.bar(asker, refusal, self._limits.refused_app_for)
        self._proven.forget(_shared_key(caller))
        self._lists.forget(_shared_key(caller))
        raise refusal


def _shared_key(caller: Caller) -> tuple[str, ...]:
    return (*caller.asker.key, caller.app.source)


def _key(app: App) -> AppKey | None:
    if isinstance(app.app_id, bool) or not 0 < app.app_id <= _LARGEST_ID:
        return None
    try:
        return AppKey(app.private_key)
    except Malformed:
        return None

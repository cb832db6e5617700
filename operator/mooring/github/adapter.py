"""`ports.GitHub`: the questions that the services ask, each of them guarded, shared, budgeted and answered in records.

Personal access tokens and no credential at all are served here. Installation tokens are minted beside this module and
come in as the same argument: nothing here knows where a credential is from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter

from mooring.domain import origins, token_shape
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import Reason
from mooring.github import answers, facts, refs, troubles
from mooring.github.answers import Answer, Empty, Failed, Limited, Moved, NotFound, Ok, Result, Unauthorized
from mooring.github.budget import Budget, Lanes, Rests
from mooring.github.limits import LIMITS, Limits
from mooring.github.memory import Fingerprints, Flights, Memory
from mooring.github.session import HostRefused, Sessions, quiet
from mooring.ports import Clock, Origin, RepositoryFacts, TokenIdentity

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks whom with what. Its key names the credential without carrying it."""

    # The URL of the API, or of the repository at a git server.
    base: str
    host: str
    token: str | None
    namespace: str
    key: tuple[str, str]
    # Whether it takes of what GitHub's API gives to all who come without a credential.
    anonymous: bool


class GitHubAdapter:
    """GitHub's REST API, for every namespace and origin."""

    def __init__(
        self,
        *,
        clock: Clock,
        hosts: Callable[[], origins.AllowedHosts],
        registry: CollectorRegistry,
        version: str,
        api_url: str = origins.DEFAULT_API_URL,
        ca_file: Path | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        """Take the policy as a function, because it may change at any time; `ca_file` holds for `api_url` alone."""
        quiet()
        self._hosts = hosts
        self._limits = limits
        self._clock = clock
        self._sessions = Sessions(
            clock=clock,
            may_be_private=lambda name, port: hosts().may_be_private(name, port),
            version=version,
            api=api_url,
            ca_file=ca_file,
            limits=limits,
        )
        self._fingerprints = Fingerprints()
        self._budget, self._rests, self._lanes = Budget(clock, limits), Rests(clock, limits), Lanes(limits)
        self._flights = Flights()
        self._identities: Memory[TokenIdentity] = Memory(clock, limits.remembered)
        # When tokens end: GitHub tells it while they live, and afterwards refuses them without a reason.
        self._ends: Memory[datetime] = Memory(clock, limits.remembered)
        self._refusals: Memory[Stalled] = Memory(clock, limits.remembered)
        # Never a missing branch: the push that makes it would be lost. Nor a host: the policy decides anew each time.
        self._remembered = {
            Reason.TOKEN_INVALID: limits.invalid_token_for,
            Reason.TOKEN_EXPIRED: limits.invalid_token_for,
            Reason.REPOSITORY_NOT_FOUND: limits.missing_repository_for,
        }
        self._requests = Counter(
            "mooring_github_requests", "Requests to GitHub by what came of them.", ["result"], registry=registry
        )
        for result in Result:
            self._requests.labels(result.value)

    async def aclose(self) -> None:
        """End what is under way, and close all connections."""
        await self._flights.aclose()
        await self._sessions.aclose()

    # --- the questions ---

    async def identify(self, origin: Origin, token: str, *, namespace: str) -> TokenIdentity:
        """Validate a token; an answer holds for some minutes, for whoever has the same token."""
        asker = self._asker(origin, token, namespace)
        known = self._identities.get(asker.key)
        if known is not None:
            return known
        return await self._shared(asker, "identify", partial(self._identify, asker, token))

    async def repository(self, origin: Origin, token: str | None, full_name: str, *, namespace: str) -> RepositoryFacts:
        """Look a repository up by name; a former name leads to it, so compare ids."""
        asker = self._asker(origin, token, namespace)
        if not facts.is_full_name(full_name):
            raise troubles.repository_not_found(asker.host, _shown(full_name))
        question = f"repository {full_name.lower()}"
        return await self._shared(asker, question, partial(self._repository, asker, full_name))

    async def head(self, origin: Origin, token: str | None, repository_id: int, branch: str, *, namespace: str) -> str:
        """Return the commit at the tip of a branch, as GitHub shows it now: never an answer older than this call."""
        asker = self._asker(origin, token, namespace)
        work = partial(self._head, asker, repository_id, branch)
        return await self._shared(asker, f"head {repository_id} {branch}", work, fresh=True)

    async def on_a_branch(
        self, origin: Origin, token: str | None, repository_id: int, sha: str, *, branch: str, namespace: str
    ) -> bool:
        """Tell whether a commit is in the history of a branch's tip."""
        asker = self._asker(origin, token, namespace)
        if not facts.is_sha(sha):
            return False
        work = partial(self._on_a_branch, asker, repository_id, sha, branch)
        return await self._shared(asker, f"contains {repository_id} {sha} {branch}", work)

    async def remote_head(self, url: str, token: str | None, branch: str | None, *, namespace: str) -> tuple[str, str]:
        """Ask a git server for a branch (None: its default) and the commit at its tip; never an older answer."""
        asker = self._git_asker(url, token, namespace)
        work = partial(self._remote_head, asker, branch)
        return await self._shared(asker, f"refs {asker.base} {branch}", work, fresh=True)

    # --- how each is answered ---

    async def _identify(self, asker: _Asker, token: str) -> TokenIdentity:
        answer = await self._ask(asker, "/user")
        if isinstance(answer, NotFound | Empty):
            raise troubles.unavailable(asker.host, "has no API at this URL: check apiUrl")
        if not isinstance(answer, Ok):
            # An installation token is nobody, and a suspended account is refused: neither is a person's token.
            raise troubles.token_invalid(asker.host)
        identity = self._read(asker, partial(facts.identity, answer.value, answer.headers, token))
        self._identities.keep(asker.key, identity, self._limits.identity_for, until=identity.expires_at)
        if identity.expires_at is not None:
            self._ends.keep(asker.key, identity.expires_at, self._limits.end_for)
        return identity

    async def _repository(self, asker: _Asker, full_name: str) -> RepositoryFacts:
        answer = await self._ask(asker, f"/repos/{full_name}")
        if not isinstance(answer, Ok):
            raise troubles.repository_not_found(asker.host, full_name)
        return self._read(asker, partial(facts.repository, answer.value))

    async def _head(self, asker: _Asker, repository_id: int, branch: str) -> str:
        """Read a branch by the repository's id.

        GitHub's description has no path by id, but GitHub itself redirects to it after a rename and writes it into its
        Link headers, on Enterprise Server too. A name could by now be another repository's. `git/ref` matches the whole
        name, tells an empty repository, and does not follow a renamed branch.
        """
        repository = f"/repositories/{int(repository_id)}"
        if facts.is_branch(branch):
            answer = await self._ask(asker, f"{repository}/git/ref/heads/{quote(branch, safe='/')}")
            if isinstance(answer, Empty):
                raise troubles.repository_empty(asker.host, _number(repository_id))
            if isinstance(answer, Ok):
                tip = self._read(asker, partial(facts.tip, answer.value, branch))
                if tip is not None:
                    return tip
        else:
            answer = NotFound()
        # Asked also where the first answer was a refusal, so that forbidden and missing make the same requests.
        visible = await self._ask(asker, repository)
        if isinstance(visible, Ok) and isinstance(answer, Ok | NotFound):
            raise troubles.branch_not_found(asker.host, _number(repository_id), branch)
        raise troubles.repository_not_found(asker.host, _number(repository_id))

    async def _on_a_branch(self, asker: _Asker, repository_id: int, sha: str, branch: str) -> bool:
        """Compare the branch's tip with the commit: where that is part of the history, the difference is empty.

        A fork's commit is shown under its parent's name too, but no tip of the parent has it in its history.
        """
        tip = await self._head(asker, repository_id, branch)
        if tip == sha:
            return True
        path = f"/repositories/{int(repository_id)}/compare/{tip}...{sha}"
        answer = await self._ask(asker, path, {"per_page": "1"})
        if not isinstance(answer, Ok):
            return False
        return self._read(asker, partial(facts.contains, answer.value, sha))

    async def _remote_head(self, asker: _Asker, branch: str | None) -> tuple[str, str]:
        shown = f"at {asker.base}"
        answer = self._judged(asker, await self._request(asker, partial(self._sessions.refs, asker.base, asker.token)))
        if isinstance(answer, Moved):
            raise troubles.repository_moved(asker.host, shown)
        if not isinstance(answer, Ok):
            raise troubles.repository_not_found(asker.host, shown)
        found = self._read(asker, partial(refs.parse, answer.value))
        if not found.tips:
            raise troubles.repository_empty(asker.host, shown)
        wanted = found.default if branch is None else branch
        if wanted is None or wanted not in found.tips:
            raise troubles.branch_not_found(asker.host, shown, wanted or "that HEAD names")
        return wanted, found.tips[wanted]

    def _read(self, asker: _Asker, read: Callable[[], T]) -> T:
        try:
            return read()
        except facts.Malformed as error:
            raise troubles.unavailable(asker.host, f"answered with a document without a valid {error}") from None

    # --- what surrounds every question ---

    def _asker(self, origin: Origin, token: str | None, namespace: str) -> _Asker:
        """Refuse what must not be sent, before anything is."""
        if not self._hosts().allows(origin.api_url):
            raise troubles.host_not_allowed(_shown(origin.api_url))
        api = origins.api_url(origin.api_url)
        return self._bound(api, api, token, namespace, anonymous=token is None)

    def _git_asker(self, url: str, token: str | None, namespace: str) -> _Asker:
        """Do the same for a git server, which has no allowance that all namespaces share."""
        try:
            repository = origins.git_url(url, self._hosts())
        except origins.BadUrl:
            raise troubles.host_not_allowed(_shown(url)) from None
        return self._bound(repository, f"https://{origins.host_of(repository)}", token, namespace, anonymous=False)

    def _bound(self, base: str, origin: str, token: str | None, namespace: str, *, anonymous: bool) -> _Asker:
        if token is not None and not token_shape.is_token(token):
            raise troubles.not_a_token()
        key = (origin, self._fingerprints.of(token))
        return _Asker(base, str(origins.host_of(base)), token, namespace, key, anonymous)

    async def _shared(
        self,
        asker: _Asker,
        question: str,
        work: Callable[[], Awaitable[T]],
        *,
        fresh: bool = False,
    ) -> T:
        """Answer from what is known, else join who asks the same in this namespace, which also pays for it."""
        key = (*asker.key, question)
        refused = self._refusals.get(key)
        if refused is not None:
            raise troubles.renewed(refused)
        join = self._flights.join_next if fresh else self._flights.join
        outcome = await join((*key, asker.namespace), partial(self._outcome, work))
        if not isinstance(outcome, Trouble):
            return outcome
        lasting = self._remembered.get(outcome.reason)
        if isinstance(outcome, Stalled) and lasting is not None:
            self._refusals.keep(key, outcome, lasting)
        raise troubles.renewed(outcome)

    @staticmethod
    async def _outcome(work: Callable[[], Awaitable[T]]) -> T | Trouble:
        try:
            return await work()
        except Trouble as trouble:
            return trouble

    async def _ask(self, asker: _Asker, path: str, query: dict[str, str] | None = None) -> Answer:
        """Make one request, and a second one where GitHub says that the thing has moved within the same API."""
        url = f"{asker.base}{path}"
        for _ in range(1 + self._limits.redirects):
            answer = await self._request(asker, partial(self._sessions.get, asker.base, url, asker.token, query))
            if not isinstance(answer, Moved):
                return self._judged(asker, answer)
            target = origins.redirect_target(url, answer.location, api=asker.base)
            if target is None:
                raise troubles.unavailable(asker.host, "redirects to another origin, where no credential is sent")
            # A target is complete: a query of its own is part of it.
            url, query = target, None
        raise troubles.unavailable(asker.host, "redirects again and again")

    async def _request(self, asker: _Asker, send: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with self._lanes.slot((asker.namespace, asker.host)):
                self._permit(asker)
                answer = await send()
        except TimeoutError:
            raise troubles.unavailable(asker.host, "is slow: earlier requests are still under way") from None
        except HostRefused:
            raise troubles.host_not_allowed(asker.host) from None
        self._requests.labels(answer.result.value).inc()
        return answer

    def _permit(self, asker: _Asker) -> None:
        until = self._rests.until(asker.key)
        if until is not None:
            raise troubles.rate_limited(asker.host, until)
        later = self._budget.take(asker.namespace, anonymous=asker.anonymous)
        if later is not None:
            raise troubles.budget_spent(asker.namespace, later)

    def _judged(self, asker: _Asker, answer: Answer) -> Answer:
        if isinstance(answer, Limited):
            self._rests.begin(asker.key, answer.until)
            raise troubles.rate_limited(asker.host, answer.until)
        if isinstance(answer, Failed):
            raise troubles.unavailable(asker.host, answer.why)
        if isinstance(answer, Unauthorized) and asker.token is not None:
            self._identities.forget(asker.key)
            raise self._refused(asker)
        # Without a credential, a server that wants one is one that shows nothing.
        return answers.NotFound() if isinstance(answer, Unauthorized) else answer

    def _refused(self, asker: _Asker) -> Stalled:
        end = self._ends.get(asker.key)
        if end is not None and end <= self._clock.now():
            return troubles.token_expired(asker.host, end)
        return troubles.token_invalid(asker.host)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def _number(repository_id: int) -> str:
    return f"with the id {repository_id}"

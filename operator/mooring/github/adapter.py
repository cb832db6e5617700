"""`ports.GitHub`: the questions that the services ask, answered in records.

Those with a token, or with no credential at all, are here: a token of an installation is as good as a person's. What an
App asks with its key is in `apps`; how tokens of installations are made in `minting`; lists of repositories are in
`listing`, and hooks and deliveries in `webhooks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

from prometheus_client import CollectorRegistry

from mooring.domain import origins
from mooring.domain.comparisons import Comparison
from mooring.domain.errors import Stalled
from mooring.github import facts, refs, troubles
from mooring.github.answers import Answer, Empty, Moved, NotFound, Ok, Rejected, Unauthorized
from mooring.github.apps import Apps
from mooring.github.asking import Asker, Desk, shown
from mooring.github.clocks import Clocks
from mooring.github.limits import LIMITS, Limits
from mooring.github.listing import Listing
from mooring.github.memory import Memory
from mooring.github.minting import Mint
from mooring.github.pages import Pages
from mooring.github.session import Request, Sessions, quiet
from mooring.github.tls import Place
from mooring.github.webhooks import Webhooks
from mooring.guarded import Permit, always
from mooring.ports import (
    App,
    AppFacts,
    Clock,
    InstallationFacts,
    Listed,
    MintedToken,
    Origin,
    RepositoryFacts,
    TokenIdentity,
)


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
        permit: Permit = always,
    ) -> None:
        """Take the policy as a function, because it may change at any time; `ca_file` holds for `api_url` alone.

        Every request that changes something is asked of `permit` before it is sent.
        """
        quiet()
        self._limits = limits
        self._clock = clock
        self._clocks = Clocks(clock, limits)
        self._sessions = Sessions(
            clock=clock,
            clocks=self._clocks,
            may_be_private=lambda name, port: hosts().may_be_private(name, port),
            version=version,
            api=api_url,
            ca_file=ca_file,
            limits=limits,
            permit=permit,
        )
        self._desk = Desk(self._sessions, clock=clock, hosts=hosts, registry=registry, limits=limits)
        pages = Pages(self._desk, limits)
        self._apps = Apps(self._desk, pages, clock=clock, clocks=self._clocks, limits=limits)
        self._mint = Mint(self._desk, self._apps, clocks=self._clocks, registry=registry, limits=limits)
        self._listing = Listing(self._desk, pages, self._asked, limits)
        self._webhooks = Webhooks(self._desk, pages, self._apps, self._judged, limits)
        self._identities: Memory[TokenIdentity] = Memory(clock, limits.remembered)
        # When tokens end: GitHub tells it while they live, and afterwards refuses them without a reason.
        self._ends: Memory[datetime] = Memory(clock, limits.remembered)

    async def aclose(self) -> None:
        """End what is under way, and close all connections."""
        await self._desk.aclose()

    # --- what Apps ask ---

    def time_at(self, origin: Origin) -> datetime:
        """Return the time by the clock there, as its last answers showed it."""
        try:
            place = Place.of(origins.api_url(origin.api_url), origin.ca)
        except origins.BadUrl:
            return self._clock.now()
        return self._clocks.now(place.line)

    async def app(self, app: App, *, namespace: str) -> AppFacts:
        """Prove an App's key; an answer holds for some minutes, for whoever has the same key from the same Secret."""
        return await self._apps.app(app, namespace)

    async def installation(self, app: App, installation_id: int, *, namespace: str) -> InstallationFacts:
        """Read an installation as it is now."""
        return await self._apps.installation(app, installation_id, namespace)

    async def find_installation(
        self, app: App, *, account: str | None = None, repository: str | None = None, namespace: str
    ) -> InstallationFacts:
        """Find the installation on an account, or else the one that covers a repository."""
        if account is not None:
            return await self._apps.of_account(app, account, namespace)
        if repository is not None:
            return await self._apps.of_repository(app, repository, namespace)
        raise ValueError("name an account or a repository")

    async def installations(self, app: App, *, namespace: str) -> tuple[InstallationFacts, ...]:
        """List all installations of an App."""
        return await self._apps.installations(app, namespace)

    async def mint(
        self,
        app: App,
        installation_id: int,
        *,
        repository_ids: frozenset[int] | None,
        permissions: Mapping[str, str] | None,
        namespace: str,
    ) -> MintedToken:
        """Make a token: one request, never repeated by itself once GitHub may have made one."""
        return await self._mint.mint(app, installation_id, repository_ids, permissions, namespace)

    async def revoke(self, origin: Origin, token: str, *, namespace: str) -> None:
        """End a token."""
        await self._mint.revoke(self._desk.with_token(origin, token, namespace))

    @property
    def webhooks(self) -> Webhooks:
        """Return what asks about webhooks, through the same desk."""
        return self._webhooks

    # --- lists of repositories ---

    async def covered(self, origin: Origin, token: str, *, namespace: str) -> Mapping[int, str]:
        """List what an installation token reaches, as it is now."""
        return await self._listing.covered(self._desk.with_token(origin, token, namespace))

    async def listed(self, origin: Origin, token: str, *, namespace: str) -> Mapping[int, Listed]:
        """List the same with when each was pushed to."""
        return await self._listing.listed(self._desk.with_token(origin, token, namespace))

    async def listed_to_person(
        self, origin: Origin, token: str, wanted: frozenset[int], *, namespace: str
    ) -> Mapping[int, Listed]:
        """List what is wanted of a person's repositories, as far as it is found among those pushed to last."""
        return await self._listing.of_person(self._desk.with_token(origin, token, namespace), wanted)

    async def covered_count(self, origin: Origin, token: str, *, namespace: str) -> int:
        """Count what an installation token reaches, as it is now."""
        return await self._listing.count(self._desk.with_token(origin, token, namespace))

    # --- the questions ---

    async def identify(self, origin: Origin, token: str, *, namespace: str) -> TokenIdentity:
        """Validate a token; an answer holds for some minutes, for whoever has the same token."""
        asker = self._desk.with_token(origin, token, namespace)
        known = self._identities.get(asker.key)
        if known is not None:
            return known
        return await self._desk.shared(asker, "identify", partial(self._identify, asker, token))

    async def repository(self, origin: Origin, token: str | None, full_name: str, *, namespace: str) -> RepositoryFacts:
        """Look a repository up by name; a former name leads to it, so compare ids.

        Never an answer older than this call: what asks may be news of a change.
        """
        asker = self._desk.with_token(origin, token, namespace)
        if not facts.is_full_name(full_name):
            raise troubles.repository_not_found(asker.host, shown(full_name))
        question = f"repository {full_name.lower()}"
        return await self._desk.shared(asker, question, partial(self._repository, asker, full_name), fresh=True)

    async def head(self, origin: Origin, token: str | None, repository_id: int, branch: str, *, namespace: str) -> str:
        """Return the commit at the tip of a branch, as GitHub shows it now: never an answer older than this call."""
        asker = self._desk.with_token(origin, token, namespace)
        work = partial(self._head, asker, repository_id, branch)
        return await self._desk.shared(asker, f"head {repository_id} {branch}", work, fresh=True)

    async def on_a_branch(
        self, origin: Origin, token: str | None, repository_id: int, sha: str, *, branch: str, namespace: str
    ) -> bool:
        """Tell whether a commit is in the history of a branch's tip."""
        asker = self._desk.with_token(origin, token, namespace)
        if not facts.is_sha(sha):
            return False
        work = partial(self._on_a_branch, asker, repository_id, sha, branch)
        return await self._desk.shared(asker, f"contains {repository_id} {sha} {branch}", work)

    async def compare(
        self, origin: Origin, token: str | None, repository_id: int, base: str, head: str, *, namespace: str
    ) -> Comparison | None:
        """Compare two commits with one request, which others may join that is under way: commits don't change."""
        asker = self._desk.with_token(origin, token, namespace)
        if not (facts.is_sha(base) and facts.is_sha(head)):
            return None
        work = partial(self._compare, asker, repository_id, base, head)
        return await self._desk.shared(asker, f"compare {repository_id} {base} {head}", work)

    async def remote_head(self, url: str, token: str | None, branch: str | None, *, namespace: str) -> tuple[str, str]:
        """Ask a git server for a branch (None: its default) and the commit at its tip; never an older answer."""
        asker = self._desk.with_git(url, token, namespace)
        work = partial(self._remote_head, asker, branch)
        return await self._desk.shared(asker, f"refs {asker.place.base} {branch}", work, fresh=True)

    # --- how each is answered ---

    async def _identify(self, asker: Asker, token: str) -> TokenIdentity:
        answer = await self._ask(asker, "/user")
        if isinstance(answer, NotFound | Empty):
            raise troubles.unavailable(asker.host, "has no API at this URL: check apiUrl")
        if not isinstance(answer, Ok):
            # An installation token is nobody, and a suspended account is refused: neither is a person's token.
            raise troubles.token_invalid(asker.host)
        identity = self._desk.read(asker, partial(facts.identity, answer.value, answer.headers, token))
        self._identities.keep(asker.key, identity, self._limits.identity_for, until=identity.expires_at)
        if identity.expires_at is not None:
            self._ends.keep(asker.key, identity.expires_at, self._limits.end_for)
        return identity

    async def _repository(self, asker: Asker, full_name: str) -> RepositoryFacts:
        answer = await self._ask(asker, f"/repos/{full_name}")
        if not isinstance(answer, Ok):
            raise troubles.repository_not_found(asker.host, full_name)
        return self._desk.read(asker, partial(facts.repository, answer.value))

    async def _head(self, asker: Asker, repository_id: int, branch: str) -> str:
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
                tip = self._desk.read(asker, partial(facts.tip, answer.value, branch))
                if tip is not None:
                    return tip
        else:
            answer = NotFound()
        # Asked also where the first answer was a refusal, so that forbidden and missing make the same requests.
        visible = await self._ask(asker, repository)
        if isinstance(visible, Ok) and isinstance(answer, Ok | NotFound):
            raise troubles.branch_not_found(asker.host, _number(repository_id), branch)
        raise troubles.repository_not_found(asker.host, _number(repository_id))

    async def _on_a_branch(self, asker: Asker, repository_id: int, sha: str, branch: str) -> bool:
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
        return self._desk.read(asker, partial(facts.contains, answer.value, sha))

    async def _compare(self, asker: Asker, repository_id: int, base: str, head: str) -> Comparison | None:
        """Ask without pages: then the newest commits are listed, and all files up to GitHub's own limit."""
        path = f"/repositories/{int(repository_id)}/compare/{base}...{head}"
        said = await self._desk.ask(asker, Request(f"{asker.place.base}{path}"))
        # A commit that is not there, none in common, or a difference that takes GitHub too long.
        answer = NotFound() if isinstance(said, Rejected) else self._judged(asker, said)
        if not isinstance(answer, Ok):
            return None
        return self._desk.read(asker, partial(facts.comparison, answer.value, head))

    async def _remote_head(self, asker: Asker, branch: str | None) -> tuple[str, str]:
        where = f"at {asker.place.base}"
        answer = self._judged(asker, await self._desk.refs(asker))
        if isinstance(answer, Moved):
            raise troubles.repository_moved(asker.host, where)
        if not isinstance(answer, Ok):
            raise troubles.repository_not_found(asker.host, where)
        found = self._desk.read(asker, partial(refs.parse, answer.value))
        if not found.tips:
            raise troubles.repository_empty(asker.host, where)
        wanted = found.default if branch is None else branch
        if wanted is None or wanted not in found.tips:
            raise troubles.branch_not_found(asker.host, where, wanted or "that HEAD names")
        return wanted, found.tips[wanted]

    async def _ask(self, asker: Asker, path: str, query: Mapping[str, str] | None = None) -> Answer:
        return await self._asked(asker, Request(f"{asker.place.base}{path}", query=query or {}))

    async def _asked(self, asker: Asker, request: Request) -> Answer:
        return self._judged(asker, await self._desk.ask(asker, request))

    def _judged(self, asker: Asker, answer: Answer) -> Answer:
        answer = self._desk.usable(asker, answer)
        if isinstance(answer, Unauthorized) and asker.credential is not None:
            self._identities.forget(asker.key)
            raise self._refused(asker)
        # Without a credential, a server that wants one is one that shows nothing.
        return NotFound() if isinstance(answer, Unauthorized) else answer

    def _refused(self, asker: Asker) -> Stalled:
        end = self._ends.get(asker.key)
        if end is not None and end <= self._clock.now():
            return troubles.token_expired(asker.host, end)
        return troubles.token_invalid(asker.host)


def _number(repository_id: int) -> str:
    return f"with the id {repository_id}"

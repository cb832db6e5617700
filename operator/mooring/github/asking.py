"""What surrounds every request to GitHub, whoever asks and with what: the guards, the shares, the joining of equals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter

from mooring.domain import origins, token_shape
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import Reason
from mooring.github import facts, tls, troubles
from mooring.github.answers import Answer, Failed, Limited, Moved, Rejected, Result
from mooring.github.budget import Allowance, Budget, Lanes, Pool, Rests
from mooring.github.credentials import Credential, Scheme
from mooring.github.limits import Limits
from mooring.github.memory import Fingerprints, Flights, Memory
from mooring.github.session import HostRefused, Request, Sessions
from mooring.github.tls import Place
from mooring.ports import Clock, Origin

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks whom with what. Its key names place and credential without carrying it."""

    place: Place
    credential: Credential | None
    namespace: str
    key: tuple[str, str, str]
    # Whose allowance at GitHub it draws on, where it is not the credential's own.
    pool: Pool | None = None
    # What must be undone is undone also where the share is spent.
    free: bool = False

    @property
    def host(self) -> str:
        """Return where it asks, as people read it."""
        return str(self.place.host)


class Desk:
    """The one way to GitHub: nothing is sent but through here."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        clock: Clock,
        hosts: Callable[[], origins.AllowedHosts],
        registry: CollectorRegistry,
        limits: Limits,
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._hosts = hosts
        self._limits = limits
        self._fingerprints = Fingerprints()
        self._budget, self._rests, self._lanes = Budget(clock, limits), Rests(clock, limits), Lanes(limits)
        self._flights = Flights()
        self._refusals: Memory[Stalled] = Memory(clock, limits.remembered)
        # Credentials that GitHub does not take at all.
        self._barred: Memory[Stalled] = Memory(clock, limits.remembered)
        # Which installation a token is of; only for those that were made since the start.
        self._installations: Memory[int] = Memory(clock, limits.remembered)
        # Never a missing branch: the push that makes it would be lost. Nor a host: the policy decides anew each time.
        self._remembered: Mapping[Reason, timedelta] = {
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

    # --- who asks ---

    def with_token(self, origin: Origin, token: str | None, namespace: str) -> Asker:
        """Refuse what must not be sent, before anything is."""
        place = self._place(origin)
        credential = _credential(token)
        key = self._key(place, token)
        if token is None:
            pool: Pool | None = Pool(Allowance.ANONYMOUS)
        elif token_shape.kind(token) == "installation":
            # After a restart it is not known which one a token is of: those of a namespace then share.
            pool = Pool(Allowance.INSTALLATION, (place.base, self._installations.get(key)))
        else:
            pool = None
        return Asker(place, credential, namespace, key, pool)

    def with_app(self, origin: Origin, app_id: int, private_key: str, namespace: str) -> Asker:
        """Do the same for an App; what it sends is signed for each request."""
        place = self._place(origin)
        key = self._key(place, f"{app_id} {private_key}")
        return Asker(place, None, namespace, key, Pool(Allowance.APP, (place.base, app_id)))

    def with_git(self, url: str, token: str | None, namespace: str) -> Asker:
        """Do the same for a git server, which has no allowance that all namespaces share."""
        try:
            repository = origins.git_url(url, self._hosts())
        except origins.BadUrl:
            raise troubles.host_not_allowed(shown(url)) from None
        place = Place.of(repository)
        key = f"https://{place.host}", place.trust, self._fingerprints.of(token)
        return Asker(place, _credential(token, Scheme.GIT), namespace, key)

    def belongs(self, token: Asker, installation_id: int, lasting: timedelta) -> None:
        """Note which installation a new token is of."""
        self._installations.keep(token.key, installation_id, lasting)

    def _place(self, origin: Origin) -> Place:
        if not self._hosts().allows(origin.api_url):
            raise troubles.host_not_allowed(shown(origin.api_url))
        return Place.of(origins.api_url(origin.api_url), origin.ca)

    def _key(self, place: Place, secret: str | None) -> tuple[str, str, str]:
        return place.base, place.trust, self._fingerprints.of(secret)

    # --- what is known, or being asked ---

    async def shared(
        self,
        asker: Asker,
        question: str,
        work: Callable[[], Awaitable[T]],
        *,
        fresh: bool = False,
        remembered: Mapping[Reason, timedelta] | None = None,
    ) -> T:
        """Answer from what is known, else join who asks the same in this namespace, which also pays for it."""
        key = (*asker.key, question)
        refused = self._refusals.get(key)
        if refused is not None:
            raise troubles.renewed(refused)
        outcome = await self.joined((*key, asker.namespace), work, fresh=fresh)
        if not isinstance(outcome, Trouble):
            return outcome
        lasting = (self._remembered if remembered is None else remembered).get(outcome.reason)
        fresh_word = troubles.renewed(outcome)
        if isinstance(outcome, Stalled) and lasting is not None:
            outcome.known_until = self._clock.now() + lasting
            self._refusals.keep(key, outcome, lasting)
        raise fresh_word

    async def joined(
        self, key: tuple[str, ...], work: Callable[[], Awaitable[T]], *, fresh: bool = False
    ) -> T | Trouble:
        """Return what comes of a question that is asked once for all who join."""
        join = self._flights.join_next if fresh else self._flights.join
        return await join(key, partial(_outcome, work))

    def bar(self, asker: Asker, refusal: Stalled, lasting: timedelta) -> None:
        """Send nothing more with a credential for a while, whatever is asked."""
        self._barred.keep(asker.key, refusal, lasting)

    # --- the requests ---

    async def ask(self, asker: Asker, request: Request) -> Answer:
        """Make one request, and a second one where GitHub says that the thing has moved within the same API."""
        for _ in range(1 + self._limits.redirects):
            answer = await self._send(asker, partial(self._sessions.ask, asker.place, asker.credential, request))
            if not isinstance(answer, Moved):
                return answer
            if request.method != "GET":
                raise troubles.unavailable(asker.host, "redirects a request that changes something")
            target = origins.redirect_target(request.url, answer.location, api=asker.place.base)
            if target is None:
                raise troubles.unavailable(asker.host, "redirects to another origin, where no credential is sent")
            # A target is complete: a query of its own is part of it.
            request = Request(target, read=request.read)
        raise troubles.unavailable(asker.host, "redirects again and again")

    async def refs(self, asker: Asker) -> Answer:
        """Ask a git server for its refs; where it redirects, nobody goes."""
        return await self._send(asker, partial(self._sessions.refs, asker.place, asker.credential))

    def usable(self, asker: Asker, answer: Answer) -> Answer:
        """Return an answer that says something about what was asked; raise for one that says: not now."""
        if isinstance(answer, Limited):
            raise troubles.rate_limited(asker.host, answer.until)
        if isinstance(answer, Failed):
            raise troubles.unavailable(asker.host, answer.why)
        if isinstance(answer, Rejected):
            raise troubles.unavailable(asker.host, "does not take the request")
        return answer

    def read(self, asker: Asker, read: Callable[[], T]) -> T:
        """Read a document."""
        try:
            return read()
        except facts.Malformed as error:
            raise troubles.unavailable(asker.host, f"answered with a document without a valid {error}") from None

    async def _send(self, asker: Asker, send: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with self._lanes.slot((asker.namespace, asker.host)):
                self._permit(asker)
                answer = await send()
        except TimeoutError:
            raise troubles.unavailable(asker.host, "is slow: earlier requests are still under way") from None
        except HostRefused:
            raise troubles.host_not_allowed(asker.host) from None
        except tls.BadBundle:
            raise troubles.ca_malformed(asker.host) from None
        self._requests.labels(answer.result.value).inc()
        if isinstance(answer, Limited):
            self._rests.begin(asker.key, answer.until)
        return answer

    def _permit(self, asker: Asker) -> None:
        barred = self._barred.get(asker.key)
        if barred is not None:
            raise troubles.renewed(barred)
        until = self._rests.until(asker.key)
        if until is not None:
            raise troubles.rate_limited(asker.host, until)
        later = None if asker.free else self._budget.take(asker.namespace, asker.pool)
        if later is not None:
            raise troubles.budget_spent(asker.namespace, later)


def shown(text: str) -> str:
    """Return the beginning of a text that somebody wrote, fit for a message."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def _credential(token: str | None, scheme: Scheme = Scheme.TOKEN) -> Credential | None:
    if token is None:
        return None
    if not token_shape.is_token(token):
        raise troubles.not_a_token()
    return Credential(token, scheme)


async def _outcome(work: Callable[[], Awaitable[T]]) -> T | Trouble:
    try:
        return await work()
    except Trouble as trouble:
        return trouble

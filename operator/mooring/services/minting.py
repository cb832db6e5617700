"""Installation tokens: made when they are needed, kept while they are fresh, ended when their last user is gone.

Shared by an equal key only (T2). In memory: what must survive a restart is in the Secrets that were written, from where
it is adopted again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import Freshness, state
from mooring.domain.installations import MintedToken
from mooring.domain.reasons import Reason
from mooring.domain.scopes import Scope, TokenKey, token_key
from mooring.ports import Origin
from mooring.services.lending import Found
from mooring.services.platform import Platform
from mooring.services.store import Key

log = logging.getLogger(__name__)

# What a token is first made for; who has an equal key shares it.
Purpose = Literal["output", "clone", "reading"]

# Tokens kept at once; past this the least recently used is made anew when it is needed.
KEPT_TOKENS = 20_000
# How long it is tried to end a token while GitHub is away. It ends by itself within the hour.
REVOKE_WITHIN = timedelta(seconds=30)
# Seconds for the first round of ending tokens: the copies of them go next, and must not wait for a slow GitHub.
FIRST_ROUND = 6.0


def key_for(found: Found, scope: Scope, ids: Iterable[int] | None, consumer: str) -> TokenKey:
    """Return the key of a token of an installation: two GitHubInstallations never share one, whatever they name."""
    return token_key(
        api_url=found.app.origin.api_url,
        source=f"{found.uid}/{found.app.source}",
        installation_id=found.facts.id,
        repository_ids=ids,
        permissions=scope.permissions,
        namespace=consumer,
    )


def seed(key: TokenKey) -> str:
    """Return what picks the moment of a token's refresh: nothing that a rotated key of the App would change."""
    return f"{_owner(key)} {key.namespace} {key.permissions} {key.repository_ids}"


def _owner(key: TokenKey) -> str:
    """Return the uid of the installation object that a key is of: see `key_for`."""
    return key.source.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Doomed:
    """A token that is to end."""

    # None: nothing may be sent to where it is good.
    origin: Origin | None
    token: str = field(repr=False)
    namespace: str
    since: datetime


class Minting:
    """Tokens of all installations."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._kept: OrderedDict[TokenKey, MintedToken] = OrderedDict()
        # What each took the place of: it may live on for a while, and ends with the right to it.
        self._former: OrderedDict[TokenKey, MintedToken] = OrderedDict()
        # The keys in either, by the installation object: each run asks for those of its own.
        self._keys: defaultdict[str, set[TokenKey]] = defaultdict(set)
        self._under_way: dict[TokenKey, asyncio.Task[MintedToken]] = {}
        self._doomed: defaultdict[Key, dict[str, Doomed]] = defaultdict(dict)
        self._parked: defaultdict[Key, set[str]] = defaultdict(set)

    async def get(self, found: Found, key: TokenKey, purpose: Purpose) -> MintedToken:
        """Return a fresh token of a key, made now where there is none. Callers that ask at once share one."""
        known = self.fresh(key, found.app.origin)
        if known is not None:
            return known
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._mint(found, key, purpose), name=f"mint for {found.key}")
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        # Whoever is cancelled must not take the answer from the others.
        return await asyncio.shield(task)

    def fresh(self, key: TokenKey, origin: Origin) -> MintedToken | None:
        """Return a token that is kept and not due."""
        known = self._kept.get(key)
        if known is None:
            return None
        now = self._platform.github.time_at(origin)
        if state(known.issued_at, known.expires_at, seed(key), now) is not Freshness.FRESH:
            return None
        self._kept.move_to_end(key)
        return known

    def adopt(self, key: TokenKey, token: MintedToken) -> None:
        """Keep a token that was found where it had been written."""
        known = self._kept.get(key)
        if known is None or known.expires_at < token.expires_at:
            self._keep(key, token)

    def forget(self, token: str) -> None:
        """Drop a token that turned out useless."""
        for book in (self._kept, self._former):
            for key in [key for key, made in book.items() if made.token == token]:
                self._drop(book, key)

    def of(self, uid: str) -> set[str]:
        """Return the tokens that are known of one installation object, those that were replaced among them."""
        return {token for _, token in self._known(uid)}

    def outside(self, uid: str, consumers: Collection[str]) -> set[str]:
        """Return those of them that were made for other namespaces than these."""
        return {token for key, token in self._known(uid) if key.namespace not in consumers}

    def forget_all(self, uid: str) -> None:
        """Drop what is kept of one installation object."""
        for key in self._keys.pop(uid, ()):
            self._kept.pop(key, None)
            self._former.pop(key, None)

    def _known(self, uid: str) -> Iterator[tuple[TokenKey, str]]:
        for key in self._keys.get(uid, ()):
            for book in (self._kept, self._former):
                if key in book:
                    yield key, book[key].token

    def _drop(self, book: OrderedDict[TokenKey, MintedToken], key: TokenKey) -> None:
        del book[key]
        uid = _owner(key)
        if key not in self._kept and key not in self._former:
            self._keys[uid].discard(key)
            if not self._keys[uid]:
                del self._keys[uid]

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _mint(self, found: Found, key: TokenKey, purpose: Purpose) -> MintedToken:
        platform = self._platform
        made = await platform.github.mint(
            found.app,
            key.installation_id,
            repository_ids=frozenset(key.repository_ids) if key.repository_ids is not None else None,
            permissions=dict(key.permissions) if key.permissions is not None else None,
            namespace=key.namespace,
        )
        self._keep(key, made)
        platform.audit.record(
            "token.minted",
            kind=found.key.kind,
            namespace=found.key.namespace,
            name=found.key.name,
            fingerprint=fingerprint(found.uid, made.token),
            consumer=key.namespace,
            purpose=purpose,
            expires_at=timestamp(made.expires_at),
            permissions=",".join(f"{name}={level}" for name, level in sorted(made.permissions.items())),
            repositories=len(made.repository_ids) if made.repository_ids is not None else None,
        )
        return made

    def _keep(self, key: TokenKey, token: MintedToken) -> None:
        before = self._kept.get(key)
        if before is not None and before.token != token.token:
            self._former[key] = before
        self._kept[key] = token
        self._keys[_owner(key)].add(key)
        for book in (self._kept, self._former):
            if key in book:
                book.move_to_end(key)
            while len(book) > KEPT_TOKENS:
                self._drop(book, next(iter(book)))

    def _landed(self, key: TokenKey, task: asyncio.Task[MintedToken]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # taken note of, also where everybody who asked has given up

    # Ending them

    def doom(self, owner: Key, origin: Origin | None, tokens: Iterable[str], *, since: datetime | None = None) -> None:
        """Note tokens that have to end: nobody is given them from now on."""
        ended = set(tokens)
        for token in ended:
            self.forget(token)
        began = since or self._platform.clock.now()
        for token in ended:
            self._doomed[owner].setdefault(token, Doomed(origin, token, owner.namespace, began))

    def park(self, owner: Key, tokens: Iterable[str]) -> None:
        """Note tokens that GitHub does not take now, not even to end them: once it resumes the installation, it does.

        In memory only: after a restart they end by themselves, within the hour.
        """
        parked = set(tokens)
        for token in parked:
            self.forget(token)
        self._parked[owner] |= parked

    def resumed(self, owner: Key) -> set[str]:
        """Return the tokens that can be ended by now."""
        return self._parked.pop(owner, set())

    async def settle(self, owner: Key, uid: str) -> Trouble | None:
        """End the tokens that were noted; return what is in the way while it is worth another try."""
        waiting = list(self._doomed.get(owner, {}).values())
        if not waiting:
            self._doomed.pop(owner, None)
            return None
        async with asyncio.TaskGroup() as group:
            rounds = [group.create_task(self._end(owner, uid, doomed)) for doomed in waiting]
        troubles = [trouble for task in rounds if (trouble := task.result()) is not None]
        if not self._doomed.get(owner):
            self._doomed.pop(owner, None)
        return troubles[0] if troubles else None

    async def _end(self, owner: Key, uid: str, doomed: Doomed) -> Trouble | None:
        """End one token; after a while without success say so in the audit record, and let it end by itself."""
        platform = self._platform
        trouble: Trouble | None = None
        try:
            if doomed.origin is None:
                raise _unreachable()
            async with asyncio.timeout(FIRST_ROUND):
                await platform.github.revoke(doomed.origin, doomed.token, namespace=doomed.namespace)
        except TimeoutError:
            trouble = _slow()
        except Trouble as found:
            trouble = found
        given_up = platform.clock.now() - doomed.since >= REVOKE_WITHIN or isinstance(trouble, Stalled)
        if trouble is not None and not given_up:
            return trouble
        self._doomed[owner].pop(doomed.token, None)
        platform.audit.record(
            "token.revoked" if trouble is None else "token.not_revoked",
            kind=owner.kind,
            namespace=owner.namespace,
            name=owner.name,
            fingerprint=fingerprint(uid, doomed.token),
            reason=trouble.reason.value if trouble is not None else None,
        )
        return None


def _unreachable() -> Stalled:
    return Stalled(Reason.HOST_NOT_ALLOWED, "The administrator has not allowed the host: nothing is sent there.")


def _slow() -> Transient:
    return Transient(Reason.GITHUB_UNAVAILABLE, "GitHub did not end a token in time. It is asked again.")

"""Writes and removes the Secrets with installation tokens: outputs and clone credentials alike.

Each write is held to what was observed, counted where it undoes what somebody did, and told in the audit record.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256

from mooring.domain import names
from mooring.domain.drift import differences
from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import LATEST_SHARE, Remembered, read_annotations, refresh_at
from mooring.domain.outputs import needs_new_object
from mooring.domain.ownership import is_owned
from mooring.domain.reasons import Reason
from mooring.domain.repairs import Repairs
from mooring.domain.scopes import Scope, TokenKey, request_digest
from mooring.ports import AlreadyExists, MintedToken, Object
from mooring.services.lending import Found
from mooring.services.minting import seed
from mooring.services.platform import Platform
from mooring.services.secrets import write_secret
from mooring.services.store import Key

Place = tuple[str, str]
# A Secret of an installation's that is there, and the token in it as far as it can be read.
TokenIn = Callable[[Object], str | None]


@dataclass(frozen=True, slots=True)
class _Written:
    """What was last written to a place."""

    token: str = field(repr=False)
    told: Remembered | None
    # Names all of it, so that what somebody undid is told from what is asked for differently.
    whole: str


@dataclass(slots=True)
class Tended:
    """What came of the Secrets of one installation."""

    # How many are as they should be.
    good: int = 0
    tokens: set[str] = field(default_factory=set, repr=False)
    # Tokens that nobody is given any more.
    dropped: set[str] = field(default_factory=set, repr=False)
    expires: list[datetime] = field(default_factory=list)
    # When to look again, by GitHub's clock.
    due: list[datetime] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    # Whether a token that was to be replaced by now is still in use.
    overdue: bool = False

    # The Secrets that go, each as what deletes it.
    leaving: list[Callable[[], Awaitable[None]]] = field(default_factory=list, repr=False)

    async def let_go(self) -> None:
        """Delete the Secrets that go. Their tokens are ended before: who dies in between finds them again."""
        while self.leaving:
            await self.leaving.pop()()

    def note(self, token: MintedToken, key: TokenKey) -> None:
        """Take note of a token that is in use."""
        self.good += 1
        self.tokens.add(token.token)
        self.expires.append(token.expires_at)
        self.due.append(refresh_at(token.issued_at, token.expires_at, seed(key)))

    def keep_for_now(self, told: Remembered | None, token: str | None, *, overdue: bool) -> None:
        """Take note of one that stays while a new one cannot be made."""
        self.overdue = self.overdue or overdue
        if token is not None:
            self.tokens.add(token)
        if told is not None:
            self.expires.append(told.expires_at)
            self.due.append(told.expires_at)


class TokenSecrets:
    """The Secrets, as they were last written."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._repairs = Repairs()
        # By place: to end a token where its Secret cannot be read any more, and because what we know ourselves counts
        # before what stands there by now.
        self._written: dict[Place, _Written] = {}

    def told_of(self, live: Object, token: str | None) -> Remembered | None:
        """Return what is known of the token in a Secret. What was written there counts, whoever edits it later."""
        written = self._written.get(_place(live))
        if written is not None and written.token == token:
            return written.told
        return read_annotations(live["metadata"].get("annotations"))

    def before(self, place: Place, live: Object | None, token: str | None) -> tuple[str | None, Remembered | None]:
        """Return the token that was last written to a place, else that is read there, and what is known of it."""
        written = self._written.get(place)
        if written is not None:
            return written.token, written.told
        return (token, self.told_of(live, token)) if live is not None else (None, None)

    async def keep(self, found: Found, manifest: Object, live: Object | None, token: MintedToken) -> None:
        """Make a Secret what it should be; one that is so already costs nothing."""
        place = _place(manifest)
        if live is not None and not needs_new_object(live, manifest) and not differences(manifest, live):
            self._note(manifest, token)
            return
        again = self._is_repair(manifest)
        if again:
            self._hold_back(place)
        platform = self._platform
        try:
            stored = await self._write(manifest, live)
        except AlreadyExists:
            stored = await self._write_onto_unseen(found, manifest)
        finally:
            platform.secrets.changed(*place)
        if again:
            self._repairs.note(place, platform.clock.now())
        self._note(manifest, token)
        platform.secrets.take(*place)
        platform.wrote(stored)
        self._record("token.copied", found.key, place, fingerprint(found.uid, token.token))

    async def remove(self, key: Key, live: Object, token_in: TokenIn, tended: Tended) -> None:
        """Have a Secret of ours go; its token is nobody's from now on. See `Tended.let_go`."""
        place = _place(live)
        written = self._written.pop(place, None)
        token = token_in(live)
        tended.dropped |= {it for it in (token, written.token if written else None) if it is not None}
        told = read_annotations(live["metadata"].get("annotations"))
        tended.leaving.append(partial(self._remove, key, place, live, told.fingerprint if told is not None else None))

    def forget_vanished(self, places: Iterable[Place], tended: Tended) -> None:
        """Take note that Secrets are gone which we did not remove: with their owners, by the garbage collector."""
        for place in places:
            written = self._written.pop(place, None)
            if written is not None:
                tended.dropped.add(written.token)

    def written_in(self, namespace: str, mark: str) -> list[Place]:
        """Return where clone credentials of an installation were written in a namespace."""
        return [place for place in self._written if place[0] == namespace and names.marked_in(place[1]) == mark]

    async def _remove(self, key: Key, place: Place, live: Object, mark: str | None) -> None:
        await self._delete(live)
        self._platform.secrets.changed(*place)
        self._repairs.forget(place)
        self._record("token.copy_removed", key, place, mark)

    async def remove_ended(
        self, key: Key, lives: Iterable[Object], now: datetime, token_in: TokenIn, tended: Tended
    ) -> None:
        """While no new token can be had: remove those that have ended, and note when the others do."""
        for live in lives:
            token = token_in(live)
            told = self.told_of(live, token)
            if told is None or told.expires_at <= now:
                await self.remove(key, live, token_in, tended)
            else:
                latest = told.issued_at + (told.expires_at - told.issued_at) * LATEST_SHARE
                tended.keep_for_now(told, token, overdue=now >= latest)

    async def _write(self, manifest: Object, live: Object | None) -> Object:
        if live is not None and needs_new_object(live, manifest):
            await self._delete(live)
            live = None
        if live is None:
            return await self._platform.cluster.create(manifest)
        return await write_secret(self._platform.cluster, manifest, live)

    async def _write_onto_unseen(self, found: Found, manifest: Object) -> Object:
        """Write where a Secret is that no watch has told of: one of this very object's, or raise Stalled."""
        place, secrets = _place(manifest), self._platform.secrets
        secrets.take(*place)
        secrets.changed(*place)
        there = await secrets.get(*place)
        if there is None or not is_owned(there, found.uid):
            raise foreign(place[1])
        return await self._write(manifest, there)

    async def _delete(self, live: Object) -> None:
        metadata = live["metadata"]
        await self._platform.cluster.delete(
            "Secret", *_place(live), uid=metadata["uid"], resource_version=metadata["resourceVersion"]
        )

    def _note(self, manifest: Object, token: MintedToken) -> None:
        told = read_annotations(manifest["metadata"]["annotations"])
        self._written[_place(manifest)] = _Written(token.token, told, _whole(manifest))

    def _is_repair(self, manifest: Object) -> bool:
        """Tell whether somebody undid what was written."""
        written = self._written.get(_place(manifest))
        return written is not None and written.whole == _whole(manifest)

    def _hold_back(self, place: Place) -> None:
        """Leave a Secret alone for a while where somebody keeps changing or removing it."""
        until = self._repairs.not_before(place, self._platform.clock.now())
        if until is not None:
            raise Waiting(
                Reason.CONTESTED,
                f"Somebody keeps changing Secret {place[1]}. Find the other writer; Mooring repairs it again later.",
                until=until,
            )

    def _record(self, action: str, key: Key, place: Place, mark: str | None) -> None:
        self._platform.audit.record(
            action,
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            consumer=place[0] if place[0] != key.namespace else None,
            secret=place[1],
            fingerprint=mark,
        )


def _place(obj: Object) -> Place:
    return (obj["metadata"]["namespace"], obj["metadata"]["name"])


def _whole(manifest: Object) -> str:
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def digest_of(found: Found, scope: Scope) -> str:
    """Return what the Secret remembers of what was asked for."""
    return request_digest(
        api_url=found.app.origin.api_url,
        app_id=found.app.app_id,
        installation_id=found.facts.id,
        account_id=found.facts.account_id,
        permissions=scope.permissions,
        repositories=scope.repositories,
    )


def foreign(name: str) -> Stalled:
    """Something is in the way."""
    return Stalled(
        Reason.CONFLICT,
        f"A Secret {name} exists that Mooring did not make for this object; it is left alone. Delete it, or, where it"
        " is an output's, name another in spec.outputs.",
    )


# What takes the right away to a token that was given: its copies go, and it ends. Other trouble only keeps a new one
# from being made.
_ENDING = frozenset(
    {
        Reason.APP_NOT_BOUND,
        Reason.INSTALLATION_NOT_FOUND,
        Reason.INSTALLATION_SUSPENDED,
        Reason.INSTALLATION_DELETED,
        Reason.ACCOUNT_CHANGED,
        Reason.INVALID_SPEC,
        Reason.NOT_ALLOWED,
        Reason.PERMISSION_MISSING,
        Reason.REPOSITORY_NOT_COVERED,
        Reason.REPOSITORY_CHANGED,
        Reason.SCOPE_REFUSED,
    }
)


def is_dead(trouble: Trouble) -> bool:
    """Tell whether a trouble says no more than that GitHub does not take a token any more."""
    return trouble.reason in {Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED}


def ends_tokens(trouble: Trouble) -> bool:
    """Tell whether a trouble means that a token which was given must not be used any more."""
    return trouble.reason in _ENDING


def is_overdue(trouble: Trouble) -> bool:
    """Tell whether a trouble keeps a new token from being made, and not only from being written for a while."""
    return trouble.reason is not Reason.CONTESTED

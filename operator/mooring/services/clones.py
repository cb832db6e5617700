"""Clone credentials: in each namespace whose Projects use an installation, one Secret that fetches their repositories.

Who asks while a token is being made waits for the next one and shares it with all who came meanwhile: a thousand new
Projects cost a few tokens, and nobody waits for a clock.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mooring.domain import names, origins
from mooring.domain.clones import ProjectOwner, assign, clone_manifest, is_ours
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import Freshness, Remembered, state, token_annotations
from mooring.domain.projects import token_of
from mooring.domain.reasons import Reason
from mooring.domain.scopes import (
    CLONE_PERMISSIONS,
    Scope,
    clone_scope,
    not_covered,
    not_found,
    not_ready,
    shown_to,
)
from mooring.ports import MintedToken, Object
from mooring.services.lending import Found
from mooring.services.minting import Minting, key_for, seed
from mooring.services.platform import Platform
from mooring.services.scoping import Scoping
from mooring.services.store import Key, key_of
from mooring.services.token_secrets import Place, Tended, TokenSecrets, digest_of, is_dead, is_overdue

_SCOPE = Scope(CLONE_PERMISSIONS, None)


@dataclass(slots=True)
class _Kept:
    """One clone Secret."""

    live: Object = field(repr=False)
    told: Remembered | None = None
    token: str | None = field(default=None, repr=False)
    # Somebody ended its token. That is no reason to be without one.
    dead: bool = False

    @property
    def ids(self) -> frozenset[int]:
        """Return the repositories that its token is for."""
        return (self.told.repository_ids if self.told is not None else None) or frozenset()


@dataclass(frozen=True, slots=True)
class _Target:
    """The Secret that is to be: which one, what is there, and that again where its token is fresh."""

    found: Found
    namespace: str
    number: int
    live: Object | None = field(repr=False)
    held: _Kept | None = field(repr=False)


@dataclass(slots=True)
class _Space:
    """A namespace's Projects at one installation."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Ids that Projects asked for before their status says so.
    asked: dict[Key, int] = field(default_factory=dict)
    # Names of repositories that GitHub told, to this installation's own token.
    proven: dict[int, str] = field(default_factory=dict)
    # What GitHub refused a token for, as of when the installation was read.
    refused: dict[int, datetime] = field(default_factory=dict)
    # What the Secrets hold: ids and the end of their token, by number.
    numbers: dict[int, tuple[frozenset[int], datetime]] = field(default_factory=dict)
    compared: datetime | None = None


class Clones:
    """Clone Secrets of all installations."""

    def __init__(self, platform: Platform, minting: Minting, scoping: Scoping, changed: Callable[[Key], None]) -> None:
        """Take what to call where a Project's wish made a difference: the installation has to renew what there is."""
        self._platform = platform
        self._changed = changed
        self._minting = minting
        self._scoping = scoping
        self._secrets = TokenSecrets(platform)
        self._spaces: defaultdict[tuple[str, str], _Space] = defaultdict(_Space)

    async def ensure(self, found: Found, project: Key, repository_id: int, full_name: str, *, proven: bool) -> str:
        """Return the name of the Secret that fetches a repository, made now where there is none."""
        space = self._spaces[found.uid, project.namespace]
        self.check(found, project.namespace, full_name)
        space.asked[project] = repository_id
        if proven:
            space.proven[repository_id] = full_name
        async with space.lock:
            self._check_present(found)
            name = self._covering(found, space, repository_id)
            if name is None:
                tended = Tended()
                await self._tend_space(found, project.namespace, space, tended)
                self._minting.doom(found.key, found.app.origin, tended.dropped - tended.tokens)
                if tended.leaving:
                    await self._minting.settle(found.key, found.uid)
                    await tended.let_go()
                self._changed(found.key)
                if tended.troubles:
                    raise tended.troubles[0]
                name = self._covering(found, space, repository_id)
        if name is None:
            raise not_covered(_shown(found, project.namespace), full_name)
        return name

    async def tend(self, found: Found, tended: Tended) -> None:
        """Keep the clone Secrets of all namespaces that use an installation, and remove those that none uses."""
        wanted = {key_of(project)[1] for project in self._platform.store.projects_of(found.key)}
        known = {place[0] for place in self._places(found.uid)} | {n for uid, n in self._spaces if uid == found.uid}
        for namespace in sorted(wanted | known):
            space = self._spaces[found.uid, namespace]
            async with space.lock:
                await self._tend_space(found, namespace, space, tended)
            self._prune(found.key, namespace, space)
            if not space.numbers and not space.asked:
                del self._spaces[found.uid, namespace]

    async def withdraw(self, key: Key, uid: str, tended: Tended) -> None:
        """Remove them all. Who is about to have one made is waited for: it would come after."""
        for namespace in sorted({place[0] for place in self._places(uid)} | {n for u, n in self._spaces if u == uid}):
            space = self._spaces[uid, namespace]
            async with space.lock:
                for _, live in await self._ours(uid, namespace):
                    await self._secrets.remove(key, live, token_of, tended)
                space.numbers = {}
            self._spaces.pop((uid, namespace), None)

    async def tokens(self, uid: str) -> set[str]:
        """Return the tokens in all of them."""
        namespaces = {place[0] for place in self._places(uid)}
        found = [token_of(live) for namespace in namespaces for _, live in await self._ours(uid, namespace)]
        return {token for token in found if token is not None}

    async def drop_ended(self, key: Key, uid: str, now: datetime, tended: Tended) -> None:
        """While no new token can be had: remove those that have ended, and say when the next one ends."""
        for namespace in sorted({place[0] for place in self._places(uid)}):
            lives = [live for _, live in await self._ours(uid, namespace)]
            await self._secrets.remove_ended(key, lives, now, token_of, tended)

    def shape(self, uid: str) -> frozenset[tuple[str, int, frozenset[int]]]:
        """Return which repositories have a credential where: what Projects depend on."""
        return frozenset(
            (namespace, number, ids)
            for (owner, namespace), space in self._spaces.items()
            if owner == uid
            for number, (ids, _) in space.numbers.items()
        )

    async def _ours(self, uid: str, namespace: str) -> list[tuple[Place, Object]]:
        """Return the clone Secrets of a namespace that Projects there own, or owned until a moment ago."""
        uids, gone = self._projects_in(namespace), self._platform.store.is_gone
        places = [place for place in self._places(uid) if place[0] == namespace]
        found = [(place, await self._platform.secrets.get(*place)) for place in places]
        return [
            (place, live)
            for place, live in found
            if live is not None and is_ours(live, uids | {uid for uid in _owners(live) if gone(uid)})
        ]

    # One namespace

    def check(self, found: Found, consumer: str, full_name: str) -> None:
        """Raise Stalled where a namespace may not have a repository's contents."""
        clone_scope(
            found.installation,
            found.facts,
            consumer=consumer,
            labels=self._platform.labels_of(consumer),
            full_name=full_name,
            binding=found.binding,
        )

    def _check_present(self, found: Found) -> None:
        """Raise Stalled where the installation object went or was suspended while somebody waited."""
        obj = self._platform.store.get(found.key)
        if obj is None or obj["metadata"].get("deletionTimestamp") or obj["metadata"]["uid"] != found.uid:
            raise not_found(_shown(found, found.key.namespace))
        if (obj.get("spec") or {}).get("suspend"):
            raise not_ready(_shown(found, found.key.namespace))

    def _covering(self, found: Found, space: _Space, repository_id: int) -> str | None:
        now = self._platform.github.time_at(found.app.origin)
        for number, (ids, ends) in sorted(space.numbers.items()):
            if repository_id in ids and ends > now:
                return names.clone_secret(found.uid, number)
        return None

    async def _tend_space(self, found: Found, namespace: str, space: _Space, tended: Tended) -> None:
        kept = await self._read(found, namespace)
        lost = await self._lost(found, space, kept)
        projects = self._users(found.key, namespace, space)
        shown = {repository_id: full_name for repository_id, full_name, _ in projects.values()}
        granted = [number for number, full_name in shown.items() if self._is_granted(found, namespace, full_name)]
        withdrawn = lost | (shown.keys() - set(granted)) | self._withdrawn(found, namespace, space, kept)
        fits = {
            number: secret
            for number, secret in kept.items()
            if self._fits(found, namespace, secret) and not secret.ids & withdrawn
        }
        covered = frozenset[int]().union(*(secret.ids for secret in fits.values()))
        if not set(granted) <= covered:
            granted = await self._proven(found, namespace, space, granted)
        before = {number: secret.ids for number, secret in kept.items()}
        wanted = [number for number in granted if number not in lost and space.refused.get(number) != found.read_at]
        filled: set[int] = set()
        space.numbers = {}
        for number, ids in assign(before, wanted).items():
            secret = kept.get(number)
            at = _Target(found, namespace, number, secret.live if secret else None, fits.get(number))
            try:
                if await self._fill(at, space, ids, list(projects.values()), tended):
                    filled.add(number)
            except Trouble as trouble:
                filled.add(number)
                tended.troubles.append(trouble)
                self._count_old(space, number, secret, tended, overdue=is_overdue(trouble))
        self._forget_vanished(found.uid, namespace, kept.keys() | filled, tended)
        for number in kept.keys() - filled:
            await self._secrets.remove(found.key, kept[number].live, token_of, tended)
        # The token of one that was narrowed may still do what was taken away.
        withdrawn |= shown.keys() - set(granted)
        tended.dropped |= {secret.token for secret in kept.values() if secret.token and secret.ids & withdrawn}

    def _forget_vanished(self, uid: str, namespace: str, numbers: Iterable[int], tended: Tended) -> None:
        """End the tokens of Secrets that went with their last Project, before we could remove them."""
        there = {(namespace, names.clone_secret(uid, number)) for number in numbers}
        written = self._secrets.written_in(namespace, names.clone_mark(uid))
        self._secrets.forget_vanished([place for place in written if place not in there], tended)

    def _withdrawn(self, found: Found, namespace: str, space: _Space, kept: Mapping[int, _Kept]) -> frozenset[int]:
        """Return what tokens reach and is not granted any more, also where no Project asks for it by now."""
        held = frozenset[int]().union(*(secret.ids for secret in kept.values()))
        return frozenset(
            number
            for number in held
            if number not in space.proven or not self._is_granted(found, namespace, space.proven[number])
        )

    async def _fill(
        self,
        at: _Target,
        space: _Space,
        ids: tuple[int, ...],
        projects: list[tuple[int, str, ProjectOwner]],
        tended: Tended,
    ) -> bool:
        """Make one Secret what it should be; tell whether there is anything that it can be for.

        A public repository is seen with a token that does not cover it. GitHub then refuses a token for all of them, so
        that it is told apart only here, where that costs nothing as long as nobody asks for one.
        """

        def owners(of: tuple[int, ...]) -> list[ProjectOwner]:
            return [owner for repository_id, _, owner in projects if repository_id in of]

        try:
            await self._keep(at, ids, owners(ids), tended)
        except Stalled as trouble:
            if trouble.reason is not Reason.SCOPE_REFUSED:
                raise
        else:
            return True
        listed = await self._scoping.names(at.found, fresh=True)
        left = tuple(number for number in ids if number in listed)
        space.refused.update({number: at.found.read_at for number in ids if number not in listed})
        if left:
            await self._keep(at, left, owners(left), tended)
        return bool(left)

    def _prune(self, key: Key, namespace: str, space: _Space) -> None:
        """Forget the repositories that neither a Project nor a token speaks of."""
        used = {repository_id for repository_id, *_ in self._users(key, namespace, space).values()}
        used |= frozenset[int]().union(*(ids for ids, _ in space.numbers.values()))
        space.proven = {number: name for number, name in space.proven.items() if number in used}
        space.refused = {number: at for number, at in space.refused.items() if number in used}

    def _count_old(self, space: _Space, number: int, secret: _Kept | None, tended: Tended, *, overdue: bool) -> None:
        """What is there goes on being used while a new one cannot be made."""
        if secret is not None and secret.told is not None:
            space.numbers[number] = (secret.ids, secret.told.expires_at)
            tended.keep_for_now(secret.told, secret.token, overdue=overdue)

    def _users(self, key: Key, namespace: str, space: _Space) -> dict[Key, tuple[int, str, ProjectOwner]]:
        """Return the Projects of a namespace that use an installation: id and name of what they fetch, who they are.

        The oldest first. A name that GitHub did not tell is what a status says: enough to find that something is not
        granted, and never enough to make a token.
        """
        found: dict[Key, tuple[int, str, ProjectOwner]] = {}
        present = [obj for obj in self._platform.store.projects_of(key) if obj["metadata"]["namespace"] == namespace]
        for obj in sorted(present, key=lambda obj: (obj["metadata"].get("creationTimestamp") or "", key_of(obj))):
            metadata, source = obj["metadata"], (obj.get("status") or {}).get("source") or {}
            project = key_of(obj)
            if metadata.get("deletionTimestamp") or not ((obj["spec"].get("source") or {}).get("github")):
                continue
            repository_id = space.asked.get(project) or source.get("repositoryId")
            if not isinstance(repository_id, int):
                continue
            full_name = space.proven.get(repository_id) or source.get("fullName")
            if isinstance(full_name, str):
                created = _time(metadata.get("creationTimestamp"))
                found[project] = repository_id, full_name, ProjectOwner(metadata["name"], metadata["uid"], created)
        space.asked = {project: number for project, number in space.asked.items() if project in found}
        return found

    def _is_granted(self, found: Found, namespace: str, full_name: str) -> bool:
        try:
            self.check(found, namespace, full_name)
        except Stalled:
            return False
        return True

    async def _lost(self, found: Found, space: _Space, kept: Mapping[int, _Kept]) -> frozenset[int]:
        """Ask what the tokens reach by now: GitHub takes away what the installation does not cover any more."""
        if space.compared == found.read_at:
            return frozenset()
        lost: frozenset[int] = frozenset()
        now = self._platform.github.time_at(found.app.origin)
        for secret in kept.values():
            if secret.token is None or secret.told is None or secret.told.expires_at <= now:
                continue
            try:
                reached = await self._platform.github.covered(
                    found.app.origin, secret.token, namespace=found.key.namespace
                )
            except Stalled as trouble:
                if not is_dead(trouble):
                    raise
                secret.dead = True
                self._minting.forget(secret.token)
                continue
            lost |= secret.ids - reached.keys()
            # The name that counts for a grant is the one that GitHub tells, not the one that a status does.
            space.proven.update({number: reached[number] for number in secret.ids & reached.keys()})
        space.compared = found.read_at
        space.proven = {number: name for number, name in space.proven.items() if number not in lost}
        return lost

    async def _proven(self, found: Found, namespace: str, space: _Space, wanted: list[int]) -> list[int]:
        """Return those whose names GitHub itself tells and that are granted under these names."""
        if any(number not in space.proven for number in wanted):
            told = await self._scoping.names(found)
            space.proven.update({number: told[number] for number in wanted if number in told})
        return [
            number
            for number in wanted
            if number in space.proven and self._is_granted(found, namespace, space.proven[number])
        ]

    # One Secret

    async def _read(self, found: Found, namespace: str) -> dict[int, _Kept]:
        kept: dict[int, _Kept] = {}
        for place, live in await self._ours(found.uid, namespace):
            token = token_of(live)
            told = self._secrets.told_of(live, token)
            if told is not None and token is not None and fingerprint(found.uid, token) != told.fingerprint:
                told = token = None
            kept[int(place[1].rsplit("-", 1)[1])] = _Kept(live, told, token)
        return kept

    def _fits(self, found: Found, namespace: str, secret: _Kept) -> bool:
        """Tell whether a Secret holds a fresh token of what is asked for now."""
        told = secret.told
        if told is None or secret.token is None or secret.dead or told.digest != digest_of(found, _SCOPE):
            return False
        key = key_for(found, _SCOPE, told.repository_ids, namespace)
        now = self._platform.github.time_at(found.app.origin)
        return state(told.issued_at, told.expires_at, seed(key), now) is Freshness.FRESH

    async def _keep(self, at: _Target, ids: tuple[int, ...], owners: list[ProjectOwner], tended: Tended) -> None:
        """Make one Secret what it should be."""
        found = at.found
        told = at.held.told if at.held is not None and set(ids) <= at.held.ids else None
        if at.held is not None and at.held.token is not None and told is not None:
            token = MintedToken(
                at.held.token, told.issued_at, told.expires_at, dict(CLONE_PERMISSIONS), told.repository_ids
            )
            key = key_for(found, _SCOPE, told.repository_ids, at.namespace)
            self._minting.adopt(key, token)
        else:
            key = key_for(found, _SCOPE, ids, at.namespace)
            token = await self._minting.get(found, key, "clone")
        mark = fingerprint(found.uid, token.token)
        manifest = clone_manifest(
            namespace=at.namespace,
            installation_name=found.installation.metadata.name,
            installation_uid=found.uid,
            number=at.number,
            token=token.token,
            authorities=self._platform.authorities_at(found.app.origin.web_url, found.app.origin.ca),
            origin=origins.origin(found.app.origin.web_url),
            owners=owners,
            annotations=token_annotations(token, digest=digest_of(found, _SCOPE), fingerprint=mark),
        )
        await self._secrets.keep(found, manifest, at.live, token)
        place = (at.namespace, manifest["metadata"]["name"])
        self._platform.token_secrets[names.clone_mark(found.uid)].add(place)
        space = self._spaces[found.uid, at.namespace]
        space.numbers[at.number] = (token.repository_ids or frozenset(), token.expires_at)
        tended.note(token, key)

    def _places(self, uid: str) -> list[Place]:
        return sorted(self._platform.token_secrets.get(names.clone_mark(uid), ()))

    def _projects_in(self, namespace: str) -> set[str]:
        store = self._platform.store
        return {obj["metadata"]["uid"] for key in store.keys_in("Project", namespace) if (obj := store.outline(key))}


def _owners(live: Object) -> list[str]:
    return [str(reference.get("uid")) for reference in live["metadata"].get("ownerReferences") or ()]


def _time(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _shown(found: Found, consumer: str) -> str:
    return shown_to(consumer, found.key.namespace, found.key.name)

"""From the names of repositories to their ids, and back: asked with a token that is given to nobody.

A name is looked up in the list of what the installation covers, so that it can only lead to a repository of the pinned
account; from then on its id counts (C8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason
from mooring.domain.scopes import CLONE_PERMISSIONS, Scope, TokenKey
from mooring.ports import MintedToken
from mooring.services.lending import Found
from mooring.services.minting import Minting, key_for
from mooring.services.platform import Platform


@dataclass(frozen=True, slots=True)
class _Listed:
    """All that an installation covers, and when that was asked."""

    found_at: datetime
    names: Mapping[int, str]


class Scoping:
    """What installations cover."""

    def __init__(self, platform: Platform, minting: Minting) -> None:
        self._platform = platform
        self._minting = minting
        self._listed: dict[str, _Listed] = {}
        # How many there were, as of when the installation was read, and after which hint.
        self._counted: dict[str, tuple[datetime, int, str | None]] = {}
        # Ids by the names under which they were first asked for: another repository under the name is not meant.
        self._pinned: dict[str, dict[str, int]] = {}
        # Names of which people were told so, and the generation then: whoever writes the spec anew means the new one.
        self._told: dict[str, tuple[int, set[str]]] = {}

    async def reader(self, found: Found, consumer: str) -> MintedToken:
        """Return a token to read with on behalf of a namespace. It stays in memory."""
        return await self._minting.get(found, _reading(found, consumer), "reading")

    async def names(self, found: Found, *, fresh: bool = False) -> Mapping[int, str]:
        """Return all repositories that an installation covers, as of when it was last read."""
        listed = self._listed.get(found.uid)
        if listed is None or fresh or listed.found_at < found.read_at:
            owner = found.key.namespace
            token = await self.reader(found, owner)
            names = await self._platform.github.covered(found.app.origin, token.token, namespace=owner)
            listed = _Listed(self._platform.clock.now(), names)
            self._listed[found.uid] = listed
            self._counted[found.uid] = (found.read_at, len(names), found.hint)
        return listed.names

    async def ids(self, found: Found, wanted: Iterable[str] | None) -> frozenset[int] | None:
        """Return the ids of named repositories (None: all); raise Stalled where one is not covered."""
        if wanted is None:
            return None
        names, pinned = list(wanted), self._pins(found)
        unknown = [name for name in names if name.casefold() not in pinned]
        if unknown:
            ids = {full_name.casefold(): number for number, full_name in (await self.names(found)).items()}
            if missing := [name for name in unknown if name.casefold() not in ids]:
                raise not_covered(found, missing)
            pinned.update({name.casefold(): ids[name.casefold()] for name in unknown})
        return frozenset(pinned[name.casefold()] for name in names)

    def _pins(self, found: Found) -> dict[str, int]:
        pinned = self._pinned.setdefault(found.uid, {})
        told = self._told.get(found.uid)
        if told is not None and told[0] != found.installation.metadata.generation:
            for name in told[1]:
                pinned.pop(name, None)
            del self._told[found.uid]
        return pinned

    async def explain(self, found: Found, wanted: Iterable[str] | None, refused: Stalled) -> Stalled:
        """Say why GitHub refuses a token for named repositories, where the list of what there is tells it."""
        if wanted is None:
            return refused
        pinned = self._pins(found)
        ids = {full_name.casefold(): number for number, full_name in (await self.names(found, fresh=True)).items()}
        if missing := [name for name in wanted if name.casefold() not in ids]:
            return not_covered(found, missing)
        changed = [name for name in wanted if pinned.get(name.casefold()) not in {None, ids[name.casefold()]}]
        if changed:
            generation = int(found.installation.metadata.generation or 0)
            self._told[found.uid] = generation, {name.casefold() for name in changed}
            return Stalled(
                Reason.REPOSITORY_CHANGED,
                f"Another repository has taken the name {', '.join(sorted(changed)[:5])}: its id differs from the one"
                " that was meant. Change the spec in any way to mean the new one.",
            )
        return refused

    async def count(self, found: Found, known: int | None) -> int | None:
        """Return how many repositories an installation covers; a token is made for it only where that is not known."""
        counted = self._counted.get(found.uid)
        if counted is not None and counted[0] >= found.read_at:
            return counted[1]
        owner, origin = found.key.namespace, found.app.origin
        anew = known is None if counted is None else counted[2] != found.hint
        token = await self.reader(found, owner) if anew else self._minting.fresh(_reading(found, owner), origin)
        if token is None:
            return known
        count = await self._platform.github.covered_count(origin, token.token, namespace=owner)
        self._counted[found.uid] = (found.read_at, count, found.hint)
        return count

    def forget(self, uid: str) -> None:
        """Forget an installation object."""
        for book in (self._listed, self._counted, self._pinned, self._told):
            book.pop(uid, None)


def _reading(found: Found, consumer: str) -> TokenKey:
    """Return the key of the token that is read with on behalf of a namespace."""
    reads = CLONE_PERMISSIONS if "contents" in found.facts.permissions else {"metadata": "read"}
    return key_for(found, Scope(reads, None), None, consumer)


def not_covered(found: Found, missing: Iterable[str]) -> Stalled:
    """A repository that is asked for, and is not (or no longer) among what the installation covers."""
    return Stalled(
        Reason.REPOSITORY_NOT_COVERED,
        f"The installation on {found.facts.account_login} does not cover {', '.join(sorted(missing)[:5])}. Add it to"
        " the installation at GitHub, or ask for another repository.",
    )

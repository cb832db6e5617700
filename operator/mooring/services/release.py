"""Lets go of what Mooring keeps, before it is uninstalled: else nobody would be there to take its finalizers away.

Nothing of people's is changed beside that: workloads run on with what they have, webhooks stay at GitHub, and tokens of
installations end by themselves within the hour. The Lease is taken first, so that no operator adds a finalizer again.
It is left held at the end, for as long as it takes to remove the operators; if nobody does, one goes on by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mooring.domain import names
from mooring.domain.audit import Action
from mooring.domain.errors import Transient, Trouble
from mooring.domain.leadership import TERMS, Lease, Terms, transitions
from mooring.domain.names import OwnKind
from mooring.domain.ownership import Account
from mooring.domain.reasons import Reason
from mooring.ports import Audit, Changed, Leases, Object
from mooring.services.election import Wait, wait

log = logging.getLogger(__name__)

# Attempts at something that others change at the same time: the leader renews its Lease every three seconds.
ROUNDS = 10
# Seconds after which the Lease is renewed: no operator takes one that lasts for a minute before that has passed.
RENEW_AFTER = 10.0
# Objects that are named when they could not be let go of.
NAMED = 5
UNINSTALLED = "Uninstalled"


class Estate(Protocol):
    """What Mooring leaves behind in the Kubernetes API when it goes. A port of this service alone."""

    def pages(self, kind: OwnKind, namespace: str | None) -> AsyncIterator[list[Object]]:
        """List one of the three kinds, a few at a time; raise Changed where the list has to be begun anew."""
        ...

    async def read_own(self, kind: OwnKind, namespace: str, name: str) -> Object | None:
        """Return one of the three kinds, fresh from the API server."""
        ...

    async def keep_finalizer(self, obj: Object, finalizer: str, *, wanted: bool) -> Object | None:
        """Take away a finalizer, held to the object's version; raise Changed where that moved on."""
        ...

    async def account(self) -> Account | None:
        """Return the service account that this process has, None where it runs as somebody else."""
        ...

    async def give(self, kind: Literal["Lease", "ConfigMap", "Secret"], name: str, owner: Account) -> bool:
        """Let an object of the operator's own namespace go with that account; False where there is none."""
        ...


@dataclass(slots=True)
class Outcome:
    """How many objects were let go of, and which were not."""

    released: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in a sentence."""
        if not self.failed:
            return f"{self.released} objects were let go of; nothing waits for Mooring any more"
        named = ", ".join(self.failed[:NAMED]) + (", …" if len(self.failed) > NAMED else "")
        return f"{self.released} objects were let go of, {len(self.failed)} were not: {named}. Run this again"


class Release:
    """One run of `mooring release`."""

    def __init__(
        self,
        estate: Estate,
        leases: Leases,
        audit: Audit,
        identity: str,
        clock: Callable[[], float],
        *,
        namespaces: Sequence[str] = (),
        terms: Terms = TERMS,
        waiting: Wait = wait,
    ) -> None:
        self._estate = estate
        self._leases = leases
        self._audit = audit
        self._identity = identity
        self._clock = clock
        self._places: Sequence[str | None] = namespaces or (None,)
        self._terms = terms
        self._wait = waiting
        self._held: Lease | None = None
        self._renewed = clock()
        self._outcome = Outcome()

    async def run(self, *, keys: bool) -> Outcome:
        """Let go of everything; with `keys`, of the gateway's Secret as well. Raise Trouble where that cannot be."""
        await self._take()
        for kind, finalizer in names.HOLDS.items():
            for place in self._places:
                await self._all(kind, finalizer, place)
        await self._bequeath(keys=keys)
        await self._renew()
        return self._outcome

    # --- so that no operator is at work ---

    async def _take(self) -> None:
        for _ in range(ROUNDS):
            found = await self._leases.read(seconds=self._terms.attempt)
            count = transitions(found, self._identity)
            try:
                self._held = await self._leases.take(
                    found, self._identity, self._terms.longest, count, seconds=self._terms.attempt
                )
            except Changed:
                continue
            self._renewed = self._clock()
            if found is not None and found.holder not in {"", self._identity}:
                log.info("%s led until now: waiting until nothing of it is under way any more", found.holder)
                await self._wait(asyncio.Event(), self._terms.lease)
            return
        raise _busy(f"{self._leases} changes faster than it can be taken")

    async def _renew(self) -> None:
        """Keep the operators waiting; raise Transient where one of them works again."""
        for _ in range(ROUNDS):
            if self._held is None or self._held.holder != self._identity:
                raise _busy(f"{self._leases} was taken by another process")
            try:
                self._held = await self._leases.renew(self._held, seconds=self._terms.attempt)
            except Changed:
                self._held = await self._leases.read(seconds=self._terms.attempt)
                continue
            self._renewed = self._clock()
            return
        raise _busy(f"{self._leases} changes faster than it can be renewed")

    # --- the objects ---

    async def _all(self, kind: OwnKind, finalizer: str, place: str | None) -> None:
        """Go through all objects of a kind; once more from the start where the list has become too old."""
        for _ in range(ROUNDS):
            try:
                async for page in self._estate.pages(kind, place):
                    if self._clock() - self._renewed > RENEW_AFTER:
                        await self._renew()
                    await asyncio.gather(*(self._let_go(obj, finalizer) for obj in page if _is_held(obj, finalizer)))
            except Changed:
                continue
            return
        raise _busy(f"the list of {kind} objects becomes too old before its end")

    async def _let_go(self, obj: Object, finalizer: str) -> None:
        kind, namespace, name = obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]
        now: Object | None = obj
        try:
            for _ in range(ROUNDS):
                if now is None or not _is_held(now, finalizer):
                    return
                try:
                    await self._estate.keep_finalizer(now, finalizer, wanted=False)
                except Changed:
                    now = await self._estate.read_own(kind, namespace, name)
                    continue
                self._record(now)
                self._outcome.released += 1
                return
            problem = "it changes faster than it can be written"
        except Trouble as trouble:
            problem = trouble.message
        log.error("%s %s/%s could not be let go of: %s", kind, namespace, name, problem)
        self._outcome.failed.append(f"{kind} {namespace}/{name}")

    def _record(self, obj: Object) -> None:
        """Say what stays at GitHub, or lives on for a while."""
        subject = {"kind": obj["kind"], "namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]}
        if obj["kind"] == "GitHubInstallation":
            self._audit.record(Action.TOKEN_NOT_REVOKED, **subject, reason=UNINSTALLED)
            return
        status = obj.get("status") or {}
        hook, repository = (status.get("webhook") or {}).get("hookId"), (status.get("source") or {}).get("repositoryId")
        self._audit.record(Action.HOOK_LEFT, **subject, hook=hook, repository=repository, reason=UNINSTALLED)

    # --- what Mooring made for itself ---

    async def _bequeath(self, *, keys: bool) -> None:
        """Let them go with the account that is uninstalled: until then an operator may still need them."""
        owner = await self._estate.account()
        if owner is None:
            log.warning("this is no service account: remove %s yourself when the operators are gone", self._leases)
            return
        await self._estate.give("Lease", names.OPERATOR_LEASE, owner)
        await self._estate.give("ConfigMap", names.DELIVERIES_CONFIG_MAP, owner)
        if keys:
            await self._estate.give("Secret", names.WEBHOOK_SECRET, owner)


def _is_held(obj: Object, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or ())


def _busy(what: str) -> Transient:
    return Transient(Reason.CLUSTER_UNAVAILABLE, f"{what[0].upper()}{what[1:]}. It is tried again.")

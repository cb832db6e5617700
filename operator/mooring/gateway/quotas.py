"""How often somebody may try: failed signatures by address, signed deliveries by whose they are, and what about.

What a payload is about is what its sender says: that alone would limit nobody who has a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from mooring.gateway.addresses import Client
from mooring.gateway.answers import Refused
from mooring.gateway.buckets import Buckets, Recent
from mooring.gateway.limits import Limits
from mooring.observability.gateway_metrics import Outcome

_FAILURES = "too many deliveries without a valid signature came from this address: check the webhook's secret"
_OWNED = "too many deliveries came by this App or namespace: send this one again later"
_LARGE = "another large delivery by this App or namespace is looked at: send this one again later"
_SIGNED = "too many deliveries about this repository or installation: send this one again later"


_Counts = dict[Hashable, int]


class Quotas:
    """All buckets of a gateway."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = Buckets(burst=limits.failures_burst, a_second=limits.failures_a_second, size=limits.addresses)
        self._vouched = Recent(seconds=limits.vouched_seconds, size=limits.addresses)
        self._signed = Buckets(burst=limits.signed_burst, a_second=limits.signed_a_second, size=limits.subjects)
        self._owned = Buckets(burst=limits.owner_burst, a_second=limits.owner_a_second, size=limits.owners)
        self._of_app = Buckets(burst=limits.app_burst, a_second=limits.app_a_second, size=1)
        # None of them is larger than there are connections.
        self._under_way: _Counts = {}
        self._of_owners: _Counts = {}
        self._large: _Counts = {}

    def check_before_body(self, sender: Client, announced: int | None) -> None:
        """Refuse an address that sent too much with a wrong signature, before its body is read.

        GitHub itself sends from few addresses, for whoever enters a webhook there, so that anyone can have it send what
        fails. Therefore an address that brought a valid signature lately is not refused, nor is a body so small that to
        verify it costs no more than to refuse it; where the signature is wrong then, that one is refused all the same.
        """
        small = announced is not None and announced <= self._limits.always_read
        now = self._clock()
        if not sender.is_known or small or self._vouched.has(sender.key, now):
            return
        if wait := self._failures.wait(sender.key, now):
            raise Refused(429, Outcome.LIMITED, _FAILURES, retry_after=wait)

    def failed(self, sender: Client, refusal: Refused) -> Refused:
        """Count a failed signature, and return what it is answered."""
        if wait := self._failures.take(sender.key, self._clock()):
            return Refused(429, Outcome.LIMITED, _FAILURES, retry_after=wait)
        return refusal

    def vouch(self, sender: Client) -> None:
        """Note that a valid signature came from an address."""
        self._vouched.see(sender.key, self._clock())

    def owned(self, owner: str) -> Place:
        """Count a delivery by the webhooks of a namespace (empty: the operator's App), whatever it says."""
        limits, buckets = self._limits, self._owned if owner else self._of_app
        most = limits.owner_at_once if owner else limits.app_at_once
        if wait := buckets.take(owner, self._clock()):
            raise Refused(429, Outcome.LIMITED, _OWNED, retry_after=wait)
        if self._of_owners.get(owner, 0) >= most:
            raise Refused(429, Outcome.LIMITED, _OWNED, retry_after=1)
        return Place(self._of_owners, owner)

    def large(self, owner: str) -> Place:
        """Count a large body, which waits to be parsed or is: it holds much memory, and is one of a few that can."""
        most = self._limits.owner_large if owner else self._limits.app_large
        if self._large.get(owner, 0) >= most:
            raise Refused(429, Outcome.LIMITED, _LARGE, retry_after=self._limits.retry_seconds)
        return Place(self._large, owner)

    def delivering(self, subject: Hashable) -> Place:
        """Count a signed delivery; refuse where there were too many, or too many are under way."""
        if wait := self._signed.take(subject, self._clock()):
            raise Refused(429, Outcome.LIMITED, _SIGNED, retry_after=wait)
        if self._under_way.get(subject, 0) >= self._limits.at_once:
            raise Refused(429, Outcome.LIMITED, _SIGNED, retry_after=1)
        return Place(self._under_way, subject)


class Place:
    """One of the places that somebody may have at a time, from its making until it is left."""

    __slots__ = ("_counts", "_key")

    def __init__(self, counts: _Counts, key: Hashable) -> None:
        self._counts, self._key = counts, key
        counts[key] = counts.get(key, 0) + 1

    def leave(self) -> None:
        """Give it back, once."""
        left = self._counts[self._key] - 1
        if left:
            self._counts[self._key] = left
        else:
            del self._counts[self._key]

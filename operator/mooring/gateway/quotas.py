"""How often somebody may try: failed signatures by address, signed deliveries by repository or installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from mooring.gateway.addresses import Client
from mooring.gateway.answers import Refused
from mooring.gateway.buckets import Buckets, Recent
from mooring.gateway.limits import Limits
from mooring.observability.gateway_metrics import Outcome

_FAILURES = "too many deliveries without a valid signature came from this address: check the webhook's secret"
_SIGNED = "too many deliveries about this repository or installation: send this one again later"


class Quotas:
    """All buckets of a gateway."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = Buckets(burst=limits.failures_burst, a_second=limits.failures_a_second, size=limits.addresses)
        self._vouched = Recent(seconds=limits.vouched_seconds, size=limits.addresses)
        self._signed = Buckets(burst=limits.signed_burst, a_second=limits.signed_a_second, size=limits.subjects)
        # No larger than there are connections.
        self._under_way: Counter[Hashable] = Counter()

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

    @contextmanager
    def delivering(self, subject: Hashable) -> Iterator[None]:
        """Count a signed delivery; refuse where there were too many, or too many are under way."""
        if wait := self._signed.take(subject, self._clock()):
            raise Refused(429, Outcome.LIMITED, _SIGNED, retry_after=wait)
        if self._under_way[subject] >= self._limits.at_once:
            raise Refused(429, Outcome.LIMITED, _SIGNED, retry_after=1)
        self._under_way[subject] += 1
        try:
            yield
        finally:
            self._under_way[subject] -= 1
            if not self._under_way[subject]:
                del self._under_way[subject]

"""Who leads: when the Lease may be taken, when it is renewed, and until when leading is certain. Pure.

Times are seconds by one clock of the process's own, which also counts while the process is stopped. A time that another
machine wrote is never compared with anything: whoever stands by counts from when it saw the Lease renewed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last, in seconds. docs/decisions/0013 says why these."""

    # Others take over when they have seen nothing of us for this long; we end when we could renew nothing for as long.
    lease: int = 15
    # Two more attempts fit into what is certain when one got no answer, or three that were refused at once.
    renew_every: float = 3.0
    retry_every: float = 1.0
    # One request about the Lease.
    attempt: float = 3.0
    # After this long without a renewal nothing more is written. The rest of the Lease is for what is on its way then.
    certain_for: float = 10.0
    # A Lease that asks for more is not waited for.
    longest: int = 60


TERMS = Terms()


class NotLeading(Transient):
    """A write was refused before it left this process: another one may lead."""

    def __init__(self) -> None:
        super().__init__(
            Reason.CLUSTER_UNAVAILABLE,
            "This process has not renewed its Lease in time, so another one may lead: nothing was sent.",
        )


class Lost(Exception):
    """This process led, and does not any more: it has to end."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The Lease as the API server has it. No holder: it was released."""

    holder: str
    seconds: int
    transitions: int
    # What the holder wrote last, whatever its clock: only ever asked whether it is the same as before.
    renewed: str
    version: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process that does not lead has seen of the Lease, and since when it has been so."""

    lease: Lease | None
    since: float

    def seen(self, lease: Lease | None, now: float) -> Standing:
        """Return what is known after one more look. Only its holder's writes count, not a label that somebody adds."""
        if lease != self.lease:
            return Standing(lease, now)
        return replace(self, lease=lease)

    def free_at(self, identity: str, terms: Terms) -> float:
        """Return when the Lease may be taken: at once where nobody has it, else when it was not renewed in time."""
        if self.lease is None or self.lease.holder in {"", identity}:
            return self.since
        # What its holder goes by, which another version of Mooring may have chosen.
        return self.since + max(terms.lease, min(self.lease.seconds, terms.longest))


@dataclass(frozen=True, slots=True)
class Tenure:
    """A Lease that this process holds, and when it asked for the renewal that it was last granted.

    It was granted later than that, so whoever counts from what they saw counts longer.
    """

    lease: Lease
    renewed: float

    def is_certain(self, now: float, terms: Terms) -> bool:
        """Tell whether nobody else can lead, with time to spare for a request that leaves now."""
        return now < self.renewed + terms.certain_for

    def left(self, now: float, terms: Terms) -> float:
        """Return the seconds until others may take the Lease; none left, and it is over."""
        return self.renewed + terms.lease - now


def transitions(before: Lease | None, identity: str) -> int:
    """Return the count of changes of the holder when this process takes the Lease."""
    if before is None:
        return 0
    return before.transitions + (before.holder != identity)

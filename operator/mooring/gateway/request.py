"""One request, as far as it was parsed, and what is known of it so far."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from mooring import ports
from mooring.gateway.answers import Answer
from mooring.gateway.headers import Envelope, Head
from mooring.gateway.lanes import Holding
from mooring.gateway.quotas import Place


@dataclass(slots=True, eq=False)
class Request:
    """A request, from its first byte to its answer."""

    began: float
    head: Head = field(default_factory=Head)
    # Whether the headers are there, and the body.
    has_head: bool = False
    is_complete: bool = False
    # Whether its connection may be used again, as the request says.
    keeps: bool = False

    # --- what came of it ---
    body: bytearray = field(default_factory=bytearray, repr=False)
    # How long the body is by now, held or not.
    came: int = 0
    # What holds the body, where it did not come along with its headers.
    holding: Holding | None = None

    # --- what was found ---
    is_looked_at: bool = False
    # What it is answered before its body is read.
    refusal: Answer | None = None
    envelope: Envelope | None = None
    # Whose address it came to. Its signature may be a wrong one.
    hook: ports.Hook | None = None
    # Those that count.
    secrets: Sequence[bytes] = field(default=(), repr=False)
    # One for each of them, where the body is digested as it comes.
    digests: Sequence[hmac.HMAC] = ()
    is_verified: bool = False
    # What it counts in until it is answered.
    places: list[Place] = field(default_factory=list)

    def add(self, piece: bytes, most: int) -> bool:
        """Take a piece of the body, held only where it is wanted; tell whether it is not too long by now."""
        self.came += len(piece)
        if self.refusal is not None:
            return True
        self.body += piece
        for digest in self.digests:
            digest.update(piece)
        return self.came <= most

    def refuse(self, answer: Answer) -> None:
        """Note what it is answered whatever else comes: nothing of it is held any more."""
        self.refusal = answer
        self.let_go()

    def let_go(self) -> None:
        """Give back what its body holds."""
        if self.holding is not None:
            self.holding.release()
        self.body = bytearray()

"""Branches are looked at by themselves, now and then: of a push whose webhook never came, nobody else tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository in a list of what a credential reaches."""

    full_name: str
    private: bool
    # When any of its branches was last pushed to; None where nobody ever did.
    pushed_at: datetime | None

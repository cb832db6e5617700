"""Deliveries as GitHub lists them: each attempt is an entry of its own, and all attempts of one have the same GUID."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a webhook."""

    id: int
    guid: str
    event: str
    delivered_at: datetime
    # Whether somebody asked for it; else it is the first one.
    is_repeated: bool
    succeeded: bool

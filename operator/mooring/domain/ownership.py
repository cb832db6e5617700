"""Whose a child is: a controller reference with the owner's uid, and nothing else. Labels and names prove nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """A service account, with which what Mooring made for itself may go."""

    name: str
    uid: str


def is_owned(child: Mapping[str, Any], uid: str) -> bool:
    """Tell whether an object is controlled by the object with this uid."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") is True and owner.get("uid") == uid for owner in owners)

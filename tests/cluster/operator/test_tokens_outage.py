"""GitHub is away for a while, at any moment of a token's life: no Secret ends with a dead token, and people are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mooring.domain.conditions import timestamp
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import data_of
from tests.cluster.token_life import (
    INSTALLATION,
    OUTPUT,
    PROJECT,
    Holder,
    advance,
    fault,
    is_live,
    life,
    moved_clock,
    time_there,
)

MINUTE = 60.0
# The longest outage that is promised to leave no trace.
OUTAGE = 15 * MINUTE
TROUBLES: dict[str, dict[str, Any]] = {
    "unavailable": {"kind": "status", "status": 503},
    "secondary-limit": {"kind": "secondary-limit", "status": 403, "retry_after": 60},
    "slow": {"kind": "latency", "seconds": 1.0},
}


def away(hub: Hub, holder: Holder, kind: str, **more: Any) -> Any:
    """Have GitHub go wrong for whoever asks with the App's key."""
    return fault(hub, **TROUBLES[kind], credential=f"app-{holder.app_id}", **more)

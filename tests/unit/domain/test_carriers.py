"""How the status says what brings pushes: its time moves only when that does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mooring.domain import carriers
from mooring.domain.carriers import Carrier, by_app, by_hook, by_sweep, condition, condition_in, field
from mooring.domain.conditions import Wanted, merge
from mooring.domain.errors import Stalled, Transient
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.webhooks.hooking import Noted, Place, noted_in
from tests.unit.objects import NOW

PLACE, HOOK = Place("team-a", "https://api.github.com", 7), Noted(5, 1, "2026-03-01T12:00:00Z")
LATER = NOW + timedelta(hours=1)
SINCE, AFTERWARDS = "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"


def told(carrier: Carrier) -> dict[str, Any]:
    """Return a status that says so since NOW."""
    conditions = merge([], [condition(carrier)], generation=1, now=NOW)
    return {"webhook": field(carrier, {}, NOW), "conditions": conditions}


def test_a_hook_is_remembered_by_the_status() -> None:
    status = told(by_hook(PLACE, HOOK, None))
    assert (status["webhook"]["via"], status["webhook"]["state"], status["webhook"]["since"]) == (
        "Repository",
        "Active",
        SINCE,
    )
    assert noted_in("team-a", status) == (PLACE, HOOK)
    assert condition_in(status) == condition(by_hook(PLACE, HOOK, None))


@pytest.mark.parametrize(
    ("before", "after", "since"),
    [
        (by_hook(PLACE, HOOK, None), by_hook(PLACE, Noted(5, 2, "x"), None), SINCE),
        (by_hook(PLACE, HOOK, None), by_hook(PLACE, HOOK, "503"), AFTERWARDS),
        (by_hook(PLACE, HOOK, "503"), by_hook(PLACE, HOOK, "500"), SINCE),
        (by_hook(PLACE, HOOK, None), by_app(None), AFTERWARDS),
        (by_app(None), by_app(Reason.EVENTS_MISSING), AFTERWARDS),
        (by_app(Reason.EVENTS_MISSING), by_app(Reason.WEBHOOK_SECRET_MISSING), SINCE),
        (by_sweep(Reason.SWEEP_ONLY), by_sweep(Reason.NO_PUBLIC_URL), SINCE),
        (by_sweep(Stalled(Reason.HOOK_LIMIT, "x")), by_sweep(Transient(Reason.RATE_LIMITED, "x")), AFTERWARDS),
    ],
)
def test_since_moves_with_the_way_or_the_condition_alone(before: Carrier, after: Carrier, since: str) -> None:
    assert field(after, told(before), LATER)["since"] == since


def test_what_may_pass_by_itself_is_unknown() -> None:
    assert condition(by_sweep(Transient(Reason.GITHUB_UNAVAILABLE, "away"))).status is None
    assert condition(by_sweep(Stalled(Reason.HOOKS_FORBIDDEN, "no"))) == Wanted(
        ConditionType.WEBHOOK_READY, False, Reason.HOOKS_FORBIDDEN, "no"
    )


def test_a_condition_of_somebody_else_is_none() -> None:
    entry = {"type": "WebhookReady", "status": "True", "reason": "OfAnother", "message": "?"}
    assert condition_in({"conditions": [entry]}) is None
    assert condition_in({"conditions": [{**entry, "reason": "AppDelivers", "status": "?"}]}) is None
    assert condition_in({}) is None
    assert carriers.State.MISSING.value == told(by_sweep(Reason.SWEEP_ONLY))["webhook"]["state"]

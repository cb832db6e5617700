"""The rings of a Project's status, full: what many pushes leave behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mooring.domain.conditions import timestamp
from mooring.domain.resources.project_status import DELIVERIES_MAX, HISTORY_MAX

Object = dict[str, Any]


def full(status: Object, pushed: Object) -> Object:
    """Return a status whose rings are full, and whose newest push is decided on."""
    newest = status["revision"]
    past = [{**newest, "sha": f"{number:040x}", "shortSha": f"{number:07x}"} for number in range(1, HISTORY_MAX)]
    return {
        **status,
        "source": {**status["source"], "delivery": pushed["delivery"]},
        "push": pushed,
        "deliveries": [_line(pushed), *deliveries(DELIVERIES_MAX - 1)],
        "history": [newest, *past],
    }


def deliveries(count: int = DELIVERIES_MAX) -> list[Object]:
    """Return so many pushes as the status lists them."""
    return [_line(push(f"{number:040x}", number)) for number in range(1, count + 1)]


def _line(pushed: Object) -> Object:
    return {"event": "push", **{key: pushed[key] for key in ("delivery", "sha", "ref", "sender", "receivedAt")}}


def push(sha: str, ago: int) -> Object:
    """Return a push of so many hours ago."""
    when = timestamp(datetime.now(UTC) - timedelta(hours=1 + ago))
    return {
        "sha": sha,
        "before": f"{ago + 1:040x}",
        "ref": "refs/heads/main",
        "delivery": f"00000000-0000-4000-8000-{ago:012x}",
        "pushedAt": when,
        "receivedAt": when,
        "sender": "alice",
    }

"""Webhooks and what became of their deliveries. Secrets never appear."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from lab.github.context import Context
from lab.github.model import App, Delivery, Hook
from lab.github.shapes.basics import api, timestamp

HIDDEN_SECRET = "********"  # noqa: S105 - what GitHub shows instead of a secret


def hook_config(record: Hook) -> dict[str, Any]:
    """Return where a repository's hook points."""
    secret = {"secret": HIDDEN_SECRET} if record.secret else {}
    insecure = "1" if record.insecure_ssl else "0"
    return {"content_type": record.content_type, "insecure_ssl": insecure, **secret, "url": record.url}


def app_hook_config(record: App) -> dict[str, Any]:
    """Return where an App's hook points."""
    secret = {"secret": HIDDEN_SECRET} if record.webhook_secret else {}
    address = {"url": record.webhook_url} if record.webhook_url else {}
    return {"content_type": "json", "insecure_ssl": "1" if record.webhook_insecure_ssl else "0", **secret, **address}


def hook(ctx: Context, record: Hook) -> dict[str, Any]:
    """Return a repository's hook."""
    repository = ctx.world.repositories[record.repository_id]
    here = api(ctx, f"/repos/{ctx.world.full_name(repository)}/hooks/{record.id}")
    return {
        "type": "Repository",
        "id": record.id,
        "name": "web",
        "active": record.active,
        "events": list(record.events),
        "config": hook_config(record),
        "updated_at": timestamp(record.updated_at),
        "created_at": timestamp(record.created_at),
        "url": here,
        "test_url": f"{here}/tests",
        "ping_url": f"{here}/pings",
        "deliveries_url": f"{here}/deliveries",
        "last_response": dict(record.last_response),
    }


def delivery_item(record: Delivery) -> dict[str, Any]:
    """Return a delivery as the list shows it."""
    if record.delivered_at is None:
        raise ValueError(f"delivery {record.id} is still under way: GitHub does not show it")
    return {
        "id": record.id,
        "guid": record.guid,
        "delivered_at": timestamp(record.delivered_at),
        "redelivery": record.redelivery,
        "duration": round(record.duration, 2),
        "status": record.status,
        "status_code": record.status_code,
        "event": record.event,
        "action": record.action,
        "installation_id": record.installation_id,
        "repository_id": record.repository_id,
        "throttled_at": None,
    }


def delivery(record: Delivery) -> dict[str, Any]:
    """Return a delivery with its request and response."""
    return {
        **delivery_item(record),
        "url": record.url,
        "request": {"headers": dict(record.request_headers), "payload": _payload(record.body)},
        "response": {"headers": dict(record.response_headers), "payload": record.response_body},
    }


def _payload(body: bytes) -> Any:
    """Return what was sent, whether as JSON or as a form with one field of JSON."""
    text = body.decode()
    if text.startswith("payload="):
        text = parse_qs(text)["payload"][0]
    return json.loads(text)

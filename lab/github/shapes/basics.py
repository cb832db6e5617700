"""What every shape is made of: node ids, times and addresses."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import quote

from lab.github.context import Context


def node_id(kind: str, number: int | str) -> str:
    """Return an opaque global id, such as R_kgDOAAAD6Q for a repository."""
    raw = number.to_bytes(8, "big") if isinstance(number, int) else number.encode()
    return f"{kind}_{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def timestamp(moment: datetime) -> str:
    """Return a moment as GitHub writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def optional_timestamp(moment: datetime | None) -> str | None:
    """Return a moment as GitHub writes it, or nothing."""
    return None if moment is None else timestamp(moment)


def api(ctx: Context, path: str) -> str:
    """Return an address below the API; the parts of a path that people chose are quoted by the caller."""
    return f"{ctx.world.addresses.api}{path}"


def web(ctx: Context, path: str) -> str:
    """Return an address of the web interface."""
    return f"{ctx.world.addresses.web}{path}"


def quoted(path: str) -> str:
    """Quote a path, its slashes apart."""
    return quote(path, safe="/")

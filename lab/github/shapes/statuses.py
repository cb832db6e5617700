"""Commit statuses, one by one and combined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.github.context import Context
from lab.github.model import CommitStatus, Repository
from lab.github.shapes.accounts import avatar, user
from lab.github.shapes.basics import api, node_id, timestamp
from lab.github.shapes.repositories import repository as repository_shape


def status(ctx: Context, record: CommitStatus) -> dict[str, Any]:
    """Return one status with its creator."""
    return {**_simple(ctx, record), "creator": user(ctx, ctx.world.accounts[record.creator_id])}


def combined_status(
    ctx: Context, repository: Repository, sha: str, latest: Sequence[CommitStatus], shown: Sequence[CommitStatus]
) -> dict[str, Any]:
    """Return the sum of the newest status of each context, and one page of them."""
    here = api(ctx, f"/repos/{ctx.world.full_name(repository)}/commits/{sha}")
    return {
        "state": _state({record.state for record in latest}),
        "statuses": [_simple(ctx, record) for record in shown],
        "sha": sha,
        "total_count": len(latest),
        "repository": repository_shape(ctx, repository),
        "commit_url": here,
        "url": f"{here}/status",
    }


def _simple(ctx: Context, record: CommitStatus) -> dict[str, Any]:
    name = ctx.world.full_name(ctx.world.repositories[record.repository_id])
    return {
        "url": api(ctx, f"/repos/{name}/statuses/{record.sha}"),
        "avatar_url": avatar(ctx, ctx.world.accounts[record.creator_id]),
        "id": record.id,
        "node_id": node_id("SC", record.id),
        "state": record.state,
        "description": record.description,
        "target_url": record.target_url,
        "context": record.context,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }


def _state(states: set[str]) -> str:
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"

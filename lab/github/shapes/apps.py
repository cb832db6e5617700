"""Apps, their installations and the tokens of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.github.context import Context
from lab.github.model import App, Credential, Installation, Repository
from lab.github.shapes.accounts import user
from lab.github.shapes.basics import api, node_id, optional_timestamp, timestamp, web
from lab.github.shapes.repositories import repository


def app(ctx: Context, record: App) -> dict[str, Any]:
    """Return an App as it sees itself."""
    return {
        "id": record.id,
        "client_id": record.client_id,
        "slug": record.slug,
        "node_id": node_id("A", record.id),
        "owner": user(ctx, ctx.world.accounts[record.owner_id]),
        "name": record.name,
        "description": record.description,
        "external_url": web(ctx, f"/apps/{record.slug}"),
        "html_url": web(ctx, f"/apps/{record.slug}"),
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
        "permissions": dict(record.permissions),
        "events": list(record.events),
        "installations_count": sum(i.app_id == record.id for i in ctx.world.installations.values()),
    }


def installation(ctx: Context, record: Installation) -> dict[str, Any]:
    """Return an installation."""
    owner = ctx.world.apps[record.app_id]
    account = ctx.world.accounts[record.account_id]
    person = ctx.world.accounts.get(record.suspended_by or 0)
    settings = f"/organizations/{account.login}/settings" if account.type == "Organization" else "/settings"
    return {
        "id": record.id,
        "client_id": owner.client_id,
        "account": user(ctx, account),
        "repository_selection": record.repository_selection,
        "access_tokens_url": api(ctx, f"/app/installations/{record.id}/access_tokens"),
        "repositories_url": api(ctx, "/installation/repositories"),
        "html_url": web(ctx, f"{settings}/installations/{record.id}"),
        "app_id": owner.id,
        "app_slug": owner.slug,
        "target_id": account.id,
        "target_type": account.type,
        "permissions": dict(record.permissions),
        "events": list(record.events),
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if person is None else user(ctx, person),
        "suspended_at": optional_timestamp(record.suspended_at),
    }


def installation_token(
    ctx: Context, credential: Credential, selection: str, repositories: Sequence[Repository] | None
) -> dict[str, Any]:
    """Return a new token: the one place where its value is told. Repositories are listed when they were asked for."""
    if credential.expires_at is None:
        raise ValueError(f"{credential.id} has no expiry: installation tokens always do")
    shape: dict[str, Any] = {
        "token": credential.value,
        "expires_at": timestamp(credential.expires_at),
        "permissions": dict(credential.permissions),
        "repository_selection": selection,
    }
    if repositories is not None:
        shape["repositories"] = [repository(ctx, found) for found in repositories]
    return shape

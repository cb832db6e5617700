"""People, organisations and bots."""

from __future__ import annotations

from typing import Any

from lab.github.context import Context
from lab.github.model import Account
from lab.github.shapes.basics import api, node_id, quoted, timestamp, web

KINDS = {"User": "U", "Organization": "O", "Bot": "BOT"}


def user(ctx: Context, account: Account) -> dict[str, Any]:
    """Return an account as it appears inside other objects."""
    here = api(ctx, f"/users/{quoted(account.login)}")
    page = f"/apps/{account.login.removesuffix('[bot]')}" if account.type == "Bot" else f"/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id(KINDS[account.type], account.id),
        "avatar_url": avatar(ctx, account),
        "gravatar_id": "",
        "url": here,
        "html_url": web(ctx, page),
        "followers_url": f"{here}/followers",
        "following_url": f"{here}/following{{/other_user}}",
        "gists_url": f"{here}/gists{{/gist_id}}",
        "starred_url": f"{here}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{here}/subscriptions",
        "organizations_url": f"{here}/orgs",
        "repos_url": f"{here}/repos",
        "events_url": f"{here}/events{{/privacy}}",
        "received_events_url": f"{here}/received_events",
        "type": account.type,
        "user_view_type": "public",
        "site_admin": account.site_admin,
    }


def avatar(ctx: Context, account: Account) -> str:
    """Return the address of an account's picture."""
    return web(ctx, f"/avatars/u/{account.id}?v=4")


def public_user(ctx: Context, account: Account) -> dict[str, Any]:
    """Return an account as anybody sees it."""
    repositories = ctx.world.repositories_of(account)
    return {
        **user(ctx, account),
        "name": account.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": account.email,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": sum(not repository.private for repository in repositories),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": timestamp(account.created_at),
        "updated_at": timestamp(account.created_at),
    }


def private_user(ctx: Context, account: Account) -> dict[str, Any]:
    """Return an account as its owner sees it with the `user` scope."""
    private = sum(repository.private for repository in ctx.world.repositories_of(account))
    return {
        **public_user(ctx, account),
        "user_view_type": "private",
        "private_gists": 0,
        "total_private_repos": private,
        "owned_private_repos": private,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": False,
    }


def organization(ctx: Context, account: Account) -> dict[str, Any]:
    """Return an organisation as anybody sees it."""
    here = api(ctx, f"/orgs/{account.login}")
    repositories = ctx.world.repositories_of(account)
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("O", account.id),
        "url": here,
        "repos_url": f"{here}/repos",
        "events_url": f"{here}/events",
        "hooks_url": f"{here}/hooks",
        "issues_url": f"{here}/issues",
        "members_url": f"{here}/members{{/member}}",
        "public_members_url": f"{here}/public_members{{/member}}",
        "avatar_url": avatar(ctx, account),
        "description": None,
        **({"name": account.name} if account.name is not None else {}),
        **({"email": account.email} if account.email is not None else {}),
        "twitter_username": None,
        "is_verified": False,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": sum(not repository.private for repository in repositories),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": web(ctx, f"/{account.login}"),
        "type": "Organization",
        "created_at": timestamp(account.created_at),
        "updated_at": timestamp(account.created_at),
        "archived_at": None,
    }

"""The API about itself: its root, the server, and the caller's limits."""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web

from lab.github.rest.call import Call, Route
from lab.github.rest.middlewares import ENTERPRISE_VERSION, quota_name

# What the root lists: GitHub's names, and the paths below the API.
ROOT = {
    "current_user_url": "/user",
    "authorizations_url": "/authorizations",
    "code_search_url": "/search/code?q={query}{&page,per_page,sort,order}",
    "commit_search_url": "/search/commits?q={query}{&page,per_page,sort,order}",
    "emails_url": "/user/emails",
    "emojis_url": "/emojis",
    "events_url": "/events",
    "feeds_url": "/feeds",
    "followers_url": "/user/followers",
    "following_url": "/user/following{/target}",
    "gists_url": "/gists{/gist_id}",
    "hub_url": "/hub",
    "issue_search_url": "/search/issues?q={query}{&page,per_page,sort,order}",
    "issues_url": "/issues",
    "keys_url": "/user/keys",
    "label_search_url": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
    "notifications_url": "/notifications",
    "organization_url": "/orgs/{org}",
    "organization_repositories_url": "/orgs/{org}/repos{?type,page,per_page,sort}",
    "organization_teams_url": "/orgs/{org}/teams",
    "public_gists_url": "/gists/public",
    "rate_limit_url": "/rate_limit",
    "repository_url": "/repos/{owner}/{repo}",
    "repository_search_url": "/search/repositories?q={query}{&page,per_page,sort,order}",
    "current_user_repositories_url": "/user/repos{?type,page,per_page,sort}",
    "starred_url": "/user/starred{/owner}{/repo}",
    "starred_gists_url": "/gists/starred",
    "topic_search_url": "/search/topics?q={query}{&page,per_page}",
    "user_url": "/users/{user}",
    "user_organizations_url": "/user/orgs",
    "user_repositories_url": "/users/{user}/repos{?type,page,per_page,sort}",
    "user_search_url": "/search/users?q={query}{&page,per_page,sort,order}",
}


async def root(call: Call) -> web.Response:
    """GET /"""
    base = call.world.addresses.api
    connections = f"{call.world.addresses.web}/settings/connections/applications{{/client_id}}"
    listed = {name: f"{base}{path}" for name, path in ROOT.items()}
    return call.json({**listed, "current_user_authorizations_html_url": connections})


async def meta(call: Call) -> web.Response:
    """GET /meta"""
    return call.json({"verifiable_password_authentication": True, "installed_version": ENTERPRISE_VERSION})


async def rate_limit(call: Call) -> web.Response:
    """GET /rate_limit"""
    window = call.ctx.quotas.known(quota_name(call.request), call.world.clock.now())
    if window is None:
        raise RuntimeError("the limits were not applied to this request")
    core: dict[str, Any] = {
        "limit": window.limit,
        "used": window.used,
        "remaining": window.remaining,
        "reset": math.ceil(window.reset_at.timestamp()),
    }
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
    return call.json({"resources": {"core": core, "search": search}, "rate": core})


ROUTES = (
    Route("GET", "", root),
    Route("GET", "/", root),
    Route("GET", "/meta", meta),
    Route("GET", "/rate_limit", rate_limit),
)

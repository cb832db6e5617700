"""Repositories, as lists show them and in full."""

from __future__ import annotations

from typing import Any

from lab.github import permissions
from lab.github.context import Caller, Context
from lab.github.model import Access, Repository
from lab.github.shapes.accounts import user
from lab.github.shapes.basics import api, node_id, timestamp, web

# The addresses below a repository's own: what GitHub calls them, and what follows.
BELOW = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def repository(ctx: Context, record: Repository, caller: Caller | None = None) -> dict[str, Any]:
    """Return a repository as lists show it; with a caller, also what that caller may do."""
    full_name = ctx.world.full_name(record)
    here, page = api(ctx, f"/repos/{full_name}"), web(ctx, f"/{full_name}")
    forks = ctx.world.forks[record.id]
    host = ctx.world.addresses.web.split("://", 1)[-1]
    shape: dict[str, Any] = {
        "id": record.id,
        "node_id": node_id("R", record.id),
        "name": record.name,
        "full_name": full_name,
        "private": record.private,
        "owner": user(ctx, ctx.world.owner(record)),
        "html_url": page,
        "description": record.description,
        "fork": record.fork_of is not None,
        "url": here,
        **{name: f"{here}{path}" for name, path in BELOW.items()},
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
        "pushed_at": timestamp(record.pushed_at),
        "git_url": f"git://{host}/{full_name}.git",
        "ssh_url": f"git@{host.split(':', 1)[0]}:{full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "mirror_url": None,
        "homepage": None,
        "size": record.size_kib,
        "stargazers_count": 0,
        "watchers_count": 0,
        "watchers": 0,
        "language": None,
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": forks,
        "forks": forks,
        "archived": record.archived,
        "disabled": record.disabled,
        "open_issues_count": 0,
        "open_issues": 0,
        "license": None,
        "allow_forking": True,
        "is_template": record.is_template,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if record.private else "public",
        "default_branch": record.default_branch,
    }
    if caller is not None and caller.credential is not None:
        shape["permissions"] = permissions_of(permissions.access(ctx, caller, record))
    return shape


def permissions_of(access: Access) -> dict[str, bool]:
    """Return a standing in GitHub's five flags."""
    rank = permissions.RANK[access]
    return {
        "admin": rank >= 3,
        "maintain": rank >= 3,
        "push": rank >= 2,
        "triage": rank >= 2,
        "pull": rank >= 1,
    }


def full_repository(ctx: Context, record: Repository, caller: Caller | None = None) -> dict[str, Any]:
    """Return a repository as its own address shows it."""
    shape = repository(ctx, record, caller)
    owner = ctx.world.owner(record)
    if owner.type == "Organization":
        shape["organization"] = user(ctx, owner)
    parent = ctx.world.repositories.get(record.fork_of or 0)
    if parent is not None:
        shape["parent"] = repository(ctx, parent)
        shape["source"] = repository(ctx, _root(ctx, parent))
    if "permissions" in shape:
        shape |= {
            "temp_clone_token": "",
            "allow_squash_merge": True,
            "allow_merge_commit": True,
            "allow_rebase_merge": True,
            "allow_auto_merge": False,
            "delete_branch_on_merge": False,
            "allow_update_branch": False,
        }
    return {**shape, "network_count": shape["forks_count"], "subscribers_count": 0}


def _root(ctx: Context, record: Repository) -> Repository:
    while record.fork_of is not None and record.fork_of in ctx.world.repositories:
        record = ctx.world.repositories[record.fork_of]
    return record

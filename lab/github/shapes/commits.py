"""Commits, the files that they change, and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.github.context import ChangedFile, Comparison, Context, GitCommit, Signature
from lab.github.model import Account, Repository
from lab.github.shapes.accounts import user
from lab.github.shapes.basics import api, node_id, quoted, timestamp, web

UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}


def noreply_email(ctx: Context, account: Account) -> str:
    """Return the address that GitHub writes into a commit of somebody who keeps theirs private."""
    host = ctx.world.addresses.web.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]").replace(":", "-")
    return f"{account.id}+{account.login}@users.noreply.{host}"


def author_of(ctx: Context, signature: Signature) -> Account | None:
    """Return the account behind an e-mail address."""
    wanted = signature.email.casefold()
    for account in ctx.world.accounts.values():
        own = account.email.casefold() if account.email is not None else None
        if wanted in {own, noreply_email(ctx, account).casefold()}:
            return account
    return None


def git_signature(signature: Signature) -> dict[str, Any]:
    """Return a name, an address and a time."""
    return {"name": signature.name, "email": signature.email, "date": timestamp(signature.at)}


def _parents(ctx: Context, repository: Repository, commit: GitCommit, *, git: bool) -> list[dict[str, Any]]:
    name = ctx.world.full_name(repository)
    below = "/git/commits" if git else "/commits"
    return [
        {
            "sha": sha,
            "url": api(ctx, f"/repos/{name}{below}/{sha}"),
            "html_url": web(ctx, f"/{name}/commit/{sha}"),
        }
        for sha in commit.parents
    ]


def _tree(ctx: Context, repository: Repository, commit: GitCommit) -> dict[str, Any]:
    path = f"/repos/{ctx.world.full_name(repository)}/git/trees/{commit.tree_sha}"
    return {"sha": commit.tree_sha, "url": api(ctx, path)}


def git_commit(ctx: Context, repository: Repository, commit: GitCommit) -> dict[str, Any]:
    """Return a commit as the Git database shows it."""
    name = ctx.world.full_name(repository)
    return {
        "sha": commit.sha,
        "node_id": node_id("C", f"{repository.id}:{commit.sha}"),
        "url": api(ctx, f"/repos/{name}/git/commits/{commit.sha}"),
        "html_url": web(ctx, f"/{name}/commit/{commit.sha}"),
        "author": git_signature(commit.author),
        "committer": git_signature(commit.committer),
        "tree": _tree(ctx, repository, commit),
        "message": commit.message,
        "parents": _parents(ctx, repository, commit, git=True),
        "verification": UNSIGNED,
    }


def commit(ctx: Context, repository: Repository, found: GitCommit, *, files: bool = False) -> dict[str, Any]:
    """Return a commit as lists show it; with `files`, also what it changes."""
    name = ctx.world.full_name(repository)
    here = api(ctx, f"/repos/{name}/commits/{found.sha}")
    author, committer = author_of(ctx, found.author), author_of(ctx, found.committer)
    shape: dict[str, Any] = {
        "sha": found.sha,
        "node_id": node_id("C", f"{repository.id}:{found.sha}"),
        "commit": {
            "author": git_signature(found.author),
            "committer": git_signature(found.committer),
            "message": found.message,
            "tree": _tree(ctx, repository, found),
            "url": api(ctx, f"/repos/{name}/git/commits/{found.sha}"),
            "comment_count": 0,
            "verification": UNSIGNED,
        },
        "url": here,
        "html_url": web(ctx, f"/{name}/commit/{found.sha}"),
        "comments_url": f"{here}/comments",
        "author": None if author is None else user(ctx, author),
        "committer": None if committer is None else user(ctx, committer),
        "parents": _parents(ctx, repository, found, git=False),
    }
    if files:
        additions = sum(file.additions for file in found.files)
        deletions = sum(file.deletions for file in found.files)
        shape["stats"] = {"total": additions + deletions, "additions": additions, "deletions": deletions}
        shape["files"] = [changed_file(ctx, repository, found.sha, file) for file in found.files]
    return shape


def changed_file(ctx: Context, repository: Repository, sha: str, file: ChangedFile) -> dict[str, Any]:
    """Return one changed file as of a commit."""
    name, path = ctx.world.full_name(repository), quoted(file.path)
    shape: dict[str, Any] = {
        "sha": file.sha,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": web(ctx, f"/{name}/blob/{sha}/{path}"),
        "raw_url": web(ctx, f"/{name}/raw/{sha}/{path}"),
        "contents_url": api(ctx, f"/repos/{name}/contents/{path}?ref={sha}"),
    }
    if file.patch is not None:
        shape["patch"] = file.patch
    if file.previous_path is not None:
        shape["previous_filename"] = file.previous_path
    return shape


def comparison(
    ctx: Context, repository: Repository, found: Comparison, basehead: str, commits: Sequence[GitCommit]
) -> dict[str, Any]:
    """Return a comparison with one page of its commits; its files go onto the first page only, see the handler."""
    name = ctx.world.full_name(repository)
    page = web(ctx, f"/{name}/compare/{quoted(basehead)}")
    states = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
    owner = ctx.world.owner(repository).login
    permanent = f"{owner}:{found.base.sha[:7]}...{owner}:{found.head.sha[:7]}"
    return {
        "url": api(ctx, f"/repos/{name}/compare/{quoted(basehead)}"),
        "html_url": page,
        "permalink_url": web(ctx, f"/{name}/compare/{permanent}"),
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": commit(ctx, repository, found.base),
        "merge_base_commit": commit(ctx, repository, found.merge_base),
        "status": states[found.ahead_by > 0, found.behind_by > 0],
        "ahead_by": found.ahead_by,
        "behind_by": found.behind_by,
        "total_commits": found.ahead_by,
        "commits": [commit(ctx, repository, entry) for entry in commits],
    }

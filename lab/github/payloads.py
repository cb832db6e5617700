"""The bodies of webhook events, as GitHub writes them. Who gets them is the business of `events`.

Where a webhook's form of an object differs from the REST API's, the difference is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lab.github import shapes
from lab.github.context import Context, GitCommit, Signature
from lab.github.gitdiff import PushedCommit
from lab.github.model import ZERO_SHA, Account, Hook, Installation, Push, Repository
from lab.github.shapes.basics import web
from lab.github.shapes.commits import author_of, noreply_email

Payload = dict[str, Any]

ZEN = "Keep it logically awesome."
SHORT_SHA = 12
_ORGANIZATION_KEYS = (
    *("login", "id", "node_id", "url", "repos_url", "events_url", "hooks_url", "issues_url", "members_url"),
    *("public_members_url", "avatar_url", "description"),
)


@dataclass(frozen=True, slots=True)
class PushFacts:
    """What git knows about a push."""

    commits: Sequence[tuple[GitCommit, PushedCommit]]
    distinct: frozenset[str]
    head: tuple[GitCommit, PushedCommit] | None
    forced: bool
    base_ref: str | None


def repository(ctx: Context, record: Repository) -> Payload:
    """Return a repository as webhooks show it."""
    return {**shapes.repository(ctx, record), "custom_properties": {}}


def about(ctx: Context, record: Repository, sender: Account) -> Payload:
    """Return what every event of a repository ends with."""
    return {"repository": repository(ctx, record), **_organization(ctx, record), "sender": shapes.user(ctx, sender)}


def installation_reference(installation: Installation) -> Payload:
    """Return the few words about the installation in events that reach an App."""
    return {"id": installation.id, "node_id": shapes.node_id("MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9u", installation.id)}


def _organization(ctx: Context, record: Repository) -> Payload:
    owner = ctx.world.owner(record)
    if owner.type != "Organization":
        return {}
    whole = shapes.organization(ctx, owner)
    return {"organization": {key: whole[key] for key in _ORGANIZATION_KEYS}}


# Push


def push(ctx: Context, event: Push, record: Repository, pusher: Account, facts: PushFacts) -> Payload:
    """Return the body of a push event."""
    return {
        "ref": event.ref,
        "before": event.before,
        "after": event.after,
        "created": event.before == ZERO_SHA,
        "deleted": event.after == ZERO_SHA,
        "forced": facts.forced,
        "base_ref": facts.base_ref,
        "compare": _compare_url(ctx, event, record, facts),
        "commits": [_commit(ctx, record, commit, lists, facts) for commit, lists in facts.commits],
        "head_commit": None if facts.head is None else _commit(ctx, record, *facts.head, facts),
        "pusher": {"name": pusher.login, "email": None if pusher.type == "Bot" else _email(ctx, pusher)},
        **about(ctx, record, pusher),
        "repository": _pushed_repository(ctx, record),
    }


def _pushed_repository(ctx: Context, record: Repository) -> Payload:
    """Return the form that push events alone use: times as numbers, and the owner's name and address."""
    owner = ctx.world.owner(record)
    shape = repository(ctx, record)
    return {
        **shape,
        "owner": {**shape["owner"], "name": owner.login, "email": owner.email},
        "created_at": int(record.created_at.timestamp()),
        "pushed_at": int(record.pushed_at.timestamp()),
        "stargazers": 0,
        "master_branch": record.default_branch,
        **({"organization": owner.login} if owner.type == "Organization" else {}),
    }


def _commit(ctx: Context, record: Repository, commit: GitCommit, lists: PushedCommit, facts: PushFacts) -> Payload:
    return {
        "id": commit.sha,
        "tree_id": commit.tree_sha,
        "distinct": commit.sha in facts.distinct,
        "message": commit.message,
        "timestamp": shapes.timestamp(commit.committer.at),
        "url": web(ctx, f"/{ctx.world.full_name(record)}/commit/{commit.sha}"),
        "author": _person(ctx, commit.author),
        "committer": _person(ctx, commit.committer),
        "added": lists.added,
        "removed": lists.removed,
        "modified": lists.modified,
    }


def _person(ctx: Context, signature: Signature) -> Payload:
    account = author_of(ctx, signature)
    name = {} if account is None else {"username": account.login}
    return {"name": signature.name, "email": signature.email, **name}


def _email(ctx: Context, account: Account) -> str:
    return account.email or noreply_email(ctx, account)


def _compare_url(ctx: Context, event: Push, record: Repository, facts: PushFacts) -> str:
    page = web(ctx, f"/{ctx.world.full_name(record)}/compare/")
    if event.before != ZERO_SHA:
        return f"{page}{event.before[:SHORT_SHA]}...{event.after[:SHORT_SHA]}"
    parents = facts.commits[0][0].parents if facts.commits else ()
    if parents:
        return f"{page}{parents[0][:SHORT_SHA]}...{event.after[:SHORT_SHA]}"
    return page + quote(event.ref.removeprefix("refs/heads/").removeprefix("refs/tags/"))


def ref_change(ctx: Context, event: Push, record: Repository, pusher: Account) -> Payload:
    """Return the body of a create or delete event."""
    _, kind, name = event.ref.split("/", 2)
    shared = {"ref": name, "ref_type": "tag" if kind == "tags" else "branch", "pusher_type": "user"}
    if event.after == ZERO_SHA:
        return {**shared, **about(ctx, record, pusher)}
    own = {"master_branch": record.default_branch, "description": record.description}
    return {**shared, **own, **about(ctx, record, pusher)}


# Hooks, repositories, installations


def hook_ping(ctx: Context, hook: Hook, sender: Account) -> Payload:
    """Return the body of the ping that a repository's hook gets."""
    record = ctx.world.repositories[hook.repository_id]
    return {"zen": ZEN, "hook_id": hook.id, "hook": shapes.hook(ctx, hook), **about(ctx, record, sender)}


def repository_event(
    ctx: Context, action: str, record: Repository, sender: Account, changes: Mapping[str, object]
) -> Payload:
    """Return the body of a repository event."""
    told = {"changes": dict(changes)} if changes else {}
    return {"action": action, **told, **about(ctx, record, sender)}


def installation_event(
    ctx: Context, action: str, installation: Installation, repositories: Sequence[Repository], sender: Account
) -> Payload:
    """Return the body of an installation event."""
    return {
        "action": action,
        "installation": shapes.installation(ctx, installation),
        "repositories": [_short(ctx, record) for record in repositories],
        "sender": shapes.user(ctx, sender),
        **({"requester": shapes.user(ctx, sender)} if action == "created" else {}),
    }


def installation_repositories(
    ctx: Context, action: str, installation: Installation, changed: Sequence[Repository], sender: Account
) -> Payload:
    """Return the body of an installation_repositories event."""
    shorts = [_short(ctx, record) for record in changed]
    return {
        "action": action,
        "installation": shapes.installation(ctx, installation),
        "repository_selection": installation.repository_selection,
        "repositories_added": shorts if action == "added" else [],
        "repositories_removed": shorts if action == "removed" else [],
        "requester": None,
        "sender": shapes.user(ctx, sender),
    }


def installation_target(ctx: Context, installation: Installation, former_login: str, sender: Account) -> Payload:
    """Return the body of an installation_target event: the account has another login."""
    account = ctx.world.accounts[installation.account_id]
    shown = shapes.user(ctx, account)
    return {
        "action": "renamed",
        "account": {name: value for name, value in shown.items() if name != "user_view_type"},
        "changes": {"login": {"from": former_login}},
        "target_type": account.type,
        "installation": installation_reference(installation),
        "sender": shapes.user(ctx, sender),
    }


def _short(ctx: Context, record: Repository) -> Payload:
    return {
        "id": record.id,
        "node_id": shapes.node_id("R", record.id),
        "name": record.name,
        "full_name": ctx.world.full_name(record),
        "private": record.private,
    }

"""What a caller may do with a repository: the person's role, cut down to what the token was given."""

from __future__ import annotations

from typing import Final, Literal

from lab.github import errors
from lab.github.context import Caller, Context
from lab.github.errors import ApiError
from lab.github.model import Access, Account, Credential, Repository

Level = Literal["read", "write"]

RANK: Final[dict[str, int]] = {"none": 0, "read": 1, "write": 2, "admin": 3}
# The role that a person needs for a permission, where it is more than the level's own name.
ADMIN_ONLY = frozenset({"administration", "repository_hooks"})
# What an installation or fine-grained token may read of a public repository that it was not given.
PUBLIC_READS = frozenset({"metadata", "contents", "statuses", "pull_requests", "issues", "deployments"})
# Classic scopes that open one permission without opening the repository.
HOOK_SCOPES: Final[dict[str, frozenset[str]]] = {
    "read": frozenset({"read:repo_hook", "write:repo_hook", "admin:repo_hook"}),
    "write": frozenset({"write:repo_hook", "admin:repo_hook"}),
}


def role(ctx: Context, account: Account, repository: Repository) -> Access:
    """Return what a person may do with a repository, tokens apart."""
    found: list[Access] = ["none" if repository.private else "read", repository.collaborators.get(account.id, "none")]
    if repository.owner_id == account.id:
        found.append("admin")
    membership = ctx.world.owner(repository).members.get(account.id)
    if membership is not None:
        # Members may read all of an organisation's repositories unless it says otherwise; here it never does.
        found.append("admin" if membership == "admin" else "read")
    return max(found, key=lambda access: RANK[access])


def allows(ctx: Context, caller: Caller, repository: Repository, permission: str, level: Level) -> bool:
    """Tell whether a caller has a permission on a repository."""
    if _public_read(repository, permission, level):
        return True
    credential = caller.credential
    if credential is None or not _person_may(ctx, caller, repository, permission, level):
        return False
    if credential.kind == "classic":
        return _scoped(credential, repository, permission, level)
    if credential.kind == "user-to-server":
        return _authorized(ctx, caller, repository, permission, level)
    return _reaches(ctx, caller, credential, repository) and _granted(caller, credential, permission, level)


def is_somebody(caller: Caller) -> bool:
    """Tell whether a caller proved to be a person or an App."""
    return caller.credential is not None or caller.app is not None


def sees(ctx: Context, caller: Caller, repository: Repository) -> bool:
    """Tell whether a repository exists for a caller at all."""
    return allows(ctx, caller, repository, "metadata", "read")


def require(ctx: Context, caller: Caller, repository: Repository, permission: str, level: Level) -> None:
    """Raise what GitHub answers to a caller who lacks a permission."""
    if not allows(ctx, caller, repository, permission, level):
        raise refusal(ctx, caller, repository, permission, level)


def refusal(ctx: Context, caller: Caller, repository: Repository, permission: str, level: Level) -> ApiError:
    """Return GitHub's answer: not found for what can't be seen, else the reason in GitHub's words."""
    if not sees(ctx, caller, repository):
        return errors.not_found()
    if caller.credential is None:
        return errors.requires_authentication() if caller.app is None else not_for_integrations()
    accepted = {"X-Accepted-GitHub-Permissions": f"{permission}={level}"}
    if caller.app is not None:
        return not_for_integrations(accepted)
    if caller.credential.kind == "fine-grained":
        return ApiError(403, "Resource not accessible by personal access token", headers=accepted)
    if permission == "administration" and _scoped(caller.credential, repository, permission, level):
        return ApiError(403, "Must have admin rights to Repository.")
    return errors.not_found()


def not_for_integrations(headers: dict[str, str] | None = None) -> ApiError:
    """Return the answer to an App that lacks a permission, or asks for what is for people only."""
    return ApiError(403, "Resource not accessible by integration", headers=headers)


def accepted_scopes(permission: str, repository: Repository) -> str:
    """Return the classic scopes, any of which would do."""
    if permission == "repository_hooks":
        return "admin:repo_hook, repo, write:repo_hook"
    if permission == "statuses":
        return "repo, repo:status"
    return "repo" if repository.private else ""


def covers(granted: str | None, wanted: str) -> bool:
    """Tell whether a permission's level includes another."""
    return granted is not None and RANK[granted] >= RANK[wanted]


def grants(caller: Caller, permission: str, level: Level) -> bool:
    """Tell whether an installation's token holds a permission, whatever the repository."""
    return caller.credential is not None and _granted(caller, caller.credential, permission, level)


def access(ctx: Context, caller: Caller, repository: Repository) -> Access:
    """Return a caller's overall standing, as in a repository's `permissions`."""
    for level in ("admin", "write", "read"):
        if level == "admin":
            person = caller.account if caller.installation is None else None
            held = person is not None and role(ctx, person, repository) == "admin"
            if held and allows(ctx, caller, repository, "administration", "read"):
                return "admin"
        elif allows(ctx, caller, repository, "contents", "write" if level == "write" else "read"):
            return "write" if level == "write" else "read"
    return "read" if sees(ctx, caller, repository) else "none"


def _public_read(repository: Repository, permission: str, level: Level) -> bool:
    return not repository.private and level == "read" and permission in PUBLIC_READS


def _person_may(ctx: Context, caller: Caller, repository: Repository, permission: str, level: Level) -> bool:
    """Tell whether the person behind a token may do it; behind an installation's there is none to ask."""
    if caller.installation is not None:
        return True
    needed = "admin" if permission in ADMIN_ONLY else level
    return caller.account is not None and RANK[role(ctx, caller.account, repository)] >= RANK[needed]


def _reaches(ctx: Context, caller: Caller, credential: Credential, repository: Repository) -> bool:
    if credential.repository_ids is not None and repository.id not in credential.repository_ids:
        return False
    if caller.installation is not None:
        return ctx.world.covers(caller.installation, repository)
    return credential.owner_id is None or credential.owner_id == repository.owner_id


def _granted(caller: Caller, credential: Credential, permission: str, level: Level) -> bool:
    """Tell whether a token has a permission. What was taken from its installation is gone at once."""
    held = [credential.permissions]
    if caller.installation is not None:
        held.append(caller.installation.permissions)
    # Every token that reaches a repository may read that it exists.
    free = "read" if permission == "metadata" else None
    return all(covers(each.get(permission) or free, level) for each in held)


def _scoped(credential: Credential, repository: Repository, permission: str, level: Level) -> bool:
    scopes = set(credential.scopes)
    if "repo" in scopes or ("public_repo" in scopes and not repository.private):
        return True
    if permission == "repository_hooks":
        return bool(scopes & HOOK_SCOPES[level])
    return permission == "statuses" and "repo:status" in scopes


def _authorized(ctx: Context, caller: Caller, repository: Repository, permission: str, level: Level) -> bool:
    """Tell whether an App that a person authorized is installed on the repository with that permission."""
    installations = ctx.world.installations_covering(repository)
    return any(
        found.app_id == (caller.app.id if caller.app is not None else None)
        and found.suspended_at is None
        and covers(found.permissions.get(permission) or ("read" if permission == "metadata" else None), level)
        for found in installations
    )

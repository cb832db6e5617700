"""What a push does to a repository's record, and which events it sends. How it came in is the business of `githttp`."""

from __future__ import annotations

from collections.abc import Mapping

from lab.github.context import Caller, Context
from lab.github.gitstore import GitStore
from lab.github.model import ZERO_SHA, Push, Repository

# GitHub sends no event for more tags, or for more branches, in one push.
TAGS_TOLD = 3
BRANCHES_TOLD = 5000


def changed_refs(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (ref, before, after) of every ref that differs, by name; zeros stand for a ref that is not there."""
    refs = sorted({*before, *after})
    changes = [(ref, before.get(ref, ZERO_SHA), after.get(ref, ZERO_SHA)) for ref in refs]
    return [change for change in changes if change[1] != change[2]]


def told(changes: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Leave out what GitHub sends no event for."""
    branches = [change for change in changes if change[0].startswith("refs/heads/")]
    tags = [change for change in changes if change[0].startswith("refs/tags/")]
    return [
        *(branches if len(branches) <= BRANCHES_TOLD else []),
        *(tags if len(tags) <= TAGS_TOLD else []),
    ]


async def received(
    context: Context, store: GitStore, repository: Repository, caller: Caller, before: Mapping[str, str]
) -> None:
    """Bring the record up to date after `git push` and send its events. The caller holds the repository's lock."""
    after = await store.refs(repository)
    changes = changed_refs(before, after)
    if not changes:
        return
    for ref, old, _ in changes:
        store.history.moved(repository, ref, old)
    _adopt_default_branch(store, repository, before, after)
    repository.pushed_at = repository.updated_at = context.world.clock.now()
    for ref, old, new in told(changes):
        await context.events.push(
            Push(
                repository_id=repository.id,
                ref=ref,
                before=old,
                after=new,
                pusher_id=caller.account.id if caller.account is not None else 0,
                installation_id=caller.installation.id if caller.installation is not None else None,
            )
        )


def _adopt_default_branch(
    store: GitStore, repository: Repository, before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """The first branch that reaches an empty repository becomes its default, unless the default is among them."""
    branches = sorted(ref.removeprefix("refs/heads/") for ref in after if ref.startswith("refs/heads/"))
    had_branches = any(ref.startswith("refs/heads/") for ref in before)
    if branches and not had_branches and repository.default_branch not in branches:
        repository.default_branch = branches[0]
        store.write_head(repository)

"""Turns what happened into webhook events, and finds every hook that wants them. Bodies are made in `payloads`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.github import payloads
from lab.github.context import Context, GitCommit
from lab.github.deliveries import Deliverer
from lab.github.gitdiff import PushedCommit
from lab.github.gitstore import GitStore
from lab.github.model import ZERO_SHA, Account, App, Hook, Installation, Push, Repository
from lab.github.payloads import Payload, PushFacts
from lab.github.permissions import covers
from lab.github.webhook_contract import WebhookContract
from lab.github.world import World

# The permission that an App needs to be told of an event, beside its subscription.
NEEDED = {"push": "contents", "create": "contents", "delete": "contents", "repository": "metadata"}


class Sender:
    """The events of the lab's GitHub."""

    # Set by `bind`: the context names its events, and events need the context.
    _context: Context

    def __init__(self, world: World, store: GitStore, deliverer: Deliverer, contract: WebhookContract) -> None:
        self._world = world
        self._store = store
        self._deliverer = deliverer
        self._contract = contract

    def bind(self, context: Context) -> None:
        """Take the context that bodies are rendered in."""
        self._context = context

    # What happened

    async def push(self, push: Push) -> None:
        """Tell of a changed ref: push, and create or delete where a ref came or went."""
        repository = self._world.repositories[push.repository_id]
        pusher = self._pusher(push, repository)
        if ZERO_SHA in {push.before, push.after}:
            event = "create" if push.before == ZERO_SHA else "delete"
            if self._wanted(event, repository):
                self._tell(event, payloads.ref_change(self._context, push, repository, pusher), repository)
        if self._wanted("push", repository):
            facts = await self._facts(push, repository)
            self._tell("push", payloads.push(self._context, push, repository, pusher, facts), repository)

    async def ping(self, hook: Hook, sender: Account) -> None:
        """Send a hook its ping."""
        self._to_hook("ping", payloads.hook_ping(self._context, hook, sender), hook)

    async def test_push(self, hook: Hook, sender: Account) -> None:
        """Send one hook the push event of the default branch's newest commit, if it wants pushes at all."""
        repository = self._world.repositories[hook.repository_id]
        head = await self._store.commit(repository, "HEAD", files=False)
        if head is None or not _listens(hook.events, "push"):
            return
        ref, before = f"refs/heads/{repository.default_branch}", head.parents[0] if head.parents else ZERO_SHA
        push = Push(repository.id, ref, before, head.sha, sender.id)
        facts = await self._facts(push, repository)
        self._to_hook("push", payloads.push(self._context, push, repository, sender, facts), hook)

    async def repository(
        self, action: str, repository: Repository, sender: Account, changes: dict[str, object]
    ) -> None:
        """Tell of created, deleted, renamed, transferred, privatized, publicized, archived, unarchived, edited."""
        payload = payloads.repository_event(self._context, action, repository, sender, changes)
        self._tell("repository", payload, repository)

    async def installation(self, action: str, installation: Installation, sender: Account) -> None:
        """Tell of created, deleted, suspend, unsuspend, new_permissions_accepted; every App hears this of itself."""
        covered = self._world.covered(installation)
        payload = payloads.installation_event(self._context, action, installation, covered, sender)
        self._to_app("installation", payload, installation)

    async def installation_repositories(
        self, action: str, installation: Installation, changed: Sequence[Repository], sender: Account
    ) -> None:
        """Tell of repositories that were added to or removed from an installation."""
        payload = payloads.installation_repositories(self._context, action, installation, changed, sender)
        self._to_app("installation_repositories", payload, installation)

    async def installation_target(self, installation: Installation, former_login: str, sender: Account) -> None:
        """Tell an App that an account that it is on has another login; every App hears this."""
        payload = payloads.installation_target(self._context, installation, former_login, sender)
        self._to_app("installation_target", payload, installation)

    # Who wants it

    def _wanted(self, event: str, repository: Repository) -> bool:
        """Tell whether anybody listens, before a body is made for nobody."""
        return any(self._hooks(event, repository)) or any(self._apps(event, repository))

    def _hooks(self, event: str, repository: Repository) -> Iterator[Hook]:
        return (hook for hook in self._world.hooks_of(repository) if hook.active and _listens(hook.events, event))

    def _apps(self, event: str, repository: Repository) -> Iterator[tuple[App, Installation]]:
        for installation in self._world.installations_covering(repository):
            app = self._world.apps[installation.app_id]
            listens = app.webhook_active and installation.suspended_at is None and event in installation.events
            if listens and covers(installation.permissions.get(NEEDED[event]), "read"):
                yield app, installation

    # Sending

    def _tell(self, event: str, payload: Payload, repository: Repository) -> None:
        """Send an event of a repository to every hook that wants it, each under its own GUID."""
        for hook in self._hooks(event, repository):
            self._to_hook(event, payload, hook)
        for app, installation in self._apps(event, repository):
            whole = {**payload, "installation": payloads.installation_reference(installation)}
            self._contract.check(event, whole)
            self._deliverer.send(event, whole, app=app, installation_id=installation.id, repository_id=repository.id)

    def _to_hook(self, event: str, payload: Payload, hook: Hook) -> None:
        self._contract.check(event, payload)
        self._deliverer.send(event, payload, hook=hook, repository_id=hook.repository_id)

    def _to_app(self, event: str, payload: Payload, installation: Installation) -> None:
        app = self._world.apps[installation.app_id]
        if app.webhook_active:
            self._contract.check(event, payload)
            self._deliverer.send(event, payload, app=app, installation_id=installation.id)

    # What git knows

    def _pusher(self, push: Push, repository: Repository) -> Account:
        return self._world.accounts.get(push.pusher_id) or self._world.owner(repository)

    async def _facts(self, push: Push, repository: Repository) -> PushFacts:
        if push.after == ZERO_SHA:
            return PushFacts(commits=(), distinct=frozenset(), head=None, forced=False, base_ref=None)
        after = await self._store.resolve(repository, push.after)
        if after is None:
            # A tag on something that is no commit.
            return PushFacts(commits=(), distinct=frozenset(), head=None, forced=False, base_ref=None)
        before = await self._store.resolve(repository, push.before) or ZERO_SHA
        commits = await self._store.pushed(repository, push.ref, before, after)
        moved = ZERO_SHA not in {push.before, push.after}
        return PushFacts(
            commits=commits,
            distinct=frozenset(await self._store.distinct(repository, push.ref, after)),
            head=await self._head(repository, after),
            forced=moved and not await self._store.is_ancestor(repository, before, after),
            base_ref=await self._base_ref(push, repository, after) if push.before == ZERO_SHA else None,
        )

    async def _head(self, repository: Repository, sha: str) -> tuple[GitCommit, PushedCommit] | None:
        found = await self._store.commit(repository, sha)
        if found is None:
            return None
        lists = PushedCommit(sha)
        for file in found.files:
            if file.status == "renamed":
                lists.removed.append(file.previous_path or "")
            where = {"added": lists.added, "renamed": lists.added, "removed": lists.removed}
            where.get(file.status, lists.modified).append(file.path)
        return found, lists

    async def _base_ref(self, push: Push, repository: Repository, after: str) -> str | None:
        """Return the branch that a new ref starts from, the default branch first."""
        default = f"refs/heads/{repository.default_branch}"
        refs = await self._store.refs(repository)
        same = [ref for ref, sha in refs.items() if sha == after and ref.startswith("refs/heads/") and ref != push.ref]
        return min(same, key=lambda ref: (ref != default, ref), default=None)


def _listens(events: Sequence[str], event: str) -> bool:
    return "*" in events or event in events

"""What people do in GitHub's web interface and no API offers: the control API does it in their name, with events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.github import seed, shapes
from lab.github.context import Context
from lab.github.gitstore import GitStore
from lab.github.model import ZERO_SHA, Account, App, Installation, Push, Repository
from lab.github.seed import ConflictError, MissingError
from lab.github.seed_document import FullName, Login, RepositoryName

PermissionMap = dict[str, Literal["read", "write", "admin"]]


class Request(BaseModel):
    """What every request may say: in whose name. Unset: the owner's own (of an organisation, its first admin's)."""

    model_config = ConfigDict(extra="forbid")
    by: Login | None = None


class Install(Request):
    """Put an App on an account."""

    app: str
    account: Login
    repositories: Literal["all"] | list[RepositoryName] = "all"


class Accept(Request):
    """Accept other permissions and events than an installation had."""

    permissions: PermissionMap
    events: list[str] | None = None


class Select(Request):
    """Change which repositories an installation reaches."""

    selection: Literal["all", "selected"] | None = None
    add: list[RepositoryName] = []
    remove: list[RepositoryName] = []


class Rename(Request):
    """Rename a repository."""

    name: RepositoryName


class RenameAccount(Request):
    """Rename a user or an organisation."""

    login: Login


class Transfer(Request):
    """Give a repository to another account."""

    owner: Login


class Edit(Request):
    """Edit a repository."""

    default_branch: str | None = None
    description: str | None = None


class PushRequest(BaseModel):
    """Commit files on a branch in a person's name; null removes a file, a parent makes it a forced push."""

    model_config = ConfigDict(extra="forbid")
    repository: FullName
    user: Login
    branch: str | None = None
    files: dict[str, str | None] = {}
    message: Annotated[str, Field(min_length=1)] = "Update"
    parent: str | None = None
    delete: bool = False


class Owner:
    """Acts on the world and tells of it."""

    def __init__(self, context: Context, store: GitStore) -> None:
        self._context = context
        self._world = context.world
        self._store = store

    # Look-ups

    def installation(self, number: int) -> Installation:
        """Find an installation by its id."""
        found = self._world.installations.get(number)
        if found is None:
            raise MissingError(f"there is no installation {number}")
        return found

    def repository(self, number: int) -> Repository:
        """Find a repository by its id."""
        found = self._world.repositories.get(number)
        if found is None:
            raise MissingError(f"there is no repository {number}")
        return found

    def account(self, login: str) -> Account:
        """Find an account by its login."""
        found = self._world.account(login)
        if found is None:
            raise MissingError(f"there is no user or organisation {login!r}")
        return found

    def app(self, slug: str) -> App:
        """Find an App by its slug."""
        for app in self._world.apps.values():
            if app.slug == slug:
                return app
        raise MissingError(f"there is no App {slug!r}")

    def _named(self, account: Account, names: Sequence[str]) -> list[Repository]:
        found = []
        for name in names:
            repository = self._world.repository(account.login, name)
            if repository is None:
                raise MissingError(f"there is no repository {account.login}/{name}")
            found.append(repository)
        return found

    def _actor(self, account: Account, request: Request) -> Account:
        if request.by is not None:
            return self.account(request.by)
        admins = [number for number, role in account.members.items() if role == "admin"]
        return self._world.accounts[admins[0]] if admins else account

    # Installations

    async def install(self, request: Install) -> Installation:
        """Put an App on an account, as its owner does from the App's page."""
        app, account = self.app(request.app), self.account(request.account)
        if self._world.installation_of(app, account) is not None:
            raise ConflictError(f"App {app.slug!r} is on {account.login!r} already")
        chosen = [] if request.repositories == "all" else self._named(account, request.repositories)
        installation = seed.make_installation(self._context, app, account)
        installation.repository_selection = "all" if request.repositories == "all" else "selected"
        installation.repository_ids = {repository.id for repository in chosen}
        await self._context.events.installation("created", installation, self._actor(account, request))
        return installation

    async def suspend(self, installation: Installation, request: Request) -> None:
        """Suspend an installation."""
        actor = self._actor(self._world.accounts[installation.account_id], request)
        installation.suspended_at, installation.suspended_by = self._world.clock.now(), actor.id
        await self._changed("suspend", installation, actor)

    async def unsuspend(self, installation: Installation, request: Request) -> None:
        """End the suspension of an installation."""
        actor = self._actor(self._world.accounts[installation.account_id], request)
        installation.suspended_at = installation.suspended_by = None
        await self._changed("unsuspend", installation, actor)

    async def uninstall(self, installation: Installation, request: Request) -> None:
        """Remove an App from an account; its tokens die with it."""
        actor = self._actor(self._world.accounts[installation.account_id], request)
        await self._context.events.installation("deleted", installation, actor)
        self._world.forget_installation(installation)

    async def accept(self, installation: Installation, request: Accept) -> None:
        """Accept new permissions for an installation."""
        installation.permissions = {"metadata": "read", **request.permissions}
        if request.events is not None:
            installation.events = list(request.events)
        actor = self._actor(self._world.accounts[installation.account_id], request)
        await self._changed("new_permissions_accepted", installation, actor)

    async def _changed(self, action: str, installation: Installation, actor: Account) -> None:
        installation.updated_at = self._world.clock.now()
        await self._context.events.installation(action, installation, actor)

    async def select(self, installation: Installation, request: Select) -> None:
        """Change the repositories of an installation."""
        account = self._world.accounts[installation.account_id]
        before = self._world.covered(installation)
        added, removed = self._named(account, request.add), self._named(account, request.remove)
        if request.selection == "all":
            installation.repository_selection, installation.repository_ids = "all", set()
        elif request.selection == "selected" and installation.repository_selection == "all":
            installation.repository_selection, installation.repository_ids = "selected", set()
        if installation.repository_selection == "selected":
            installation.repository_ids |= {repository.id for repository in added}
            installation.repository_ids -= {repository.id for repository in removed}
        installation.updated_at = self._world.clock.now()
        after = self._world.covered(installation)
        actor = self._actor(account, request)
        await self._reach("added", installation, [r for r in after if r not in before], actor)
        await self._reach("removed", installation, [r for r in before if r not in after], actor)

    async def _reach(
        self, action: str, installation: Installation, changed: Sequence[Repository], actor: Account
    ) -> None:
        if changed:
            await self._context.events.installation_repositories(action, installation, changed, actor)

    # Accounts

    async def rename_account(self, account: Account, request: RenameAccount) -> None:
        """Rename an account: ids, installations and tokens stay; Apps on it are told."""
        holder, former = self._world.account(request.login), account.login
        if holder is not None and holder is not account:
            raise ConflictError(f"login {request.login!r} is taken")
        self._world.rename_account(account, request.login)
        actor = self._actor(account, request)
        for installation in self._installations_on(account):
            await self._context.events.installation_target(installation, former, actor)

    async def delete_account(self, account: Account, request: Request) -> None:
        """Delete an account with its installations and repositories; whoever takes the login has another id."""
        apps = sorted(app.slug for app in self._world.apps.values() if account.id in {app.owner_id, app.bot_id})
        if apps:
            raise ConflictError(f"{account.login!r} owns App {apps[0]!r}: on GitHub it would be transferred first")
        for installation in self._installations_on(account):
            await self.uninstall(installation, request)
        for repository in self._world.repositories_of(account):
            await self.delete(repository, request)
        self._world.remove_account(account)

    def _installations_on(self, account: Account) -> list[Installation]:
        return [found for found in self._world.installations.values() if found.account_id == account.id]

    def account_by_id(self, number: int) -> Account:
        """Find an account by its id."""
        found = self._world.accounts.get(number)
        if found is None:
            raise MissingError(f"there is no account {number}")
        return found

    # Repositories

    async def rename(self, repository: Repository, request: Rename) -> None:
        """Rename a repository."""
        former, owner = repository.name, self._world.owner(repository)
        self._free(owner, request.name)
        self._world.move_repository(repository, owner_id=owner.id, name=request.name)
        changes: dict[str, object] = {"repository": {"name": {"from": former}}}
        await self._told("renamed", repository, self._actor(owner, request), changes)

    async def transfer(self, repository: Repository, request: Transfer) -> None:
        """Give a repository to another account: installations there and here notice."""
        former, owner = self._world.owner(repository), self.account(request.owner)
        actor = self._actor(former, request)
        self._free(owner, repository.name)
        losing = list(self._world.installations_covering(repository))
        self._world.move_repository(repository, owner_id=owner.id, name=repository.name)
        for installation in losing:
            installation.repository_ids.discard(repository.id)
            await self._reach("removed", installation, [repository], actor)
        changes: dict[str, object] = {"owner": {"from": {"user": shapes.user(self._context, former)}}}
        await self._told("transferred", repository, actor, changes)
        for installation in list(self._world.installations_covering(repository)):
            await self._reach("added", installation, [repository], actor)

    async def delete(self, repository: Repository, request: Request) -> None:
        """Delete a repository."""
        actor = self._actor(self._world.owner(repository), request)
        await self._context.events.repository("deleted", repository, actor, {})
        for installation in list(self._world.installations_covering(repository)):
            await self._reach("removed", installation, [repository], actor)
        self._world.remove_repository(repository)
        await self._store.remove(repository)

    async def set_private(self, repository: Repository, request: Request, *, private: bool) -> None:
        """Make a repository private or public."""
        repository.private = private
        await self._told("privatized" if private else "publicized", repository, self._owners(repository, request), {})

    async def set_archived(self, repository: Repository, request: Request, *, archived: bool) -> None:
        """Make a repository read-only, or not."""
        repository.archived = archived
        await self._told("archived" if archived else "unarchived", repository, self._owners(repository, request), {})

    async def edit(self, repository: Repository, request: Edit) -> None:
        """Edit a repository's default branch or description."""
        changes: dict[str, object] = {}
        if request.default_branch is not None:
            if await self._store.branch(repository, request.default_branch) is None:
                raise MissingError(f"{self._world.full_name(repository)} has no branch {request.default_branch!r}")
            changes["default_branch"] = {"from": repository.default_branch}
            repository.default_branch = request.default_branch
            self._store.write_head(repository)
        if request.description is not None:
            changes["description"] = {"from": repository.description}
            repository.description = request.description
        await self._told("edited", repository, self._owners(repository, request), changes)

    def _free(self, owner: Account, name: str) -> None:
        if self._world.repository(owner.login, name) is not None:
            raise ConflictError(f"{owner.login}/{name} is there already")

    def _owners(self, repository: Repository, request: Request) -> Account:
        return self._actor(self._world.owner(repository), request)

    async def _told(self, action: str, repository: Repository, actor: Account, changes: dict[str, object]) -> None:
        repository.updated_at = self._world.clock.now()
        await self._context.events.repository(action, repository, actor, changes)

    # Pushes

    async def push(self, request: PushRequest) -> dict[str, str]:
        """Commit, or delete a branch, as `git push` by a person would."""
        owner, _, name = request.repository.partition("/")
        (repository,) = self._named(self.account(owner), [name])
        person = self.account(request.user)
        branch = request.branch or repository.default_branch
        if request.delete:
            before, after = await self._store.set_branch(repository, branch, None)
        elif not request.files:
            raise ValueError("a push needs files (or delete: true)")
        else:
            changes = {path: None if text is None else text.encode() for path, text in request.files.items()}
            author = seed.signature(person, self._world.clock.now())
            before, after = await self._store.write(
                repository, branch, changes, message=request.message, author=author, parent=request.parent
            )
        if before == after == ZERO_SHA:
            raise MissingError(f"{request.repository} has no branch {branch!r}")
        repository.pushed_at = repository.updated_at = self._world.clock.now()
        await self._context.events.push(Push(repository.id, f"refs/heads/{branch}", before, after, person.id))
        return {"ref": f"refs/heads/{branch}", "before": before, "after": after}

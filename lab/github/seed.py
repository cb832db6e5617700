"""Makes accounts, Apps, installations, repositories and tokens from one document: the world as a test wants to find it.

Seeding sends no events: it says how things are, not what happens. What is there already under the same name is kept as
it is and told again; only a contradiction (another id, another type) is refused.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.github import tokens
from lab.github.context import Context, Signature
from lab.github.gitstore import GitStore
from lab.github.model import Account, App, Credential, Hook, Installation, Repository
from lab.github.seed_document import (
    AppSeed,
    CountedSeed,
    Document,
    HookSeed,
    InstallationSeed,
    OrganizationSeed,
    RepositorySeed,
    TokenSeed,
    UserSeed,
)

Counted = TypeVar("Counted", bound=CountedSeed)

KEY_BITS = 2048


class ConflictError(Exception):
    """The document contradicts what is there."""


class MissingError(LookupError):
    """The document names what is not there."""


async def apply(context: Context, store: GitStore, document: Document) -> dict[str, Any]:
    """Make what the document asks for and tell its ids, and secrets that the lab made."""
    seeder = _Seeder(context, store)
    return {
        "users": {seed.login: seeder.user(seed) for seed in _each(document.users)},
        "organizations": {seed.login: seeder.organization(seed) for seed in _each(document.organizations)},
        "apps": {seed.slug: seeder.app(seed) for seed in document.apps},
        "repositories": await seeder.repositories(_each(document.repositories)),
        "installations": [seeder.installation(seed) for seed in _each(document.installations)],
        "tokens": {seed.name: seeder.token(seed) for seed in document.tokens},
    }


def _each(seeds: Iterable[Counted]) -> Iterator[Counted]:
    return itertools.chain.from_iterable(seed.each() for seed in seeds)


class _Seeder:
    def __init__(self, context: Context, store: GitStore) -> None:
        self._context = context
        self._git = store
        self._world = context.world
        self._now = context.world.clock.now()

    # Look-ups that say what is missing

    def account(self, login: str) -> Account:
        found = self._world.account(login)
        if found is None:
            raise MissingError(f"there is no user or organisation {login!r}: seed it first")
        return found

    def known_app(self, slug: str) -> App:
        for app in self._world.apps.values():
            if app.slug == slug:
                return app
        raise MissingError(f"there is no App {slug!r}: seed it first")

    def known_repository(self, full_name: str) -> Repository:
        owner, _, name = full_name.partition("/")
        found = self._world.repository(owner, name)
        if found is None:
            raise MissingError(f"there is no repository {full_name!r}: seed it first")
        return found

    def _id(self, wanted: int | None, what: str) -> int:
        if wanted is None:
            return self._world.new_id()
        records = (self._world.accounts, self._world.repositories, self._world.apps, self._world.installations)
        if any(wanted in kept for kept in records):
            raise ConflictError(f"id {wanted}, wanted for {what}, is taken")
        self._world.reserve_id(wanted)
        return wanted

    # Accounts

    def user(self, seed: UserSeed) -> dict[str, Any]:
        account = self._account(seed.login, "User", seed.id, seed.name)
        account.email, account.site_admin = seed.email or account.email, seed.site_admin or account.site_admin
        return {"id": account.id}

    def organization(self, seed: OrganizationSeed) -> dict[str, Any]:
        account = self._account(seed.login, "Organization", seed.id, seed.name)
        for login, role in seed.members.items():
            account.members[self.account(login).id] = role
        return {"id": account.id}

    def _account(
        self, login: str, kind: Literal["User", "Organization"], wanted: int | None, name: str | None
    ) -> Account:
        found = self._world.account(login)
        if found is None:
            number = self._id(wanted, login)
            return self._world.add_account(Account(number, login, kind, created_at=self._now, name=name))
        if found.type != kind or wanted not in {None, found.id}:
            raise ConflictError(f"{login!r} is there already as {found.type} {found.id}")
        return found

    # Apps

    def app(self, seed: AppSeed) -> dict[str, Any]:
        existing = next((app for app in self._world.apps.values() if app.slug == seed.slug), None)
        if existing is not None:
            if seed.id not in {None, existing.id}:
                raise ConflictError(f"App {seed.slug!r} is there already with id {existing.id}")
            return _told(existing)
        private, public = (None, seed.public_key) if seed.public_key is not None else new_key()
        number = self._id(seed.id, seed.slug)
        app = App(
            id=number,
            slug=seed.slug,
            name=seed.name or seed.slug,
            owner_id=self.account(seed.owner).id,
            client_id=seed.client_id or f"Iv23{secrets.token_hex(8)}",
            client_secret=seed.client_secret or secrets.token_hex(20),
            created_at=self._now,
            updated_at=self._now,
            public_keys=[public],
            permissions={"metadata": "read", **seed.permissions},
            events=list(seed.events),
        )
        if seed.webhook is not None:
            app.webhook_url, app.webhook_secret = seed.webhook.url, seed.webhook.secret
            app.webhook_active, app.webhook_insecure_ssl = seed.webhook.active, seed.webhook.insecure_ssl
        self._world.apps[number] = app
        return _told(app) if private is None else {**_told(app), "private_key": private}

    def installation(self, seed: InstallationSeed) -> dict[str, Any]:
        app, account = self.known_app(seed.app), self.account(seed.account)
        found = self._world.installation_of(app, account)
        if found is None:
            number = self._id(seed.id, f"{seed.app} on {seed.account}")
            found = make_installation(self._context, app, account, number=number)
            names = [] if seed.repositories == "all" else seed.repositories
            found.repository_selection = "all" if seed.repositories == "all" else "selected"
            found.repository_ids = {self.known_repository(f"{seed.account}/{name}").id for name in names}
            found.permissions = dict(app.permissions if seed.permissions is None else seed.permissions)
            found.events = list(app.events if seed.events is None else seed.events)
            found.suspended_at = self._now if seed.suspended else None
            found.token_form = seed.token_form
        elif seed.id not in {None, found.id}:
            raise ConflictError(f"App {seed.app!r} is on {seed.account!r} already, as installation {found.id}")
        return {"id": found.id, "app": app.slug, "account": account.login}

    # Repositories

    async def repositories(self, seeds: Iterable[RepositorySeed]) -> dict[str, Any]:
        answers = {}
        for seed in seeds:
            answers[f"{seed.owner}/{seed.name}"] = await self._repository(seed)
        return answers

    async def _repository(self, seed: RepositorySeed) -> dict[str, Any]:
        owner, name = self.account(seed.owner), seed.name
        found = self._world.repository(owner.login, name)
        if found is None:
            found = await self._new_repository(seed, owner, name)
        elif seed.id not in {None, found.id}:
            raise ConflictError(f"{owner.login}/{name} is there already with id {found.id}")
        head = await self._git.branch(found, found.default_branch)
        hooks = [hook.id for hook in self._world.hooks_of(found)] if seed.hooks else []
        return {"id": found.id, "head": head, "hooks": hooks}

    async def _new_repository(self, seed: RepositorySeed, owner: Account, name: str) -> Repository:
        parent = None if seed.fork_of is None else self.known_repository(seed.fork_of)
        repository = Repository(
            id=self._id(seed.id, f"{owner.login}/{name}"),
            owner_id=owner.id,
            name=name,
            created_at=self._now,
            updated_at=self._now,
            pushed_at=self._now,
            private=seed.private,
            default_branch=seed.default_branch,
            description=seed.description,
            archived=seed.archived,
            is_template=seed.is_template,
            fork_of=None if parent is None else parent.id,
            collaborators={self.account(login).id: access for login, access in seed.collaborators.items()},
        )
        self._world.add_repository(repository)
        if parent is None:
            await self._git.create(repository)
        else:
            await self._git.fork(parent, repository)
        await self._fill(repository, owner, seed)
        self._git.history.forget(repository)
        for hook in seed.hooks:
            self._hook(repository, hook)
        return repository

    async def _fill(self, repository: Repository, owner: Account, seed: RepositorySeed) -> None:
        author = signature(owner, self._now)
        git = self._git
        if seed.files:
            changes = _encoded(seed.files)
            await git.write(repository, repository.default_branch, changes, message="Initial commit", author=author)
        for branch, files in seed.branches.items():
            base = await git.branch(repository, repository.default_branch)
            if files:
                message = f"Start {branch}"
                await git.write(repository, branch, _encoded(files), message=message, author=author, parent=base)
            elif base is not None:
                await git.set_branch(repository, branch, base)

    def _hook(self, repository: Repository, seed: HookSeed) -> None:
        hook = Hook(
            id=self._world.new_id(),
            repository_id=repository.id,
            created_at=self._now,
            updated_at=self._now,
            **seed.model_dump(),
        )
        self._world.hooks[hook.id] = hook

    # Tokens

    def token(self, seed: TokenSeed) -> dict[str, Any]:
        existing = next((known for known in self._world.credentials() if known.id == seed.name), None)
        if existing is None:
            existing = self._new_token(seed)
        elif existing.kind != seed.kind or seed.value not in {None, existing.value}:
            raise ConflictError(f"token {seed.name!r} is there already, as another")
        expires = None if existing.expires_at is None else existing.expires_at.isoformat()
        return {"id": existing.id, "kind": existing.kind, "value": existing.value, "expires_at": expires}

    def _new_token(self, seed: TokenSeed) -> Credential:
        installation = self._installation_of(seed)
        expires = None if seed.expires_in is None else self._now + timedelta(seconds=seed.expires_in)
        if installation is not None and expires is None:
            expires = self._now + self._world.token_lifetime
        value = seed.value or _value(seed, installation, expires)
        if self._world.credential(value) is not None:
            raise ConflictError(f"the value of token {seed.name!r} belongs to another token")
        granted = seed.permissions or ({} if installation is None else installation.permissions)
        names = seed.repositories
        credential = Credential(
            id=seed.name,
            kind=seed.kind,
            value=value,
            created_at=self._now,
            user_id=None if seed.user is None else self.account(seed.user).id,
            installation_id=None if installation is None else installation.id,
            app_id=None if installation is None else installation.app_id,
            scopes=list(seed.scopes),
            permissions={"metadata": "read", **granted} if seed.kind != "classic" else {},
            repository_ids=None if names is None else {self.known_repository(name).id for name in names},
            owner_id=self.account(seed.owner or seed.user).id if seed.kind == "fine-grained" and seed.user else None,
            expires_at=expires,
        )
        return self._world.add_credential(credential)

    def _installation_of(self, seed: TokenSeed) -> Installation | None:
        if seed.kind != "installation" or seed.app is None or seed.account is None:
            return None
        found = self._world.installation_of(self.known_app(seed.app), self.account(seed.account))
        if found is None:
            raise MissingError(f"App {seed.app!r} is not installed on {seed.account!r}: seed the installation first")
        return found


def make_installation(context: Context, app: App, account: Account, *, number: int | None = None) -> Installation:
    """Put an App on an account, for all repositories and with all that the App asks for."""
    now = context.world.clock.now()
    installation = Installation(
        id=context.world.new_id() if number is None else number,
        app_id=app.id,
        account_id=account.id,
        created_at=now,
        updated_at=now,
        permissions=dict(app.permissions),
        events=list(app.events),
    )
    return context.world.add_installation(installation)


def new_key() -> tuple[str, str]:
    """Return a fresh RSA key as (private, public) PEM; GitHub gives private keys in the older PKCS #1 form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def signature(account: Account, at: datetime) -> Signature:
    """Return how an account signs its commits."""
    return Signature(account.name or account.login, account.email or f"{account.login}@users.noreply.lab", at)


def _encoded(files: Mapping[str, str]) -> dict[str, bytes | None]:
    return {path: text.encode() for path, text in files.items()}


def _told(app: App) -> dict[str, Any]:
    return {"id": app.id, "slug": app.slug, "client_id": app.client_id, "client_secret": app.client_secret}


def _value(seed: TokenSeed, installation: Installation | None, expires: datetime | None) -> str:
    if installation is None:
        return tokens.classic() if seed.kind == "classic" else tokens.fine_grained()
    if seed.form == "jwt" and expires is not None:
        return tokens.installation_jwt(installation.app_id, installation.id, expires)
    return tokens.installation()

"""The one place where the lab's GitHub keeps its records, and the only way to find them.

It knows no HTTP. Names are compared without regard to case, as GitHub does. Lists are kept in the order of their ids.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from lab.github.model import (
    Account,
    Addresses,
    App,
    CommitStatus,
    Credential,
    Delivery,
    Hook,
    Installation,
    Repository,
)

# How many delivery attempts are kept; GitHub itself forgets them after a few days.
KEPT_DELIVERIES = 20_000
# Past this many, installation tokens that are over are let go: a client then hears the same as of one never made.
KEPT_CREDENTIALS = 50_000
# How long an installation token lives on GitHub.
TOKEN_LIFETIME = timedelta(hours=1)


class LabClock:
    """The time on the lab's GitHub: the machine's, moved by what the control API asked for."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the lab's time, in UTC."""
        return datetime.now(UTC) + self.offset

    def advance(self, by: timedelta) -> None:
        """Move the clock, forwards or back."""
        self.offset += by


class World:
    """Accounts, repositories, Apps and all that hangs on them."""

    def __init__(self, addresses: Addresses, clock: LabClock) -> None:
        self.addresses = addresses
        self.clock = clock
        self._ids = itertools.count(1001)
        self.accounts: dict[int, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.hooks: dict[int, Hook] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.statuses: dict[int, CommitStatus] = {}
        self._credentials: dict[str, Credential] = {}
        self._logins: dict[str, int] = {}
        # Logins that accounts had before: repositories are found under them until somebody takes the login.
        self._former_logins: dict[str, int] = {}
        # Installations by App and account: there is one at most.
        self._installed: dict[tuple[int, int], Installation] = {}
        # How long installation tokens that are made from now on live.
        self.token_lifetime = TOKEN_LIFETIME
        self._names: dict[tuple[int, str], int] = {}
        # How many forks each repository has, by its id.
        self.forks: Counter[int] = Counter()
        self._credential_numbers: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))

    def new_id(self) -> int:
        """Return a number that no record has had."""
        return next(self._ids)

    def reserve_id(self, wanted: int) -> None:
        """Keep automatic ids above one that a seed document chose."""
        following = next(self._ids)
        self._ids = itertools.count(max(following, wanted + 1))

    def clear(self) -> None:
        """Forget everything but the addresses; ids go on, so that none is ever used twice."""
        kept = (self.accounts, self.repositories, self.apps, self.installations, self.hooks, self.deliveries)
        for records in (*kept, self.statuses, self._credentials, self._logins, self._names, self._credential_numbers):
            records.clear()
        self._former_logins.clear()
        self._installed.clear()
        self.forks.clear()
        self.token_lifetime = TOKEN_LIFETIME
        self.clock.offset = timedelta(0)

    # Accounts

    def add_account(self, account: Account) -> Account:
        """Keep an account; its login must be free."""
        key = account.login.casefold()
        if key in self._logins:
            raise ValueError(f"login {account.login!r} is taken")
        self.accounts[account.id] = account
        self._logins[key] = account.id
        return account

    def account(self, login: str) -> Account | None:
        """Find an account by its login."""
        found = self._logins.get(login.casefold())
        return None if found is None else self.accounts[found]

    def rename_account(self, account: Account, login: str) -> None:
        """Give an account another login, which must be free; the former one is free then."""
        former = account.login.casefold()
        if self._logins.get(login.casefold()) not in {None, account.id}:
            raise ValueError(f"login {login!r} is taken")
        del self._logins[former]
        self._former_logins[former] = account.id
        account.login = login
        self._logins[login.casefold()] = account.id

    def remove_account(self, account: Account) -> None:
        """Forget an account that has neither repositories nor Apps any more; its login is free again, its id never."""
        del self.accounts[account.id]
        del self._logins[account.login.casefold()]
        self._former_logins = {login: owner for login, owner in self._former_logins.items() if owner != account.id}
        self.statuses = {i: s for i, s in self.statuses.items() if s.creator_id != account.id}
        for other in self.accounts.values():
            other.members.pop(account.id, None)
        for repository in self.repositories.values():
            repository.collaborators.pop(account.id, None)

    # Repositories

    def add_repository(self, repository: Repository) -> Repository:
        """Keep a repository; its name must be free under its owner."""
        key = (repository.owner_id, repository.name.casefold())
        if key in self._names:
            raise ValueError(f"repository {self.full_name(repository)!r} exists")
        self.repositories[repository.id] = repository
        self._names[key] = repository.id
        if repository.fork_of is not None:
            self.forks[repository.fork_of] += 1
        return repository

    def repository(self, owner: str, name: str) -> Repository | None:
        """Find a repository by its present name only; `moved` knows former ones."""
        account = self.account(owner)
        if account is None:
            return None
        found = self._names.get((account.id, name.casefold()))
        return None if found is None else self.repositories[found]

    def moved(self, owner: str, name: str) -> Repository | None:
        """Find a repository by a name that it had before and that nobody has taken since."""
        account = self.account(owner)
        if account is None:
            return self._of_former_login(owner, name)
        if (account.id, name.casefold()) in self._names:
            return None
        return self._formerly(account, name)

    def _of_former_login(self, login: str, name: str) -> Repository | None:
        account = self.accounts.get(self._former_logins.get(login.casefold(), 0))
        if account is None:
            return None
        return self.repository(account.login, name) or self._formerly(account, name)

    def _formerly(self, account: Account, name: str) -> Repository | None:
        former = (account.id, name.casefold())
        return next(
            (r for r in self.repositories.values() if former in [(o, n.casefold()) for o, n in r.former_names]), None
        )

    def move_repository(self, repository: Repository, *, owner_id: int, name: str) -> None:
        """Rename or transfer a repository; its id, and what hangs on it, stay."""
        del self._names[repository.owner_id, repository.name.casefold()]
        repository.former_names.append((repository.owner_id, repository.name))
        repository.owner_id, repository.name = owner_id, name
        self._names[owner_id, name.casefold()] = repository.id

    def remove_repository(self, repository: Repository) -> None:
        """Forget a repository, its hooks and its statuses; its name is free again."""
        del self.repositories[repository.id]
        del self._names[repository.owner_id, repository.name.casefold()]
        if repository.fork_of is not None:
            self.forks[repository.fork_of] -= 1
        self.hooks = {i: h for i, h in self.hooks.items() if h.repository_id != repository.id}
        self.statuses = {i: s for i, s in self.statuses.items() if s.repository_id != repository.id}
        for installation in self.installations.values():
            installation.repository_ids.discard(repository.id)

    def owner(self, repository: Repository) -> Account:
        """Return the account that owns a repository."""
        return self.accounts[repository.owner_id]

    def full_name(self, repository: Repository) -> str:
        """Return owner/name as it is now."""
        return f"{self.owner(repository).login}/{repository.name}"

    def repositories_of(self, account: Account) -> list[Repository]:
        """Return the repositories that an account owns."""
        return [r for r in self.repositories.values() if r.owner_id == account.id]

    # Apps and installations

    def installation_of(self, app: App, account: Account) -> Installation | None:
        """Return an App's installation on an account: there is one at most."""
        return self._installed.get((app.id, account.id))

    def add_installation(self, installation: Installation) -> Installation:
        """Keep an installation; its App must not be on that account yet."""
        key = (installation.app_id, installation.account_id)
        if key in self._installed:
            raise ValueError(f"App {installation.app_id} is on account {installation.account_id} already")
        self.installations[installation.id] = self._installed[key] = installation
        return installation

    def covers(self, installation: Installation, repository: Repository) -> bool:
        """Tell whether an installation reaches a repository at all, permissions apart."""
        if repository.owner_id != installation.account_id:
            return False
        return installation.repository_selection == "all" or repository.id in installation.repository_ids

    def covered(self, installation: Installation) -> list[Repository]:
        """Return the repositories that an installation reaches."""
        return [r for r in self.repositories.values() if self.covers(installation, r)]

    def installations_covering(self, repository: Repository) -> Iterator[Installation]:
        """Return every installation that reaches a repository."""
        return (i for i in self.installations.values() if self.covers(i, repository))

    # Credentials

    def credential_name(self, kind: str) -> str:
        """Return a fresh public name for a credential, for the journal."""
        return f"{kind}-{next(self._credential_numbers[kind])}"

    def add_credential(self, credential: Credential) -> Credential:
        """Keep a credential, found by its secret value from now on."""
        if len(self._credentials) >= KEPT_CREDENTIALS:
            self._let_go_of_tokens()
        credential.origin = self.addresses.web
        self._credentials[credential.value] = credential
        return credential

    def _let_go_of_tokens(self) -> None:
        now = self.clock.now()
        for credential in list(self._credentials.values()):
            over = credential.revoked_at is not None or (
                credential.expires_at is not None and credential.expires_at <= now
            )
            if over and credential.kind == "installation":
                del self._credentials[credential.value]

    def credential(self, value: str) -> Credential | None:
        """Find a credential by its secret value, also one that expired or was revoked."""
        return self._credentials.get(value)

    def credentials(self) -> Iterable[Credential]:
        """Return every credential that was ever made."""
        return self._credentials.values()

    def forget_installation(self, installation: Installation) -> None:
        """Remove an installation and revoke its tokens."""
        del self.installations[installation.id]
        del self._installed[installation.app_id, installation.account_id]
        now = self.clock.now()
        for credential in self._credentials.values():
            if credential.installation_id == installation.id and credential.revoked_at is None:
                credential.revoked_at = now

    # Hooks and deliveries

    def hooks_of(self, repository: Repository) -> list[Hook]:
        """Return the webhooks of a repository."""
        return [h for h in self.hooks.values() if h.repository_id == repository.id]

    def add_delivery(self, delivery: Delivery) -> Delivery:
        """Keep an attempt, and let go of the oldest past the limit."""
        self.deliveries[delivery.id] = delivery
        while len(self.deliveries) > KEPT_DELIVERIES:
            del self.deliveries[next(iter(self.deliveries))]
        return delivery

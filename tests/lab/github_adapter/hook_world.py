"""A repository with a hook, tokens of all rights, and deliveries of long ago and of now."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lab.github.model import Delivery
from mooring.domain.webhooks.hooking import HookWish
from mooring.github.webhooks import Webhooks
from mooring.ports import Origin
from tests.lab.github_adapter.bench import NAMESPACE, Bench

# Nobody listens there: what is sent fails at once.
NOWHERE = "http://127.0.0.1:9/webhooks/github/abc"
SECRET = "hush-" + "0123456789abcdef" * 4
WISH = HookWish(NOWHERE, SECRET)


def _fine(name: str, **permissions: str) -> dict[str, Any]:
    scope = {"metadata": "read", "contents": "read", **permissions}
    return {"name": name, "user": "jane", "kind": "fine-grained", "owner": "acme", "permissions": scope}


def _classic(name: str, *scopes: str, user: str = "jane") -> dict[str, Any]:
    return {"name": name, "user": user, "scopes": list(scopes)}


SEED: dict[str, Any] = {
    "users": [{"login": "jane"}, {"login": "bob"}],
    "organizations": [{"login": "acme", "members": {"jane": "admin", "bob": "member"}}],
    "repositories": [
        {"owner": "acme", "name": "web", "private": True, "hooks": [{"url": NOWHERE, "secret": "old"}]},
        {"owner": "acme", "name": "bare", "files": {"a": "1"}},
    ],
    "tokens": [
        _classic("admin", "admin:repo_hook"),
        _classic("writer", "write:repo_hook"),
        _classic("reader", "read:repo_hook"),
        _classic("both", "read:repo_hook", "repo"),
        _classic("none", "read:org"),
        # Belongs to the organisation, and administers nothing.
        _classic("bob", "repo", user="bob"),
        _fine("fine-admin", repository_hooks="write"),
        _fine("fine-reader", repository_hooks="read"),
        _fine("fine-none"),
    ],
}


@dataclass
class HookWorld:
    """What was made."""

    bench: Bench
    tokens: dict[str, str]
    web: int
    bare: int
    hook: int

    def at(self, webhooks: Webhooks, token: str = "admin", repository: int | None = None) -> Asking:  # noqa: S107 - a name
        """Ask with a token, about a repository."""
        number = self.web if repository is None else repository
        return Asking(webhooks, self.bench.origin, self.tokens[token], number)

    def stored(self, number: int | None = None) -> Any:
        """Return a hook as the lab keeps it; None where it is gone."""
        return self.bench.server.world.hooks.get(self.hook if number is None else number)

    def delivered(self, at: datetime, code: int, *, app: int | None = None, guid: str = "g", done: bool = True) -> int:
        """Put a delivery into the lab's list, and return its id."""
        world = self.bench.server.world
        delivery = Delivery(
            id=world.new_id(),
            guid=guid,
            event="push",
            action=None,
            app_id=app,
            hook_id=None if app is not None else self.hook,
            installation_id=None,
            repository_id=self.web,
            url=NOWHERE,
            request_headers={"X-GitHub-Event": "push"},
            body=b'{"ref": "refs/heads/main"}',
            created_at=at,
            delivered_at=at if done else None,
            status="OK" if done else "pending",
            status_code=code,
        )
        return world.add_delivery(delivery).id

    async def journal(self, since: int = 0) -> list[tuple[str, str]]:
        """Return methods and paths of all requests after the first so many."""
        entries = (await self.bench.control("GET", "/journal"))["entries"][since:]
        return [(entry["method"], entry["path"].removeprefix("/api/v3")) for entry in entries]


@dataclass
class Asking:
    """The questions about one repository's hooks, with one token."""

    webhooks: Webhooks
    origin: Origin
    token: str
    repository: int

    def hooks(self) -> Awaitable[Any]:
        return self.webhooks.hooks(self.origin, self.token, self.repository, namespace=NAMESPACE)

    def hook(self, number: int) -> Awaitable[Any]:
        return self.webhooks.hook(self.origin, self.token, self.repository, number, namespace=NAMESPACE)

    def make(self, wish: HookWish = WISH) -> Awaitable[Any]:
        return self.webhooks.make_hook(self.origin, self.token, self.repository, wish, namespace=NAMESPACE)

    def change(self, number: int, wish: HookWish = WISH) -> Awaitable[Any]:
        return self.webhooks.change_hook(self.origin, self.token, self.repository, number, wish, namespace=NAMESPACE)

    def remove(self, number: int) -> Awaitable[None]:
        return self.webhooks.remove_hook(self.origin, self.token, self.repository, number, namespace=NAMESPACE)

    def attempts(self, number: int, since: datetime) -> Awaitable[Any]:
        asked = self.webhooks.hook_attempts
        return asked(self.origin, self.token, self.repository, number, since=since, namespace=NAMESPACE)

    def repeat(self, number: int, attempt: int) -> Awaitable[None]:
        asked = self.webhooks.repeat_hook_delivery
        return asked(self.origin, self.token, self.repository, number, attempt, namespace=NAMESPACE)

    def every(self, number: int, attempt: int, since: datetime) -> dict[str, Awaitable[Any]]:
        """Return all questions about a hook, by name."""
        return {
            "hook": self.hook(number),
            "change": self.change(number),
            "attempts": self.attempts(number, since),
            "repeat": self.repeat(number, attempt),
            "remove": self.remove(number),
        }


async def hook_world(bench: Bench) -> HookWorld:
    """Make the world."""
    made = await bench.control("POST", "/seed", SEED)
    web, bare = (made["repositories"][f"acme/{name}"] for name in ("web", "bare"))
    values = {name: token["value"] for name, token in made["tokens"].items()}
    return HookWorld(bench, values, web["id"], bare["id"], web["hooks"][0])


HOUR = timedelta(hours=1)

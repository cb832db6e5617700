"""An App with two installations, a second App, and what the adapter asks of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mooring.github import GitHubAdapter
from mooring.ports import App
from tests.lab.github_adapter.bench import NAMESPACE, Adapted, Bench
from tests.unit.github.keys import pem, rsa_key


def public(key: RSAPrivateKey) -> str:
    """Return the half that GitHub keeps."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


# Found once: to find a key takes a quarter of a second.
KEYS = {name: rsa_key(number=number) for number, name in enumerate(("moor", "other", "junk"))}
JUNK = pem(KEYS["junk"])
PERMISSIONS = {"contents": "write", "issues": "read", "metadata": "read"}
SEED: dict[str, Any] = {
    "users": [{"login": "jane"}, {"login": "mallory"}],
    "organizations": [{"login": "acme", "members": {"jane": "admin"}}],
    "repositories": [
        {"owner": "acme", "name": "web"},
        {"owner": "acme", "name": "api", "private": True},
        {"owner": "jane", "name": "dots"},
        {"owner": "mallory", "name": "web"},
    ],
    "apps": [
        {
            "slug": "moor",
            "owner": "acme",
            "public_key": public(KEYS["moor"]),
            "permissions": PERMISSIONS,
            "events": ["push"],
        },
        {"slug": "other", "owner": "mallory", "public_key": public(KEYS["other"]), "permissions": PERMISSIONS},
    ],
    "installations": [
        {"app": "moor", "account": "acme", "permissions": PERMISSIONS},
        {"app": "moor", "account": "jane", "permissions": PERMISSIONS, "repositories": ["dots"]},
        {"app": "other", "account": "mallory", "permissions": PERMISSIONS},
    ],
}


@dataclass
class AppWorld:
    """What was made. Ids are GitHub's."""

    bench: Bench
    moor: App
    other: App
    acme: int
    jane: int
    mallory: int
    web: int
    api: int

    @property
    def token_path(self) -> str:
        """Return the path at which tokens are made, as faults take it."""
        return f"/api/v3/app/installations/{self.acme}/access_tokens"

    async def mint(self, github: GitHubAdapter, app: App | None = None, **asked: Any) -> str:
        """Make a token of acme's installation, and return its value."""
        scope = {"repository_ids": None, "permissions": None, "namespace": NAMESPACE, **asked}
        return (await github.mint(app or self.moor, self.acme, **scope)).token

    def minted(self) -> int:
        """Return how many tokens the lab has made of acme's installation."""
        return sum(each.installation_id == self.acme for each in credentials(self.bench))


def credentials(bench: Bench) -> list[Any]:
    """Return the lab's tokens."""
    return list(bench.server.world._credentials.values())  # noqa: SLF001 - the lab lists them nowhere else


async def app_world(bench: Bench, seed: dict[str, Any] | None = None) -> AppWorld:
    """Make the world."""
    made = await bench.control("POST", "/seed", seed or SEED)
    world = bench.server.world
    ids = {world.accounts[each.account_id].login: each.id for each in world.installations.values()}
    repositories = {name: world.repository("acme", name) for name in ("web", "api")}
    web, api = (repositories[name].id if repositories[name] else 0 for name in ("web", "api"))  # type: ignore[union-attr]
    moor, other = (_app(bench, made["apps"][slug]) for slug in ("moor", "other"))
    return AppWorld(bench, moor, other, ids["acme"], ids["jane"], ids["mallory"], web, api)


def _app(bench: Bench, told: Any) -> App:
    return App(bench.origin, told["id"], pem(KEYS[told["slug"]]), source=f"secret/{told['id']}/1", owner=NAMESPACE)


def with_key(app: App, key: str, source: str = "secret/junk/1") -> App:
    """Return an App whose Secret holds another key."""
    return replace(app, private_key=key, source=source)


def mints(adapted: Adapted) -> dict[str, int]:
    """Return what came of making tokens."""
    results = ("ok", "refused", "limited", "error")
    found = {r: adapted.registry.get_sample_value("mooring_token_mints_total", {"result": r}) for r in results}
    return {result: int(count) for result, count in found.items() if count}

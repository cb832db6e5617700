"""The running server as the lab's own tests see it, and the small world that most REST tests start from."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.github import tokens
from lab.github.context import Context
from lab.github.model import App, Credential, Installation, Repository
from lab.github.server import Server

CONTROL_TOKEN = "control-token-of-the-tests"
PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "statuses": "write",
    "repository_hooks": "write",
    "administration": "write",
}


@dataclass(frozen=True)
class Key:
    """An App's key: the private half signs, the public half is seeded."""

    private: str = field(repr=False)
    public: str = field(repr=False)

    @cached_property
    def _signer(self) -> rsa.RSAPrivateKey:
        # Reading a PEM takes far longer than signing.
        loaded = serialization.load_pem_private_key(self.private.encode(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        return loaded

    @classmethod
    def new(cls) -> Key:
        """Make one; it takes a moment, so make few."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        return cls(private, key.public_key().public_bytes(serialization.Encoding.PEM, info).decode())

    def sign(self, issuer: str | int, *, algorithm: str = "RS256", **claims: Any) -> str:
        """Return a JWT as an App would make it now, with claims replaced; None leaves one out."""
        now = int(time.time())
        whole = {"iat": now - 60, "exp": now + 540, "iss": str(issuer), **claims}
        key = self._signer if algorithm == "RS256" else "a-shared-secret-that-is-long-enough-for-hs256"
        payload = json.dumps({name: value for name, value in whole.items() if value is not None}).encode()
        # The signature alone: PyJWT refuses claims that GitHub takes, such as an issuer that is a number.
        return jwt.PyJWS().encode(payload, key, algorithm=algorithm, headers={"typ": "JWT"})


@cache
def trust_in(ca_file: Path) -> ssl.SSLContext:
    """Return the TLS context of clients that trust one lab; making one takes a moment."""
    return ssl.create_default_context(cafile=str(ca_file))


class GitHub:
    """A running server: its addresses for clients, its inside for arranging and looking."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.api_url = server.addresses.api
        self.git_url = server.addresses.web
        self.control_url = server.addresses.control
        self.ca_file: Path = server.ca_file
        self.context: Context = server.context
        self.server = server
        self.trust = trust_in(server.ca_file)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Return a plain HTTP client of the API that neither follows redirects nor looks at the environment."""
        sent = {"Accept": "application/vnd.github+json", **headers}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(base_url=self.api_url, headers=sent, verify=self.trust, trust_env=False, timeout=30)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; anything but success fails the test."""
        headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
        # No TLS here, but without a context httpx would read all of the machine's authorities each time.
        about: dict[str, Any] = {"base_url": self.control_url, "headers": headers, "verify": self.trust}
        async with httpx.AsyncClient(**about, trust_env=False, timeout=30) as client:
            answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def seed(self, document: Mapping[str, Any]) -> Any:
        """Make accounts, Apps, repositories and tokens."""
        return await self.control("POST", "/seed", document)

    def take_violations(self) -> list[str]:
        """Return what the contract check found, and forget it: for tests that plant a violation."""
        found = list(self.context.violations)
        self.context.violations.clear()
        return found


@dataclass(frozen=True)
class Cast:
    """Who and what is there: alice administers acme, bob is in it, carol is a stranger, the App is on `acme/app`."""

    github: GitHub
    key: Key
    app: App
    installation: Installation
    # acme's private repositories (only the first is the App's), and its public one.
    private: Repository
    other: Repository
    public: Repository
    # Classic tokens with every scope.
    alice: str
    bob: str
    carol: str

    @property
    def jwt(self) -> str:
        """Return a fresh JWT of the App."""
        return self.key.sign(self.app.id)

    def as_app(self) -> httpx.AsyncClient:
        """Return a client that is the App."""
        return self.github.client(self.jwt)

    async def token(self, **narrowed: Any) -> str:
        """Return a new installation token."""
        async with self.as_app() as client:
            answer = await client.post(f"/app/installations/{self.installation.id}/access_tokens", json=narrowed)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def personal(self, login: str, *, kind: str = "fine-grained", **fields: Any) -> Credential:
        """Return a new token of a person, made as the web interface would."""
        world = self.github.context.world
        makers = {
            "classic": tokens.classic,
            "fine-grained": tokens.fine_grained,
            "user-to-server": tokens.user_to_server,
        }
        account = world.account(login)
        assert account is not None
        return world.add_credential(
            Credential(
                id=world.credential_name(kind),
                kind=kind,  # type: ignore[arg-type]  # one of the literals, by the look-up below
                value=makers[kind](),
                created_at=world.clock.now(),
                user_id=account.id,
                **fields,
            )
        )


SCOPES = ["repo", "user", "admin:repo_hook", "delete_repo", "admin:org"]
FILES = {"README.md": "# App\n", "src/app.py": "print('hello')\n", "src/lib/deep.py": "x = 1\n"}


async def seed_cast(github: GitHub, key: Key) -> Cast:
    """Make the small world."""
    document = {
        "users": [
            {"login": "alice", "name": "Alice", "email": "alice@example.com"},
            {"login": "bob", "email": "bob@example.com"},
            {"login": "carol"},
        ],
        "organizations": [{"login": "acme", "members": {"alice": "admin", "bob": "member"}}],
        "apps": [
            {
                "slug": "mooring",
                "owner": "acme",
                "public_key": key.public,
                "permissions": PERMISSIONS,
                "events": ["push", "repository"],
            }
        ],
        "repositories": [
            {
                "owner": "acme",
                "name": "app",
                "private": True,
                "files": FILES,
                "branches": {"feature/x": {"new.txt": "1"}},
            },
            {"owner": "acme", "name": "other", "private": True, "files": {"a.txt": "a"}},
            {"owner": "acme", "name": "site", "files": {"index.html": "<p>"}},
        ],
        "installations": [{"app": "mooring", "account": "acme", "repositories": ["app"]}],
        "tokens": [{"name": f"pat-{login}", "user": login, "scopes": SCOPES} for login in ("alice", "bob", "carol")],
    }
    made = await github.seed(document)
    world = github.context.world
    records = [world.repository("acme", name) for name in ("app", "other", "site")]
    private, other, public = (record for record in records if record is not None)
    return Cast(
        github=github,
        key=key,
        app=world.apps[made["apps"]["mooring"]["id"]],
        installation=world.installations[made["installations"][0]["id"]],
        private=private,
        other=other,
        public=public,
        alice=made["tokens"]["pat-alice"]["value"],
        bob=made["tokens"]["pat-bob"]["value"],
        carol=made["tokens"]["pat-carol"]["value"],
    )

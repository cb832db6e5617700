"""What the tests hold in their hands: a home into which a Secret is mounted, and the programs that look there."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from lab.github.server import Server
from mooring.domain import origins
from mooring.domain.outputs import output_secret
from mooring.domain.resources.github_installation import GitHubInstallation, TokenOutput

CONTROL_TOKEN = "control-token"
# Nothing listens there, and nothing has to.
REGISTRY = "containers.github.example.com"

WORLD: dict[str, Any] = {
    "organizations": [{"login": "acme"}],
    "apps": [{"slug": "mooring", "owner": "acme", "permissions": {"contents": "read", "metadata": "read"}}],
    "repositories": [{"owner": "acme", "name": "closed", "private": True, "files": {"README.md": "closed\n"}}],
    "installations": [{"app": "mooring", "account": "acme"}],
    "tokens": [
        {"name": name, "kind": "installation", "app": "mooring", "account": "acme", "form": form, "expires_in": seconds}
        for name, form, seconds in (("short", "short", 3600), ("long", "jwt", 3600), ("dead", "short", -1))
    ],
}
_INSTALLATION: dict[str, Any] = {
    "apiVersion": "mooring.dev/v1alpha1",
    "kind": "GitHubInstallation",
    "metadata": {"name": "acme", "namespace": "team-a", "uid": "uid-acme"},
    "spec": {"account": "acme"},
}


async def seeded(server: Server) -> dict[str, str]:
    """Make the world, and return its installation tokens by name; `wrong` is none of them."""
    made = await control(server, "POST", "/seed", WORLD)
    return {**{name: token["value"] for name, token in made["tokens"].items()}, "wrong": "ghs_" + "w" * 36}


async def control(server: Server, method: str, path: str, body: Any = None) -> Any:
    """Call the control API; anything but success fails the test."""
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
    url = server.addresses.control
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
        answer = await client.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


@dataclass(frozen=True)
class Desk:
    """A home with nothing in it, and a GitHub to reach from there."""

    server: Server
    home: Path

    @property
    def remote(self) -> str:
        """Where the private repository is, without any credential."""
        return f"{self.server.addresses.web}/acme/closed.git"

    def secret(self, form: str, token: str, template: str | None = None) -> dict[str, str]:
        """Return what a pod finds in the Secret of an output."""
        spec = {"secretName": "ci-token", "format": form, **({"template": template} if template else {})}
        manifest = output_secret(
            GitHubInstallation.model_validate(_INSTALLATION),
            TokenOutput.model_validate(spec),
            token,
            host=str(origins.host_of(self.server.addresses.web)),
            registry=REGISTRY,
            expires_at=datetime(2026, 3, 1, 13, tzinfo=UTC),
            annotations={},
        )
        return {key: base64.b64decode(value).decode() for key, value in manifest["data"].items()}

    def mount(self, content: dict[str, str]) -> None:
        """Put every key into the home as a file, as the kubelet does."""
        for name, text in content.items():
            (self.home / name).write_text(text)

    async def git(self, *arguments: str) -> tuple[int, str]:
        """Run git at home, with no other configuration and nobody to ask; return its code and what it said."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSL_CAINFO": str(self.server.ca_file),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
        }
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=self.home, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def last_request(self) -> tuple[str, int]:
        """Return whose credential GitHub saw in the last request, and how it answered."""
        last = (await control(self.server, "GET", "/journal"))["entries"][-1]
        return last["credential"], last["status"]

    async def refs(self, username: str, password: str) -> int:
        """Return the status with which GitHub answers git's first question, asked with basic authentication."""
        trust = ssl.create_default_context(cafile=str(self.server.ca_file))
        async with httpx.AsyncClient(verify=trust, trust_env=False, auth=(username, password)) as client:
            return (await client.get(f"{self.remote}/info/refs", params={"service": "git-upload-pack"})).status_code

"""Where credentials may not be: a second GitHub, a sink, and who else holds what could fetch a repository."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.github.sinks import Sink
from mooring.domain.manifests import checkout
from mooring.domain.names import EFFECTIVE_TOKEN_KEY
from tests.cluster.conftest import PATIENCE, ROOT
from tests.cluster.harness import Hub, People
from tests.cluster.operator.apps import data_of

CONTROL_TOKEN = "control-token-of-the-second"


@contextmanager
def second_github(folder: Path, first: Hub) -> Iterator[Hub]:
    """Run another GitHub, whose certificate has the first one's authority, until the end of the block."""
    certificates = folder / "data" / "tls"
    certificates.mkdir(parents=True)
    for name in ("ca.pem", "ca.key"):
        shutil.copy(Path(first.ca_file).with_name(name), certificates / name)
    token, ready = folder / "token", folder / "ready.json"
    token.write_text(CONTROL_TOKEN)
    command = ("-m", "lab.github", "--dir", f"{folder}/data", "--token-file", str(token), "--ready-file", str(ready))
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the second GitHub does not start"  # noqa: PT018 - either
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        hub = Hub(
            {
                "MOORING_GITHUB_API_URL": told["api_url"],
                "LAB_GITHUB_GIT_URL": told["git_url"],
                "MOORING_GITHUB_CA_FILE": told["ca_file"],
                "LAB_GITHUB_CONTROL_URL": told["control_url"],
                "LAB_ADMIN_TOKEN": CONTROL_TOKEN,
            }
        )
        yield hub
        hub.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)


def host_of(hub: Hub) -> str:
    """Return host and port of a GitHub."""
    return hub.web_url.removeprefix("https://")


def tagged(hub: Hub, data: str | bytes) -> set[str]:
    """Return whose credentials of a GitHub stand in some bytes, by their public ids."""
    found = hub.find(data if isinstance(data, bytes) else data.encode())
    return {one["credential"] for one in found}


def caught(sink: Sink, *hubs: Hub) -> set[str]:
    """Return whose credentials a sink was sent."""
    return {name for hub in hubs for name in tagged(hub, sink.data)}


@dataclass(frozen=True)
class Fetching:
    """What the pods of a Project are told to fetch, and the credential that they get for it."""

    arguments: tuple[str, ...]
    url: str
    token: str | None


def fetching(people: People, project: str) -> Fetching | None:
    """Return what a Project's pods fetch, and with what; None where there are none."""
    deployment = people.get("Deployment", f"{project}-default")
    pod = deployment["spec"]["template"]["spec"] if deployment is not None else {}
    containers = pod.get("initContainers") or ()
    if not containers:
        return None
    arguments = tuple(containers[0]["args"])
    url = next(text.removeprefix("--url=") for text in arguments if text.startswith("--url="))
    names = [one["secret"]["secretName"] for one in pod["volumes"] if one["name"] == checkout.CREDENTIAL_VOLUME]
    secret = people.get("Secret", names[0]) if names else None
    return Fetching(arguments, url, data_of(secret)[EFFECTIVE_TOKEN_KEY] if secret is not None else None)


def checkout_as_the_pod(found: Fetching, folder: Path, ca_file: str) -> tuple[int, str, dict[str, str]]:
    """Do what a pod's init container does; return its exit code, what it said, and the files that it left."""
    workspace, credential = folder / "workspace", folder / "credential"
    shutil.rmtree(folder, ignore_errors=True)
    workspace.mkdir(parents=True)
    if found.token is not None:
        credential.write_text(found.token)
    places = {"--destination": workspace, "--credential-file": credential, "--ca-file": ca_file}
    kept = [text for text in found.arguments if text.partition("=")[0] not in places]
    placed = {name: place for name, place in places.items() if name != "--credential-file" or found.token is not None}
    ran = subprocess.run(
        [sys.executable, "-m", "mooring", *kept, *(f"{name}={place}" for name, place in placed.items())],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    files = {str(path.relative_to(workspace)): path for path in workspace.rglob("*") if path.is_file()}
    left = {name: path.read_text(errors="replace") for name, path in files.items() if not name.startswith(".git/")}
    return ran.returncode, ran.stderr, left


@dataclass(frozen=True)
class Prize:
    """A private repository that somebody else may want."""

    hub: Hub
    full_name: str
    number: int

    @property
    def url(self) -> str:
        """Return where it is cloned from."""
        return f"{self.hub.web_url}/{self.full_name}.git"

    def gives_way(self, token: str, folder: Path) -> list[str]:
        """Try to get at it with a token, by the API, by git and by LFS; return what succeeded."""
        trust = ssl.create_default_context(cafile=self.hub.ca_file)
        won = []
        with httpx.Client(verify=trust, trust_env=False, timeout=PATIENCE) as client:
            for path in (
                *(f"/repos/{self.full_name}{rest}" for rest in ("", "/branches", "/contents/", "/commits")),
                *(f"/repositories/{self.number}{rest}" for rest in ("", "/branches/main", "/contents/a.txt")),
            ):
                answer = client.get(f"{self.hub.api_url}{path}", headers={"Authorization": f"Bearer {token}"})
                won += [path] if answer.is_success else []
            batch = {"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}
            answer = client.post(f"{self.url}/info/lfs/objects/batch", json=batch, auth=("x-access-token", token))
            won += ["large files"] if answer.is_success else []
        ran = subprocess.run(
            ["git", "-c", f"http.extraHeader=Authorization: Basic {_basic(token)}", "ls-remote", self.url],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}
            | {"GIT_SSL_CAINFO": self.hub.ca_file, "GIT_CONFIG_NOSYSTEM": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return [*won, "git"] if ran.returncode == 0 else won


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def plant(sink: Sink, monkeypatch: pytest.MonkeyPatch, proxies: Mapping[str, str], hub: Hub, token: str) -> None:
    """Ask the GitHub of a token as a client does that minds its environment."""
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    trust = ssl.create_default_context(cafile=hub.ca_file)
    with httpx.Client(verify=trust, timeout=PATIENCE) as client:
        client.get(f"{hub.api_url}/user", headers={"Authorization": f"Bearer {token}"})
    for name in proxies:
        monkeypatch.delenv(name)


def refs_of(branch: str, sha: str) -> bytes:
    """Return the HTTP answer of a git server that has one branch."""
    head = f"{sha} HEAD\0symref=HEAD:refs/heads/{branch} agent=test\n"
    lines = ["# service=git-upload-pack\n", None, head, f"{sha} refs/heads/{branch}\n", None]
    body = "".join("0000" if line is None else f"{len(line) + 4:04x}{line}" for line in lines).encode()
    kind = "application/x-git-upload-pack-advertisement"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

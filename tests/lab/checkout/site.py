"""What the tests hold in their hands: a GitHub with repositories of any shape, and a checkout of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from lab.github import gitobjects
from lab.github.context import Signature
from lab.github.gitobjects import ObjectKind, TreeItem
from lab.github.model import Repository
from lab.github.server import Server
from mooring.checkout.course import Course
from mooring.checkout.failures import Failed
from mooring.checkout.limits import Limits
from mooring.checkout.request import Request, request
from mooring.checkout.words import Teller

CONTROL_TOKEN = "control-token"
# The token of somebody who may read everything.
OWNER = "jane"
WORLD: dict[str, Any] = {
    "users": [{"login": "jane"}, {"login": "eve"}],
    "organizations": [{"login": "acme", "members": {"jane": "admin"}}],
    "repositories": [
        {"owner": "acme", "name": name, "private": True, "files": {"a.txt": "1\n"}}
        for name in ("web", "lib", "deep", "other")
    ],
    "tokens": [
        {"name": "jane", "user": "jane", "scopes": ["repo"]},
        {"name": "eve", "user": "eve", "scopes": ["repo"]},
        {"name": "expired", "user": "jane", "scopes": ["repo"], "expires_in": -1},
        {
            "name": "narrow",
            "user": "jane",
            "kind": "fine-grained",
            "owner": "acme",
            "repositories": ["acme/web"],
            "permissions": {"contents": "read"},
        },
    ],
}


def processes() -> dict[str, bytes]:
    """Return arguments and environment of every process, by its id, as anybody on the node may read them."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # It may end while we look.
            with contextlib.suppress(OSError):
                found[folder.name] = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
    return found


_AUTHOR = Signature("Jane", "jane@example.com", datetime(2024, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Raw:
    """An entry of a tree with a mode of its own. A submodule's content is its commit."""

    mode: bytes
    content: bytes


def link(target: str) -> Raw:
    """Return a symbolic link."""
    return Raw(b"120000", os.fsencode(target))


def program(text: str) -> Raw:
    """Return a file that can be run."""
    return Raw(b"100755", text.encode())


def submodule(commit: str) -> Raw:
    """Return a submodule at a commit."""
    return Raw(b"160000", commit.encode())


# A text, bytes or Raw for each path.
Files = Mapping[str, Any]


class SkippingClock:
    """The machine's clock, which goes ahead instead of waiting; a test may do something meanwhile."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def now(self) -> float:
        """Return the machine's time and what was skipped."""
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        """Skip."""
        self.slept.append(seconds)
        self.meanwhile()


@dataclass
class Ended:
    """How a checkout ended: what it said last, and all that it said."""

    done: str | None
    failed: str | None
    lines: list[str]


@dataclass
class Site:
    """The running GitHub, and a folder for everything else."""

    server: Server
    folder: Path
    tokens: dict[str, str]
    clock: SkippingClock = field(default_factory=SkippingClock)

    @property
    def workspace(self) -> Path:
        """Return the folder that is checked out into."""
        return self.folder / "workspace"

    @property
    def credential(self) -> Path:
        """Return the file with the token."""
        return self.folder / "token"

    def url(self, name: str) -> str:
        """Return a repository's address."""
        return f"{self.server.addresses.web}/acme/{name}.git"

    def repository(self, name: str) -> Repository:
        """Return a repository's record."""
        found = self.server.world.repository("acme", name)
        assert found is not None
        return found

    def commit(self, name: str, files: Files) -> str:
        """Make files the whole of a repository, on its branch, and return the commit."""
        tree = self.tree(name, files)
        return self.commit_tree(name, tree)

    def tree(self, name: str, files: Files) -> str:
        """Write a tree, however hostile."""
        here: dict[str, TreeItem] = {}
        below: dict[str, dict[str, Any]] = {}
        for path, content in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = content
            else:
                here[first] = self._item(name, first, content)
        trees = [TreeItem(gitobjects.TREE_MODE, first, self.tree(name, inner)) for first, inner in below.items()]
        return gitobjects.write_tree(lambda kind, data: self.save(name, kind, data), [*here.values(), *trees])

    def _item(self, repository: str, name: str, content: str | bytes | Raw) -> TreeItem:
        raw = content if isinstance(content, Raw) else Raw(b"100644", _bytes(content))
        if raw.mode == b"160000":
            return TreeItem(raw.mode, name, raw.content.decode())
        return TreeItem(raw.mode, name, self.save(repository, "blob", raw.content))

    def commit_tree(self, name: str, tree: str, branch: str = "main") -> str:
        """Commit a tree on a branch."""
        commit = gitobjects.write_commit(lambda kind, data: self.save(name, kind, data), tree, (), "Change", _AUTHOR)
        gitobjects.write_ref(self.server.store.path(self.repository(name)), f"refs/heads/{branch}", commit)
        return commit

    def save(self, name: str, kind: ObjectKind, data: bytes) -> str:
        """Write an object of a repository."""
        return gitobjects.write_object(self.server.store.path(self.repository(name)) / "objects", kind, data)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API."""
        return await asyncio.to_thread(_called, self.server.addresses.control + path, method, body)

    async def requests(self) -> list[tuple[str, str]]:
        """Return path and credential of every request so far."""
        return [(e["path"], e["credential"]) for e in (await self.control("GET", "/journal"))["entries"]]

    def wanted(self, revision: str, name: str = "web", *, token: str | None = OWNER, **more: Any) -> Request:
        """Return what to check out; the token is a name of WORLD's."""
        if token is not None:
            self.credential.write_text(self.tokens[token])
        given = {
            "url": self.url(name),
            "revision": revision,
            "destination": str(self.workspace),
            "credential_file": None if token is None else str(self.credential),
            "ca_file": str(self.server.ca_file),
        }
        return request(**{**given, **more})

    async def checkout(self, wanted: Request, **limits: Any) -> Ended:
        """Check out, in a thread: the server runs in this one."""
        return await asyncio.to_thread(self._checkout, wanted, Limits(**limits))

    def _checkout(self, wanted: Request, limits: Limits) -> Ended:
        lines: list[str] = []
        self.workspace.mkdir(exist_ok=True)
        try:
            done = Course(wanted, Teller(lines.append), self.clock, limits).run()
        except Failed as problem:
            return Ended(None, Teller(lines.append).clean(str(problem)), lines)
        return Ended(done, None, lines)

    async def refused(self, files: Files, **more: Any) -> str:
        """Check out a repository of these files and return why that was refused; nothing may be left."""
        ended = await self.checkout(self.wanted(self.commit("web", files), **more))
        assert ended.failed is not None, ended
        assert list(self.workspace.iterdir()) == []
        return ended.failed

    async def process(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run the command as a container does, and return exit code, output and errors."""
        self.workspace.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mooring", "checkout", *arguments,
            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        """Ask git about the workspace as the workload would."""
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        ran = subprocess.run(
            ["git", *arguments],
            cwd=folder or self.workspace,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def files(self) -> dict[str, str]:
        """Return the workspace's files, git's own left out."""
        return {
            path.relative_to(self.workspace).as_posix(): path.read_text(errors="replace")
            for path in sorted(self.workspace.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.workspace).parts
        }


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _called(url: str, method: str, body: Any) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}", "Content-Type": "application/json"}
    with urlopen(HttpRequest(url, data, headers, method=method), timeout=30) as answer:  # noqa: S310 - the lab's own
        return json.load(answer)

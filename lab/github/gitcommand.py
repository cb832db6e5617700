"""Runs the `git` command for the lab: argument lists only, nobody's configuration, bounded in number and time."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

TIMEOUT = 60.0
PROCESSES = 8
KEPT_STDERR = 500

# One file instead of every repository's own: 10,000 repositories share it.
CONFIGURATION = """\
[core]
	fsync = none
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
	advertisePushOptions = false
[http]
	receivepack = true
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
[diff]
	renames = true
[advice]
	detachedHead = false
"""


class GitError(Exception):
    """A git command ended with an error; the message is git's own."""


class GitCommand:
    """The `git` of this machine in a fixed environment."""

    def __init__(self, folder: Path) -> None:
        self._executable = shutil.which("git")
        if self._executable is None:
            raise GitError("git is not on the PATH: install it (the lab's GitHub keeps real repositories)")
        self._slots = asyncio.Semaphore(PROCESSES)
        self.folder = folder
        configuration = folder / "gitconfig"
        configuration.write_text(CONFIGURATION)
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(configuration),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ATTR_NOSYSTEM": "1",
        }

    @property
    def executable(self) -> str:
        """Where git is."""
        assert self._executable is not None  # noqa: S101 - checked when this object was made
        return self._executable

    async def run(self, repository: Path, *arguments: str, stdin: bytes = b"", accept: tuple[int, ...] = (0,)) -> bytes:
        """Run git in a repository and return what it printed; GitError for an exit code that is not in `accept`."""
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                self.executable,
                *arguments,
                env={**self.environment, "GIT_DIR": str(repository)},
                cwd=repository,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                out, err = await asyncio.wait_for(process.communicate(stdin or None), TIMEOUT)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode not in accept:
            raise GitError(f"git {arguments[0]}: {err.decode(errors='replace').strip()[:KEPT_STDERR]}")
        return out

"""The folder of one lab: which file is where, who holds its lock, and what is written so that others may rely on it.

Everything that a lab writes is under this folder, so that removing it removes the lab.
"""

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import UsageError
from lab.processes import Identity

RESERVE_BYTES = 64 * 1024  # freed when the disk is full, so that the reason can still be written down
NEEDED_BYTES = 256 * 1024 * 1024  # etcd lays out its log 64 MB at a time, and the servers write logs of their own
LOWEST_BYTES = 8 * 1024 * 1024  # a running lab stops below this, while it can still do so in order


@dataclass
class State:
    """What is known of a lab from outside: its options, how far it is, and the processes it runs."""

    nodes: str
    github: bool
    phase: str = "starting"  # starting, ready, stopped, failed
    processes: dict[str, Identity] = field(default_factory=dict)

    def render(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def parse(text: str) -> "State":
        content: dict[str, Any] = json.loads(text)
        processes = {name: Identity(**one) for name, one in content.pop("processes").items()}
        return State(**content, processes=processes)


class Folder:
    """Paths and files of one lab."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = Path(directory).expanduser().absolute()
        self.env = self.path / "env"
        self.failure = self.path / "failure"
        self.kubeconfig = self.path / "kubeconfig"
        self.audit_log = self.path / "audit.log"
        self.logs = self.path / "logs"
        self.secrets = self.path / "secrets"
        self.settings = self.path / "settings"
        self.etcd = self.path / "etcd"
        self.github = self.path / "github"
        self.node = self.path / "node"
        self._state = self.path / "lab.json"
        self._lock = self.path / "lock"
        self._reserve = self.path / "reserve"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def state(self) -> State | None:
        """The lab's state as last written; None when no lab was ever here."""
        try:
            return State.parse(self._state.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{self._state} is damaged: remove the folder {self.path}, or choose another") from error

    def write_state(self, state: State) -> None:
        write(self._state, state.render())

    def open_lock(self) -> int | None:
        """Take the lab's lock for as long as the returned descriptor is open; None when a lab holds it."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def locked(self) -> bool:
        """Whether a lab runs here; the kernel drops the lock with its last holder, however that ends."""
        if not self._lock.exists():
            return False
        descriptor = self.open_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def claim(self) -> int:
        """Make the folder ready for a new lab and take its lock. What it refuses, it leaves untouched."""
        self._refuse_strangers()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self.open_lock()
        except OSError as error:
            raise UsageError(
                f"cannot use the folder {self.path}: {error.strerror}; choose another with --dir"
            ) from error
        if lock is None:
            raise UsageError(f"a lab already runs in {self.path}: stop it with `python -m lab down --dir {self.path}`")
        return lock

    def _unusable(self, error: OSError) -> UsageError:
        return UsageError(f"cannot use the folder {self.path}: {error.strerror}; choose another with --dir")

    def _refuse_strangers(self) -> None:
        """A folder with somebody's files must not become a lab's, which starts by removing what the last one left."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is not a folder; choose another with --dir")
        try:
            names = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        except OSError as error:
            raise UsageError(
                f"cannot use the folder {self.path}: {error.strerror}; choose another with --dir"
            ) from error
        if names and not names & {self._state.name, self._lock.name}:
            raise UsageError(f"{self.path} holds files that are no lab's; choose a new or empty folder with --dir")

    def clear(self) -> None:
        """Remove what an earlier lab left, its lock apart; then put the reserve aside."""
        for file in (self.env, self.failure, self.kubeconfig, self.audit_log, self._state, self._reserve):
            file.unlink(missing_ok=True)
        for folder in (self.logs, self.secrets, self.settings, self.etcd, self.github, self.node):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        write(self._reserve, "\0" * RESERVE_BYTES)

    def tidy(self) -> None:
        """Remove what only a running lab needs. What tells of it stays: state, failure, logs, repositories."""
        for file in (self.env, self.kubeconfig, self._reserve):
            file.unlink(missing_ok=True)
        for folder in (self.secrets, self.settings, self.etcd, self.node):
            shutil.rmtree(folder, ignore_errors=True)  # a leftover does no harm, and the next lab clears it

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def record_failure(self, text: str) -> None:
        """Write the reason down, on a full disk at the expense of the reserve."""
        self._reserve.unlink(missing_ok=True)
        write(self.failure, text)

    def failure_text(self) -> str | None:
        return self.failure.read_text().strip() if self.failure.exists() else None


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def tail(path: Path, lines: int = 12, limit: int = 8192) -> list[str]:
    """The last lines of a log, for a message to a person."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - limit))
        return file.read().decode(errors="replace").splitlines()[-lines:]

"""Looking at a lab from outside: what runs for it, where that listens, and what its API server says."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import Lab
from lab.kubernetes.api import Api
from lab.kubernetes.kubeconfig import Access

LISTEN = "0A"
ROOT = Path(__file__).resolve().parents[3]


def processes_of(directory: Path) -> dict[int, str]:
    """Every live process whose command line or working folder names the lab's folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
                where = entry.joinpath("cwd").readlink()
            except OSError:
                continue  # it ended, or is a zombie
            if str(directory) in line or where == directory:
                found[int(entry.name)] = line
    return found


def listening_ports(pids: Iterable[int]) -> set[int]:
    """The TCP ports on which these processes listen."""
    inodes = set()
    for pid in pids:
        # What is closed, or ends, while we look listens to nothing.
        with suppress(FileNotFoundError, ProcessLookupError):
            for descriptor in list(Path(f"/proc/{pid}/fd").iterdir()):
                with suppress(FileNotFoundError):
                    inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return {port for port, inode in _listeners() if inode in inodes}


def taken_ports() -> set[int]:
    """The TCP ports on which anything listens."""
    return {port for port, _ in _listeners()}


def _listeners() -> list[tuple[int, str]]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if row[3] == LISTEN]


def until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition of somebody else's making; fail with its name."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def assert_gone(directory: Path, ports: set[int]) -> None:
    """No process and no port of the lab is left."""
    until(lambda: not processes_of(directory), f"every process of {directory} ends")
    # Of a process that is killed, the kernel closes the sockets after its name is gone.
    until(lambda: not ports & taken_ports(), f"the ports of {directory} are free")


def api(lab: Lab) -> Api:
    return Api(Access.load(Path(lab.env["KUBECONFIG"])))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The lab's command, as a user runs it."""
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def deployment(name: str, **pod: Any) -> dict[str, Any]:
    """A Deployment of two replicas."""
    labels = {"app": name}
    spec = {"containers": [{"name": "main", "image": "example.test/main:1"}], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }

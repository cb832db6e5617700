"""Reaching into a real node from outside: command lines that run there, and its container runtime."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lab.errors import LabError
from lab.folder import Folder
from lab.kubernetes.real.settings import CONTAINERD_SOCKET

NAMESPACES = Path(__file__).with_name("namespaces.py")
IMPORT_SECONDS = 120.0


def ready_file(folder: Folder) -> Path:
    """There as soon as the namespaces are, with the pid of who holds them."""
    return folder.node / "ready"


def held(plan: Path) -> tuple[str, ...]:
    """The command line that makes the namespaces of a plan, and keeps them."""
    return (sys.executable, "-I", "-S", str(NAMESPACES), "hold", str(plan))


def inside(folder: Folder, command: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs a command in the node's namespaces."""
    return (sys.executable, "-I", "-S", str(NAMESPACES), "enter", str(ready_file(folder)), *command)


def runtime_answers(folder: Folder) -> bool:
    """Whether the container runtime takes requests."""
    holder = ready_file(folder).read_text().strip()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        # Through /proc one sees the files of the node's own mount namespace.
        return client.connect_ex(f"/proc/{holder}/root{CONTAINERD_SOCKET}") == 0


def import_image(folder: Folder, ctr: Path, archive: Path) -> None:
    """Give the node the images of a docker-archive, under the names that it says."""
    # Handed over open: not every folder of the host's can be seen from inside.
    with archive.open("rb") as content:
        _images(folder, ctr, "import", "-", content=content, what=f"importing {archive}")


def name_image(folder: Folder, ctr: Path, name: str, another: str) -> None:
    """Give an image of the node's another name."""
    _images(folder, ctr, "tag", "--force", name, another, content=subprocess.DEVNULL, what=f"naming {name} {another}")


def _images(folder: Folder, ctr: Path, *command: str, content: IO[bytes] | int, what: str) -> None:
    line = (str(ctr), f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", "images", *command)
    try:
        done = subprocess.run(
            inside(folder, line), stdin=content, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{what} took over {IMPORT_SECONDS:.0f} s and was stopped") from error
    if done.returncode != 0:
        raise LabError(f"{what} failed on the node: {done.stderr.strip() or 'ctr gave no reason'}")

"""A machine's real nodes have a number each, and with it addresses, an interface and a cgroup that no other lab has.

Whoever holds the number's abstract socket owns all that bears the number. The kernel closes the socket with its
process, so a number is free as soon as its lab is gone, however that ended; the next owner sweeps what is left.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.folder import Folder

COUNT = 32
CGROUPS = Path("/sys/fs/cgroup")
SWEEP_SECONDS = 20.0
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Slot:
    """What belongs to one number."""

    number: int

    @property
    def interface(self) -> str:
        """The host's end of the cable to the node."""
        return f"mooring{self.number}"

    @property
    def host_address(self) -> str:
        """Where pods reach the host: API server and GitHub listen here."""
        return f"10.213.{self.number}.1"

    @property
    def node_address(self) -> str:
        return f"10.213.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.214.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.215.{self.number}.0/24"

    @property
    def cgroup(self) -> str:
        """The node's cgroup, below the root of every hierarchy."""
        return f"mooring-lab-{self.number}"

    @property
    def hierarchies(self) -> list[Path]:
        """Where cgroups can be made: one place with the unified hierarchy, several with the old ones."""
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS]
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        return sorted({Path(place) for _, place, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}})

    def prepare_cgroups(self) -> None:
        """kubelet makes its own below this one, and refuses to start without it."""
        for place in self.hierarchies:
            (place / self.cgroup).mkdir(exist_ok=True)

    def sweep(self) -> None:
        """Remove what a lab with this number left. Only for whoever holds the number."""
        if Path("/sys/class/net", self.interface).exists():
            # It may go by itself at the same moment, together with the node's network namespace.
            subprocess.run(["ip", "link", "delete", self.interface], capture_output=True, check=False)
        deadline = time.monotonic() + SWEEP_SECONDS
        left = [place / self.cgroup for place in self.hierarchies if (place / self.cgroup).exists()]
        while left:
            left = [root for root in left if not _remove(root)]
            if left and time.monotonic() > deadline:
                raise LabError(f"{left[0]} still has processes that do not end: end them, then remove it with rmdir")
            if left:
                time.sleep(PAUSE_SECONDS)  # the kernel says nothing when the last process has left a cgroup


def _remove(root: Path) -> bool:
    """Kill what runs in a cgroup and remove it with all below it; False while something is still ending."""
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):
            for pid in (Path(folder) / "cgroup.procs").read_text().split():
                if int(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not root.exists()


def take() -> tuple[Slot, socket.socket]:
    """The lowest free number, swept clean, and the socket that keeps it ours for as long as it is open."""
    for number in range(COUNT):
        holder = _own(number)
        if holder:
            slot = Slot(number)
            slot.sweep()
            return slot, holder
    raise LabError(f"{COUNT} labs with real nodes run on this machine, and there is no room for more: end one of them")


def remember(folder: Folder, slot: Slot) -> None:
    """So that whoever finds the folder after a crash knows what to look for."""
    _record(folder).write_text(f"{slot.number}\n")


def sweep(folder: Folder) -> None:
    """Remove what a lab in this folder left outside of it, unless another lab has its number now and did so itself."""
    record = _record(folder)
    if not record.exists():
        return
    number = int(record.read_text())
    with _owned(number) as owned:
        if owned:
            Slot(number).sweep()


def _record(folder: Folder) -> Path:
    return folder.node / "number"


@contextlib.contextmanager
def _owned(number: int) -> Iterator[bool]:
    holder = _own(number)
    try:
        yield holder is not None
    finally:
        if holder:
            holder.close()


def _own(number: int) -> socket.socket | None:
    """Take a number's socket; None when somebody has it."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0mooring-lab/node/{number}")
    except OSError:
        holder.close()
        return None
    return holder

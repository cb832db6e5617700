"""Processes by identity. A pid alone may belong to a stranger by now; a pid with its start time cannot.

Starting them so that they never outlive their parent is launch.py's work; deciding which to start is the supervisor's.
"""

import os
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Identity:
    """One process of this boot: its pid and the clock tick at which it started."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; one that only waits to be reaped does not."""
        return _start_of(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process, never another that got its pid; False when it is gone."""
        descriptor = self._open()
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False when it still runs after so many seconds."""
        descriptor = self._open()
        if descriptor is None:
            return True
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    def _open(self) -> int | None:
        """A handle on the process. It is checked after opening, so the pid cannot change hands in between."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive:
            return descriptor
        os.close(descriptor)
        return None


def identify(pid: int) -> Identity:
    """The identity of a process that runs now (of one's own child it is always certain)."""
    return Identity(pid, _start_of(pid) or 0)


def end(identity: Identity, grace: float) -> None:
    """Ask it to end, insist after the grace, and return when it is gone."""
    if identity.send(signal.SIGTERM) and not identity.wait(grace):
        identity.send(signal.SIGKILL)
        if not identity.wait(10):
            raise TimeoutError(f"process {identity.pid} does not end, not even by SIGKILL")


def bound_to_me(command: Sequence[str], *, tree: bool = False) -> list[str]:
    """The command line that starts `command` so that it dies with this process (as a whole tree, where it forks)."""
    return [*_launcher("tree" if tree else "plain"), *command]


def detached(command: Sequence[str]) -> list[str]:
    """The command line that starts `command` free of this process; the one started directly ends at once."""
    return [*_launcher("detached"), *command]


def _launcher(mode: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(LAUNCHER), mode, str(os.getpid())]


def _start_of(pid: int) -> int | None:
    """The start time of a running process, in clock ticks since boot (field 22 of stat); None if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])

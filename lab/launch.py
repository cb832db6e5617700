"""Start a command so that it cannot outlive the process that asked for it. Run by path, before anything else is loaded:

    python -I -S launch.py {plain|tree|detached} PARENT_PID COMMAND...

plain     becomes the command, which the kernel kills when its parent dies.
tree      stays in front of the command and ends it together with all that it started, also what left its group.
detached  becomes the command in a session of its own, whose parent is gone: for the supervisor.

Only the standard library, and as little of it as possible: each process of a lab passes through here.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 5.0


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process; it survives exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with(parent: int, how: signal.Signals) -> None:
    """Ask the kernel for `how` when the parent dies; leave at once if that has happened already."""
    prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        sys.exit(125)


def children() -> list[int]:
    """The direct children of this process, adopted ones included."""
    mine = str(os.getpid())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = entry.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            except (OSError, IndexError):
                continue  # it ended while we looked
            if parent == mine:
                found.append(int(entry.name))
    return found


def end_descendants() -> None:
    """Kill and reap every child, and the children that come to us as theirs die, until none is left."""
    while True:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def run_tree(parent: int, command: list[str]) -> int:
    """Run the command as the head of a tree that ends as one; return its exit status in the shell's form."""
    watched = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    die_with(parent, signal.SIGTERM)
    me = os.getpid()
    head = os.fork()
    if head == 0:
        try:
            die_with(me, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
        finally:
            os._exit(127)
    status = wait_for_head(head, watched)
    end_descendants()
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def wait_for_head(head: int, watched: set[signal.Signals]) -> int:
    """Wait for the head to end, reaping others meanwhile; when told to stop, pass it on and insist after a while."""
    deadline: float | None = None
    while True:
        left = 3600.0 if deadline is None else deadline - time.monotonic()
        received = signal.sigtimedwait(watched, max(left, 0.0))
        if received is None and deadline is not None:
            os.kill(head, signal.SIGKILL)
            return os.waitpid(head, 0)[1]
        if received is not None and received.si_signo != signal.SIGCHLD and deadline is None:
            os.kill(head, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
        status = reap(head)
        if status is not None:
            return status


def reap(head: int) -> int | None:
    """Collect every child that has ended, up to the head; its status if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == head:
            return status
        if pid == 0:
            return None


def main(arguments: list[str]) -> None:
    """Do as the first argument says; only a tree, and the first half of what is detached, come back from it."""
    mode, parent, *command = arguments
    if mode == "tree":
        sys.exit(run_tree(int(parent), command))
    if mode == "detached":
        if os.fork():
            return
        os.setsid()
    else:
        die_with(int(parent), signal.SIGKILL)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])

"""The namespaces that a real node lives in: network, mounts, processes. Run by path, before anything else is loaded:

    python -I -S namespaces.py hold PLAN                 makes them and keeps them
    python -I -S namespaces.py enter READY COMMAND       runs a command inside; READY is the file that `hold` wrote

The kernel does the cleaning up: when the first process of the process namespace dies, all others in it are killed, and
with the last process go its mounts, its interfaces (the host's end of the cable too) and its nftables tables. The first
process dies with the holder, the holder with the lab's supervisor. So nothing outlasts even the hardest end of a lab.

Only the standard library, and as little of it as possible.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 0x1000, 0x4000, 1 << 19, 1 << 20
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | ctypes.c_ulong | None) -> None:
    """One function of the C library, whose failure is an exception."""
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{arguments}: {os.strerror(error)}")


def mount(source: str, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    """Mount something inside the namespace."""
    wanted = kind.encode() if kind else None
    call("mount", source.encode(), str(target).encode(), wanted, ctypes.c_ulong(flags), data.encode())


def hold(plan: dict[str, Any]) -> int:
    """Make the namespaces, start their first process, and end it when told to."""
    call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    connect(plan, os.getppid())
    furnish(plan)
    call("unshare", CLONE_NEWPID)
    watched = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    holder = os.getpid()  # the first process has no name for what is outside
    first = os.fork()
    if first == 0:
        be_first(plan, holder)
    while True:
        received = signal.sigwait(watched)
        if received != signal.SIGCHLD:
            os.kill(first, signal.SIGKILL)
        ended, status = os.waitpid(first, os.WNOHANG if received == signal.SIGCHLD else 0)
        if ended:
            return 0 if received != signal.SIGCHLD else 1 + os.waitstatus_to_exitcode(status) % 125


def connect(plan: dict[str, Any], outside: int) -> None:
    """Lay a cable between host and node, and tell the host which addresses are at the other end."""
    inner, outer = plan["node_address"], plan["host_address"]
    inside = [
        f"link add eth0 type veth peer name {plan['interface']} netns {outside}",
        f"address add {inner}/30 dev eth0",
        "link set lo up",
        "link set eth0 up",
        f"route add default via {outer}",
    ]
    there = [
        f"address add {outer}/30 dev {plan['interface']}",
        f"link set {plan['interface']} up",
        *(f"route add {network} via {inner}" for network in plan["networks"]),
    ]
    for prefix, lines in (([], inside), (["nsenter", f"--net=/proc/{outside}/ns/net"], there)):
        command = [*prefix, "ip", "-batch", "-"]
        subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)
    if not Path("/proc/sys/net/bridge").exists():
        # Bridged packets must pass the rules for Services. Not every kernel has that from the start, or at all.
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["modprobe", "--quiet", "br_netfilter"], stderr=subprocess.DEVNULL, check=False)
    for name, value in plan["network_settings"].items():
        path = Path("/proc/sys/net", name)
        if path.exists():
            path.write_text(value)


def furnish(plan: dict[str, Any]) -> None:
    """Mount what is the node's alone. What the host mounts and unmounts is seen inside, never the other way round."""
    mount("none", Path("/"), None, MS_REC | MS_SLAVE)
    mount("none", Path("/"), None, MS_REC | MS_SHARED)  # kubelet and containers share mounts among themselves
    hidden = [Path(target) for target in plan["empty"]]
    kept = [Path(one) for one in plan["kept"] if any(Path(one).is_relative_to(target) for target in hidden)]
    handles = [os.open(one, os.O_PATH) for one in kept]
    for target in hidden:
        mount("lab", target, "tmpfs", 0, "mode=0755")
    for one, handle in zip(kept, handles, strict=True):
        one.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{handle}", one, None, MS_BIND | MS_REC)
        os.close(handle)
    for source, target in plan["binds"]:
        Path(target).mkdir(parents=True, exist_ok=True)
        mount(source, Path(target), None, MS_BIND)


def be_first(plan: dict[str, Any], holder: int) -> NoReturn:
    """The first process of the namespace: collects those whose parents are gone, until the holder ends."""
    try:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
        mount("proc", Path("/proc"), "proc", 0)
        for number, (name, value) in enumerate(plan["kernel_settings"].items()):
            stand_in = Path(plan["empty"][0], f"setting-{number}")
            stand_in.write_text(value)
            mount(str(stand_in), Path("/proc/sys", name), None, MS_BIND)
        draft = Path(plan["ready"] + ".new")
        draft.write_text(f"{holder}\n")
        draft.rename(plan["ready"])
        while True:
            reap(signal.sigwait({signal.SIGCHLD}))
    finally:
        os._exit(124)


def reap(_: int) -> None:
    """Collect every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def enter(holder: int, command: list[str]) -> int:
    """Run the command inside, pass on what ends it, and return its exit status in the shell's form."""
    join(holder)
    watched = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        try:
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setpgid(0, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
        except OSError as error:
            print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        finally:
            os._exit(127)
    status = wait(child, watched)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def join(holder: int) -> None:
    """Go where the holder's first process is; the process namespace is for the children only."""
    handles = [os.open(f"/proc/{holder}/ns/{name}", os.O_RDONLY) for name in ("pid_for_children", "net", "mnt")]
    for handle in handles:
        call("setns", handle, 0)
        os.close(handle)


def wait(child: int, watched: set[signal.Signals]) -> int:
    """Wait for the child; told to stop, pass it on and insist after a while."""
    deadline: float | None = None
    while True:
        left = 3600.0 if deadline is None else max(deadline - time.monotonic(), 0.0)
        received = signal.sigtimedwait(watched, left)
        if received is None and deadline is not None:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        if received is not None and received.si_signo != signal.SIGCHLD and deadline is None:
            os.kill(child, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status


def main(arguments: list[str]) -> int:
    """Hold or enter; anything else is a mistake of the lab's."""
    mode, subject, *command = arguments
    os.umask(0o022)  # what images and volumes look like must not depend on who started the lab
    if mode == "hold":
        return hold(json.loads(Path(subject).read_text()))
    return enter(int(Path(subject).read_text()), command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

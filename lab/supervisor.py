"""The process that owns a lab: starts its members in order, watches them, and ends all of them together.

Run by `Lab.up` as `python -m lab.supervisor`. It has one thread and sleeps in one place, `_wait`, which wakes for a
dead member, a signal, a launcher that is gone, or a disk that is full. Whatever happens, its members do not outlive it.
"""

import argparse
import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import envfile, github_member
from lab.errors import LabError, UsageError
from lab.folder import LOWEST_BYTES, Folder, State, tail, write
from lab.kubernetes.control_plane import ControlPlane
from lab.kubernetes.kinds import kind
from lab.kubernetes.nodes import Nodes
from lab.launch import PR_SET_CHILD_SUBREAPER, end_descendants, prctl
from lab.member import Member
from lab.ports import Ports
from lab.processes import bound_to_me, identify

READINESS_SECONDS = 0.05  # between two questions whether a server is ready
DISK_SECONDS = 1.0  # between two looks at the free space
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")  # a member sees nothing else of whoever started the lab


class StopRequested(Exception):
    """Somebody wants the lab to end."""


@dataclass(frozen=True)
class Running:
    """A started member."""

    member: Member
    process: subprocess.Popen[bytes]
    handle: int


class Supervisor:
    """One lab's processes, from the first start to the last end."""

    def __init__(self, folder: Folder, state: State, launcher: socket.socket, clean: Callable[[], None]) -> None:
        self._folder = folder
        self._state = state
        self._launcher: socket.socket | None = launcher
        self._clean = clean
        self._running: list[Running] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(launcher, selectors.EVENT_READ, "launcher")
        self._selector.register(_signals(), selectors.EVENT_READ, "signal")
        self._next_look = 0.0

    def run(self, bring_up: Callable[["Supervisor"], None]) -> int:
        """Bring the lab up, keep it until it should end, and end it."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._state.processes["supervisor"] = identify(os.getpid())
        failure: str | None = None
        event = "failed"
        try:
            self._folder.write_state(self._state)
            bring_up(self)
            self._state.phase = "ready"
            self._folder.write_state(self._state)
            self._tell("ready")
            self._keep()
        except StopRequested:
            self._tell("failed", f"the lab in {self._folder.path} was stopped while it was starting")
        except (LabError, OSError) as error:
            failure = self._explain(error)
            event = "refused" if isinstance(error, UsageError) else event
        except BaseException as error:
            failure = f"the lab's own code failed: {error!r}"
            raise
        finally:
            self._stop()
            failure = self._swept(failure)
            self._conclude(event, failure)
        return 1 if failure else 0

    def start(self, member: Member) -> None:
        """Start a member, its output going to its log."""
        self.step(f"starting {member.name}")
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(member.environment)
        with self._folder.log(member.name).open("ab") as log:
            process = subprocess.Popen(
                bound_to_me(member.command, tree=member.forks),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder.path,
                env=environment,
                process_group=0,
            )
        running = Running(member, process, os.pidfd_open(process.pid))
        self._running.append(running)
        self._selector.register(running.handle, selectors.EVENT_READ, running)
        self._state.processes[member.name] = identify(process.pid)
        self._folder.write_state(self._state)

    def until_ready(self, *members: Member) -> None:
        """Wait until every one of them serves."""
        for member in members:
            deadline = time.monotonic() + member.ready_seconds
            while not member.ready():
                if time.monotonic() > deadline:
                    raise LabError(self._with_log(member.name, f"is not ready after {member.ready_seconds:.0f} s"))
                self._wait(READINESS_SECONDS)

    def step(self, text: str) -> None:
        """Tell the launcher, if it still listens, how far we are."""
        self._tell("step", text)

    def _keep(self) -> None:
        """Watch until there is a reason to end."""
        if self._launcher:
            self._selector.unregister(self._launcher)
            self._launcher.close()
            self._launcher = None
        while True:
            self._wait(DISK_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Sleep, unless something happens that ends the lab."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Running):
                self._look_at_disk()  # a full disk is what may have killed it
                raise LabError(self._death_of(key.data))
            raise StopRequested
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + DISK_SECONDS
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        if self._folder.free_bytes() < LOWEST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder.path))

    def _death_of(self, running: Running) -> str:
        code = running.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return self._with_log(running.member.name, f"{how} while the lab was {self._state.phase}")

    def _with_log(self, name: str, what: str) -> str:
        log = self._folder.log(name)
        lines = "".join(f"\n  {line}" for line in tail(log)) or "\n  (nothing)"
        return f"{name} {what}; everything was stopped. The last lines of {log}:{lines}"

    def _explain(self, error: LabError | OSError) -> str:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return f"the disk of {self._folder.path} is full; everything was stopped. Free some space, then start again"
        if isinstance(error, OSError):
            return f"{error}; everything was stopped"
        return str(error)

    def _stop(self) -> None:
        """End the members, the last started first; then whatever they may have left behind."""
        for running in reversed(self._running):
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
                try:
                    running.process.wait(running.member.grace_seconds)
                except subprocess.TimeoutExpired:
                    running.process.kill()
                    running.process.wait()
        end_descendants()

    def _swept(self, failure: str | None) -> str | None:
        """Remove what processes leave on the machine; the reason of the lab's end, with what went wrong here."""
        try:
            self._clean()
        except (LabError, OSError) as error:
            return f"{failure}\n{error}" if failure else str(error)
        return failure

    def _conclude(self, event: str, failure: str | None) -> None:
        """Leave the truth in the folder; on a disk so full that nothing can be written, tell at least the launcher."""
        self._state.phase = "failed" if failure else "stopped"
        if failure:
            self._tell(event, failure)
        try:
            self._folder.env.unlink(missing_ok=True)
            if failure:
                self._folder.record_failure(failure + "\n")
            self._folder.write_state(self._state)
        except OSError as error:
            failure = f"{failure or ''}\ncannot write the lab's last state: {error}"
        if failure:
            _log(failure)

    def _tell(self, event: str, text: str = "") -> None:
        if self._launcher:
            # A launcher that is gone shows up in _wait, where it ends the lab.
            with contextlib.suppress(OSError):
                self._launcher.sendall(json.dumps({"event": event, "text": text}).encode() + b"\n")


def bring_up_lab(
    supervisor: Supervisor,
    folder: Folder,
    options: argparse.Namespace,
    nodes: Nodes,
    ports: Ports,
) -> None:
    """The order of things: the store first, then the API server, then all that needs it; GitHub beside them."""
    binaries = {name: Path(path) for name, _, path in (one.partition("=") for one in options.binary)}
    for member in nodes.foundation(folder, binaries):
        supervisor.start(member)
        supervisor.until_ready(member)
    plane = ControlPlane(folder, ports, binaries, nodes, api_port=options.api_port)
    etcd, api_server = plane.etcd(), plane.api_server(audit=options.audit)
    others = [plane.controller_manager(), *nodes.members(plane)]
    token = plane.credentials.tokens["admin"]
    env = {"KUBECONFIG": str(folder.kubeconfig)}
    beside = [github_member.member(folder, nodes.address, token)] if options.github else []

    supervisor.start(etcd)
    for member in beside:
        supervisor.start(member)
    supervisor.until_ready(etcd)
    supervisor.start(api_server)
    supervisor.until_ready(api_server)
    for member in others:
        supervisor.start(member)
    nodes.join(plane)
    supervisor.until_ready(*others, *beside)
    if options.github:
        env |= github_member.variables(folder)
    write(folder.env, envfile.render({**env, **nodes.env, "LAB_ADMIN_TOKEN": token}))


def _log(text: str) -> None:
    """To this process's log, which may be on the very disk that is full: then nobody can be told anything."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), text.encode() + b"\n")


def _signals() -> socket.socket:
    """A socket that becomes readable when we are told to end."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab.supervisor", description=__doc__.partition("\n")[0])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--nodes", required=True)
    parser.add_argument("--github", action="store_true")
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--api-port", type=int)
    parser.add_argument("--binary", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument(
        "--launcher", type=int, required=True, help="descriptor of the socket to whoever waits for the lab"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one lab. The lock's descriptor is inherited and stays open until this process ends."""
    options = _parse(arguments)
    os.umask(0o077)
    folder = Folder(options.dir)
    launcher = socket.socket(fileno=options.launcher)
    os.set_inheritable(options.launcher, False)
    nodes = kind(options.nodes)
    state = State(nodes=options.nodes, github=options.github)
    with Ports() as ports:
        return Supervisor(folder, state, launcher, nodes.clean).run(
            lambda supervisor: bring_up_lab(supervisor, folder, options, nodes, ports)
        )


if __name__ == "__main__":
    sys.exit(main())

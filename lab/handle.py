"""`Lab`: bring a lab up, find one that runs, ask how it is, take it down. The processes belong to its supervisor."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab import binaries, envfile, github_member
from lab.errors import LabError, UsageError
from lab.folder import NEEDED_BYTES, Folder, State, tail
from lab.kubernetes.kinds import api_server, kind
from lab.kubernetes.real.slot import sweep
from lab.processes import detached, end

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
UP_SECONDS = 180.0  # the members' own limits are tighter; this one is for a supervisor that hangs
DOWN_SECONDS = 30.0
REPOSITORY = Path(__file__).parent.parent

Report = Callable[[str], None]


def _silent(_: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Status:
    """How a lab is, as one can tell from outside."""

    phase: str  # starting, ready, stopped, failed, lost (its supervisor was killed)
    state: State
    failure: str | None = None


@dataclass
class Lab:
    """A lab in a folder."""

    folder: Folder
    env: dict[str, str] = field(repr=False)

    @classmethod
    def up(
        cls,
        directory: str | os.PathLike[str],
        *,
        nodes: str = "simulated",
        kubernetes: str = binaries.NEWEST,
        github: bool = True,
        audit: bool = False,
        api_port: int | None = None,
        report: Report = _silent,
    ) -> "Lab":
        """Bring a lab up and return when all of it is ready; when that fails, nothing is left running."""
        _require_linux()
        wanted = {name: name for name in (*CONTROL_PLANE, *kind(nodes).binaries)}
        wanted["kube-apiserver"] = api_server(kubernetes, nodes)
        if github:
            github_member.require()
        folder = Folder(directory)
        lock = folder.claim()
        try:
            paths = binaries.ensure(wanted.values())
            _prepare(folder)
            options = [f"--nodes={nodes}", *(f"--binary={name}={paths[made]}" for name, made in wanted.items())]
            options += ["--github"] * github + ["--audit"] * audit + ([f"--api-port={api_port}"] if api_port else [])
            _launch(folder, lock, options, report)
        finally:
            os.close(lock)
        return cls.attach(directory)

    @classmethod
    def attach(cls, directory: str | os.PathLike[str]) -> "Lab":
        """The lab that runs in this folder."""
        folder = Folder(directory)
        if not folder.env.exists() or not folder.locked():
            raise UsageError(f"no lab runs in {folder.path}: start one with `python -m lab up --dir {folder.path}`")
        return cls(folder, envfile.parse(folder.env.read_text()))

    @property
    def pids(self) -> dict[str, int]:
        """The lab's processes by name; `supervisor` is the one that owns the others."""
        state = self.folder.state()
        return {name: one.pid for name, one in state.processes.items()} if state else {}

    @property
    def status(self) -> Status:
        return status(self.folder)

    def down(self) -> None:
        """Stop everything. Logs stay; doing it twice does no harm."""
        down(self.folder)


def status(folder: Folder) -> Status:
    """How the lab in this folder is."""
    state = folder.state()
    if state is None:
        raise UsageError(f"{folder.path} holds no lab: name the folder that was given to `python -m lab up --dir`")
    over = state.phase in {"stopped", "failed"}
    phase = state.phase if over or folder.locked() else "lost"
    failure = folder.failure_text()
    if phase == "lost":
        failure = f"the supervisor of the lab in {folder.path} was killed; its processes died with it"
    return Status(phase, state, failure)


def down(folder: Folder) -> Status:
    """Stop the lab in this folder, if one runs, and return what it was before."""
    found = status(folder)
    supervisor = found.state.processes.get("supervisor")
    if supervisor:
        end(supervisor, DOWN_SECONDS)
    for identity in found.state.processes.values():
        end(identity, 0)  # only after an unclean end is one of them left, and then only for a moment
    sweep(folder)
    folder.tidy()
    return found


def _require_linux() -> None:
    if sys.platform != "linux":
        raise UsageError(f"the lab runs on Linux only (this is {sys.platform}): use a Linux machine or container")


def _prepare(folder: Folder) -> None:
    """An empty folder with room for a lab, or an error that says what is missing."""
    try:
        free = folder.free_bytes()
        if free >= NEEDED_BYTES:
            sweep(folder)
            folder.clear()
            return
    except OSError as error:
        raise LabError(f"cannot prepare {folder.path}: {error.strerror}") from error
    raise LabError(
        f"the disk of {folder.path} is too full: {free >> 20} MB are free and a lab needs {NEEDED_BYTES >> 20}; "
        "free some space or choose another folder with --dir"
    )


def _launch(folder: Folder, lock: int, options: list[str], report: Report) -> None:
    """Start the supervisor and follow it until the lab is ready. If we are interrupted or die, it cleans up."""
    ours, theirs = socket.socketpair()
    module = [sys.executable, "-P", "-m", "lab.supervisor"]
    command = [*module, f"--dir={folder.path}", f"--launcher={theirs.fileno()}", *options]
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    with ours, theirs, folder.log("supervisor").open("ab") as log:
        try:
            subprocess.run(
                detached(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=(theirs.fileno(), lock),
                check=True,
            )
            theirs.close()
            _follow(folder, ours, report)
        except BaseException:
            theirs.close()
            _give_up(ours)
            raise


def _follow(folder: Folder, supervisor: socket.socket, report: Report) -> None:
    for event, text in _events(supervisor):
        if event == "ready":
            return
        if event in {"failed", "refused"}:
            raise (UsageError if event == "refused" else LabError)(text)
        report(text)
    lines = "".join(f"\n  {line}" for line in tail(folder.log("supervisor")))
    raise LabError(f"the lab's supervisor ended without a word; its log, {folder.log('supervisor')}, ends with:{lines}")


def _events(supervisor: socket.socket) -> Iterator[tuple[str, str]]:
    """What the supervisor says, one JSON object a line, until it closes its end."""
    deadline = time.monotonic() + UP_SECONDS
    pending = b""
    while True:
        supervisor.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            received = supervisor.recv(65536)
        except TimeoutError as error:
            raise LabError(f"the lab is not ready after {UP_SECONDS:.0f} s and was stopped") from error
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            message = json.loads(line)
            yield message["event"], message["text"]


def _give_up(supervisor: socket.socket) -> None:
    """Tell the supervisor that nobody waits any more, and return when it has cleaned up and ended."""
    with _uninterrupted():
        supervisor.shutdown(socket.SHUT_WR)
        supervisor.settimeout(DOWN_SECONDS)
        while supervisor.recv(65536):
            pass


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not stop the cleaning up after the first. Only the main thread gets signals at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

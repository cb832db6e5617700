"""Building binaries from the Go module proxy, one after the other. Each appears in the cache only when it is whole."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import cache
from lab.binaries import go
from lab.binaries.progress import duration, say
from lab.binaries.tools import BUILD_ENVIRONMENT, Tool, cores
from lab.errors import LabError
from lab.folder import tail
from lab.processes import bound_to_me

HEARTBEAT_SECONDS = 30.0
BUILD_SECONDS = 3600.0  # a single binary; beyond that something hangs
LOCK_SECONDS = 7200.0
CROSS_BUILD = ("GOOS", "GOARCH", "GOARM", "GOAMD64", "GOARM64", "GOFIPS140")  # the lab runs what it builds, here


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Be the only one who adds to the cache, waiting for another who does."""
    folder = cache.folder() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        _acquire(file.fileno(), folder)
        yield


def _acquire(descriptor: int, folder: Path) -> None:
    began = time.monotonic()
    next_word = began
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if now - began > LOCK_SECONDS:
                raise LabError(f"another process fills {folder} for hours now: end it, then try again") from None
            if now >= next_word:
                say(f"waiting for another process that makes the binaries ready ({duration(now - began)})")
                next_word = now + HEARTBEAT_SECONDS
            time.sleep(0.2)  # a file lock can be waited for, but not with a limit
        else:
            return


def build(tools: Sequence[Tool]) -> dict[str, Path]:
    """Build them all; the caller holds the lock."""
    total = sum(_estimate(tool) for tool in tools)
    names = ", ".join(tool.name for tool in tools)
    say(f"building {names} into the cache, once (about {duration(total)} on {cores()} cores)")
    return {tool.name: _build(tool, number, len(tools)) for number, tool in enumerate(tools, 1)}


def _build(tool: Tool, number: int, count: int) -> Path:
    path = tool.cached()
    estimate = duration(_estimate(tool))
    say(f"building {tool.name} ({number} of {count}; about {estimate} on {cores()} cores)")
    compiler = go.command(tool.module.go_version)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = cache.folder() / "logs" / f"build-{tool.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent.parent, prefix=".build-") as scratch:
        draft = Path(scratch) / tool.name
        _run([str(compiler), "build", *tool.module.flags, "-o", str(draft), tool.package], tool, estimate, log)
        draft.rename(path)
    return path


def _run(command: list[str], tool: Tool, estimate: str, log: Path) -> None:
    """Run the compiler with a sign of life now and then. It ends with us, together with what it started."""
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in CROSS_BUILD} | BUILD_ENVIRONMENT
    with log.open("wb") as output:
        process = subprocess.Popen(
            bound_to_me(command, tree=True),
            cwd=tool.module.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
        try:
            code = _wait(process, tool, estimate, began)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        lines = "".join(f"\n  {line}" for line in tail(log))
        raise LabError(f"building {tool.name} failed; {log} ends with:{lines}")
    say(f"built {tool.name} in {duration(time.monotonic() - began)}")


def _wait(process: subprocess.Popen[bytes], tool: Tool, estimate: str, began: float) -> int:
    while True:
        try:
            return process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            passed = time.monotonic() - began
            if passed > BUILD_SECONDS:
                raise LabError(f"building {tool.name} took over {duration(BUILD_SECONDS)} and was stopped") from None
            say(f"still building {tool.name}: {duration(passed)} so far; about {estimate} where nothing else runs")


def _estimate(tool: Tool) -> float:
    """The time on two cores, scaled; linking does not get faster beyond a few."""
    return tool.seconds * 2 / min(cores(), 8)

"""Runs git: in an environment and with a configuration of our own, watched, and killed when it takes too much.

The configuration, the credential's header among it, is a file in memory that git and its helpers inherit as an open
descriptor: so a token is in no argument, no variable and no file, and is gone with the last of these processes.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mooring.checkout.failures import Failed
from mooring.checkout.timing import Deadline

TICK = 0.1
"""Seconds between two looks at time and size: at a gigabyte a second, the limit is overrun by a hundred megabytes."""
CHUNK = 64 * 1024
KEPT_STDERR = 16 * 1024
"""What git says last is why it ended; before that a server may say as much as it likes."""
MAX_OUTPUT = 1024 * 1024

CONFIGURATION = """\
[protocol]
	allow = never
	version = 2
[protocol "https"]
	allow = always
[http]
	followRedirects = false
	sslVerify = true
	lowSpeedLimit = 1
	lowSpeedTime = 120
[credential]
	helper =
[core]
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	fsmonitor = false
	symlinks = true
	protectHFS = true
	protectNTFS = true
	logAllRefUpdates = false
	sparseCheckoutCone = false
	# What is larger is streamed, not held in memory.
	bigFileThreshold = 16m
	deltaBaseCacheLimit = 32m
[pack]
	threads = 1
[index]
	threads = 1
[checkout]
	workers = 1
[transfer]
	fsckObjects = true
	bundleURI = false
[fetch]
	fsckObjects = true
	# One pack, however few objects: its size can be watched.
	unpackLimit = 1
	recurseSubmodules = false
# Slips of old programs, which harm nobody and cannot be mended without a new history.
[fetch "fsck"]
	zeroPaddedFilemode = ignore
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
[submodule]
	recurse = false
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
"""


class GitError(Exception):
    """A git command ended with an error. What it said may be a stranger's words: it is judged, and cleaned, first."""

    def __init__(self, command: str, code: int, said: str) -> None:
        super().__init__(f"git {command} ended with {code}")
        self.command = command
        self.code = code
        self.said = said


class TooMuchOutput(Exception):
    """A command printed more than it was allowed to, and was killed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository on disk. `objects` is where its objects are, if not in `git_dir`."""

    git_dir: Path
    work_tree: Path
    objects: Path | None = None

    @classmethod
    def of(cls, work_tree: Path) -> Place:
        """Return the place of an ordinary checkout."""
        return cls(work_tree / ".git", work_tree)

    @property
    def object_folder(self) -> Path:
        """Return where its objects are."""
        return self.objects or self.git_dir / "objects"


def _nothing() -> None:
    """Watch nothing but the time."""


class Git:
    """The git command. Every run counts against one deadline."""

    def __init__(self, deadline: Deadline, *, ca_file: Path | None = None) -> None:
        self._deadline = deadline
        self._configuration = CONFIGURATION
        if ca_file is not None:
            quoted = str(ca_file).replace("\\", "\\\\").replace('"', '\\"')
            self._configuration += f'[http]\n\tsslCAInfo = "{quoted}"\n'

    def run(
        self,
        place: Place,
        *arguments: str,
        stdin: bytes = b"",
        secret: str = "",
        limit: int = MAX_OUTPUT,
        watch: Callable[[], None] = _nothing,
    ) -> bytes:
        """Run a command and return what it printed; raise GitError, TooMuchOutput, or what `watch` raises.

        `secret` is configuration for this run alone.
        """
        with ExitStack() as stack:
            configuration = stack.enter_context(_in_memory((self._configuration + secret).encode()))
            given = stack.enter_context(_in_memory(stdin)) if stdin else None
            process = stack.enter_context(_started(_command(arguments, configuration), place, configuration, given))
            kept = stack.enter_context(_Kept(process, limit))
            while not kept.take(TICK):
                self._deadline.check()
                watch()
            code = self._code(process)
        if code:
            raise GitError(arguments[0], code, kept.said)
        return bytes(kept.out)

    def _code(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return process.wait(timeout=TICK)
            except subprocess.TimeoutExpired:
                self._deadline.check()


class _Kept(ExitStack):
    """What a process has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        super().__init__()
        self.out = bytearray()
        self._err = bytearray()
        self._limit = limit
        self._selector = self.enter_context(selectors.DefaultSelector())
        for stream, into in ((process.stdout, self.out), (process.stderr, self._err)):
            assert stream is not None  # noqa: S101 - it was asked for
            self._selector.register(stream, selectors.EVENT_READ, into)

    @property
    def said(self) -> str:
        """Return the end of what it printed as an error."""
        return self._err.decode(errors="replace")

    def take(self, seconds: float) -> bool:
        """Read what comes within this time; tell whether nothing more will come."""
        for key, _ in self._selector.select(seconds):
            chunk = os.read(key.fd, CHUNK)
            key.data.extend(chunk)
            if not chunk:
                self._selector.unregister(key.fileobj)
        del self._err[:-KEPT_STDERR]
        if len(self.out) > self._limit:
            raise TooMuchOutput
        return not self._selector.get_map()


def _command(arguments: tuple[str, ...], configuration: int) -> list[str]:
    # Included on the command line, it outranks every file, a repository's own among them.
    return ["git", "-c", f"include.path=/proc/self/fd/{configuration}", *arguments]


def environment(place: Place) -> dict[str, str]:
    """Return all that git gets to know: of our own environment the PATH alone."""
    given = {
        "PATH": os.environ.get("PATH", os.defpath),
        # curl would read a .netrc there.
        "HOME": "/nonexistent",
        # git's own words are judged.
        "LC_ALL": "C",
        "GIT_DIR": str(place.git_dir),
        "GIT_WORK_TREE": str(place.work_tree),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    return given if place.objects is None else {**given, "GIT_OBJECT_DIRECTORY": str(place.objects)}


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("mooring")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _started(
    command: list[str], place: Place, configuration: int, given: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start it in a session of its own, and leave no process of it behind."""
    try:
        process = subprocess.Popen(  # noqa: S603 - a list, and none of its words is a shell's
            command,
            cwd=place.work_tree,
            env=environment(place),
            stdin=subprocess.DEVNULL if given is None else given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(configuration,),
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Failed("git is not on the PATH of this image. Use Mooring's own image for the checkout") from None
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session; a process that has ended by itself has left nothing."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        _close(stream)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()


if sys.platform != "linux":
    raise ImportError("the checkout runs on Linux alone: it keeps secrets in files that live in memory")

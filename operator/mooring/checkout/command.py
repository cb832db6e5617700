"""Runs one checkout as a container does: a line for each step, the last one also where the kubelet looks for it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mooring.checkout.course import Course
from mooring.checkout.failures import Failed
from mooring.checkout.limits import Limits
from mooring.checkout.request import Request
from mooring.checkout.timing import Clock, MachineClock
from mooring.checkout.words import Teller

TERMINATION_LOG = Path("/dev/termination-log")
UMASK = 0o002
"""The workload may be another user of the group that owns the volume."""
_MAX_TRACE = 4000


class Stopped(Failed):
    """The pod goes."""


def run(
    request: Request,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    termination_log: Path = TERMINATION_LOG,
) -> int:
    """Check out; the return value is the exit code."""
    teller = Teller(_write)
    # Python's TLS would write the keys of every connection to where this says; git gets no environment of ours.
    os.environ.pop("SSLKEYLOGFILE", None)
    try:
        with _ending():
            done = Course(request, teller, clock or MachineClock(), limits or Limits()).run()
    except Failed as problem:
        last, code = f"the checkout failed: {problem}.", 1
    except OSError as problem:
        last, code = f"the checkout failed: {problem.strerror or problem} ({problem.filename}).", 1
    except Exception as problem:  # noqa: BLE001 - the edge of the process; a trace that no redaction saw would be worse
        for line in traceback.format_exc()[-_MAX_TRACE:].splitlines():
            teller.say(line)
        last, code = f"the checkout failed by a defect of its own ({type(problem).__name__}). Report it.", 1
    else:
        last, code = f"{done}.", 0
    teller.say(last)
    _leave(teller.clean(last), termination_log)
    return code


def _write(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Let a signal end the checkout in an orderly way: the first process of a container ignores it otherwise."""

    def stop(_: int, __: FrameType | None) -> None:
        raise Stopped("it was told to stop")

    before = signal.signal(signal.SIGTERM, stop)
    mask = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(mask)
        signal.signal(signal.SIGTERM, before)


def _leave(line: str, log: Path) -> None:
    """Write what `kubectl describe` shows; where nobody looks, no file is made."""
    with contextlib.suppress(OSError):
        descriptor = os.open(log, os.O_WRONLY | os.O_TRUNC)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(f"{line}\n")

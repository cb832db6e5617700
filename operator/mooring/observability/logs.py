"""Log lines: one JSON object a line, on standard error for operations and on standard output for the audit record.

The fields have fixed names: `ts`, `level`, `logger`, `message`; `object {kind, namespace, name}` where a line is about
one; `error` with the trace of an exception; and the plain extras that Mooring's own code gives, such as `reason`.
Lines of libraries come from `warning` on, whatever they or anyone set: at lower levels they print headers and bodies.
"""

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

import orjson

from mooring.domain.redaction import redact

OWN = "mooring"
AUDIT = "mooring.audit"
CRASH = "mooring.crash"

_FIXED = frozenset({"ts", "level", "logger", "message", "object", "error"})
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST_EXTRA = 1024

Redactor = Callable[[str], str]
# Calls something back soon, as an event loop does with `call_soon`.
Later = Callable[[Callable[[], None]], object]

log = logging.getLogger(__name__)

_ENCODER = json.JSONEncoder(separators=(",", ":"))


def about(kind: str, namespace: str, name: str, **fields: str | float | bool | None) -> dict[str, Any]:
    """Return the `extra` of a log call about an object: `log.info("rolled out", extra=about("Project", ns, name))`."""
    return {"object": {"kind": kind, "namespace": namespace, "name": name}, **fields}


class JsonFormatter(logging.Formatter):
    """Turns a record into one line of JSON, with every text in it redacted."""

    def __init__(self, redactor: Redactor = redact) -> None:
        super().__init__()
        self._redact = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if about_object := _object(record):
            line["object"] = about_object
        if is_own(record.name):
            line |= _extras(record)
        if error := _error(record):
            line["error"] = error
        return self.encoded(line)

    def encoded(self, line: Mapping[str, Any]) -> str:
        """Return the fields of a line as it is written."""
        return _encoded(self._clean(line))

    def of_parts(self, logger: str, message: str, about: Mapping[str, str], extras: Mapping[str, Any]) -> str:
        """Return a line of level info whose message and names of fields need not be redacted."""
        line: dict[str, Any] = {"ts": _time(time.time()), "level": "info", "logger": logger, "message": message}
        line["object"] = {key: self._redact(value) for key, value in about.items()}
        for key, value in _plain(extras).items():
            line[key] = self._redact(value) if isinstance(value, str) else value
        return _encoded(line)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {self._redact(str(key)): self._clean(entry) for key, entry in value.items()}
        return value


def _time(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03}Z"


@lru_cache(1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _encoded(line: Mapping[str, Any]) -> str:
    """Write a line's fields, with nothing but ASCII: letters that change how a text looks would show as they are."""
    try:
        text = orjson.dumps(line)
    except orjson.JSONEncodeError:
        return _ENCODER.encode(line)
    return text.decode() if text.isascii() else _ENCODER.encode(line)


def is_own(logger: str) -> bool:
    """Tell whether a logger is Mooring's own."""
    return logger == OWN or logger.startswith(f"{OWN}.")


def _object(record: logging.LogRecord) -> dict[str, str] | None:
    """Return what the line is about; Kopf names it in its own way."""
    found = getattr(record, "object", None) or getattr(record, "k8s_ref", None)
    if not isinstance(found, Mapping):
        return None
    return {key: str(found[key]) for key in ("kind", "namespace", "name") if found.get(key)}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """Return the plain values that the caller gave beside the message; anything else has no place in a line."""
    return _plain({key: value for key, value in vars(record).items() if key not in _STANDARD and key not in _FIXED})


def _plain(extras: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value[:_LONGEST_EXTRA] if isinstance(value, str) else value
        for key, value in extras.items()
        if value is None or isinstance(value, str | int | float)
    }


def _error(record: logging.LogRecord) -> dict[str, str] | None:
    """Return type and trace of the exception, the ones that led to it included; never the values of variables."""
    parts = []
    kind = None
    if record.exc_info and record.exc_info[1] is not None:
        kind = type(record.exc_info[1]).__name__
        parts.append("".join(traceback.format_exception(*record.exc_info)))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    if not parts:
        return None
    return {**({"type": kind} if kind else {}), "trace": "\n".join(parts).rstrip()}


class _OwnOrWarning(logging.Filter):
    """Lets Mooring's own records through, and those of libraries from warning on. It stands at the handler, where no
    library can lower it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return is_own(record.name) or record.levelno >= logging.WARNING


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be formatted is reported without its content, which the base class would print."""

    def __init__(self, stream: TextIO, formatter: JsonFormatter | None = None) -> None:
        super().__init__(stream)
        self._json = formatter or JsonFormatter()
        self.setFormatter(self._json)
        self._is_due = False

    def write_fields(
        self,
        logger: str,
        message: str,
        about: Mapping[str, str],
        extras: Mapping[str, Any],
        *,
        later: Later | None = None,
    ) -> None:
        """Write a line from its parts, without a record: that would cost several times as much as the line.

        The names of fields, the logger and the message are words of the code, and no texts that came from anywhere.
        With `later`, lines are kept until that calls back, and go out together.
        """
        try:
            text = self._json.of_parts(logger, message, about, extras)
            self.acquire()
            try:
                self.stream.write(text + self.terminator)
                if later is None:
                    self.flush()
                elif not self._is_due:
                    later(self._write_out)
                    self._is_due = True
            finally:
                self.release()
        except Exception:  # noqa: BLE001 - as the base class has it: a line that is lost ends nothing
            self.handleError(logging.LogRecord(logger, logging.INFO, __file__, 0, message, (), None))

    def _write_out(self) -> None:
        self._is_due = False
        try:
            self.flush()
        except OSError:
            log.debug("lines were lost: the stream is gone, and there is no other")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Say that a line was lost, and where it came from."""
        failure = sys.exc_info()[0]
        if failure is not None and issubclass(failure, OSError):
            return  # the stream is gone, and there is no other
        line = {
            "level": "error",
            "logger": OWN,
            "message": f"a log line of {record.name} could not be written: {getattr(failure, '__name__', 'unknown')}",
            "source": f"{record.module}:{record.lineno}",
        }
        self.stream.write(json.dumps(line) + self.terminator)


def configure(
    level: str = "info", *, errors: TextIO | None = None, output: TextIO | None = None, redactor: Redactor = redact
) -> None:
    """Set up all logging of the process: operations to `errors`, the audit record to `output`, and nothing elsewhere.

    To call it again replaces what the call before set up.
    """
    _attach(logging.getLogger(), errors or sys.stderr, redactor, logging.WARNING)
    own = logging.getLogger(OWN)
    own.setLevel(level.upper())
    own.handlers.clear()
    own.propagate = True
    audit = logging.getLogger(AUDIT)
    _attach(audit, output or sys.stdout, redactor, logging.INFO)
    audit.propagate = False
    logging.captureWarnings(capture=True)
    _log_crashes()


def _attach(logger: logging.Logger, stream: TextIO, redactor: Redactor, level: int) -> None:
    handler = LineHandler(stream, JsonFormatter(redactor))
    handler.addFilter(_OwnOrWarning())
    logger.handlers[:] = [handler]
    logger.setLevel(level)


def _log_crashes() -> None:
    """Send what would end as a bare trace on standard error through the same formatter."""
    crash = logging.getLogger(CRASH)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        crash.critical("uncaught exception", exc_info=(kind, error, trace))

    def in_thread(caught: threading.ExceptHookArgs) -> None:
        if caught.exc_value is not None:
            uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)

    def unraisable(caught: "sys.UnraisableHookArgs") -> None:
        if caught.exc_value is not None:
            uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable

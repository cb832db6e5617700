"""Log lines: their form, and that a secret planted in any channel leaves none of them. Each scan first finds a planted
leak with the redaction switched off: a scan that finds nothing anywhere proves nothing.
"""

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mooring.handlers.kinds import configuration
from mooring.observability import configure
from mooring.observability.logs import CRASH, LineHandler, about

PLANTED = "ghs_" + "Zq8Yw7Xv6U" * 4
PIECE = "Zq8Yw7Xv6U"
FORMS = {
    "plain": PLANTED,
    "base64": b64encode(PLANTED.encode()).decode(),
    "URL-encoded": quote(f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n", safe=""),
}
# What must be seen of a form where it leaks.
PIECES = {"plain": PIECE, "base64": FORMS["base64"][8:40], "URL-encoded": PIECE}

own = logging.getLogger("mooring.services.example")
library = logging.getLogger("githubkit")


class Streams:
    def __init__(self, *, redacted: bool = True, level: str = "debug") -> None:
        self.errors, self.output = io.StringIO(), io.StringIO()
        if redacted:
            configure(level, errors=self.errors, output=self.output)
        else:
            configure(level, errors=self.errors, output=self.output, redactor=str)

    @property
    def text(self) -> str:
        return self.errors.getvalue() + self.output.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.getvalue().splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


# --- the form of a line ---


def test_a_line_has_its_fixed_fields() -> None:
    streams = Streams()

    own.info("rolled out %s", "abc", extra=about("Project", "team-a", "shop", reason="Deployed", seconds=0.5))

    line = streams.line
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "mooring.services.example",
        "message": "rolled out abc",
        "object": {"kind": "Project", "namespace": "team-a", "name": "shop"},
        "reason": "Deployed",
        "seconds": 0.5,
    }


def test_a_message_of_many_lines_is_one_line() -> None:
    streams = Streams()

    own.info("a\nb\r\n\u2028c")

    assert streams.line["message"] == "a\nb\r\n\u2028c"
    assert streams.errors.getvalue().count("\n") == 1


def test_an_extra_cannot_take_a_fixed_field_nor_carry_an_object() -> None:
    streams = Streams()

    own.info("said", extra={"level": "none", "ts": 0, "body": {"data": PLANTED}, "headers": [PLANTED], "size": 3})

    assert streams.line["level"] == "info"
    assert streams.line["size"] == 3
    assert streams.line.keys().isdisjoint({"body", "headers"})


def test_what_a_library_adds_to_its_record_is_left_out_but_for_the_object() -> None:
    streams = Streams()
    reference = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Project", "name": "shop", "uid": "u", "namespace": "a"}

    given = {"k8s_ref": reference, "settings": configuration(), "more": 1}
    logging.getLogger("kopf.objects").error("failed", extra=given)

    assert streams.line["object"] == {"kind": "Project", "namespace": "a", "name": "shop"}
    assert streams.line.keys() == {"ts", "level", "logger", "message", "object"}


def test_an_exception_brings_its_type_and_trace() -> None:
    streams = Streams()
    try:
        _fail(ValueError("no such thing"))
    except ValueError:
        own.exception("could not")

    assert streams.line["error"]["type"] == "ValueError"
    assert streams.line["error"]["trace"].startswith("Traceback")
    assert streams.line["error"]["trace"].endswith("ValueError: no such thing")


# --- who may say what ---


@pytest.mark.parametrize(
    "name", ["httpx", "httpcore.http11", "hpack", "aiohttp.client", "kopf.objects", "client.rest", "asyncio", "other"]
)
def test_libraries_stay_quiet_below_warning_even_where_somebody_turns_them_up(name: str) -> None:
    streams = Streams(level="debug")
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        logger.debug("headers: %s", PLANTED)
        logger.info("body: %s", PLANTED)
        logger.warning("trouble")
    finally:
        logger.setLevel(level)

    assert [line["message"] for line in streams.lines] == ["trouble"]


def test_a_real_client_at_debug_level_says_nothing() -> None:
    streams = Streams(level="debug")
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=PLANTED))
        with httpx.Client(transport=transport, headers={"Authorization": f"Bearer {PLANTED}"}) as client:
            client.get(f"https://api.example.com/?access_token={PLANTED}")
    finally:
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.NOTSET)

    assert streams.text == ""


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_for_our_own(level: str, count: int) -> None:
    streams = Streams(level=level)

    for say in (own.debug, own.info, own.warning, own.error):
        say("said")

    assert len(streams.lines) == count


def test_to_configure_again_replaces() -> None:
    first = Streams()
    second = Streams()

    own.info("said")

    assert first.text == ""
    assert len(second.lines) == 1


# --- secrets ---


def _fail(error: Exception) -> None:
    raise error


def _chain(secret: str) -> None:
    try:
        _fail(ConnectionError(f"{secret} refused"))
    except ConnectionError as first:
        second = RuntimeError("second")
        second.__cause__ = first
        own.error("failed", exc_info=second)


def _context(secret: str) -> None:
    try:
        try:
            _fail(ConnectionError(secret))
        finally:
            own.error("on the way", exc_info=True)
    except ConnectionError:
        pass


def _note(secret: str) -> None:
    error = ValueError("plain")
    error.add_note(f"while sending {secret}")
    own.error("failed", exc_info=error)


def _group(secret: str) -> None:
    own.error("failed", exc_info=ExceptionGroup("several", [ValueError("a"), OSError(5, secret)]))


def _asyncio(secret: str) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.call_exception_handler({"message": f"lost {secret}", "exception": ValueError(secret)})
    finally:
        loop.close()


def _thread(secret: str) -> None:
    def fail() -> None:
        raise ValueError(secret)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def _crash(secret: str) -> None:
    error = ValueError(secret)
    sys.excepthook(ValueError, error, None)


def _warning(secret: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(f"old: {secret}", stacklevel=1)


CHANNELS: dict[str, Callable[[str], None]] = {
    "message": lambda secret: own.info(f"token {secret}"),
    "argument": lambda secret: own.info("token %s", secret),
    "argument in a dict": lambda secret: own.info("headers %s", {"a": [secret]}),
    "argument in bytes": lambda secret: own.info("body %s", secret.encode()),
    "object": lambda secret: own.info("x", extra=about("Project", secret, "n")),
    "extra": lambda secret: own.info("x", extra={"reason": secret}),
    "extra's name": lambda secret: own.info("x", extra={secret: 1}),
    "debug": lambda secret: own.debug("token %s", secret),
    "library": lambda secret: library.warning("request %s", secret),
    "child logger": lambda secret: logging.getLogger("mooring.a.b").info("token %s", secret),
    "exception chain": _chain,
    "exception on the way": _context,
    "exception's note": _note,
    "exception group": _group,
    "event loop": _asyncio,
    "thread": _thread,
    "uncaught": _crash,
    "warning": _warning,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_no_channel_lets_a_secret_out(channel: str, form: str) -> None:
    leaky = Streams(redacted=False)
    CHANNELS[channel](FORMS[form])
    assert PIECES[form] in leaky.text, "the scan must find the leak that the redaction is there for"

    tight = Streams()
    CHANNELS[channel](FORMS[form])

    assert tight.lines, "the line itself must not be lost"
    assert PIECES[form] not in tight.text
    assert PIECE not in tight.text
    assert "[redacted]" in tight.text


def test_a_line_that_cannot_be_formatted_is_reported_without_its_content(capsys: pytest.CaptureFixture[str]) -> None:
    streams = Streams()

    own.error("one %s, two %s", PLANTED)

    assert streams.line["message"] == "a log line of mooring.services.example could not be written: TypeError"
    assert streams.line["source"].startswith("test_logs:")
    assert PIECE not in streams.text + "".join(capsys.readouterr())


def test_a_stream_that_is_gone_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    logger = logging.Logger("mooring.gone")  # noqa: LOG001 - one that no other test sees
    logger.addHandler(LineHandler(Gone()))

    logger.error("said %s", PLANTED)

    assert "".join(capsys.readouterr()) == ""


def test_an_interrupt_is_no_crash() -> None:
    streams = Streams()

    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert streams.text == ""


def test_a_crash_is_one_line() -> None:
    streams = Streams()

    sys.excepthook(ValueError, ValueError("odd"), None)

    assert streams.line["logger"] == CRASH
    assert streams.line["level"] == "critical"
    assert streams.line["error"]["type"] == "ValueError"

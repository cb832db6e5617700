"""What is answered: a status, one word, one sentence. Nothing of a request ever comes back in it."""

import json
import math
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from mooring.observability.gateway_metrics import Outcome

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Most answers are the same few.
_REMEMBERED = 256


class Answer(NamedTuple):
    """An answer, before it is HTTP."""

    status: int
    outcome: Outcome | str
    sentence: str
    # In how many seconds to come again, with 429 and 503.
    retry_after: float | None = None


class Refused(Exception):
    """The request is answered now, and goes no further."""

    def __init__(self, status: int, outcome: Outcome, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.answer = Answer(status, outcome, sentence, retry_after)


def as_bytes(answer: Answer, seconds: int, *, close: bool, bodiless: bool = False) -> bytes:
    """Write an answer as HTTP, at a time in seconds since 1970; nobody may keep it, and it says nothing of versions."""
    head, body = _written(answer, close)
    date = _date(seconds)
    return head + date if bodiless else head + date + body


@lru_cache(_REMEMBERED)
def _written(answer: Answer, close: bool) -> tuple[bytes, bytes]:
    content = {"outcome": str(answer.outcome), "message": answer.sentence}
    body = json.dumps(content).encode() + b"\n"
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
    }
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines["Allow"] = "POST"
    if answer.retry_after is not None:
        lines["Retry-After"] = str(max(1, math.ceil(answer.retry_after)))
    if close:
        lines["Connection"] = "close"
    status = HTTPStatus(answer.status)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}".encode(), body


@lru_cache(1)
def _date(seconds: int) -> bytes:
    return f"Date: {formatdate(seconds, usegmt=True)}\r\n\r\n".encode()

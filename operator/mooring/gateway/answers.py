"""What is answered: a status, one word, one sentence. Nothing of a request ever comes back in it."""

import json
import math
from dataclasses import dataclass

from aiohttp import web

from mooring.observability.gateway_metrics import Outcome


@dataclass(frozen=True, slots=True)
class Answer:
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


class Request(web.BaseRequest):
    """A request whose answer says nothing of versions."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        # The library adds it last, and has no setting for it.
        response.headers.pop("Server", None)


def as_response(answer: Answer, *, close: bool) -> web.Response:
    """Write an answer as HTTP; nobody may keep it."""
    content = {"outcome": str(answer.outcome), "message": answer.sentence}
    response = web.Response(
        body=json.dumps(content).encode() + b"\n",
        status=answer.status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
    if answer.status == 405:
        response.headers["Allow"] = "POST"
    if answer.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(answer.retry_after)))
    if close:
        response.force_close()
    return response

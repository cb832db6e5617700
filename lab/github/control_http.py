"""How the control API reads bodies and queries, and how it says what was wrong: one sentence in `error`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import yaml
from aiohttp import web
from pydantic import BaseModel, ValidationError

from lab.github.seed import ConflictError, MissingError

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (MissingError, 404),
    (ConflictError, 409),
    (ValueError, 400),
    # The folder is full or not ours to write.
    (OSError, 507),
)


@web.middleware
async def errors_as_sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what was wrong with a request in one sentence."""
    try:
        return await handler(request)
    except ValidationError as error:
        return refusal(400, _sentence(error))
    except web.HTTPException as error:
        return refusal(error.status, f"{request.method} {request.path}: {error.reason}; the README lists what there is")
    except tuple(kind for kind, _ in _STATUSES) as error:
        status = next(status for kind, status in _STATUSES if isinstance(error, kind))
        return refusal(status, str(error))


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    more = error.error_count() - 1
    return f"{where}: {first['msg']}" + (f" (and {more} more)" if more else "")


def refusal(status: int, message: str) -> web.Response:
    """Return an error answer."""
    return web.json_response({"error": message}, status=status)


async def parsed(request: web.Request) -> Any:
    """Return the JSON or YAML of a request; nothing counts as an empty object."""
    text = await request.text()
    if not text.strip():
        return {}
    if "yaml" in request.content_type:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"the body is not YAML: {str(error).splitlines()[0]}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from error


async def body(request: web.Request, model: type[Model]) -> Model:
    """Return the body of a request, checked."""
    return model.model_validate(await parsed(request))


def number(request: web.Request, name: str, default: int) -> int:
    """Return a number in the query."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"{name}: {text!r} is not a number")
    return int(text)

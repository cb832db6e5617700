"""Holds every answer below /api/v3 against GitHub's own OpenAPI document, so that the lab is not a home-made truth.

The document is the one of Enterprise Server 3.19, because the lab is laid out like Enterprise Server; what it requires
of a body is what github.com's requires too. It is made stricter than it is published: an object with named properties
may have no others. Where GitHub itself sends more, or answers a status that its document leaves out, the tables below
say so with the reason.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema_rs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lab import cache as machine
from lab.github import documents
from lab.github.context import CONTEXT

logger = logging.getLogger("lab.github.contract")

DOCUMENT = "generated/ghes-3.19.json"
VIOLATED = "X-Lab-Contract"
METHODS = ("get", "put", "post", "patch", "delete")
BASIC_ERROR: dict[str, Any] = {"$ref": "#/components/schemas/basic-error"}
VALIDATION_ERROR: dict[str, Any] = {
    "anyOf": [
        {"$ref": "#/components/schemas/validation-error"},
        {"$ref": "#/components/schemas/validation-error-simple"},
        {"$ref": "#/components/schemas/basic-error"},
    ]
}

# Statuses that any operation can answer though the document names them for few, and the schema that they then have.
GENERIC: dict[int, tuple[dict[str, Any], str]] = {
    301: (BASIC_ERROR, "a renamed or transferred repository, on every path below it"),
    307: (BASIC_ERROR, "the same, for methods other than GET"),
    400: (BASIC_ERROR, "a body that is not JSON, an unknown API version"),
    401: (BASIC_ERROR, "bad or missing credentials"),
    403: (BASIC_ERROR, "missing permission, suspended installation, rate limits"),
    404: (BASIC_ERROR, "what the caller may not see is not found"),
    409: (BASIC_ERROR, "an empty repository, a stale SHA; one operation documents two schemas of which both fit"),
    415: (BASIC_ERROR, "a media type that is not supported"),
    422: (VALIDATION_ERROR, "input that is well-formed and wrong"),
    429: (BASIC_ERROR, "rate limits"),
}

# Properties that GitHub sends and its document does not name.
UNNAMED: dict[str, tuple[str, ...]] = {
    # Every error body carries its status; only `basic-error` was brought up to date.
    "validation-error": ("status",),
    "validation-error-simple": ("status",),
}

# The one list that the document writes out instead of naming its schema, from a time before installations had a
# client_id: its items are installations like everywhere else.
REPLACED: dict[tuple[str, str, str], dict[str, Any]] = {
    ("get", "/app/installations", "200"): {"type": "array", "items": {"$ref": "#/components/schemas/installation"}}
}

# Paths that GitHub uses itself (in redirects and Link headers) without documenting them, and what they stand for.
ALIASES = (
    (re.compile(r"^/repositories/\d+(?=/|$)"), "/repos/{owner}/{repo}"),
    (re.compile(r"^/organizations/\d+(?=/|$)"), "/orgs/{org}"),
    (re.compile(r"^/user/\d+(?=/repos$)"), "/users/{username}"),
)

# A representation that is not JSON, even where its name ends in +json.
OPAQUE = re.compile(r"application/vnd\.github(\.v3)?\.(raw|sha|diff|patch)\b")

# Parameters whose value may contain slashes: GitHub reads them greedily.
GREEDY = frozenset({"branch", "ref", "path", "basehead", "commit_sha", "sha"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented operation: the queries that it knows and the schemas of its answers by status and media type."""

    name: str
    # Where GitHub's manual describes it.
    page: str
    queries: frozenset[str]
    responses: Mapping[str, Mapping[str, Any]]


class Contract:
    """The documented operations, and validators that are compiled when first needed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas: dict[str, Any] = document["schemas"]
        self._patterns = [(_pattern(path), path) for path in document["paths"]]
        # The most literal template wins: /commits/{ref}/status before /commits/{ref}.
        self._patterns.sort(key=lambda found: (found[1].count("{"), -len(found[1])))
        self._operations: dict[tuple[str, str], Operation] = {
            (method, path): Operation(
                f"{method.upper()} {path}", entry["page"], frozenset(entry["queries"]), entry["responses"]
            )
            for path, methods in document["paths"].items()
            for method, entry in methods.items()
        }
        self._validators: dict[str, jsonschema_rs.Draft7Validator] = {}

    def operation(self, method: str, path: str) -> Operation | None:
        """Find the operation that a request names; `path` is without the API's prefix, and still percent-encoded."""
        for pattern, template in ALIASES:
            path = pattern.sub(template, path)
        method = "get" if method == "HEAD" else method.lower()
        for candidate, template in self._patterns:
            if (method, template) in self._operations and candidate.fullmatch(path):
                return self._operations[method, template]
        return None

    def problems(self, operation: Operation, status: int, media_type: str, body: bytes) -> Iterator[str]:
        """Tell what is wrong with an answer."""
        if status == HTTPStatus.NOT_MODIFIED:
            if body:
                yield "a body for status 304"
            return
        contents = _contents(operation, status)
        if contents is None:
            yield f"status {status} is not documented"
            return
        if not body:
            if status < 300 and contents:
                yield f"an empty body for status {status}, which has {', '.join(contents)}"
            return
        if not contents:
            yield f"a body for status {status}, which has none"
            return
        yield from self._body_problems(operation, status, contents, media_type, body)

    def _body_problems(
        self, operation: Operation, status: int, contents: Mapping[str, Any], media_type: str, body: bytes
    ) -> Iterator[str]:
        if not (media_type == "application/json" or media_type.endswith("+json")) or OPAQUE.match(media_type):
            # Raw files, diffs and the like: bytes that no schema describes, asked for by their media type.
            if status >= 300:
                yield f"media type {media_type} for status {status}"
            return
        schema = contents.get(media_type) or contents.get("application/json")
        if schema is None:
            yield f"media type {media_type} is not documented for status {status}"
            return
        try:
            instance = json.loads(body)
        except ValueError as error:
            yield f"a body that is not JSON: {error}"
            return
        for found in self._validator(f"{operation.name} {status} {media_type}", schema).iter_errors(instance):
            place = "/".join(str(step) for step in found.instance_path) or "(top)"
            yield f"{place}: {found.message[:300]}"

    def _validator(self, key: str, schema: Mapping[str, Any]) -> jsonschema_rs.Draft7Validator:
        if key not in self._validators:
            whole = {"allOf": [schema], "components": {"schemas": self._needed(schema)}}
            # Masked: what is wrong may be told, but a body may hold a token.
            self._validators[key] = jsonschema_rs.Draft7Validator(whole, validate_formats=True, mask="the value")
        return self._validators[key]

    def _needed(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the named schemas that one schema reaches, so that little is compiled."""
        found: dict[str, Any] = {}
        waiting = list(_references(schema))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._schemas[name]
                waiting.extend(_references(self._schemas[name]))
        return found


def _contents(operation: Operation, status: int) -> Mapping[str, Any] | None:
    """Return the schemas by media type that an answer may have; an error may always have the generic body."""
    documented = operation.responses.get(str(status))
    if status not in GENERIC:
        return documented
    alternatives = [schema for schema in [(documented or {}).get("application/json")] if schema is not None]
    return {"application/json": {"anyOf": [*alternatives, GENERIC[status][0]]}}


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{([^}]+)\}", path)
    names = parts[1::2]
    groups = [".+" if name in GREEDY else "[^/]+" for name in names]
    literal = [re.escape(part) for part in parts[0::2]]
    whole = "".join(text + group for text, group in zip(literal, [*groups, ""], strict=True))
    # The root of a repository's contents has no path at all.
    return re.compile(f"{whole.removesuffix('/.+')}(?:/.*)?" if path.endswith("/contents/{path}") else whole)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.rsplit("/", 1)[-1]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


# From OpenAPI 3.0 to JSON Schema draft 7


def condensed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what the check needs of an OpenAPI document, in JSON Schema's dialect and closed to unnamed properties."""
    components = document["components"]
    schemas = {name: converted(schema, name=name) for name, schema in components["schemas"].items()}
    paths = {
        path: {m: _operation(entry, components) for m, entry in methods.items() if m in METHODS}
        for path, methods in document["paths"].items()
    }
    for (method, path, status), schema in REPLACED.items():
        if path in paths:
            paths[path][method]["responses"][status]["application/json"] = schema
    return {"schemas": schemas, "paths": paths}


def _operation(entry: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [_resolved(p, components) for p in entry.get("parameters", [])]
    responses = {
        status: {
            media_type: converted(content.get("schema", {}))
            for media_type, content in _resolved(response, components).get("content", {}).items()
        }
        for status, response in entry["responses"].items()
    }
    page = entry.get("externalDocs", {}).get("url", "")
    return {"page": page, "queries": [p["name"] for p in parameters if p["in"] == "query"], "responses": responses}


def _resolved(entry: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = entry.get("$ref")
    if reference is None:
        return entry
    _, _, kind, name = str(reference).split("/")
    found: Mapping[str, Any] = components[kind][name]
    return found


WORDLESS = frozenset({"description", "example", "examples", "title", "deprecated", "discriminator", "externalDocs"})


def converted(schema: Any, *, name: str = "", closed: bool = True) -> Any:
    """Turn one OpenAPI 3.0 schema into draft 7: `nullable` becomes a type, unnamed properties are refused."""
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {key: value for key, value in schema.items() if key not in WORDLESS and key != "nullable"}
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {inner: converted(value) for inner, value in result[key].items()}
    for key in ("items", "additionalProperties", "not"):
        if key in result:
            result[key] = converted(result[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in result:
            # Parts of an allOf of several describe one object together: none of them knows all of its properties.
            alone = key != "allOf" or len(result[key]) == 1
            result[key] = [converted(part, closed=closed and alone) for part in result[key]]
    if closed and result.get("properties") and not {"additionalProperties", "allOf", "anyOf", "oneOf"} & result.keys():
        result["additionalProperties"] = False
    for extra in UNNAMED.get(name, ()):
        result["properties"][extra] = {"type": "string"}
    return _nullable(result) if schema.get("nullable") else result


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [{"type": "null"}, schema]}


# Loading


@cache
def contract() -> Contract:
    """Return the contract, condensed once a version and kept beside the document."""
    source = documents.path(documents.OPENAPI, DOCUMENT)
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    condensate = machine.folder() / "documents" / f"condensed-{source.parents[1].name}-{code}.json"
    if condensate.is_file():
        return Contract(json.loads(condensate.read_bytes()))
    document = condensed(json.loads(source.read_bytes()))
    temporary = condensate.with_name(f".{condensate.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")))
    temporary.replace(condensate)
    return Contract(document)


# The middleware


PREFIX: web.AppKey[str] = web.AppKey("rest_prefix", str)


def documented(request: web.Request) -> Operation | None:
    """Return the operation that a request asks for, where GitHub documents one."""
    path = request.rel_url.raw_path.removeprefix(request.app[PREFIX]) or "/"
    return contract().operation(request.method, path)


def middleware(prefix: str) -> Middleware:
    """Return the middleware that replaces a wrong answer below `prefix` by a 500 that says so."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(f"{prefix}/") and request.path != prefix:
            return await handler(request)
        try:
            response = await handler(request)
        except Exception as error:
            logger.exception("handler failed")
            return _violated(request, [f"the handler failed: {error!r}"])
        found = list(_check(request, response))
        return _violated(request, found) if found else response

    return check


def _check(request: web.Request, response: web.StreamResponse) -> Iterator[str]:
    operation = documented(request)
    if operation is None:
        if response.status not in GENERIC:
            yield f"status {response.status} from an operation that GitHub does not document"
        return
    if not isinstance(response, web.Response):
        yield "a streamed answer, which cannot be checked"
        return
    if response.status < 300:
        unknown = sorted(set(request.query) - operation.queries)
        if unknown:
            yield f"GitHub's document names no query parameter {', '.join(unknown)} here"
    body = response.body if isinstance(response.body, bytes) else b""
    yield from contract().problems(operation, response.status, response.content_type, body)


def _violated(request: web.Request, problems: list[str]) -> web.Response:
    # The path only: a query may carry what must not be logged.
    text = f"{request.method} {request.path}: {'; '.join(problems[:5])}"
    request.app[CONTEXT].violations.append(text)
    logger.error("contract violated: %s", text)
    return web.json_response({"message": f"lab: {text}"}, status=500, headers={VIOLATED: "violated"})

"""Reads a delivery's JSON whole, for bodies that are small enough: a hundred times as fast as to walk through it.

What comes out is all of it, and makes the events that what `scanning` takes out would; what is refused there is refused
here, too. Here no object may have a key twice, not even one that nobody reads.

orjson says nothing of a key that stands twice. But what it writes again just as it was has nothing twice, and GitHub
writes JSON as it does, without a blank. Whatever is written in another way, or is refused by it, is read once more by
a parser that is asked about each object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from mooring.domain.webhooks import scanning
from mooring.domain.webhooks.events import BadPayload

# One without an end counts as one, too: else its end would be looked for again from each quote that is escaped in it.
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# No id has as many; Python itself refuses to read numbers without end.
_MOST_DIGITS = 32
_BRACKETS = re.compile(rb"[\[\]{}]")


def parse(body: bytes) -> Mapping[str, Any]:
    """Return what a body says; raise BadPayload."""
    if _is_deep(body):
        raise BadPayload("the JSON is nested too deep")
    try:
        found = orjson.loads(body)
        is_plain = orjson.dumps(found) == body
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        is_plain = False
    if not is_plain:
        found = _thoroughly(body)
    if not isinstance(found, dict):
        raise BadPayload("the body is no JSON object")
    return found


def _thoroughly(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_number, parse_int=_integer
        )
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise BadPayload("the body is not JSON") from None


def _is_deep(body: bytes) -> bool:
    """Tell whether brackets are nested deeper than anything of GitHub's, without any recursion."""
    # To count them would be to look at each byte; to split is to look for them alone.
    if len(body.split(b"[", scanning.DEEPEST)) + len(body.split(b"{", scanning.DEEPEST)) <= scanning.DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(_QUOTED.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > scanning.DEEPEST:
            return True
    return False


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadPayload("a key stands twice in one object")
    return found


def _no_number(_: str) -> NoReturn:
    raise BadPayload("the body is not JSON")


def _integer(text: str) -> int | bool:
    return int(text) if len(text) <= _MOST_DIGITS else scanning.UNFIT

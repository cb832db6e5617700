"""Takes out of a delivery's JSON what is used of it, and builds nothing for the rest.

A push may have 25 MiB, and `json.loads` would make many times that of it while nobody else is served. Here the body is
walked through once, in linear time and in short steps, and what is passed takes no memory: the whole of it has to be
well-formed UTF-8 and JSON, no deeper than anything that GitHub sends.

What is looked at less closely, since nobody reads it: in objects that are not wanted a key may stand twice, and a
number may have any size. What is looked at more closely: between two tokens there may be no gap longer than a step, a
number is no longer than one, and the wanted objects have no more fields than GitHub could think of.
"""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Generator, Mapping
from itertools import accumulate
from typing import Any

from mooring.domain.webhooks.events import BadPayload

# Deeper than any payload of GitHub's.
DEEPEST = 64
# How far one step goes: some milliseconds of work, after which others have their turn.
STEP = 32 * 1024
# GitHub's own objects have about a hundred.
MOST_FIELDS = 1000
# A value and a key that are wanted are no longer than these, however they are escaped.
_LONGEST_VALUE, _LONGEST_KEY = 4096, 256

# What the events are made of; None: a text, a number or nothing.
_Fields = Mapping[str, Mapping[str, None] | None]
_WANTED: _Fields = {
    "ref": None,
    "before": None,
    "after": None,
    "action": None,
    "repository": {"id": None, "pushed_at": None},
    "installation": {"id": None},
    "sender": {"login": None},
}
# Stands for a value that is there, and that nothing wanted can have: too long, or of another type.
UNFIT = False

Body = bytes | bytearray
Steps = Generator[None, None, Any]


def _as_many(part: bytes) -> bytes:
    """Repeat a part as often as it goes: none is ever given back, so that time is linear.

    The other choice, which never fits, does nothing: but before Python 3.11.5, what a last part took and then failed
    of was kept, if no other choice was looked at.
    """
    return rb"(?:" + part + rb"|(?!))*+"


def _if_there(part: bytes) -> bytes:
    return rb"(?:" + part + rb"|(?!))?+"


_GAP = rb"[ \t\n\r]*+"
_TEXT = _as_many(rb'[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')
_NUMBER = rb"-?+(?:0|[1-9][0-9]*+)" + _if_there(rb"\.[0-9]++") + _if_there(rb"[eE][-+]?+[0-9]++")
# What follows is looked at, so that no step ends in the middle of one.
_BARE = rb"(?:true|false|null|" + _NUMBER + rb")(?=[ \t\n\r,\]}])"
_TOKEN = rb'(?:[\[\]{},:]|"' + _TEXT + rb'"|' + _BARE + rb")"
_GAPS, _TEXTS, _ONE_TOKEN = re.compile(_GAP), re.compile(_TEXT), re.compile(_TOKEN)
_TOKENS = re.compile(_as_many(_GAP + _TOKEN))

# A shape has one byte for each token: a bracket, a comma, a colon, `"` for a string, `0` for any other value.
_STRINGS = re.compile(rb'"' + _as_many(rb'[^"\\]++|\\.') + rb'"', re.DOTALL)
_OTHERS = re.compile(rb'[^\[\]{},:" \t\n\r]++')
# Lists and objects without others inside, which become values themselves.
_LISTED, _FIELD = rb'["0]', rb'":["0]'
_CLOSED = re.compile(
    rb"\[" + _if_there(_LISTED + _as_many(rb"," + _LISTED)) + rb"\]"
    rb"|\{" + _if_there(_FIELD + _as_many(rb"," + _FIELD)) + rb"\}"
)
# Of what is open, entries before the last one say only that there are some.
_MANY_LISTED = re.compile(rb"\[" + _LISTED + rb"," + _as_many(_LISTED + rb","))
_MANY_FIELDS = re.compile(rb"\{" + _FIELD + rb"," + _as_many(_FIELD + rb","))
# What remains where all is well so far: open lists and objects, one in the other, and in the last one a part.
_SOME_LISTED, _SOME_FIELDS = _if_there(_LISTED + rb","), _if_there(_FIELD + rb",")
_OPEN = re.compile(
    _as_many(rb"\[" + _SOME_LISTED + rb"|\{" + _SOME_FIELDS + rb'":')
    + _if_there(_LISTED + rb"|\{" + _SOME_FIELDS + rb'"?+')
)
_NO_BRACKETS = b',:"0'
_UP_OR_DOWN = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_QUOTE, _COMMA, _COLON, _BRACE, _END = b'",:{}'
_VALUE = ord("0")


def reduction(body: Body) -> Generator[None, None, Mapping[str, Any]]:
    """Return what is wanted of a body, in the shape that it has there; raise BadPayload.

    In steps, between which others may have their turn.
    """
    yield from _check_text(body)
    found: Mapping[str, Any] = yield from _Walk(body).document()
    return found


def _check_text(body: Body) -> Steps:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), STEP):
            decoder.decode(body[start : start + STEP])
            yield
    except UnicodeDecodeError:
        raise BadPayload("the body is not UTF-8") from None


class _Walk:
    """A walk through a body. What it yields is nothing but time for others."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._at = 0

    def document(self) -> Steps:
        if self._next() != _BRACE:
            raise BadPayload("the body is no JSON object")
        found = yield from self._object(_WANTED, depth=1)
        if self._after_gap() != len(self._body):
            raise _not_json()
        return found

    # --- what is wanted ---

    def _object(self, wanted: _Fields, *, depth: int) -> Steps:
        """Take the wanted fields of an object. None may stand twice: readers differ about which of them counts."""
        found: dict[str, Any] = {}
        self._at += 1
        if self._next() == _END:
            self._at += 1
            return found
        for _ in range(MOST_FIELDS):
            name = yield from self._key()
            if name in found:
                raise BadPayload(f"the key {name} stands twice in one object")
            if name in wanted:
                found[name] = yield from self._value(wanted[name], depth)
            else:
                yield from self._pass_value(depth)
            byte = self._next()
            self._at += 1
            if byte == _END:
                return found
            if byte != _COMMA:
                raise _not_json()
        raise BadPayload("an object has too many fields")

    def _key(self) -> Steps:
        """Pass a key and its colon, and return it; None where it is longer than any that is wanted."""
        if self._next() != _QUOTE:
            raise _not_json()
        start = self._at
        yield from self._pass_token()
        key = json.loads(self._body[start : self._at]) if self._at - start <= _LONGEST_KEY else None
        if self._next() != _COLON:
            raise _not_json()
        self._at += 1
        return key

    def _value(self, wanted: Mapping[str, None] | None, depth: int) -> Steps:
        byte = self._next()
        if byte == _BRACE and wanted is not None:
            return (yield from self._object(wanted, depth=depth + 1))
        start = self._at
        yield from self._pass_value(depth)
        if byte in b"[{" or self._at - start > _LONGEST_VALUE:
            return UNFIT
        token = self._body[start : self._at]
        if byte == _QUOTE or token == b"null":
            return json.loads(token)
        return int(token) if token.removeprefix(b"-").isdigit() else UNFIT

    # --- what is not ---

    def _pass_value(self, depth: int) -> Steps:
        """Pass a value of any kind, in an object of a depth."""
        byte = self._next()
        if byte in b",:]}":
            raise _not_json()
        yield from self._pass_nested(depth) if byte in b"[{" else self._pass_token()

    def _pass_nested(self, depth: int) -> Steps:
        """Pass a list or an object: in ever longer steps, until one leads over its end; then in ever shorter ones."""
        shape, length, is_behind = b"", min(1024, STEP), False
        while True:
            start = self._at
            passed = yield from self._pass_tokens(length)
            longer = _reduced(shape, passed, depth)
            if longer == b"0":
                return
            if longer[0] == _VALUE:
                self._at, length, is_behind = start, length // 2, True
            elif _OPEN.fullmatch(longer) is None:
                raise _not_json()
            else:
                shape, length = longer, length if is_behind else min(2 * length, STEP)

    def _pass_tokens(self, length: int) -> Steps:
        """Pass the tokens within a length, or one that is longer, and return their shape."""
        yield
        start, found = self._at, _TOKENS.match(self._body, self._at, self._at + length)
        if found is not None and found.end() > start:
            self._at = found.end()
        elif self._next() == _QUOTE:
            yield from self._pass_token()
            return b'"'
        else:
            yield from self._pass_token()
        return _shape(self._body[start : self._at])

    def _pass_token(self) -> Steps:
        found = _ONE_TOKEN.match(self._body, self._at, self._at + STEP)
        if found is not None:
            self._at = found.end()
        elif self._body[self._at] == _QUOTE:
            self._at += 1
            yield from self._pass_text()
        else:
            raise _not_json()

    def _pass_text(self) -> Steps:
        """Pass the text of a string that is longer than a step, and its end."""
        while True:
            found = _TEXTS.match(self._body, self._at, self._at + STEP)
            end = found.end() if found is not None else self._at
            if end >= len(self._body):
                raise _not_json()
            if self._body[end] == _QUOTE:
                self._at = end + 1
                return
            if end == self._at:
                raise _not_json()
            self._at = end
            yield

    def _next(self) -> int:
        """Go to the next token, and return its first byte."""
        if self._after_gap() >= len(self._body):
            raise _not_json()
        return self._body[self._at]

    def _after_gap(self) -> int:
        found = _GAPS.match(self._body, self._at, self._at + STEP)
        self._at = found.end() if found is not None else self._at
        return self._at


def _shape(tokens: Body) -> bytes:
    return _OTHERS.sub(b"0", _STRINGS.sub(b'"', tokens)).translate(None, b" \t\n\r")


def _reduced(before: bytes, shape: bytes, depth: int) -> bytes:
    """Join two shapes, and close what can be closed; raise BadPayload where it is too deep."""
    # What is left of the former one has nothing but open brackets.
    open_before = depth + len(before.translate(None, _NO_BRACKETS))
    brackets = shape.translate(_UP_OR_DOWN, _NO_BRACKETS)
    if max(accumulate(array("b", brackets), initial=open_before)) > DEEPEST:
        raise BadPayload("the JSON is nested too deep")
    joined, closed = before + shape, 1
    while closed:
        joined, closed = _CLOSED.subn(b"0", joined)
    return _MANY_FIELDS.sub(b'{":0,', _MANY_LISTED.sub(b"[0,", joined))


def _not_json() -> BadPayload:
    return BadPayload("the body is not JSON")

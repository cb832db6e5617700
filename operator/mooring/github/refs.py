"""The list of refs that a git server offers over HTTP, before anything is fetched (protocol version 0). Pure.

One answer holds all refs, whatever the server is: no API, no second request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mooring.github import facts
from mooring.github.answers import Answer, Failed, Ok
from mooring.github.facts import Malformed

MEDIA_TYPE = "application/x-git-upload-pack-advertisement"
_BRANCHES = "refs/heads/"
_DEFAULT = f"symref=HEAD:{_BRANCHES}"


@dataclass(frozen=True, slots=True)
class Branches:
    """What a server has: commits by branch, and which branch HEAD names."""

    tips: Mapping[str, str]
    default: str | None


def document(headers: Mapping[str, str], body: bytes) -> Answer:
    """Tell whether an answer is such a list; a login page with status 200 is not."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return Failed("answered with something that is no list of git refs")
    return Ok(body, headers)


def parse(body: bytes) -> Branches:
    """Read the list; raise Malformed."""
    tips: dict[str, str] = {}
    default: str | None = None
    for line in _lines(body):
        ref, _, capabilities = line.partition("\0")
        for word in capabilities.split():
            if word.startswith(_DEFAULT):
                default = word.removeprefix(_DEFAULT)
        sha, _, name = ref.partition(" ")
        if name.startswith(_BRANCHES):
            if not facts.is_sha(sha):
                raise Malformed("list of refs")
            tips[name.removeprefix(_BRANCHES)] = sha
    return Branches(tips, default)


def _lines(body: bytes) -> Iterator[str]:
    """Split git's lines: each begins with its length in four hex digits, and 0000 ends a part: service, then refs."""
    at, parts = 0, 0
    while parts < 2:
        prefix = body[at : at + 4]
        try:
            length = int(prefix, 16) if len(prefix) == 4 else -1
        except ValueError:
            length = -1
        if length == 0:
            parts += 1
            at += 4
            continue
        if length < 4 or at + length > len(body):
            raise Malformed("list of refs")
        yield body[at + 4 : at + length].decode("utf-8", "surrogateescape").removesuffix("\n")
        at += length

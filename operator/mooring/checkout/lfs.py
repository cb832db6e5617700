"""Git LFS as far as a checkout needs it: pointers, what is asked for, what is answered. Nothing here waits.

`.lfsconfig` is not read: it would let a commit choose where the credential goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from mooring.checkout import trees
from mooring.checkout.failures import Failed
from mooring.checkout.trees import Entry
from mooring.checkout.words import basic, named
from mooring.domain import origins
from mooring.domain.origins import BadUrl, Host

MAX_POINTER = 1024
"""A pointer is shorter, by its specification."""
BATCH = 100
"""As many objects as GitHub answers for in one request."""
MEDIA_TYPE = "application/vnd.git-lfs+json"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]+\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_MAX_HEADERS = 20
_TARGET = re.compile(r"/[!-\[\]-~]{0,8000}")
# These decide how a message ends or whom it is for.
_OURS = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"}


@dataclass(frozen=True, slots=True, order=True)
class Pointer:
    """Which large file a small one stands for."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """Where a large file is, and what is sent along to get it."""

    pointer: Pointer
    host: Host
    target: str
    headers: Mapping[str, str] = field(repr=False)
    own_credential: bool = False
    """True where the repository's own credential is needed too."""


def candidates(entries: Iterable[Entry]) -> list[Entry]:
    """Return the files that are short enough for a pointer."""
    return [e for e in entries if e.mode in {trees.FILE, trees.PROGRAM} and 0 < e.size < MAX_POINTER]


def pointer(content: bytes) -> Pointer | None:
    """Read a pointer, None where it is an ordinary file."""
    found = _POINTER.fullmatch(content)
    return None if found is None else Pointer(found[1].decode(), int(found[2]))


def endpoint(url: str) -> str:
    """Return the path that a repository's large files are asked for at."""
    host = f"https://{origins.host_of(url)}"
    return f"{url.removeprefix(host).removesuffix('.git')}.git/info/lfs/objects/batch"


def question(pointers: Sequence[Pointer]) -> bytes:
    """Return the body that asks where these files are."""
    objects = [{"oid": one.oid, "size": one.size} for one in pointers]
    return json.dumps(
        {"operation": "download", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
    ).encode()


def answers(body: bytes, asked: Sequence[Pointer], own: Host, stores: frozenset[Host]) -> list[Download]:
    """Read where the files are, one for each that was asked for; raise Failed."""
    try:
        document = json.loads(body)
        objects = {one["oid"]: one for one in document["objects"]}
        transfer = document.get("transfer", "basic")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Failed(f"{own} answers about large files with what is no answer. Is Git LFS turned on there?") from None
    if transfer != "basic":
        raise Failed(f"{own} offers large files by a transfer that was not asked for. Turn on the basic one there")
    return [_download(objects.get(one.oid), one, own, stores) for one in asked]


def _download(answer: Any, pointer: Pointer, own: Host, stores: frozenset[Host]) -> Download:
    what = f"the large file {pointer.oid[:12]}"
    if not isinstance(answer, dict) or "error" in answer:
        raise Failed(f"{own} does not give {what}: {_reason(answer)}. Push it with `git lfs push --all`")
    try:
        action = answer["actions"]["download"]
        href, headers = action["href"], action.get("header") or {}
    except (KeyError, TypeError, AttributeError):
        href = headers = None
    if not isinstance(href, str) or not isinstance(headers, dict):
        raise Failed(f"{own} does not say where {what} is. Push it with `git lfs push --all`")
    host, target = _where(href, what, own, stores)
    sent = _headers(headers, what)
    bare = not any(name.lower() == "authorization" for name in sent)
    return Download(pointer, host, target, sent, host == own and bare and answer.get("authenticated") is not True)


def _where(href: str, what: str, own: Host, stores: frozenset[Host]) -> tuple[Host, str]:
    """Split an address into host and target; raise Failed where it leads elsewhere than it may."""
    try:
        parts = urlsplit(href)
        host = origins.parse_host(parts.netloc)
    except (BadUrl, ValueError):
        raise Failed(f"{own} gives no usable address for {what}") from None
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "https" or not _TARGET.fullmatch(target):
        raise Failed(f"{own} gives no usable address for {what}: it has to be https")
    if host != own and host not in stores:
        raise Failed(
            f"{own} keeps {what} at {host}: large files are fetched from the repository's own origin, and from hosts"
            " that the administrator listed. Ask for that, or turn spec.source.lfs off"
        )
    return host, target


def harmless(download: Download, own: Host, token: str | None) -> Download:
    """Return a download; raise Failed where it would bring the repository's credential to another host.

    A server was shown it in the question, and may write it into the answer.
    """
    if token is None or download.host == own:
        return download
    sent = (download.target, *download.headers.values())
    if any(form in text for secret in (token, basic(token)) for form in (secret, quote(secret)) for text in sent):
        raise Failed(
            f"the answer about the large file {download.pointer.oid[:12]} would send the repository's own credential to"
            f" {download.host}. Have {own} give that host a credential of its own, or turn spec.source.lfs off"
        )
    return download


def _headers(found: Mapping[Any, Any], what: str) -> dict[str, str]:
    if len(found) > _MAX_HEADERS:
        raise Failed(f"the answer about {what} has too many headers")
    for name, value in found.items():
        good = isinstance(name, str) and _HEADER_NAME.fullmatch(name) and name.lower() not in _OURS
        if not good or not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise Failed(f"the answer about {what} has a header that cannot be sent")
    return dict(found)


def _reason(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    told = error.get("message") if isinstance(error, dict) else None
    return named(told) if isinstance(told, str) else "no reason given"

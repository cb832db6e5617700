"""From GitHub's documents to the records that the services use. Pure.

A document that lacks what it must have raises Malformed; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from mooring.domain import token_shape
from mooring.domain.comparisons import Comparison
from mooring.domain.sweeping import Listed
from mooring.ports import RepositoryFacts, TokenIdentity

T = TypeVar("T")

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}")
# What git forbids in a branch's name (git-check-ref-format); a colon would also name another repository to GitHub.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[/.-]|[/.]$|^@$")
_MAX_BRANCH = 255
_EXPIRY_FORMATS = ("%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %z")
_MAX_SCOPES = 100
# GitHub lists no more files of a comparison.
_MAX_FILES = 300
_RELATIONS = frozenset({"ahead", "behind", "identical", "diverged"})


class Malformed(Exception):
    """A document is not what GitHub's own description promises."""


def is_sha(text: str) -> bool:
    """Tell whether a text is a full commit id."""
    return _SHA.fullmatch(text) is not None


def is_full_name(text: str) -> bool:
    """Tell whether a text is owner/name."""
    return _NAME.fullmatch(text) is not None and not text.endswith(("/.", "/.."))


def is_branch(text: str) -> bool:
    """Tell whether git would take a text for a branch's name."""
    return 0 < len(text.encode("utf-8", "surrogatepass")) <= _MAX_BRANCH and _NO_BRANCH.search(text) is None


def identity(document: Any, headers: Mapping[str, str], token: str) -> TokenIdentity:
    """Read what `GET /user` says about a token."""
    return TokenIdentity(
        github_id=number(document, "id"),
        login=text(document, "login"),
        kind=token_shape.kind(token),
        scopes=scopes(headers.get("x-oauth-scopes", "")),
        expires_at=expiry(headers.get("github-authentication-token-expiration", "")),
    )


def scopes(header: str) -> tuple[str, ...]:
    """Read the list of a classic token's scopes; other kinds have none."""
    return tuple(name for part in header.split(",")[:_MAX_SCOPES] if (name := part.strip()))


def expiry(header: str) -> datetime | None:
    """Read when a token ends; GitHub writes UTC or an offset. None: never, or not told."""
    for form in _EXPIRY_FORMATS:
        try:
            read = datetime.strptime(header.strip(), form)  # noqa: DTZ007 - %Z leaves it naive; it is always UTC then
        except ValueError:
            continue
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    return None


def repository(document: Any) -> RepositoryFacts:
    """Read a repository."""
    return RepositoryFacts(
        id=number(document, "id"),
        node_id=text(document, "node_id"),
        full_name=_full_name(document),
        private=field(document, "private", bool),
        default_branch=text(document, "default_branch"),
    )


def tip(document: Any, branch: str) -> str | None:
    """Read the commit at the tip of a branch; None where the answer is about another ref than the one asked for."""
    if text(document, "ref") != f"refs/heads/{branch}":
        return None
    return _sha(field(document, "object", dict))


def contains(comparison: Any, sha: str) -> bool:
    """Tell from the comparison of a branch's tip with a commit whether the tip has that commit in its history."""
    base = _sha(field(comparison, "merge_base_commit", dict))
    return text(comparison, "status") in {"behind", "identical"} and base == sha


def comparison(document: Any, head: str) -> Comparison:
    """Read what lies between two commits. Of many commits GitHub lists the newest, so the head among them."""
    relation = text(document, "status")
    if relation not in _RELATIONS:
        raise Malformed("status")
    commits = field(document, "commits", list)
    newest = next((each for each in reversed(commits) if _sha(each) == head), None)
    message = text(field(newest, "commit", dict), "message") if newest is not None else None
    return Comparison(relation, _changed_paths(document.get("files")), message)


def _changed_paths(files: Any) -> frozenset[str] | None:
    """Return the paths of changed files, those that renamed ones had among them; None where some may be missing."""
    if not isinstance(files, list) or len(files) >= _MAX_FILES:
        return None
    paths = {text(file, "filename") for file in files}
    return frozenset(paths | {text(file, "previous_filename") for file in files if "previous_filename" in file})


def covered(document: Any, most: int) -> dict[int, str]:
    """Read a page of the repositories that an installation token reaches: full names by id."""
    found = page(field(document, "repositories", list), most)
    return {number(each, "id"): _full_name(each) for each in found}


def listed(document: Any, most: int) -> dict[int, Listed]:
    """Read the same page with when each repository was pushed to."""
    return listed_to_person(field(document, "repositories", list), most)


def listed_to_person(document: Any, most: int) -> dict[int, Listed]:
    """Read a page of the repositories that a person reaches."""
    return {number(each, "id"): _listed(each) for each in page(document, most)}


def _listed(document: Any) -> Listed:
    pushed = document.get("pushed_at", 0) is not None
    pushed_at = moment(document, "pushed_at") if pushed else None
    return Listed(_full_name(document), field(document, "private", bool), pushed_at)


def covered_count(document: Any) -> int:
    """Read how many there are."""
    count = field(document, "total_count", int)
    if isinstance(count, bool) or count < 0:
        raise Malformed("total_count")
    return count


def _full_name(document: Any) -> str:
    full_name = text(document, "full_name")
    if not is_full_name(full_name):
        raise Malformed("full_name")
    return full_name


def _sha(document: Any) -> str:
    sha = text(document, "sha")
    if not is_sha(sha):
        raise Malformed("sha")
    return sha


def page(document: Any, most: int) -> list[Any]:
    """Return the entries of a page, which has no more of them than were asked for."""
    if not isinstance(document, list) or len(document) > most:
        raise Malformed("page")
    return document


def moment(document: Any, name: str) -> datetime:
    """Return a time that must be there, in UTC; GitHub writes UTC or an offset."""
    try:
        read = datetime.fromisoformat(text(document, name))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Malformed(name) from None


def text(document: Any, name: str) -> str:
    """Return a text that must be there."""
    return field(document, name, str)


def number(document: Any, name: str) -> int:
    """Return a number above zero that must be there."""
    value = field(document, name, int)
    if isinstance(value, bool) or value <= 0:
        raise Malformed(name)
    return value


def field(document: Any, name: str, kind: type[T]) -> T:
    """Return a value of a kind that must be there."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, kind):
        raise Malformed(name)
    return value

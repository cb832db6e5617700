"""Commits, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web

from lab.github import errors, pagination, permissions, shapes
from lab.github.context import Comparison, GitCommit
from lab.github.errors import ApiError
from lab.github.model import Repository
from lab.github.rest.call import Call, Route

# How far back a search by author or time looks.
SEARCHED = 1_000
# GitHub's own sizes: a comparison shows this many commits at once, and never more files.
COMPARED_COMMITS = 250
COMPARED_FILES = 300


async def commits(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/commits"""
    found = call.repository("contents")
    revision = call.query.get("sha") or found.default_branch
    if await call.git.resolve(found, revision) is None:
        raise await refusal(call, found, errors.not_found())
    path = call.query.get("path") or None
    page = call.page()
    if {"author", "committer", "since", "until"} & set(call.query):
        searched = await call.git.log(found, revision, path=path, skip=0, limit=SEARCHED)
        return call.listed(_filtered(call, searched), lambda commit: shapes.commit(call.ctx, found, commit))
    total = await call.git.count(found, revision, path=path)
    shown = await call.git.log(found, revision, path=path, skip=page.offset, limit=page.size)
    return call.json([shapes.commit(call.ctx, found, commit) for commit in shown], headers=call.links(total))


async def refusal(call: Call, repository: Repository, otherwise: ApiError) -> ApiError:
    """Return the answer to a revision that is not there: in an empty repository, nothing is."""
    if await call.git.branches(repository) or await call.git.tags(repository):
        return otherwise
    return ApiError(409, "Git Repository is empty.")


def _filtered(call: Call, commits: Sequence[GitCommit]) -> list[GitCommit]:
    since, until = _moment(call, "since"), _moment(call, "until")

    def wanted(commit: GitCommit) -> bool:
        at = commit.committer.at
        in_time = (since is None or at >= since) and (until is None or at <= until)
        return in_time and _by(call, commit, "author") and _by(call, commit, "committer")

    return [commit for commit in commits if wanted(commit)]


def _by(call: Call, commit: GitCommit, role: str) -> bool:
    """Tell whether the login or e-mail address that was asked for is the commit's author or committer."""
    asked = call.query.get(role)
    if asked is None:
        return True
    signature = commit.author if role == "author" else commit.committer
    account = shapes.author_of(call.ctx, signature)
    login = account.login if account is not None else ""
    return asked.casefold() in {signature.email.casefold(), login.casefold()}


def _moment(call: Call, name: str) -> datetime | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise errors.malformed(f"{name} is not a time such as 2026-01-31T12:00:00Z.") from None
    return found if found.tzinfo is not None else found.astimezone()


async def commit(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/commits/{ref}"""
    repository = call.repository("contents")
    ref = call.params["ref"]
    sha_only = _asks_for_sha(call)
    found = await call.git.commit(repository, ref, files=not sha_only)
    if found is None:
        raise await refusal(call, repository, ApiError(422, f"No commit found for SHA: {ref}"))
    if sha_only:
        return web.Response(text=found.sha, content_type="application/vnd.github.sha")
    page = pagination.page_of(call.query, size=COMPARED_FILES, largest=COMPARED_FILES)
    shape = shapes.commit(call.ctx, repository, found, files=True)
    total = len(shape["files"])
    shape["files"] = list(page.of(shape["files"]))
    return call.json(shape, headers=call.links(total, page))


def _asks_for_sha(call: Call) -> bool:
    accepted = call.request.headers.get("Accept", "").split(",")[0].strip()
    if accepted.startswith("application/vnd.github") and accepted.split("+")[0].endswith((".diff", ".patch")):
        raise ApiError(415, f"Unsupported 'Accept' header: '{accepted[:100]}'. Must accept 'application/json'.")
    return accepted.startswith("application/vnd.github") and accepted.split("+")[0].endswith(".sha")


async def git_commit(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/git/commits/{commit_sha}"""
    repository = call.repository("contents")
    sha = call.params["commit_sha"]
    found = await call.git.commit(repository, sha, files=False)
    # The Git database knows objects only: neither branches nor short names.
    if found is None or found.sha != sha:
        raise errors.not_found()
    return call.json(shapes.git_commit(call.ctx, repository, found))


async def compare(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/compare/{basehead}"""
    repository = call.repository("contents")
    basehead = call.params["basehead"]
    base, separator, head = basehead.partition("...")
    if not separator or not base or not head:
        raise errors.not_found()
    ends = [await _end(call, repository, end) for end in (base, head)]
    found = None if None in ends else await call.git.compare(repository, str(ends[0]), str(ends[1]))
    if found is None:
        known = None not in ends
        raise errors.not_found(f"No common ancestor between {base} and {head}." if known else "Not Found")
    return _compared(call, repository, found, basehead)


async def _end(call: Call, repository: Repository, end: str) -> str | None:
    """Return the commit that one end of a comparison names; `owner:branch` looks in that owner's fork."""
    owner, separator, branch = end.rpartition(":")
    if not separator:
        return await call.git.resolve(repository, end)
    account = call.world.account(owner)
    network = repository.fork_of or repository.id
    for other in [] if account is None else call.world.repositories_of(account):
        related = network in {other.id, other.fork_of} or other.id == repository.id
        if related and permissions.allows(call.ctx, call.caller, other, "contents", "read"):
            return await call.git.resolve(other, branch)
    return None


def _compared(call: Call, repository: Repository, found: Comparison, basehead: str) -> web.Response:
    paged = bool({"page", "per_page"} & set(call.query))
    page = pagination.page_of(
        call.query, size=pagination.PER_PAGE if paged else COMPARED_COMMITS, largest=COMPARED_COMMITS
    )
    shape = shapes.comparison(call.ctx, repository, found, basehead, page.of(found.commits))
    if page.number == 1:
        files = found.files[:COMPARED_FILES]
        shape["files"] = [shapes.changed_file(call.ctx, repository, found.head.sha, file) for file in files]
    return call.json(shape, headers=call.links(len(found.commits), page))


BELOW = (
    Route("GET", "/commits", commits),
    Route("GET", "/commits/{ref:.+}", commit),
    Route("GET", "/git/commits/{commit_sha}", git_commit),
    Route("GET", "/compare/{basehead:.+}", compare),
)

"""Commit statuses: setting one, listing all, and the sum of the newest of each context."""

from __future__ import annotations

from aiohttp import web

from lab.github import errors, shapes
from lab.github.errors import ApiError
from lab.github.model import CommitStatus, Repository
from lab.github.rest.call import Call, Route

STATES = ("error", "failure", "pending", "success")
DESCRIPTION_LIMIT = 140
# GitHub keeps so many for one context of one commit.
STATUSES_A_CONTEXT = 1_000


async def create(call: Call) -> web.Response:
    """POST /repos/{owner}/{repo}/statuses/{sha}"""
    repository = call.repository("statuses", "write")
    body = await call.body()
    state = body.need("state", str)
    if state not in STATES:
        raise errors.invalid("Status", "state", "invalid", f"state must be one of {', '.join(STATES)}")
    sha = await call.git.resolve(repository, call.params["sha"])
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {call.params['sha']}")
    description = body.get("description", str)
    if description is not None and len(description) > DESCRIPTION_LIMIT:
        reason = f"description is too long (maximum is {DESCRIPTION_LIMIT} characters)"
        raise errors.invalid("Status", "description", "custom", reason)
    target = body.get("target_url", str)
    if target is not None and not target.startswith(("http://", "https://")):
        raise errors.invalid("Status", "target_url", "custom", "target_url must use http(s) scheme")
    context = body.get("context", str, "default")
    if sum(status.context == context for status in _of(call, repository, sha)) >= STATUSES_A_CONTEXT:
        raise ApiError(422, "This SHA and context has reached the maximum number of statuses.")
    now = call.world.clock.now()
    status = CommitStatus(
        id=call.world.new_id(),
        repository_id=repository.id,
        sha=sha,
        state=state,
        context=context,
        created_at=now,
        updated_at=now,
        creator_id=call.actor().id,
        description=description,
        target_url=target,
    )
    call.world.statuses[status.id] = status
    shape = shapes.status(call.ctx, status)
    return call.json(shape, status=201, headers={"Location": shape["url"]})


def _of(call: Call, repository: Repository, sha: str) -> list[CommitStatus]:
    """Return a commit's statuses, newest first."""
    every = call.world.statuses.values()
    return [s for s in every if s.repository_id == repository.id and s.sha == sha][::-1]


async def _commit(call: Call) -> tuple[Repository, str]:
    repository = call.repository("statuses")
    sha = await call.git.resolve(repository, call.params["ref"])
    if sha is None:
        raise errors.not_found()
    return repository, sha


async def listing(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/commits/{ref}/statuses"""
    repository, sha = await _commit(call)
    return call.listed(_of(call, repository, sha), lambda status: shapes.status(call.ctx, status))


async def combined(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/commits/{ref}/status"""
    repository, sha = await _commit(call)
    latest: dict[str, CommitStatus] = {}
    for status in _of(call, repository, sha):
        latest.setdefault(status.context, status)
    every = list(latest.values())
    shape = shapes.combined_status(call.ctx, repository, sha, every, call.page().of(every))
    return call.json(shape, headers=call.links(len(every)))


BELOW = (
    Route("POST", "/statuses/{sha}", create),
    Route("GET", "/commits/{ref:.+}/statuses", listing),
    Route("GET", "/commits/{ref:.+}/status", combined),
)

"""Branches, tags and refs."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.github import errors, shapes
from lab.github.errors import ApiError
from lab.github.model import Repository
from lab.github.rest.call import Call, Route
from lab.github.rest.commits import refusal


async def branches(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/branches"""
    found = call.repository("contents")
    # Nothing is protected here, so asking for protected ones gives none.
    listed = [] if call.query.get("protected") == "true" else list(await call.git.branches(found))
    return call.listed(listed, lambda branch: _branch(call, found, *branch))


def _url(call: Call, repository: Repository, path: str) -> str:
    return f"{call.world.addresses.api}/repos/{call.world.full_name(repository)}{path}"


def _branch(call: Call, repository: Repository, name: str, sha: str) -> dict[str, Any]:
    return {"name": name, "commit": _tip(call, repository, sha), "protected": False}


def _tip(call: Call, repository: Repository, sha: str) -> dict[str, str]:
    return {"sha": sha, "url": _url(call, repository, f"/commits/{sha}")}


async def branch(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/branches/{branch}"""
    found = call.repository("contents")
    name = call.params["branch"]
    tip = await call.git.branch(found, name)
    commit = None if tip is None else await call.git.commit(found, tip, files=False)
    if commit is None:
        raise errors.not_found("Branch not found")
    here = _url(call, found, f"/branches/{shapes.quoted(name)}")
    page = f"{call.world.addresses.web}/{call.world.full_name(found)}/tree/{shapes.quoted(name)}"
    return call.json(
        {
            "name": name,
            "commit": shapes.commit(call.ctx, found, commit),
            "_links": {"self": here, "html": page},
            "protected": False,
            "protection": {
                "enabled": False,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": f"{here}/protection",
        }
    )


async def heads_of_commit(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/commits/{commit_sha}/branches-where-head"""
    found = call.repository("contents")
    sha = await call.git.resolve(found, call.params["commit_sha"])
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {call.params['commit_sha']}")
    heads = [(name, tip) for name, tip in await call.git.branches(found) if tip == sha]
    return call.json([_branch(call, found, name, tip) for name, tip in heads])


async def ref(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/git/ref/{ref}"""
    found = call.repository("contents")
    wanted = call.params["ref"].removeprefix("refs/")
    kind, _, name = wanted.partition("/")
    sha = await call.git.branch(found, name) if kind == "heads" else None
    if kind == "tags":
        sha = dict(await call.git.tags(found)).get(name)
    if sha is None:
        raise await refusal(call, found, errors.not_found())
    return call.json(_ref(call, found, f"refs/{wanted}", sha))


async def matching_refs(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/git/matching-refs/{ref}"""
    found = call.repository("contents")
    start = f"refs/{call.params['ref'].removeprefix('refs/')}"
    heads = [(f"refs/heads/{name}", sha) for name, sha in await call.git.branches(found)]
    tags = [(f"refs/tags/{name}", sha) for name, sha in await call.git.tags(found)]
    if not heads and not tags:
        raise ApiError(409, "Git Repository is empty.")
    return call.json([_ref(call, found, name, sha) for name, sha in heads + tags if name.startswith(start)])


def _ref(call: Call, repository: Repository, name: str, sha: str) -> dict[str, Any]:
    return {
        "ref": name,
        "node_id": shapes.node_id("REF", f"{repository.id}:{name}"),
        "url": _url(call, repository, f"/git/{shapes.quoted(name)}"),
        "object": {"sha": sha, "type": "commit", "url": _url(call, repository, f"/git/commits/{sha}")},
    }


async def tags(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/tags"""
    found = call.repository("contents")
    # Newest name first, as GitHub lists them.
    listed = sorted(await call.git.tags(found), reverse=True)

    def shape(tag: tuple[str, str]) -> dict[str, Any]:
        name, sha = tag
        return {
            "name": name,
            "zipball_url": _url(call, found, f"/zipball/refs/tags/{shapes.quoted(name)}"),
            "tarball_url": _url(call, found, f"/tarball/refs/tags/{shapes.quoted(name)}"),
            "commit": _tip(call, found, sha),
            "node_id": shapes.node_id("REF", f"{found.id}:refs/tags/{name}"),
        }

    return call.listed(listed, shape)


BELOW = (
    Route("GET", "/branches", branches),
    Route("GET", "/branches/{branch:.+}", branch),
    Route("GET", "/commits/{commit_sha:.+}/branches-where-head", heads_of_commit),
    Route("GET", "/git/ref/{ref:.+}", ref),
    Route("GET", "/git/matching-refs/{ref:.*}", matching_refs),
    Route("GET", "/tags", tags),
)

"""Files and folders at a revision, and commits that change one file."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from lab.github import errors, shapes
from lab.github.context import Signature, TreeEntry
from lab.github.errors import ApiError
from lab.github.model import Push, Repository
from lab.github.rest.call import Body, Call, Route
from lab.github.rest.repositories import signature

# Larger files are listed, but their content is left out.
INLINE_BYTES = 1024 * 1024
BASE64_LINE = 60
SUBMODULE = re.compile(r"^\s*(path|url)\s*=\s*(.+?)\s*$")


async def get(call: Call) -> web.Response:
    """GET /repos/{owner}/{repo}/contents/{path}"""
    repository = call.repository("contents")
    path, ref = call.params.get("path", "").strip("/"), call.query.get("ref") or repository.default_branch
    if await call.git.resolve(repository, ref) is None:
        empty = not await call.git.branches(repository)
        raise errors.not_found("This repository is empty." if empty else f"No commit found for the ref {ref}")
    found = await call.git.contents(repository, ref, path)
    if found is None:
        raise errors.not_found()
    if not isinstance(found, TreeEntry):
        return call.json([_listed(call, repository, entry, ref) for entry in found])
    if found.kind == "file" and _asks_for_raw(call):
        return web.Response(body=found.content or b"", content_type="application/vnd.github.raw+json")
    return call.json(await _single(call, repository, found, ref))


def _asks_for_raw(call: Call) -> bool:
    accepted = call.request.headers.get("Accept", "").split(",")[0].split(";")[0].strip()
    return accepted.startswith("application/vnd.github") and accepted.split("+")[0].endswith(".raw")


def _listed(call: Call, repository: Repository, entry: TreeEntry, ref: str) -> dict[str, Any]:
    name, path = call.world.full_name(repository), shapes.quoted(entry.path)
    api, web_url = f"{call.world.addresses.api}/repos/{name}", f"{call.world.addresses.web}/{name}"
    here = f"{api}/contents/{path}?ref={shapes.quoted(ref)}"
    git = f"{api}/git/{'trees' if entry.kind == 'dir' else 'blobs'}/{entry.sha}"
    page = f"{web_url}/{'tree' if entry.kind == 'dir' else 'blob'}/{shapes.quoted(ref)}/{path}"
    file = entry.kind in {"file", "symlink"}
    return {
        "name": entry.path.rsplit("/", 1)[-1],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": here,
        "html_url": page,
        "git_url": git,
        "download_url": f"{web_url}/raw/{shapes.quoted(ref)}/{path}" if file else None,
        # Lists call a submodule a file, as GitHub has done since its first version.
        "type": "file" if entry.kind == "submodule" else entry.kind,
        "_links": {"self": here, "git": git, "html": page},
    }


async def _single(call: Call, repository: Repository, entry: TreeEntry, ref: str) -> dict[str, Any]:
    shape = _listed(call, repository, entry, ref)
    if entry.kind == "symlink":
        return {**shape, "target": (entry.content or b"").decode(errors="replace")}
    if entry.kind == "submodule":
        url = await _submodule_url(call, repository, entry.path, ref)
        return {**shape, "type": "submodule", "submodule_git_url": url}
    if entry.size > INLINE_BYTES:
        return {**shape, "content": "", "encoding": "none"}
    return {**shape, "content": _wrapped(entry.content or b""), "encoding": "base64"}


async def _submodule_url(call: Call, repository: Repository, path: str, ref: str) -> str:
    """Return where a submodule comes from, as .gitmodules says."""
    modules = await call.git.contents(repository, ref, ".gitmodules")
    text = (modules.content or b"").decode(errors="replace") if isinstance(modules, TreeEntry) else ""
    for section in text.split("[submodule")[1:]:
        fields = {found[1]: found[2] for line in section.splitlines() if (found := SUBMODULE.match(line))}
        if fields.get("path") == path:
            return str(fields.get("url", ""))
    return ""


def _wrapped(content: bytes) -> str:
    """Return base64 in GitHub's short lines."""
    text = base64.b64encode(content).decode()
    lines = [text[at : at + BASE64_LINE] for at in range(0, len(text), BASE64_LINE)]
    return "".join(f"{line}\n" for line in lines)


# Writing


async def put(call: Call) -> web.Response:
    """PUT /repos/{owner}/{repo}/contents/{path}"""
    repository = call.repository("contents", "write")
    body = await call.body()
    message, content = body.need("message", str), _decoded(body.need("content", str))
    path, branch = call.params["path"].strip("/"), await _branch(call, repository, body)
    async with call.ctx.editing[repository.id]:
        before = await _file(call, repository, path, branch)
        _check_sha(body, path, before)
        after = await _commit(call, repository, branch, {path: content}, message=message, body=body)
    entry = await call.git.contents(repository, after, path)
    if not isinstance(entry, TreeEntry):
        raise errors.invalid("Content", "path", "invalid", "path is not a file")
    shape = {"content": _listed(call, repository, entry, branch), "commit": await _shape(call, repository, after)}
    return call.json(shape, status=201 if before is None else 200)


async def delete(call: Call) -> web.Response:
    """DELETE /repos/{owner}/{repo}/contents/{path}"""
    repository = call.repository("contents", "write")
    body = await call.body()
    message, _ = body.need("message", str), body.need("sha", str)
    path, branch = call.params["path"].strip("/"), await _branch(call, repository, body)
    async with call.ctx.editing[repository.id]:
        before = await _file(call, repository, path, branch)
        if before is None:
            raise errors.not_found()
        _check_sha(body, path, before)
        after = await _commit(call, repository, branch, {path: None}, message=message, body=body)
    return call.json({"content": None, "commit": await _shape(call, repository, after)})


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(422, "content is not valid Base64") from None


async def _branch(call: Call, repository: Repository, body: Body) -> str:
    """Return the branch to commit on; only the default branch of an empty repository may be missing."""
    branch: str = body.get("branch", str, repository.default_branch)
    branch = branch.removeprefix("refs/heads/")
    missing = await call.git.branch(repository, branch) is None
    if missing and (branch != repository.default_branch or await call.git.branches(repository)):
        raise errors.not_found(f"Branch {branch} not found")
    return branch


async def _file(call: Call, repository: Repository, path: str, branch: str) -> TreeEntry | None:
    tip = await call.git.branch(repository, branch)
    found: TreeEntry | Sequence[TreeEntry] | None
    found = None if tip is None else await call.git.contents(repository, tip, path)
    if found is not None and not isinstance(found, TreeEntry):
        raise errors.invalid("Content", "path", "invalid", "path is a folder")
    return found


def _check_sha(body: Body, path: str, before: TreeEntry | None) -> None:
    """Refuse a change of something else than what the caller saw."""
    sha = body.get("sha", str)
    if before is not None and sha is None:
        raise errors.not_supplied("sha")
    if sha is not None and (before is None or before.sha != sha):
        raise ApiError(409, f"{path} does not match {sha}")


async def _commit(
    call: Call, repository: Repository, branch: str, changes: dict[str, bytes | None], *, message: str, body: Body
) -> str:
    try:
        before, after = await call.git.write(repository, branch, changes, message=message, author=_author(call, body))
    except ValueError as error:
        raise errors.invalid("Content", "path", "invalid", str(error)) from error
    repository.pushed_at = repository.updated_at = call.world.clock.now()
    repository.size_kib = await call.git.size_kib(repository)
    installation = call.caller.installation
    await call.ctx.events.push(
        Push(
            repository_id=repository.id,
            ref=f"refs/heads/{branch}",
            before=before,
            after=after,
            pusher_id=call.actor().id,
            installation_id=None if installation is None else installation.id,
        )
    )
    return after


def _author(call: Call, body: Body) -> Signature:
    own = signature(call)
    named: dict[str, Any] = body.get("author", dict) or body.get("committer", dict) or {}
    return Signature(name=str(named.get("name", own.name)), email=str(named.get("email", own.email)), at=own.at)


async def _shape(call: Call, repository: Repository, sha: str) -> dict[str, Any]:
    commit = await call.git.commit(repository, sha, files=False)
    if commit is None:
        raise RuntimeError(f"commit {sha} is gone right after it was written")
    return shapes.git_commit(call.ctx, repository, commit)


BELOW = (
    Route("GET", "/contents", get),
    Route("GET", "/contents/{path:.*}", get),
    Route("PUT", "/contents/{path:.+}", put),
    Route("DELETE", "/contents/{path:.+}", delete),
)

"""Git over smart HTTP, by the real `git http-backend`, with GitHub's rules about who may fetch and push."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote

from aiohttp import hdrs, web

from lab.github import auth, push
from lab.github.context import CALLER, Caller, Context
from lab.github.errors import ApiError
from lab.github.faults import CUT_STREAM
from lab.github.gitstore import GitStore
from lab.github.journal import CUT
from lab.github.model import Repository

FETCH_BODY_LIMIT = 64 * 2**20
PUSH_BODY_LIMIT = 2 * 2**30
PUSH_ANSWER_LIMIT = 8 * 2**20
HEADER_LIMIT = 64 * 1024
CHUNK = 64 * 1024
TIMEOUT = 300.0
PROCESSES = 16

_PROTOCOL = re.compile(r"[a-z0-9=:.\-]{1,100}")
_INVALID = "Invalid username or token. Password authentication is not supported for Git operations."
_SERVICES = {"git-upload-pack", "git-receive-pack"}
_NEVER_CACHED = {
    "Cache-Control": "no-cache, max-age=0, must-revalidate",
    "Expires": "Fri, 01 Jan 1980 00:00:00 GMT",
    "Pragma": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised git request."""

    request: web.Request
    repository: Repository
    caller: Caller
    # Below the repository: info/refs, git-upload-pack or git-receive-pack.
    tail: str

    @property
    def is_push(self) -> bool:
        """Tell whether this is the request that changes refs."""
        return self.tail == "git-receive-pack"


class GitServer:
    """Answers /{owner}/{repository}[.git]/…"""

    def __init__(self, context: Context, store: GitStore) -> None:
        self._context = context
        self._store = store
        self._slots = asyncio.Semaphore(PROCESSES)

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/{owner}/{repository}/info/refs", self.advertise)
        app.router.add_post("/{owner}/{repository}/git-upload-pack", self.fetch)
        app.router.add_post("/{owner}/{repository}/git-receive-pack", self.push)

    async def advertise(self, request: web.Request) -> web.StreamResponse:
        """Tell the refs."""
        service = request.query.get("service", "")
        if service not in _SERVICES:
            return _says(403, "Please upgrade your git client.\nGitHub.com no longer supports git over dumb-http.")
        call = self._authorised(request, "info/refs", writes=service == "git-receive-pack")
        # The API may have named another default branch since.
        self._store.write_head(call.repository)
        return await self._streamed(call)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """Send what a clone or fetch wants."""
        return await self._streamed(self._authorised(request, "git-upload-pack", writes=False))

    async def push(self, request: web.Request) -> web.StreamResponse:
        """Take a push: the body first, so that a slow client holds no lock; then refs and events as one."""
        call = self._authorised(request, "git-receive-pack", writes=True)
        with tempfile.TemporaryFile() as body:
            async with asyncio.timeout(TIMEOUT):
                await _spool(request, body)
            async with self._store.lock(call.repository):
                before = await self._store.refs(call.repository)
                head, answer = await self._received(call, body)
                await push.received(self._context, self._store, call.repository, call.caller, before)
        return web.Response(status=head.status, headers=head.headers, body=answer)

    # Who may

    def readable(self, request: web.Request) -> Repository:
        """Return the repository that a request is about, or raise GitHub's refusal to read it."""
        return self._authorised(request, "info/lfs", writes=False).repository

    def _authorised(self, request: web.Request, tail: str, *, writes: bool) -> Call:
        """Return the call, or raise GitHub's refusal."""
        caller = self._caller(request)
        request[CALLER] = caller
        owner, name = request.match_info["owner"], request.match_info["repository"].removesuffix(".git")
        repository = self._context.world.repository(owner, name)
        moved = self._context.world.moved(owner, name) if repository is None else None
        found = repository or moved
        if found is None or not auth.may_read(self._context, caller, found):
            raise _unknown(caller)
        if moved is not None:
            place = f"{self._context.world.addresses.web}/{quote(self._context.world.full_name(moved))}.git/{tail}"
            raise web.HTTPMovedPermanently(place + (f"?{request.query_string}" if request.query_string else ""))
        if writes:
            self._may_push(caller, found)
        return Call(request, found, caller, tail)

    def _caller(self, request: web.Request) -> Caller:
        try:
            caller = auth.resolve(self._context, request.headers.get("Authorization"))
        except ApiError as error:
            raise _refusal(403, error.message) if error.status == 403 else _refusal(401, _INVALID) from error
        if caller.credential is None and caller.app is not None:
            # An App's JWT speaks for no account; git wants a token.
            raise _refusal(401, _INVALID)
        return caller

    def _may_push(self, caller: Caller, repository: Repository) -> None:
        if caller.credential is None:
            raise _refusal(401, "No anonymous write access.")
        if repository.archived:
            raise _refusal(403, "This repository was archived so it is read-only.")
        if not auth.may_write(self._context, caller, repository):
            name = self._context.world.full_name(repository)
            if caller.account is None or caller.credential.kind != "classic":
                raise _refusal(403, "Write access to repository not granted.")
            raise _refusal(403, f"Permission to {name}.git denied to {caller.account.login}.")

    # The backend

    async def _streamed(self, call: Call) -> web.StreamResponse:
        """Run the backend with both bodies flowing."""
        async with self._slots, asyncio.timeout(TIMEOUT):
            process = await self._start(call, asyncio.subprocess.PIPE)
            feeding = asyncio.create_task(_feed(call.request, process))
            try:
                head = await _head(process)
                response = web.StreamResponse(status=head.status, headers=head.headers)
                await response.prepare(call.request)
                await _copy(process, response, call.request)
                await feeding
                # Its end is sent when this has returned, and so is in the journal: nobody has an answer before that.
            finally:
                feeding.cancel()
                await _end(process)
        return response

    async def _received(self, call: Call, body: IO[bytes]) -> tuple[_Head, bytes]:
        """Run the backend on a body that is here already."""
        async with self._slots, asyncio.timeout(TIMEOUT):
            process = await self._start(call, body)
            try:
                head = await _head(process)
                assert process.stdout is not None  # noqa: S101 - it was asked for
                answer = await process.stdout.read(-1)
            finally:
                await _end(process)
        return head, answer

    async def _start(self, call: Call, stdin: int | IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._store.command.executable,
            "http-backend",
            env=self._environment(call),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=HEADER_LIMIT,
            start_new_session=True,
        )

    def _environment(self, call: Call) -> dict[str, str]:
        path, request = self._store.path(call.repository), call.request
        environment = {
            **self._store.command.environment,
            "GIT_PROJECT_ROOT": str(path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{path.name}/{call.tail}",
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get(hdrs.CONTENT_TYPE, ""),
            "REMOTE_USER": call.caller.name,
            "REMOTE_ADDR": request.remote or "",
        }
        protocol = request.headers.get("Git-Protocol", "")
        if _PROTOCOL.fullmatch(protocol):
            environment["GIT_PROTOCOL"] = protocol
        return environment


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    headers: dict[str, str]


async def _head(process: asyncio.subprocess.Process) -> _Head:
    """Read what a CGI program says before its body."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    status, headers = 200, {}
    while line := (await process.stdout.readline()).decode().strip():
        name, _, value = line.partition(":")
        if name.casefold() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return _Head(status, headers)


async def _feed(request: web.Request, process: asyncio.subprocess.Process) -> None:
    """Hand the request's body to the backend; aiohttp has unzipped it already."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    received = 0
    try:
        async for chunk in request.content.iter_chunked(CHUNK):
            received += len(chunk)
            if received > FETCH_BODY_LIMIT:
                process.kill()
                return
            process.stdin.write(chunk)
            await process.stdin.drain()
    except ConnectionError:
        # The backend ended without reading all; what it printed says why.
        return
    finally:
        process.stdin.close()


async def _spool(request: web.Request, body: IO[bytes]) -> None:
    received = 0
    async for chunk in request.content.iter_chunked(CHUNK):
        received += len(chunk)
        if received > PUSH_BODY_LIMIT:
            raise _refusal(413, "The push is larger than 2 GiB.")
        body.write(chunk)
    body.flush()
    body.seek(0)


async def _copy(process: asyncio.subprocess.Process, response: web.StreamResponse, request: web.Request) -> None:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    while chunk := await process.stdout.read(CHUNK):
        if request.get(CUT_STREAM) and request.transport is not None:
            await response.write(chunk[: len(chunk) // 2])
            request[CUT] = True
            request.transport.abort()
            raise ConnectionResetError("cut by a fault")
        await response.write(chunk)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    if process.returncode is None:
        try:
            await asyncio.wait_for(process.wait(), 1)
        except TimeoutError:
            # The backend's own children write, too; and it counts as ended only when all of it has been read.
            os.killpg(process.pid, signal.SIGKILL)
            await process.stdout.read()
            await process.wait()


# Refusals: git shows a plain text body to its user as "remote: …"


def _says(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=_NEVER_CACHED)


def _refusal(status: int, text: str) -> web.HTTPException:
    kinds = {401: web.HTTPUnauthorized, 403: web.HTTPForbidden, 404: web.HTTPNotFound}
    headers = dict(_NEVER_CACHED)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="GitHub"'
    if status == 413:
        return web.HTTPRequestEntityTooLarge(PUSH_BODY_LIMIT, PUSH_BODY_LIMIT + 1, headers=headers, text=text + "\n")
    return kinds[status](headers=headers, text=text + "\n")


def _unknown(caller: Caller) -> web.HTTPException:
    """A stranger is asked who he is; whoever has said so hears that there is nothing."""
    return _refusal(401 if caller.credential is None else 404, "Repository not found.")

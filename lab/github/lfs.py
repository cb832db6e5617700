"""Git LFS beside the lab's git: the batch API for downloads by the basic transfer, and the files themselves.

Objects are put in by whoever holds the server, as `git lfs push` would have. GitHub keeps them at another host; here
they are at the server's own unless `store` names one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from aiohttp import web

from lab.github.githttp import GitServer
from lab.github.model import Addresses, Repository

MEDIA_TYPE = "application/vnd.git-lfs+json"


class LargeFiles:
    """Answers /{owner}/{repository}.git/info/lfs/…"""

    def __init__(self, git: GitServer, addresses: Addresses) -> None:
        self._git = git
        self._addresses = addresses
        self._objects: dict[tuple[int, str], bytes] = {}
        # Where files are said to be; unset: at this server.
        self.store: str | None = None
        # Whether who asks is told to show there what it has shown here, as some servers do.
        self.echo = False

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/{owner}/{repository}/info/lfs/objects/batch", self.batch)
        app.router.add_get("/{owner}/{repository}/info/lfs/objects/{oid}", self.download)

    def put(self, repository: Repository, content: bytes, *, served: bytes | None = None) -> bytes:
        """Keep a large file, and return the pointer to commit in its place; `served` is sent instead of it."""
        oid = sha256(content).hexdigest()
        self._objects[repository.id, oid] = content if served is None else served
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()

    def clear(self) -> None:
        """Forget every file."""
        self._objects.clear()
        self.store, self.echo = None, False

    async def batch(self, request: web.Request) -> web.Response:
        """Tell where files are."""
        repository = self._git.readable(request)
        asked = (await request.json())["objects"]
        base = f"{self.store or self._addresses.web}{request.path.removesuffix('/batch')}"
        shown = request.headers.get("Authorization")
        header = {"Authorization": shown} if self.echo and shown else {}
        told = [self._told(repository, one, base, header) for one in asked]
        return web.json_response({"transfer": "basic", "objects": told}, content_type=MEDIA_TYPE)

    def _told(self, repository: Repository, asked: dict[str, Any], base: str, header: dict[str, str]) -> dict[str, Any]:
        known = {"oid": asked["oid"], "size": asked["size"]}
        if (repository.id, asked["oid"]) not in self._objects:
            return {**known, "error": {"code": 404, "message": "Object does not exist on the server"}}
        download = {"href": f"{base}/{asked['oid']}", "expires_in": 3600, **({"header": header} if header else {})}
        return {**known, "actions": {"download": download}}

    async def download(self, request: web.Request) -> web.Response:
        """Send a file."""
        repository = self._git.readable(request)
        content = self._objects.get((repository.id, request.match_info["oid"]))
        if content is None:
            raise web.HTTPNotFound(text="Not Found\n")
        return web.Response(body=content, content_type="application/octet-stream")

"""A proxy before the API server: it ends the operator at the nth change, or plays an API server that is in trouble.

It keeps what the operator asked to be changed, and can be closed, as if the API server were away.

It takes plain HTTP on loopback, and speaks TLS to the API server with the credential that it was given. It runs in a
thread of its own, because the people of a test wait in theirs.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import aiohttp
import yaml
from aiohttp import web

from lab.kubernetes.kubeconfig import Access

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What belongs to one connection, and what the libraries on both sides set themselves.
OF_A_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade"})
When = Literal["before", "after"]


@dataclass
class Cut:
    """Kill a process at its nth change in a namespace, before it reached the API server or before the answer came."""

    namespace: str
    number: int
    when: When
    process: subprocess.Popen[bytes]
    # Method and path of the changes so far.
    seen: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def counts(self, request: web.Request) -> bool:
        """Note a change; tell whether it is the one. An Event is no state: nothing depends on it."""
        ours = f"/namespaces/{self.namespace}/" in request.path
        if request.method not in CHANGES or not ours or request.path.endswith("/events"):
            return False
        self.seen.append(f"{request.method} {request.path}")
        return len(self.seen) == self.number

    def strike(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.done.set()


class Trouble(Protocol):
    """What the API server has for a while (see `outages`)."""

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a request, or let it pass (None)."""
        ...


@dataclass(eq=False)
class Stream:
    """A watch that is open. What is put in `last` is sent, and is the end of it."""

    transport: asyncio.WriteTransport
    silent: bool = False
    last: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)


class CuttingProxy:
    """The way to the API server. `armed` is the cut that is to come, `trouble` what there is now."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutting proxy")
        self.armed: Cut | None = None
        self.trouble: Trouble | None = None
        # What was asked, as `method path`, since somebody emptied it.
        self.asked: list[str] = []
        self._streams: set[Stream] = set()
        # Method and path of all changes that were asked for.
        self.changes: list[str] = []
        # Nobody answers.
        self.closed = False
        self.url = ""

    def each_stream(self, act: Callable[[Stream], None]) -> None:
        """Do something to each watch that is open now."""

        async def all_of_them() -> None:
            for stream in list(self._streams):
                act(stream)

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result()

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def stop(self) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lead_here(self, kubeconfig: Path) -> None:
        """Change a kubeconfig so that it leads here."""
        content = yaml.safe_load(kubeconfig.read_text())
        content["clusters"][0]["cluster"] = {"server": self.url}
        kubeconfig.write_text(yaml.safe_dump(content))

    async def _open(self) -> None:
        tls = ssl.create_default_context(cadata=self._access.ca)
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        self._session = aiohttp.ClientSession(
            self._access.server, connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Connections under TLS say goodbye to each other, and nothing tells when they have (aiohttp's own advice).
        await asyncio.sleep(0.25)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        """Serve a request. What was sent goes through, whatever becomes of its sender; reading ends with the reader."""
        body = await request.read()
        self.asked.append(f"{request.method} {request.path}")
        trouble = self.trouble
        if trouble is not None and (answer := await trouble.meet(request)) is not None:
            return answer
        if request.method not in CHANGES:
            return await self._pass(request, body)
        return await asyncio.shield(asyncio.create_task(self._pass(request, body)))

    async def _pass(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self.closed:
            return self._nothing(request)
        if request.method in CHANGES:
            self.changes.append(f"{request.method} {request.path}")
        cut = self.armed
        strikes = cut is not None and cut.counts(request)
        if strikes and cut is not None and cut.when == "before":
            cut.strike()
            return self._nothing(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OF_A_HOP}
        async with self._session.request(
            request.method, request.rel_url, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            if strikes and cut is not None:
                await answer.read()
                cut.strike()
                return self._nothing(request)
            return await self._answer(request, answer)

    async def _answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """Hand an answer through, piece by piece: a watch has no end."""
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in OF_A_HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        stream: Stream | None = None
        if "watch" in request.query and isinstance(request.transport, asyncio.WriteTransport):
            stream = Stream(request.transport)
        try:
            await response.prepare(request)
            if stream is None:
                await self._hand_through(answer, response)
            else:
                await self._follow(stream, answer, response)
            await response.write_eof()
        except ConnectionError:
            # The operator is gone.
            answer.close()
        return response

    async def _hand_through(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, stream: Stream | None = None
    ) -> None:
        async for piece in answer.content.iter_any():
            if stream is None or not stream.silent:
                await response.write(piece)

    async def _follow(self, stream: Stream, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Hand a watch through until it ends, or something is put at its end."""
        self._streams.add(stream)
        last = asyncio.ensure_future(stream.last.get())
        following = asyncio.ensure_future(self._hand_through(answer, response, stream))
        try:
            await asyncio.wait({last, following}, return_when=asyncio.FIRST_COMPLETED)
            if last.done():
                await response.write(last.result())
            else:
                following.result()
        finally:
            self._streams.discard(stream)
            for task in (last, following):
                task.cancel()
            await asyncio.gather(last, following, return_exceptions=True)

    def _nothing(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

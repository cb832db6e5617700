"""A byte proxy before the API server that can be cut, stalled and read, and a recorder of what a watch told."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from lab.kubernetes.kubeconfig import Access
from mooring.cluster.watch import Seen, Watch

PATIENCE = 20.0


class Proxy:
    """Plain HTTP on loopback in, TLS to the real API server out. Everything that comes back is kept, to be searched."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tls = ssl.create_default_context(cadata=access.ca)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing: set[asyncio.Event] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.sent = bytearray()
        self.received = bytearray()
        # Ask for a version that the API server has long forgotten: a reader that slept too long.
        self.outdated = False

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End all connections and the listener."""
        self._server.close()
        self._open.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kubeconfig(self, path: Path) -> str:
        """Write a kubeconfig that leads here."""
        Access(self.url, "", self._access.token).save(path, user="proxied")
        content = yaml.safe_load(path.read_text())
        content["clusters"][0]["cluster"] = {"server": self.url}
        path.write_text(yaml.safe_dump(content))
        return str(path)

    def close_door(self) -> None:
        """Break all connections; new ones wait before the door."""
        self._open.clear()
        self.cut()

    def open_door(self) -> None:
        """Let new connections in."""
        self._open.set()

    def cut(self) -> None:
        """Break all connections at once."""
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Keep the present connections open and forward nothing more on them; new ones work."""
        for flowing in self._flowing:
            flowing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._open.wait()
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a broken connection is what this proxy is for
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self._access.server)
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port, ssl=self._tls)
        flowing = asyncio.Event()
        flowing.set()
        self._flowing.add(flowing)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, flowing, self._outgoing))
                group.create_task(self._pump(up_reader, writer, flowing, self._incoming))
        except* (OSError, EOFError):
            pass
        finally:
            self._flowing.discard(flowing)
            up_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flowing: asyncio.Event,
        seen: Callable[[bytes], bytes],
    ) -> None:
        while chunk := await reader.read(65536):
            await flowing.wait()
            writer.write(seen(chunk))
            await writer.drain()
        raise EOFError  # ends the other direction too

    def _outgoing(self, chunk: bytes) -> bytes:
        if self.outdated and b"watch=true" in chunk:
            chunk = re.sub(rb"resourceVersion=\d+", b"resourceVersion=1", chunk)
            self.outdated = False
        self.sent += chunk
        return chunk

    def _incoming(self, chunk: bytes) -> bytes:
        self.received += chunk
        return chunk


class Recorder:
    """What a watch told, in order; a test waits until it has seen enough."""

    def __init__(self) -> None:
        self.all: list[Seen] = []
        self._news = asyncio.Event()

    def __call__(self, seen: Seen) -> None:
        """Take what was seen."""
        self.all.append(seen)
        self._news.set()

    def of(self, event: str) -> list[str]:
        """Return the names that an event was told of."""
        return [seen.name for seen in self.all if seen.event == event]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait for news until there are enough."""
        async with asyncio.timeout(PATIENCE):
            while not enough():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(watch: Watch) -> AsyncIterator[Watch]:
    """Run a watch, from its first list on; it must end promptly when cancelled."""
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await watch.synced.wait()
        yield watch
    finally:
        task.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(task, return_exceptions=True)

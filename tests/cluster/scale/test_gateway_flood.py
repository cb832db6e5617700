"""Ten thousand connections of others, and one push: it gets through, and the gateway keeps to its memory."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.cluster.gateway_process import SECRET

pytestmark = pytest.mark.scale

ROOT = Path(__file__).resolve().parents[3]
CONNECTIONS = 10_000
# Of a push while others flood, on a machine that also runs the flood.
PUSH_SECONDS = 1.0
# And for so many connections that always have something, once more what it takes without a flood on this machine: a
# push waits for a handful of turns of the loop, in each of which all those are served once. No place in the code stands
# out there; it is reading and digesting.
BUSY_CONNECTIONS = 25
# GitHub itself waits for ten.
PUSH_SECONDS_AT_MOST = 6.0
RSS_MIB = 150
PATIENCE = 60


class Process:
    """The gateway's process."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def highest_rss(self) -> float:
        """Return the most memory that it ever had, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


@asynccontextmanager
async def gateway() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.cluster.gateway_process",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(PATIENCE):
            yield Process(process.pid, int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


@contextmanager
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        pytest.skip(f"this machine lets a process have {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def delivery(repository: int, *, sign: bool = True, length: int | None = None) -> bytes:
    body = json.dumps(
        {
            "ref": "refs/heads/main",
            "before": "a" * 40,
            "after": "b" * 40,
            "repository": {"id": repository, "pushed_at": 1700000000},
            "sender": {"login": "mona"},
        }
    ).encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest() if sign else "0" * 64
    size = length or len(body)
    return (
        "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"
        f"X-GitHub-Delivery: d\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: {size}\r\n\r\n"
    ).encode() + body


def sent(port: int, request: bytes) -> tuple[int, float]:
    """Send one request on a connection of its own; return the status, and how long it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        line.sendall(request)
        answer = line.recv(4096)
    return int(answer.split()[1]), time.monotonic() - began


class Flood:
    """Connections that do as much harm as they can, each again and again, until the end of the test."""

    def __init__(self, port: int, request: bytes, connections: int, *, padding: bytes = b"") -> None:
        self._port, self._request, self._padding = port, request, padding
        self._tasks = [asyncio.create_task(self._one()) for _ in range(connections)]
        self.opened = 0

    async def _one(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                continue
            self.opened += 1
            try:
                writer.write(self._request + self._padding)
                await reader.read()
            except OSError:
                pass
            finally:
                writer.transport.abort()

    async def __aenter__(self) -> Self:
        while self.opened < min(len(self._tasks), CONNECTIONS):  # noqa: ASYNC110 - a count has nothing to wait for
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


async def longest_push(process: Process, count: int = 10) -> float:
    """Send pushes of somebody else, as GitHub does, from a thread that the flood does not keep from its clock."""
    answers = [await asyncio.to_thread(sent, process.port, delivery(1000 + number)) for number in range(count)]
    assert {status for status, _ in answers} == {202}
    return max(took for _, took in answers)


def check(what: str, opened: int, push: float, process: Process, *, more: float = 0.0) -> None:
    allowed = min(PUSH_SECONDS + more, PUSH_SECONDS_AT_MOST)
    figures = (
        f"{what}: {opened} opened, the longest push {push:.3f} s of {allowed:.3f} s, {process.highest_rss():.0f} MiB"
    )
    sys.stdout.write(f"{figures}\n")
    assert push < allowed, figures
    assert process.highest_rss() < RSS_MIB, figures


async def test_ten_thousand_connections_that_say_nothing_keep_nobody_out() -> None:
    with many_files():
        async with gateway() as process, Silent(process.port) as silent:
            check("silent", silent.opened, await longest_push(process), process)


class Silent:
    """Connections with the beginning of a request each, that are never sent to the end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.opened = 0

    async def __aenter__(self) -> Self:
        for _ in range(CONNECTIONS // 500):
            opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", self._port) for _ in range(500)))
            for _, writer in opened:
                writer.write(b"POST /webhooks/github HTTP/1.1\r\nX-A: " + b"a" * 4000)
                self._writers.append(writer)
                self.opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("what", "request_bytes", "connections", "padding"),
    [
        ("unsigned", delivery(1, sign=False), 200, b""),
        ("signed by another", delivery(1), 200, b""),
        ("small bodies without an end", delivery(1, sign=False, length=1_000_000), 1000, b"x" * 200_000),
        ("large bodies without an end", delivery(1, sign=False, length=26_000_000), 20, b"x" * 20_000_000),
    ],
)
async def test_a_flood_keeps_nobody_out(what: str, request_bytes: bytes, connections: int, padding: bytes) -> None:
    with many_files():
        async with gateway() as process:
            more = await longest_push(process) * connections / BUSY_CONNECTIONS
            async with Flood(process.port, request_bytes, connections, padding=padding) as flood:
                check(what, flood.opened, await longest_push(process), process, more=more)

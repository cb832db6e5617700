"""The adapter against the lab's GitHub: a real server with GitHub's own schemas, limits, redirects and faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.github.server import Options, Server, running
from tests.lab.github_adapter.bench import CONTROL_TOKEN, Bench, MovableClock, Rogue


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Run one GitHub for all tests here."""
    async with running(Options(tmp_path_factory.mktemp("github"), token=CONTROL_TOKEN)) as server:
        yield server


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """Give an empty GitHub, and adapters to it; afterwards it must not have broken GitHub's descriptions."""
    bench = Bench(server, MovableClock())
    await bench.control("POST", "/reset")
    yield bench
    await bench.close()
    assert (await bench.control("POST", "/reset"))["violations"] == []


@pytest.fixture
async def rogue(tmp_path: Path) -> AsyncIterator[Rogue]:
    """Give a server that answers what a test wants."""
    async with Rogue.running(tmp_path) as rogue:
        yield rogue

"""One GitHub for the whole session; each test gets it empty, and fails when anything broke GitHub's own schemas.

`github` and `cast` are for tests of the REST API (`running`); `forge` adds git and the control API (`handle`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from lab.github.server import Options, Server, running
from tests.lab.github.handle import Forge, Receiver, receiving
from tests.lab.github.running import CONTROL_TOKEN, Cast, GitHub, Key, seed_cast


@pytest.fixture(scope="session")
async def github_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Run the server in this process, on free ports."""
    async with running(Options(tmp_path_factory.mktemp("github"), token=CONTROL_TOKEN)) as server:
        yield server


@pytest.fixture
async def github(github_server: Server) -> AsyncIterator[GitHub]:
    """Give the empty GitHub; afterwards no violation of GitHub's own descriptions may have been found."""
    found = GitHub(github_server)
    await found.control("POST", "/reset")
    yield found
    assert found.take_violations() == []
    await found.control("POST", "/reset")


@pytest.fixture
async def forge(github: GitHub, tmp_path: Path) -> AsyncIterator[Forge]:
    """Give the same GitHub with a real git beside it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=github.trust)) as session:
        yield Forge(github, session, tmp_path)


@pytest.fixture(scope="session")
def key() -> Key:
    """Give the App's key."""
    return Key.new()


@pytest.fixture(scope="session")
def other_key() -> Key:
    """Give a key that is not the App's."""
    return Key.new()


@pytest.fixture
async def cast(github: GitHub, key: Key) -> Cast:
    """Give the small world of the REST tests."""
    return await seed_cast(github, key)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a web server that keeps the webhooks that it is sent."""
    async with receiving() as found:
        yield found

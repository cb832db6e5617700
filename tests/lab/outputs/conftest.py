"""The lab's GitHub with a private repository and an App on it, for those who use what outputs hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.github.server import Options, Server, running
from tests.lab.outputs.held import CONTROL_TOKEN, Desk, seeded


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Run one GitHub for all tests here."""
    async with running(Options(tmp_path_factory.mktemp("github"), token=CONTROL_TOKEN)) as server:
        yield server


@pytest.fixture(scope="session")
async def tokens(server: Server) -> dict[str, str]:
    """Make the world, and return its installation tokens by name."""
    return await seeded(server)


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Desk:
    """Give an empty home with nothing in it but what a test puts there."""
    return Desk(server, tmp_path)

"""`mooring checkout` against the lab's GitHub: real git on both sides, tokens, TLS, and repositories made to harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lab.github.server import Options, Server, running
from tests.lab.checkout.luring import Lure, luring
from tests.lab.checkout.site import CONTROL_TOKEN, WORLD, Site


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Run one GitHub for all tests here."""
    async with running(Options(tmp_path_factory.mktemp("github"), token=CONTROL_TOKEN)) as server:
        yield server


@pytest.fixture
async def site(server: Server, tmp_path: Path) -> AsyncIterator[Site]:
    """Give a GitHub with a few private repositories, and an empty workspace."""
    site = Site(server, tmp_path, {})
    await site.control("POST", "/reset")
    made = await site.control("POST", "/seed", WORLD)
    site.tokens.update({name: token["value"] for name, token in made["tokens"].items()})
    yield site
    server.large_files.clear()
    await site.control("POST", "/reset")


@pytest.fixture
def lure(site: Site) -> Iterator[Lure]:
    """Give the same GitHub with a sink beside it."""
    with luring(site) as lure:
        yield lure

"""A burst of pushes to one Project: few writes, and nothing that was answered is lost, however the gateway ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab import Lab
from mooring.domain.webhooks.keys import AppHook
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.gateway.site import Site, make_installation, make_project, push, repository_id, sha, signed
from tests.cluster.harness import People
from tests.cluster.process import gateway_kubeconfig, install_roles, running_gateways

pytestmark = pytest.mark.scale

SECRET = "the-operators-webhook-secret"
PUSHES, AT_ONCE, MOST_PATCHES = 3_000, 64, 300
# After how many answers a gateway is killed.
KILLED_AFTER = (1, 2, 7, 40, 64, 65, 130, 333)
RESULTS = ("recorded", "conflict", "failed")


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Site:
    """Return a folder with the operator's App in it."""
    site = Site(tmp_path / "webhook", lab.env["MOORING_GITHUB_API_URL"])
    site.folder.mkdir()
    site.write(AppHook(site.api_url, (SECRET,)))
    return site


@pytest.fixture
def kubeconfig(lab: Lab, kube: Kube, tmp_path: Path) -> Path:
    """Return the gateway's access to the API server."""
    install_roles(kube)
    return gateway_kubeconfig(lab, tmp_path)


def followed(people: People, site: Site, name: str) -> int:
    """Make a Project by an installation of its own; return its repository's id."""
    repository = repository_id()
    make_project(people, site, name, repository, make_installation(people, name, repository))
    return repository


def recorded(people: People, name: str) -> str:
    """Return the commit that is recorded of a Project's last push."""
    found = people.get("Project", name)
    assert found is not None
    return str((found["status"].get("push") or {}).get("sha", ""))


async def burst(urls: Sequence[str], repository: int, most: int, told: Callable[[int, int], None]) -> None:
    """Send pushes, so many at once, to one gateway after the other; tell number and status of each that is answered."""
    numbers = itertools.count(1)

    async def sender(session: aiohttp.ClientSession, url: str) -> None:
        while (number := next(numbers)) <= most:
            body, headers = signed(push(repository, number), SECRET)
            try:
                async with session.post(f"{url}/webhooks/github", data=body, headers=headers) as answer:
                    told(number, answer.status)
            except aiohttp.ClientError:
                return  # it was killed

    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, trust_env=False
    ) as session:
        await asyncio.gather(*(sender(session, url) for url in itertools.islice(itertools.cycle(urls), AT_ONCE)))


async def test_three_thousand_pushes_to_one_project(
    lab: Lab, kube: Kube, kubeconfig: Path, site: Site, namespace: str, tmp_path: Path
) -> None:
    people = People(kube, namespace)
    repository = followed(people, site, "shop")
    with running_gateways(lab, kubeconfig, site.folder, tmp_path, "one", "two") as gateways:
        told: dict[int, int] = {}
        began = asyncio.get_running_loop().time()
        await burst([gateway.url for gateway in gateways], repository, PUSHES, told.__setitem__)
        seconds = asyncio.get_running_loop().time() - began
        metrics = [f'mooring_gateway_patches_total{{result="{result}"}}' for result in RESULTS]
        patches = {name: sum(gateway.metric(name) for gateway in gateways) for name in metrics}
        print(f"\n{PUSHES} pushes in {seconds:.1f} s: {patches}")  # noqa: T201 - a figure
        assert len(told) == PUSHES
        assert set(told.values()) <= {200, 202}
        assert sum(patches.values()) <= MOST_PATCHES
        assert recorded(people, "shop") == sha(PUSHES)
        for gateway in gateways:
            assert gateway.stop() == 0


async def test_what_was_answered_is_stored_when_the_gateway_is_killed(
    lab: Lab, kube: Kube, kubeconfig: Path, site: Site, namespace: str, tmp_path: Path
) -> None:
    people = People(kube, namespace)
    repositories = {after: followed(people, site, f"shop-{after}") for after in KILLED_AFTER}
    for after, repository in repositories.items():
        with running_gateways(lab, kubeconfig, site.folder, tmp_path, f"killed-{after}") as (gateway,):
            answered: set[int] = set()

            def tell(
                number: int, status: int, answered: set[int] = answered, gateway: Any = gateway, after: int = after
            ) -> None:
                assert status in {200, 202}, gateway.log[-2000:]
                answered.add(number)
                if len(answered) == after:
                    gateway.process.kill()

            await burst([gateway.url], repository, PUSHES, tell)
            gateway.process.wait(PATIENCE)
            assert after <= len(answered) < PUSHES
            assert recorded(people, f"shop-{after}") >= sha(max(answered)), after

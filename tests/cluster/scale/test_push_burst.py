"""Three thousand signed pushes to one Project, two gateways, the operator at work: one rollout or two, the last commit.

A few of the pushes are real, and GitHub tells of these by itself; the others speak of commits that there never were.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, Kube, install_kinds
from tests.cluster.gateway.site import push, signed
from tests.cluster.harness import Hub, People
from tests.cluster.scale.test_push_model import (
    ACCOUNT,
    CONVERGES,
    INSTALLATION,
    SECRET,
    Example,
    Site,
    is_done,
    running,
)

pytestmark = pytest.mark.scale

PUSHES, AT_ONCE, MOST_PATCHES, REAL = 3_000, 64, 300, 5
RESULTS = ("recorded", "conflict", "failed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run a lab that nobody else writes to, nor kills an operator in."""
    lab = Lab.up(tmp_path_factory.mktemp("pushes-lab"))
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def kube(lab: Lab) -> Iterator[Kube]:
    """Return the administrator's access, with the kinds installed."""
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    install_kinds(kube)
    yield kube
    kube.close()


@pytest.fixture
def site(lab: Lab, kube: Kube, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the operator and two gateways."""
    hub = Hub(lab.env)
    hub.seed(users=[{"login": "alice"}], organizations=[{"login": ACCOUNT, "members": {"alice": "admin"}}])
    with running(lab, kube, hub, People(kube, namespace), tmp_path_factory.mktemp("burst")) as found:
        yield found
    assert hub.violations() == []
    hub.close()


async def test_three_thousand_pushes_roll_the_last_commit_out_once_or_twice(site: Site) -> None:
    example = Example(site)
    shop = example.shop
    # As people have it who say nothing: three seconds of quiet, fifteen in all.
    shop.apply(installationRef={"name": INSTALLATION}, deploy={"debounce": "3s"})
    shop.ran("Create", 1, shop.last)
    installation = site.people.get("GitHubInstallation", INSTALLATION)
    assert installation is not None
    path = urlsplit(installation["status"]["webhook"]["url"]).path
    before = patches(site)
    numbers, told = itertools.count(1), dict[int, int]()

    async def sender(session: aiohttp.ClientSession, gateway: str) -> None:
        while (number := next(numbers)) <= PUSHES:
            body, headers = signed(push(shop.repository_id, number), SECRET)
            async with session.post(gateway + path, data=body, headers=headers) as answer:
                told[number] = answer.status
            if number % (PUSHES // REAL) == 0:
                await asyncio.to_thread(shop.push)

    timeout, urls = aiohttp.ClientTimeout(total=PATIENCE), itertools.cycle(each.url for each in site.gateways)
    connector = aiohttp.TCPConnector(limit=0)
    began = asyncio.get_running_loop().time()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
        await asyncio.gather(*(sender(session, url) for url in itertools.islice(urls, AT_ONCE)))
    seconds, written = asyncio.get_running_loop().time() - began, patches(site) - before
    assert len(told) == PUSHES
    assert set(told.values()) <= {200, 202}
    assert written <= MOST_PATCHES
    found = site.people.until(
        "Project", shop.name, lambda obj: is_done(obj, shop.last), f"the end with {shop.last}", seconds=CONVERGES
    )
    assert found is not None
    rollouts = site.people.rollouts(shop.name) - 1
    sys.stdout.write(f"\n{PUSHES} pushes in {seconds:.1f} s: {written:.0f} PATCHes, {rollouts} rollouts\n")
    assert rollouts in {1, 2}


def patches(site: Site) -> float:
    """Return how many writes were tried."""
    names = [f'mooring_gateway_patches_total{{result="{result}"}}' for result in RESULTS]
    return sum(gateway.metric(name) for gateway in site.gateways for name in names)

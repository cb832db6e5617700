"""Three thousand signed pushes to one Project, two gateways, the operator at work: one rollout or two, the last commit.

A few of the pushes are real, and GitHub tells of these by itself; the others speak of commits that there never were.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.cluster.conftest import PATIENCE
from tests.cluster.gateway.site import push, signed
from tests.cluster.scale import push_site
from tests.cluster.scale.push_site import CONVERGES, INSTALLATION, SECRET, Site, is_done, new_shop

pytestmark = pytest.mark.scale
# A lab of this module's own.
lab, kube, site = push_site.lab, push_site.kube, push_site.site

PUSHES, AT_ONCE, MOST_PATCHES, REAL = 3_000, 64, 300, 5
RESULTS = ("recorded", "conflict", "failed")


async def test_three_thousand_pushes_roll_the_last_commit_out_once_or_twice(site: Site) -> None:
    # As people have it who say nothing: three seconds of quiet, fifteen in all.
    shop = new_shop(site, "3s")
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

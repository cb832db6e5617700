"""Certificates that an origin brings: they open the way there, and nowhere else, for nobody else."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from mooring.domain.errors import Stalled, Transient
from mooring.domain.origins import AllowedHosts, host_of
from mooring.domain.reasons import Reason
from mooring.ports import Origin
from tests.lab.github_adapter.app_world import app_world
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, origin, trouble


async def test_a_bundle_is_good_for_its_origin_alone(bench: Bench) -> None:
    """With it the lab is known, before and after somebody without it has asked and was told nothing."""
    world = await app_world(bench)
    adapted = bench.adapt(trusting=False)
    trusted = replace(bench.origin, ca=bench.server.ca_file.read_text())
    app, plain = replace(world.moor, origin=trusted), world.moor
    for _ in range(2):
        found = await trouble(adapted.adapter.app(plain, namespace=NAMESPACE))
        assert isinstance(found, Transient)
        assert "certificate" in found.message
        found = await trouble(adapted.adapter.identify(bench.origin, "ghp_" + "a" * 36, namespace=NAMESPACE))
        assert isinstance(found, Transient)
        assert (await adapted.adapter.app(app, namespace=NAMESPACE)).id == app.app_id
        token = await world.mint(adapted.adapter, app)
        assert await adapted.adapter.covered_count(trusted, token, namespace=NAMESPACE) == 2
        assert isinstance(
            await trouble(adapted.adapter.covered_count(bench.origin, token, namespace=NAMESPACE)), Transient
        )


async def test_a_bundle_opens_no_other_host(bench: Bench, rogue: Rogue) -> None:
    """Two servers of one operator: the bundle of the one is not taken at the other."""
    world, hosts = await app_world(bench), AllowedHosts.of([str(host_of(rogue.url))], api=bench.origin.api_url)
    github = bench.adapt(hosts=hosts, trusting=False).adapter
    ca = bench.server.ca_file.read_text()
    await github.app(replace(world.moor, origin=replace(bench.origin, ca=ca)), namespace=NAMESPACE)
    for there in (origin(rogue.url), replace(origin(rogue.url), ca=ca)):
        assert isinstance(await trouble(github.app(replace(world.moor, origin=there), namespace=NAMESPACE)), Transient)
    assert rogue.seen == []
    await trouble(github.app(replace(world.moor, origin=_with_ca(rogue, rogue.ca_file)), namespace=NAMESPACE))
    assert len(rogue.seen) == 1


async def test_answers_by_another_trust_are_not_shared(bench: Bench, rogue: Rogue) -> None:
    """What a server said to whom trusts it by a bundle is not told to others."""
    world = await app_world(bench)

    async def tell(request: web.Request) -> web.StreamResponse:
        who = {"id": 1, "login": "jane"} if request.path.endswith("/user") else {"id": world.moor.app_id, "slug": "m"}
        return web.json_response(who)

    rogue.answer = tell
    adapted = bench.adapt(api=rogue.url, ca_file=rogue.ca_file)
    token, plain, trusted = "ghp_" + "a" * 36, origin(rogue.url), _with_ca(rogue, rogue.ca_file)
    for there in (trusted, plain, trusted, plain):
        await adapted.adapter.identify(there, token, namespace=NAMESPACE)
        await adapted.adapter.app(replace(world.moor, origin=there), namespace=NAMESPACE)
    assert len(rogue.seen) == 4


@pytest.mark.parametrize("bundle", ["", "trust me", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_what_is_no_bundle(bench: Bench, bundle: str) -> None:
    """Nothing is sent, also where the operator itself would trust the server."""
    world, adapted = await app_world(bench), bench.adapt()
    there = replace(bench.origin, ca=bundle)
    for question in (
        adapted.adapter.app(replace(world.moor, origin=there), namespace=NAMESPACE),
        world.mint(adapted.adapter, replace(world.moor, origin=there)),
        adapted.adapter.identify(there, "ghp_" + "a" * 36, namespace=NAMESPACE),
        adapted.adapter.revoke(there, "ghs_" + "a" * 36, namespace=NAMESPACE),
    ):
        found = await trouble(question)
        assert (type(found), found.reason) == (Stalled, Reason.CA_MALFORMED)
    assert (await bench.requests(), adapted.counted()) == ([], {})


async def test_a_clock_is_one_trusts_own(bench: Bench) -> None:
    """A server that is trusted by a bundle shows the time to those alone who brought it."""
    world, adapted = await app_world(bench), bench.adapt(trusting=False)
    trusted = replace(bench.origin, ca=bench.server.ca_file.read_text())
    bench.clock.move(3600)
    await adapted.adapter.app(replace(world.moor, origin=trusted), namespace=NAMESPACE)
    ahead = adapted.adapter.time_at(bench.origin) - adapted.adapter.time_at(trusted)
    assert 3590 < ahead.total_seconds() < 3610
    assert abs(adapted.adapter.time_at(Origin("nonsense", "")) - bench.clock.now()).total_seconds() < 3


def _with_ca(rogue: Rogue, ca_file: Path) -> Origin:
    return replace(origin(rogue.url), ca=ca_file.read_text())

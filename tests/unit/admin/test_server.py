"""The admin server over a real socket: what it answers, what it refuses, and how it comes and goes."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mooring.admin import AdminServer
from mooring.observability.health import Health, Latch
from mooring.observability.metrics import Metrics
from mooring.settings import CannotListenError, Listen

ANYWHERE = Listen("127.0.0.1", 0)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


def server(health: Health | None = None, listen: Listen = ANYWHERE) -> AdminServer:
    registry = Metrics(version="test").registry
    return AdminServer(listen, registry, health or Health(), variable="MOORING_OPERATOR_LISTEN")


async def ask(client: aiohttp.ClientSession, admin: AdminServer, path: str, method: str = "GET") -> tuple[int, str]:
    async with client.request(method, f"http://127.0.0.1:{admin.port}{path}") as answer:
        assert "Server" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.text()


async def test_health_and_readiness_follow_their_checks(client: aiohttp.ClientSession) -> None:
    health, hangs, caches = Health(), list[str](), Latch("not filled yet")
    health.must_live("work loop", lambda: next(iter(hangs), None))
    health.must_be_ready("caches", caches)

    async with server(health) as admin:
        assert await ask(client, admin, "/healthz") == (200, "ok\n")
        assert await ask(client, admin, "/readyz") == (503, "caches: not filled yet\n")
        assert "\nmooring_ready 0.0\n" in (await ask(client, admin, "/metrics"))[1]
        caches.set()
        assert await ask(client, admin, "/readyz") == (200, "ok\n")
        hangs.append("it hangs")
        assert await ask(client, admin, "/healthz") == (503, "work loop: it hangs\n")
        assert await ask(client, admin, "/readyz") == (503, "work loop: it hangs\n")


async def test_metrics_are_what_prometheus_reads(client: aiohttp.ClientSession) -> None:
    async with server() as admin:
        status, text = await ask(client, admin, "/metrics")

    assert status == 200
    assert "mooring_build" in {family.name.removesuffix("_info") for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/debug/pprof", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/healthz", 405),
        ("DELETE", "/readyz", 405),
    ],
)
async def test_all_else_is_refused(client: aiohttp.ClientSession, method: str, path: str, status: int) -> None:
    async with server() as admin:
        assert (await ask(client, admin, path, method))[0] == status


async def test_a_port_in_use_is_one_clear_line() -> None:
    async with server() as first:
        second = server(listen=Listen("127.0.0.1", first.port))
        with pytest.raises(CannotListenError) as caught:
            await second.start()

        told = "the port is in use; stop its user, or set MOORING_OPERATOR_LISTEN"
        assert str(caught.value) == f"cannot listen on 127.0.0.1:{first.port}: {told}"
        await second.stop()


async def test_an_address_of_another_machine_is_one_clear_line() -> None:
    with pytest.raises(CannotListenError) as caught:
        await server(listen=Listen("192.0.2.1", 0)).start()

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("set MOORING_OPERATOR_LISTEN to an address of this machine")


async def test_stopping_frees_the_port_and_may_be_repeated() -> None:
    admin = server()
    await admin.start()
    port = admin.port
    await admin.stop()
    await admin.stop()

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    async with server(listen=Listen("127.0.0.1", port)) as again:
        assert again.port == port


async def test_stopping_waits_for_no_idle_connection(client: aiohttp.ClientSession) -> None:
    admin = server()
    await admin.start()
    await ask(client, admin, "/healthz")
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)

    async with asyncio.timeout(20):
        await admin.stop()

    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_port_is_known_only_while_it_runs() -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        _ = server().port

"""Each connection goes where its name leads at that moment, once that was judged."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from mooring.github.limits import LIMITS
from mooring.github.network import AddressRefused, JudgedAddresses, OriginTransport
from tests.unit.github.certificates import NAME
from tests.unit.github.test_permit import serving


async def test_every_connection_is_judged_anew(tmp_path: Path) -> None:
    """A name that was good a moment ago, or a host that was allowed then, is good for that connection alone."""
    allowed, asked = [True], []

    async def resolver(name: str, port: int) -> list[str]:
        asked.append((name, port))
        return ["127.0.0.1"]

    async with serving(tmp_path) as (_, port, tls):
        addresses = JudgedAddresses(lambda _name, _port: allowed[0], seconds=5, resolver=resolver)
        transport = OriginTransport(f"https://{NAME}:{port}", addresses=addresses, tls=tls, limits=LIMITS)
        request = httpx.Request("GET", f"https://{NAME}:{port}/x")
        answer = await transport.handle_async_request(request)
        assert answer.status_code == 201
        allowed[0] = False
        with pytest.raises(AddressRefused):
            await transport.handle_async_request(request)
        await transport.shut()
    assert asked == [(NAME, port)] * 2


async def test_a_name_that_leads_nowhere_is_said_as_httpx_does(tmp_path: Path) -> None:
    async def resolver(name: str, port: int) -> list[str]:
        raise UnicodeError("label too long")

    async with serving(tmp_path) as (_, port, tls):
        addresses = JudgedAddresses(lambda _name, _port: True, seconds=5, resolver=resolver)
        transport = OriginTransport(f"https://{NAME}:{port}", addresses=addresses, tls=tls, limits=LIMITS)
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(httpx.Request("GET", f"https://{NAME}:{port}/x"))
        await transport.shut()

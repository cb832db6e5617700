"""What each credential is for, and that whatever carries one where it does not belong is noticed: the lab's own proof.

Tests of the product rest on this: what they hold against a sink that catches nothing would hold always.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from lab.github import sinks
from lab.github.server import Options, running
from lab.github.sinks import Sink
from tests.lab.github.running import CONTROL_TOKEN, Cast, GitHub


@pytest.fixture
def sink(github: GitHub) -> Iterator[Sink]:
    """Run a sink that the lab's clients trust."""
    with sinks.running(github.ca_file.parent) as sink:
        yield sink


async def test_each_credential_is_tagged_when_it_is_made(cast: Cast) -> None:
    """With its origin, the repositories that it names, and the account that they are of."""
    await cast.token(repositories=["app"])
    await cast.token()
    acme = cast.private.owner_id
    cast.personal("alice", owner_id=acme, repository_ids={cast.other.id})
    told = (await cast.github.control("GET", "/tags"))["tags"]
    assert {tag["origin"] for tag in told} == {cast.github.git_url}
    named = {tag["credential"]: (tag["kind"], tag["repositories"], tag["account"]) for tag in told}
    assert named["pat-alice"] == ("classic", None, "alice")
    assert named["installation-1"] == ("installation", ["acme/app"], "acme")
    assert named["installation-2"] == ("installation", None, "acme")
    assert named["fine-grained-1"] == ("fine-grained", ["acme/other"], "acme")
    assert cast.alice not in json.dumps(told)


async def test_a_credential_astray_is_told(cast: Cast, tmp_path: Path) -> None:
    """For another repository, under another name of the host, and at another GitHub altogether."""
    narrow, wide = await cast.token(repositories=["app"]), await cast.token()
    github, begun = cast.github, cast.github.server.journal.last
    for token in (narrow, wide, cast.alice, None):
        async with github.client(token) as client:
            assert (await client.get("/repos/acme/app")).status_code == (404 if token is None else 200)
            await client.get(f"/repositories/{cast.private.id}/branches")
    assert github.server.tags.strays(begun) == []
    async with github.client(narrow) as client:
        await client.get("/repos/acme/other/branches")
        await client.get(f"/repositories/{cast.other.id}")
        await client.get(f"{github.git_url}/acme/other.git/info/refs?service=git-upload-pack")
        elsewhere = github.api_url.replace("127.0.0.1", "localhost")
        await client.get(f"{elsewhere}/repos/acme/app")
    async with running(Options(tmp_path, token=CONTROL_TOKEN)) as second:
        stranger = GitHub(second)
        async with stranger.client(cast.alice) as client:
            await client.get("/user")
        (use,) = (await stranger.control("GET", "/tags"))["strays"]
        assert (use["credential"], use["path"]) == ("unknown", "/api/v3/user")
    strays = (await github.control("GET", f"/tags?since={begun}"))["strays"]
    assert {use["credential"] for use in strays} == {"installation-1"}
    assert [use["repository"] for use in strays] == ["acme/other"] * 3 + ["acme/app"]
    assert [use["origin"] for use in strays][3] == elsewhere.removesuffix("/api/v3")


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
async def test_a_secret_is_found_in_every_form(cast: Cast, *, long: bool) -> None:
    cast.installation.token_form = "jwt" if long else "short"
    token = await cast.token()
    whole = token.encode()
    half = whole[: len(whole) // 2], whole[len(whole) // 2 :]
    written = {
        "plain": whole,
        "first half": half[0],
        "second half": half[1],
        "basic": base64.b64encode(b"x-access-token:" + whole),
        "for URLs": base64.urlsafe_b64encode(b"user:" + whole),
        "half in base64": base64.b64encode(half[1]),
        "hex": whole.hex().encode(),
        "HEX": whole.hex().upper().encode(),
        "url": quote(token).encode(),
        "each letter": "".join(f"%{letter:02x}" for letter in whole).encode(),
        "packed": b"head" + gzip.compress(b"x" * 9 + whole),
        "cut by chunks": half[0] + b"\r\n1f\r\n" + half[1],
    }
    for way, data in written.items():
        found = cast.github.server.tags.found_in(data)
        assert {one.credential for one in found} == {"installation-1"}, way
    assert cast.github.server.tags.found_in(b"ghs_" + b"x" * 600 + gzip.compress(b"nothing")[:-9]) == []


async def test_what_an_app_signs_is_found_too(cast: Cast) -> None:
    found = cast.github.server.tags.found_in(f"Authorization: Bearer {cast.jwt}".encode())
    assert [(one.credential, one.form) for one in found] == [(f"app-{cast.app.id}", "JWT")]
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {CONTROL_TOKEN}"}) as client:
        answer = await client.post(f"{cast.github.control_url}/tags/find", content=cast.app.client_secret.encode())
    assert {one["credential"] for one in answer.json()["found"]} == {f"client secret of app-{cast.app.id}"}
    assert cast.app.client_secret not in answer.text


async def test_a_sink_hears_whatever_way_it_is_spoken_to(cast: Cast, sink: Sink) -> None:
    """Each way is planted a token, and it is found; what comes without any is heard as well."""
    trust, tags, token = cast.github.trust, cast.github.server.tags, cast.alice
    ways = {
        "http": lambda: _ask(sink, {"Authorization": f"Bearer {token}"}, scheme="http"),
        "tls/http": lambda: _ask(sink, {"X": base64.b64encode(f"x:{token}".encode()).decode()}),
        "http/tls/http": lambda: _ask(sink, {"X": token}, proxy=True),
        "http/http": lambda: _tunnel(sink, token),
        "socks/tls/http": lambda: _socks(sink, token, trust),
        "": lambda: socket.create_connection(("127.0.0.1", sink.port), 30).close(),
    }
    for spoken, way in ways.items():
        sink.forget()
        await asyncio.to_thread(way)
        await asyncio.to_thread(sink.wait)
        assert sink.spoken == [spoken]
        assert {one.credential for one in tags.found_in(sink.data)} == ({"pat-alice"} if spoken else set()), spoken
    sink.forget()
    bodies = (token.encode(), gzip.compress(token.encode()), iter([token[:9].encode(), token[9:].encode()]))
    for body in bodies:
        await asyncio.to_thread(_post, sink, body, trust)
        assert {one.credential for one in tags.found_in(sink.data)} == {"pat-alice"}
        sink.forget()


def _ask(sink: Sink, headers: dict[str, str], *, scheme: str = "https", proxy: bool = False) -> None:
    # The certificate is the sink's own: who means another host, and comes through it as a proxy, has to look away.
    through = sink.url(scheme="http") if proxy else None
    with httpx.Client(verify=False, trust_env=False, proxy=through, timeout=30) as client:  # noqa: S501
        url = "https://github.example/x" if proxy else sink.url("/x", scheme=scheme)
        assert client.get(url, headers=headers).status_code == 401


def _post(sink: Sink, body: object, trust: ssl.SSLContext) -> None:
    with httpx.Client(verify=trust, trust_env=False, timeout=30) as client:
        assert client.post(sink.url("/x"), content=body).status_code == 401  # type: ignore[arg-type]


def _tunnel(sink: Sink, token: str) -> None:
    with socket.create_connection(("127.0.0.1", sink.port), 30) as stream:
        stream.sendall(b"CONNECT a.example:80 HTTP/1.1\r\n\r\n")
        assert stream.recv(1000).startswith(b"HTTP/1.1 200")
        stream.sendall(f"GET /{token} HTTP/1.1\r\n\r\n".encode())
        assert b" 401 " in stream.recv(1000)


def _socks(sink: Sink, token: str, trust: ssl.SSLContext) -> None:
    with socket.create_connection(("127.0.0.1", sink.port), 30) as plain:
        plain.sendall(b"\x05\x01\x00")
        assert plain.recv(2) == b"\x05\x00"
        plain.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + struct.pack("!H", 443))
        assert plain.recv(10)[1] == 0
        with trust.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
            stream.sendall(f"GET / HTTP/1.1\r\nX: {token}\r\n\r\n".encode())
            assert b" 401 " in stream.recv(1000)

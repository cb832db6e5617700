"""Heads of plain git URLs, from a real `git http-backend`."""

import base64
import logging

import pytest
from aiohttp import web

from mooring.domain.errors import Stalled, Transient
from mooring.domain.reasons import Reason
from tests.lab.github_adapter.bench import NAMESPACE, Bench, Rogue, counting, trouble


async def test_heads_of_a_git_url(bench: Bench) -> None:
    """A named branch and the default one, with and without a token, always as it is now."""
    world, adapted = await bench.world(), bench.adapt()
    github, url = adapted.adapter, f"{bench.origin.web_url}/acme/web"
    main, side = await bench.tip(world.web, "main"), await bench.tip(world.web, "feature/x#1")
    for token in (None, world.tokens["jane"]):
        assert await github.remote_head(f"{url}.git", token, "main", namespace=NAMESPACE) == ("main", main)
        assert await github.remote_head(url, token, None, namespace=NAMESPACE) == ("main", main)
        assert await github.remote_head(url, token, "feature/x#1", namespace=NAMESPACE) == ("feature/x#1", side)
    pushed = await world.commit(world.web, "main", "2")
    assert await github.remote_head(url, None, "main", namespace=NAMESPACE) == ("main", pushed)
    assert adapted.counted() == {"ok": 7}


async def test_what_a_git_server_refuses(bench: Bench) -> None:
    """Missing and invisible are told in the same words; a dead token, a branch and an empty repository in their own."""
    world, web_url = await bench.world(), bench.origin.web_url
    told = set()
    for token, name in (
        (None, "acme/secret"),
        (None, "acme/absent"),
        (world.tokens["mallory"], "acme/secret"),
        (world.tokens["mallory"], "acme/absent"),
    ):
        github = bench.adapt().adapter
        found = await trouble(github.remote_head(f"{web_url}/{name}", token, None, namespace=NAMESPACE))
        assert isinstance(found, Stalled)
        assert found.reason == Reason.REPOSITORY_NOT_FOUND
        told.add(found.message.replace(name, "NAME"))
    assert len(told) == 1
    await bench.control("POST", "/tokens/other/revoke")
    refused: list[tuple[str, str, str | None, Reason]] = [
        (world.tokens["other"], "acme/web", None, Reason.TOKEN_INVALID),
        (world.tokens["jane"], "acme/web", "absent", Reason.BRANCH_NOT_FOUND),
        (world.tokens["jane"], "acme/web", "refs/heads/main", Reason.BRANCH_NOT_FOUND),
        (world.tokens["jane"], "acme/empty", None, Reason.REPOSITORY_EMPTY),
        ("hunter2", "acme/web", None, Reason.NOT_A_TOKEN),
    ]
    for token, name, branch, reason in refused:
        github = bench.adapt().adapter
        found = await trouble(github.remote_head(f"{web_url}/{name}", token, branch, namespace=NAMESPACE))
        assert found.reason == reason


async def test_a_renamed_repository_is_not_followed(bench: Bench) -> None:
    """The checkout follows no redirects either; the person learns what to change."""
    world = await bench.world()
    await bench.control("POST", f"/repositories/{world.web}/rename", {"name": "site"})
    asked = bench.adapt().adapter.remote_head(f"{bench.origin.web_url}/acme/web", None, None, namespace=NAMESPACE)
    found = await trouble(asked)
    assert isinstance(found, Stalled)
    assert "redirects" in found.message


async def test_git_urls_that_are_not_asked(bench: Bench) -> None:
    """Other hosts, other schemes, user names: nothing is sent."""
    async with counting() as (port, came):
        adapted = bench.adapt()
        for url in (f"https://127.0.0.1:{port}/a/b", f"http://127.0.0.1:{port}/a/b", "https://t@127.0.0.1/a", "x", ""):
            found = await trouble(adapted.adapter.remote_head(url, None, None, namespace=NAMESPACE))
            assert found.reason == Reason.HOST_NOT_ALLOWED
        assert (came, adapted.counted()) == ([], {})


async def test_what_a_git_server_gets(bench: Bench, rogue: Rogue, caplog: pytest.LogCaptureFixture) -> None:
    """The token as a password, in no log in either form; a page is no answer, a redirect elsewhere is not followed."""
    caplog.set_level(logging.DEBUG)
    token = "ghp_" + "Secret00" * 4 + "abcd"
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()

    async def echo(request: web.Request) -> web.StreamResponse:
        # The second one stands where the line in the log would end.
        said = f"{request.headers['Authorization']} {token}".ljust(280, ".") + request.headers["Authorization"]
        if "moved" in request.path:
            return web.Response(status=301, headers={"Location": "https://evil.example/a"}, text=said)
        return web.Response(status=200 if "page" in request.path else 500, text=said)

    rogue.answer = echo
    github = bench.adapt(api=rogue.url, ca_file=rogue.ca_file).adapter
    server = rogue.url.removesuffix("/api/v3")
    for name, kind in (("page", Transient), ("broken", Transient), ("moved", Stalled)):
        assert type(await trouble(github.remote_head(f"{server}/a/{name}", token, None, namespace=NAMESPACE))) is kind
    assert [request.headers["Authorization"] for request in rogue.seen] == [f"Basic {basic}"] * 3
    assert rogue.seen[0].headers["User-Agent"].startswith("git/")
    assert "[redacted]" in caplog.text
    assert token not in caplog.text
    assert basic[:12] not in caplog.text

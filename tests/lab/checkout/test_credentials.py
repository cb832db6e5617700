"""Where the credential goes, where it does not, and what happens while it is the wrong one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import web

from lab.github import tls
from mooring.checkout import limits
from mooring.checkout.words import basic
from tests.lab.checkout.site import Site, processes
from tests.lab.github_adapter.bench import counting


def _everywhere(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


async def test_the_token_is_in_no_argument_variable_or_file(site: Site, tmp_path: Path) -> None:
    """Looked at while git waits for the server's answer, and in all that is left afterwards."""
    revision = site.commit("web", {"a.txt": "1\n"})
    token = site.tokens["jane"]
    await site.control("POST", "/faults", {"kind": "latency", "seconds": 2, "path": "/acme/web.git/git-upload-pack"})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    site.credential.write_text(token)
    arguments = (
        f"--url={site.url('web')}", f"--revision={revision}", f"--destination={site.workspace}",
        f"--credential-file={site.credential}", f"--ca-file={site.server.ca_file}",
    )  # fmt: skip
    planted = {"GIT_TRACE_CURL": str(tmp_path / "trace"), "GIT_SSL_NO_VERIFY": "1", "https_proxy": "http://127.0.0.1:1"}
    running = asyncio.create_task(site.process(*arguments, TMPDIR=str(scratch), HOME=str(scratch), **planted))
    looks: dict[bytes, bytes] = {}
    while not running.done():
        await asyncio.sleep(0.02)
        for seen in processes().values():
            if str(site.workspace).encode() in seen:
                name = seen.partition(b"\0")[0]
                looks[name] = looks.get(name, b"") + seen
    code, out, err = await running
    await site.control("DELETE", "/faults")
    assert code == 0, err
    # Ourselves, git, and the helper that speaks https.
    assert any(name.endswith(b"git-remote-https") for name in looks), list(looks)
    everything = b"".join(looks.values()) + out.encode() + err.encode() + _everywhere(site.workspace)
    everything += _everywhere(scratch)
    assert b"GIT_CONFIG_NOSYSTEM" in everything
    for secret in (token, token[-20:], basic(token)[:40], basic(token)[-40:]):
        assert secret.encode() not in everything
    assert not (tmp_path / "trace").exists()
    assert list(scratch.iterdir()) == []


async def test_a_redirect_takes_the_credential_nowhere(site: Site) -> None:
    """Neither to another host, nor to another repository of the same."""
    revision = site.commit("web", {"a.txt": "1\n"})
    async with counting() as (port, came):
        for place in (f"https://127.0.0.1:{port}/acme/web.git", f"http://127.0.0.1:{port}/", site.url("lib")):
            fault = {"kind": "redirect", "location": place, "status": 301, "path": "/acme/web.git/*"}
            await site.control("POST", "/faults", fault)
            ended = await site.checkout(site.wanted(revision))
            await site.control("DELETE", "/faults")
            assert "redirects" in str(ended.failed)
            assert "Write the URL that it has now" in str(ended.failed)
        assert came == []
    asked = [path for path, _ in await site.requests()]
    assert any("/acme/web" in path for path in asked)
    assert not any("/acme/lib" in path for path in asked)


async def test_an_expired_credential_is_waited_for(site: Site) -> None:
    """The kubelet replaces the file while we wait; the line before says so."""
    wanted = site.wanted(site.commit("web", {"a.txt": "1\n"}), token="expired")

    def refresh() -> None:
        if sum(site.clock.slept) > 100:
            site.credential.write_text(site.tokens["jane"])

    site.clock.meanwhile = refresh
    ended = await site.checkout(wanted)
    assert ended.failed is None
    assert 100 < sum(site.clock.slept) < 110
    (waiting,) = [line for line in ended.lines if "Waiting" in line]
    assert "refuses the credential" in waiting
    assert "150 s" in waiting
    assert len([path for path, _ in await site.requests() if "info/refs" in path]) == 2


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("expired", "refuses the credential for"),
        ("eve", "does not show the repository"),
        (None, "holds no GitHub token"),
    ],
)
async def test_a_credential_that_stays_wrong_is_told_after_a_while(site: Site, token: str | None, says: str) -> None:
    revision = site.commit("web", {"a.txt": "1\n"})
    wanted = site.wanted(revision, token=token or "jane")
    if token is None:
        site.credential.write_text("not a token, and sent nowhere\n")
    ended = await site.checkout(wanted)
    assert says in str(ended.failed)
    assert "within 150 s no other credential came" in str(ended.failed)
    # The time that the test itself takes counts, too.
    assert limits.CREDENTIAL_SECONDS - 10 <= sum(site.clock.slept) <= limits.CREDENTIAL_SECONDS + 2
    assert len(await site.requests()) == (0 if token is None else 1)
    assert list(site.workspace.iterdir()) == []


async def test_no_credential_is_told_at_once(site: Site) -> None:
    ended = await site.checkout(site.wanted(site.commit("web", {"a.txt": "1\n"}), token=None))
    assert "There is no credential: name one for the Project" in str(ended.failed)
    assert site.clock.slept == []


async def test_what_passes_is_tried_again(site: Site) -> None:
    """A server that is away for two attempts; then one that stays away."""
    revision = site.commit("web", {"a.txt": "1\n"})
    for fault in ({"kind": "status", "status": 502}, {"kind": "drop"}, {"kind": "status", "status": 429}):
        await site.control("POST", "/faults", {**fault, "path": "/acme/web.git/*", "count": 2})
        ended = await site.checkout(site.wanted(revision))
        assert ended.failed is None
        assert len([line for line in ended.lines if "trying again" in line]) == 2
        await site.checkout(site.wanted("0" * 40))  # empties the workspace
    await site.control("POST", "/faults", {"kind": "status", "status": 503, "path": "/acme/web.git/*"})
    ended = await site.checkout(site.wanted(revision))
    await site.control("DELETE", "/faults")
    assert str(ended.failed).endswith(
        f"answers 503 for the repository {site.url('web')} ({limits.PASSING_ATTEMPTS} attempts)"
    )


async def test_a_pack_that_breaks_off_is_fetched_again(site: Site) -> None:
    revision = site.commit("web", {"a.bin": os.urandom(300_000)})
    await site.control("POST", "/faults", {"kind": "truncate", "path": "*/git-upload-pack", "count": 1})
    ended = await site.checkout(site.wanted(revision))
    assert ended.failed is None, ended
    assert len([line for line in ended.lines if "trying again" in line]) == 1


async def test_a_commit_that_is_not_there(site: Site) -> None:
    """Looked for a few times, since copies of a repository lag behind; then it is said what it may be."""
    ended = await site.checkout(site.wanted("1" * 40))
    assert f"gives no commit {'1' * 40}" in str(ended.failed)
    assert "uploadpack.allowReachableSHA1InWant" in str(ended.failed)
    assert len(site.clock.slept) == limits.PASSING_ATTEMPTS - 1


async def test_what_is_no_commit_is_refused(site: Site) -> None:
    tree = site.tree("web", {"a.txt": "1\n"})
    ended = await site.checkout(site.wanted(tree))
    assert "git cannot fetch" in str(ended.failed) or "is no commit" in str(ended.failed)
    commit = site.commit("web", {"a.txt": "1\n"})
    tag = site.save("web", "tag", f"object {commit}\ntype commit\ntag v1\ntagger J <j@e.x> 1 +0000\n\nx\n".encode())
    assert "is no commit" in str((await site.checkout(site.wanted(tag))).failed)


async def test_a_server_with_another_authority_gets_nothing(site: Site, tmp_path: Path) -> None:
    """Somebody in the middle with a certificate of their own."""
    came: list[str] = []

    async def take(request: web.Request) -> web.Response:
        came.append(request.path)
        return web.Response()

    secure, _ = tls.server_context(tmp_path / "other", "127.0.0.1")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secure).start()
    try:
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/acme/web.git"
        ended = await site.checkout(site.wanted("1" * 40, url=url))
    finally:
        await runner.cleanup()
    assert "is not trusted here" in str(ended.failed)
    assert came == []

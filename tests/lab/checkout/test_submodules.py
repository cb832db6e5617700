"""Submodules and large files: of the same origin, or not at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import web

from mooring.domain import origins
from tests.lab.checkout.site import Site, link, submodule
from tests.lab.github_adapter.bench import Rogue, counting


def gitmodules(**urls: str) -> str:
    return "".join(f'[submodule "{name}"]\n\tpath = vendor/{name}\n\turl = {url}\n' for name, url in urls.items())


async def test_submodules_of_the_same_origin(site: Site) -> None:
    """Relative and whole URLs, one in another, with one credential; without the flag there are none."""
    deep = site.commit("deep", {"deep.py": "1\n"})
    lib = site.commit(
        "lib", {".gitmodules": gitmodules(deep=site.url("deep")), "vendor/deep": submodule(deep), "l": "1\n"}
    )
    files = {".gitmodules": gitmodules(lib="../lib.git"), "vendor/lib": submodule(lib), "a.txt": "1\n"}
    revision = site.commit("web", files)
    ended = await site.checkout(site.wanted(revision, submodules=True))
    assert ended.failed is None
    assert str(ended.done).endswith("5 files, 2 submodules")
    assert set(site.files()) == {
        ".gitmodules",
        "a.txt",
        "vendor/lib/.gitmodules",
        "vendor/lib/l",
        "vendor/lib/vendor/deep/deep.py",
    }
    assert site.git("rev-parse", "HEAD", folder=site.workspace / "vendor" / "lib") == lib
    assert site.git("status", "--porcelain") == ""
    site.folder /= "plain"
    site.folder.mkdir()
    assert (await site.checkout(site.wanted(revision))).failed is None
    assert set(site.files()) == {".gitmodules", "a.txt"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1:1/acme/lib.git", "fetched from the repository's own origin"),
        ("https://evil.example/acme/lib.git", "fetched from the repository's own origin"),
        ("http://127.0.0.1/acme/lib.git", "must start with https://"),
        ("file:///etc", "must start with https://"),
        ("git@127.0.0.1:acme/lib.git", "must start with https://"),
        ("../../../../lib.git", "leads out of the host"),
        ("https://jane:x@127.0.0.1/acme/lib.git", "must not carry a user name"),
    ],
)
async def test_a_submodule_elsewhere_is_refused(site: Site, url: str, says: str) -> None:
    lib = site.commit("lib", {"l": "1\n"})
    said = await site.refused({".gitmodules": gitmodules(lib=url), "vendor/lib": submodule(lib)}, submodules=True)
    assert says in said
    assert "vendor/lib" in said


async def test_a_submodule_at_an_internal_address_is_not_even_connected_to(site: Site) -> None:
    async with counting() as (port, came):
        files = {".gitmodules": gitmodules(lib=f"https://127.0.0.1:{port}/x.git"), "vendor/lib": submodule("1" * 40)}
        assert f"is at 127.0.0.1:{port}" in await site.refused(files, submodules=True)
    assert came == []


async def test_a_submodule_that_the_credential_may_not_read(site: Site) -> None:
    """Said at once: the credential was good for the repository itself, so no other one is on its way."""
    lib = site.commit("lib", {"l": "1\n"})
    files = {".gitmodules": gitmodules(lib="../lib.git"), "vendor/lib": submodule(lib)}
    ended = await site.checkout(site.wanted(site.commit("web", files), token="narrow", submodules=True))
    assert "give it access to that repository" in str(ended.failed)
    assert site.url("lib") in str(ended.failed)
    assert site.clock.slept == []


async def test_submodules_are_bounded(site: Site) -> None:
    """A repository that contains itself, many in one, and one that .gitmodules does not know."""
    lib = site.commit("lib", {"l": "1\n"})
    deeper = lib
    for _ in range(6):
        deeper = site.commit("lib", {".gitmodules": gitmodules(lib="../lib.git"), "vendor/lib": submodule(deeper)})
    said = await site.refused(
        {".gitmodules": gitmodules(lib="../lib.git"), "vendor/lib": submodule(deeper)}, submodules=True
    )
    assert "deeper than 5" in said
    many = {f"m{number}": "../lib.git" for number in range(4)}
    files = {".gitmodules": gitmodules(**many), **{f"vendor/{name}": submodule(lib) for name in many}}
    ended = await site.checkout(site.wanted(site.commit("web", files), submodules=True), submodules=3)
    assert "one submodule too many: 3 are allowed" in str(ended.failed)
    assert "has no URL in .gitmodules" in await site.refused(
        {".gitmodules": gitmodules(), "vendor/lib": submodule(lib)}, submodules=True
    )
    assert "no .gitmodules that can be read" in await site.refused({"vendor/lib": submodule(lib)}, submodules=True)


async def test_a_link_out_through_a_submodule_is_refused(site: Site) -> None:
    """Each of the two links stays inside its own repository; together they leave the workspace."""
    lib = site.commit("lib", {"a/b/up": link("../.."), "l": "1\n"})
    files = {".gitmodules": gitmodules(lib="../lib.git"), "vendor/lib": submodule(lib)}
    assert (await site.checkout(site.wanted(site.commit("web", files), submodules=True))).failed is None
    said = await site.refused({**files, "out": link("vendor/lib/a/b/up/../../..")}, submodules=True)
    assert "the symbolic link out leads out of the repository" in said


# --- large files ---

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


async def test_large_files_take_the_place_of_their_pointers(site: Site) -> None:
    """Also twice the same, and in a folder; what only looks like a pointer stays what it is."""
    large, web = site.server.large_files, site.repository("web")
    one, two = os.urandom(400_000), b"two"
    lookalike = large.put(web, b"not this")
    files = {
        ".gitattributes": ATTRIBUTES,
        "a.bin": large.put(web, one),
        "same.bin": large.put(web, one),
        "sub/ö x.bin": large.put(web, two),
        "example.txt": lookalike,
    }
    revision = site.commit("web", files)
    ended = await site.checkout(site.wanted(revision, lfs=True))
    assert str(ended.done).endswith("5 files, 3 large")
    assert (site.workspace / "a.bin").read_bytes() == (site.workspace / "same.bin").read_bytes() == one
    assert (site.workspace / "sub" / "ö x.bin").read_bytes() == two
    assert (site.workspace / "example.txt").read_bytes() == lookalike
    assert not list((site.workspace / ".git").glob("mooring-*"))
    assert [path for path, _ in await site.requests()].count("/acme/web.git/info/lfs/objects/batch") == 1


async def test_lfsconfig_is_not_read(site: Site) -> None:
    """It would choose where the credential goes."""
    async with counting() as (port, came):
        pointer = site.server.large_files.put(site.repository("web"), b"large")
        lfsconfig = (
            f'[lfs]\n\turl = https://127.0.0.1:{port}/\n[remote "origin"]\n\tlfsurl = https://127.0.0.1:{port}/\n'
        )
        files = {".gitattributes": ATTRIBUTES, "a.bin": pointer, ".lfsconfig": lfsconfig}
        ended = await site.checkout(site.wanted(site.commit("web", files), lfs=True))
        assert ended.failed is None
        assert (site.workspace / "a.bin").read_bytes() == b"large"
        assert came == []


async def test_large_files_elsewhere_are_refused_unless_listed(site: Site, tmp_path: Path) -> None:
    """Listed, the other host gets a request, and no credential of ours with it."""
    pointer = site.server.large_files.put(site.repository("web"), b"large")
    files = {".gitattributes": ATTRIBUTES, "a.bin": pointer}
    async with counting() as (port, came):
        site.server.large_files.store = f"https://127.0.0.1:{port}"
        said = await site.refused(files, lfs=True)
        assert f"at 127.0.0.1:{port}: large files are fetched from the repository's own origin" in said
        assert came == []
    # Its certificate has another authority: both are trusted.
    async with Rogue.running(tmp_path / "store") as store:
        both = tmp_path / "both.pem"
        both.write_text(site.server.ca_file.read_text() + store.ca_file.read_text())
        host = origins.host_of(store.url)
        site.server.large_files.store = f"https://{host}"
        wanted = site.wanted(site.commit("web", files), lfs=True, lfs_stores=[str(host)], ca_file=str(both))
        ended = await site.checkout(wanted)
        # It answers with something else, which is noticed.
        assert "pointer says. Push it anew" in str(ended.failed) or "broke off" in str(ended.failed)
        assert [request.headers.get("Authorization") for request in store.seen][:1] == [None]


async def test_a_large_file_that_comes_a_byte_at_a_time(site: Site, tmp_path: Path) -> None:
    """No pause is long enough to be noticed: the whole time is."""
    pointer = site.server.large_files.put(site.repository("web"), bytes(10_000))
    files = {".gitattributes": ATTRIBUTES, "a.bin": pointer}

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"\0")
            await asyncio.sleep(0.05)
        return response

    async with Rogue.running(tmp_path / "store") as store:
        store.answer = drip
        both = tmp_path / "both.pem"
        both.write_text(site.server.ca_file.read_text() + store.ca_file.read_text())
        host = str(origins.host_of(store.url))
        site.server.large_files.store = f"https://{host}"
        wanted = site.wanted(site.commit("web", files), lfs=True, lfs_stores=[host], ca_file=str(both))
        ended = await asyncio.wait_for(site.checkout(wanted, seconds=3), 60)
    assert "it took longer than 3 s" in str(ended.failed)
    assert len(store.seen) == 1


@pytest.mark.parametrize(
    ("status", "says"), [(500, "answers 500"), (404, "give it access"), (403, "give it access"), (301, "redirects")]
)
async def test_a_server_that_gives_no_large_files(site: Site, status: int, says: str) -> None:
    pointer = site.server.large_files.put(site.repository("web"), b"large")
    fault = (
        {"kind": "status", "status": status}
        if status >= 400
        else {"kind": "redirect", "location": "https://evil.example/", "status": 301}
    )
    await site.control("POST", "/faults", {**fault, "path": "*/info/lfs/*"})
    said = await site.refused({".gitattributes": ATTRIBUTES, "a.bin": pointer}, lfs=True)
    await site.control("DELETE", "/faults")
    assert says in said


async def test_large_files_that_are_missing_wrong_or_too_large(site: Site) -> None:
    large, web = site.server.large_files, site.repository("web")
    gone = large.put(web, b"gone")
    large.clear()
    assert "Object does not exist on the server. Push it" in await site.refused(
        {".gitattributes": ATTRIBUTES, "a.bin": gone}, lfs=True
    )
    pointer = large.put(web, b"right", served=b"wrong")
    assert "sends something else" in await site.refused({".gitattributes": ATTRIBUTES, "a.bin": pointer}, lfs=True)
    large.put(web, b"right", served=b"right, and more")
    assert "sends more" in await site.refused({".gitattributes": ATTRIBUTES, "a.bin": pointer}, lfs=True)
    large.put(web, b"right", served=b"rig")
    said = await site.refused({".gitattributes": ATTRIBUTES, "a.bin": pointer}, lfs=True)
    assert "broke off while it sent the large file" in said
    assert said.endswith("(5 attempts)")
    huge = pointer.replace(b"size 5", b"size 999999999999")
    before = await site.requests()
    assert "is too large" in await site.refused({".gitattributes": ATTRIBUTES, "a.bin": huge}, lfs=True)
    assert "lfs" not in str((await site.requests())[len(before) :])

"""A repository that was renamed or transferred: pods that were made under its former name go on being made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.checkout.renames import MAX_MOVES
from mooring.domain import origins
from tests.lab.checkout.site import Site, submodule
from tests.lab.github_adapter.bench import Rogue

REFS = "/info/refs?service=git-upload-pack"
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


async def rename(site: Site, name: str, new: str) -> None:
    """Give a repository another name, as its owner does."""
    await site.control("POST", f"/repositories/{site.repository(name).id}/rename", {"name": new})


async def test_a_former_name_leads_to_the_repository(site: Site) -> None:
    """With the narrowest token there is, which GitHub binds to the repository's id; and again, after another rename."""
    revision = site.commit("web", {"a.txt": "1\n"})
    await rename(site, "web", "shop")
    wanted = site.wanted(revision, token="narrow")
    ended = await site.checkout(wanted)
    assert ended.done == f"{revision} of {site.url('web')} is in {site.workspace}: 1 file"
    assert (
        f"mooring: the repository {site.url('web')} is at {site.url('shop')} by now, and is fetched from there\n"
        in (ended.lines)
    )
    assert site.git("rev-parse", "HEAD") == revision
    await rename(site, "shop", "store")
    await site.checkout(site.wanted("0" * 40))  # empties the workspace
    assert (await site.checkout(wanted)).failed is None
    # What is there needs no server, and so no name.
    assert "already; nothing was fetched" in str((await site.checkout(wanted)).done)


async def test_submodules_and_large_files_under_former_names(site: Site) -> None:
    lib = site.commit("lib", {"lib.py": "1\n"})
    pointer = site.server.large_files.put(site.repository("web"), b"large")
    modules = '[submodule "lib"]\n\tpath = vendor/lib\n\turl = ../lib.git\n'
    files = {".gitattributes": ATTRIBUTES, "a.bin": pointer, ".gitmodules": modules}
    revision = site.commit("web", {**files, "vendor/lib": submodule(lib)})
    await rename(site, "web", "shop")
    await rename(site, "lib", "parts")
    ended = await site.checkout(site.wanted(revision, submodules=True, lfs=True))
    assert ended.failed is None, ended
    assert (site.workspace / "a.bin").read_bytes() == b"large"
    assert site.files()["vendor/lib/lib.py"] == "1\n"


async def test_who_may_not_read_it_is_led_nowhere(site: Site) -> None:
    revision = site.commit("web", {"a.txt": "1\n"})
    await rename(site, "web", "shop")
    ended = await site.checkout(site.wanted(revision, token="eve"))
    assert "does not show the repository" in str(ended.failed)
    assert not any("/acme/shop" in path for path, _ in await site.requests())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_another_origin_gets_nothing(site: Site, tmp_path: Path, status: int) -> None:
    """It is trusted, it listens, and it would be asked for a repository: but it is another port."""
    revision = site.commit("web", {"a.txt": "1\n"})
    async with Rogue.running(tmp_path / "rogue") as rogue:
        both = tmp_path / "both.pem"
        both.write_text(site.server.ca_file.read_text() + rogue.ca_file.read_text())
        for host in (f"{origins.host_of(rogue.url)}", f"localhost:{origins.host_of(rogue.url).port}"):
            place = f"https://{host}/acme/web.git{REFS}"
            fault = {"kind": "redirect", "location": place, "status": status, "path": "/acme/web.git/*"}
            await site.control("POST", "/faults", fault)
            ended = await site.checkout(site.wanted(revision, ca_file=str(both)))
            await site.control("DELETE", "/faults")
            assert "to what is no repository of the same origin, which is not followed" in str(ended.failed)
        assert rogue.seen == []


async def test_a_way_without_an_end_is_left(site: Site) -> None:
    """Each name leads to the other; no more is asked than an honest server makes necessary."""
    revision = site.commit("web", {"a.txt": "1\n"})
    for name, other in (("web", "lib"), ("lib", "web")):
        fault = {
            "kind": "redirect",
            "location": f"{site.url(other)}{REFS}",
            "status": 301,
            "path": f"/acme/{name}.git/*",
        }
        await site.control("POST", "/faults", fault)
    ended = await site.checkout(site.wanted(revision))
    await site.control("DELETE", "/faults")
    assert "redirects" in str(ended.failed)
    assert site.clock.slept == []
    # By git, and by ourselves to learn where it leads.
    assert len(await site.requests()) == 2 * MAX_MOVES + 1


async def test_the_commit_counts_wherever_the_name_leads(site: Site) -> None:
    """A server that leads to another repository gives that commit, or nothing."""
    revision = site.commit("web", {"a.txt": "1\n"})
    site.commit("lib", {"a.txt": "evil\n"})
    fault = {"kind": "redirect", "location": f"{site.url('lib')}{REFS}", "status": 301, "path": "/acme/web.git/*"}
    await site.control("POST", "/faults", fault)
    ended = await site.checkout(site.wanted(revision))
    await site.control("DELETE", "/faults")
    assert f"gives no commit {revision}" in str(ended.failed)
    assert list(site.workspace.iterdir()) == []

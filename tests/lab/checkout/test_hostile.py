"""Repositories that were made to harm whoever checks them out: refused with a reason, or harmless."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from mooring.checkout import git, workspace
from mooring.checkout.failures import BadRequest
from mooring.checkout.request import request
from tests.lab.checkout.site import Raw, Site, link, processes, program, submodule


@pytest.mark.parametrize(
    "files",
    [
        {"out": link("/etc/passwd")},
        {"out": link("..")},
        {"a/b/out": link("../../../etc")},
        # Harmless read as text, harmful followed: x is the root, and the root's parent is outside.
        {"deep/x": link(".."), "deep/down/out": link("../x/../..")},
        {"a": link("b/.."), "b": link("."), "out": link("a/../..")},
        {"out": link("..\0/harmless")},
        {"out": link(".git/config")},
        {"out": link("sub/../.GIT/hooks")},
        {"not/there/out": link("../nothing/../../../x")},
        {"out": link("a" * 5000)},
    ],
    ids=lambda files: list(files)[-1] + str(len(str(files))),
)
async def test_1_links_out_of_the_tree(site: Site, files: dict[str, Raw]) -> None:
    said = await site.refused({**files, "a.txt": "1\n"})
    assert "the symbolic link " in said
    assert "Take it out" in said


async def test_1_links_inside_the_tree_are_kept(site: Site) -> None:
    files = {
        "a/here": link("../b/c"), "b/c": "c\n", "loop": link("loop"), "one": link("two"), "two": link("one"),
        "later": link("not/yet"), "a/up": link(".."), "x": link("a/up/b"), "dots": link("./a/./here"),
    }  # fmt: skip
    assert (await site.checkout(site.wanted(site.commit("web", files)))).failed is None
    assert (site.workspace / "a" / "here").read_text() == "c\n"


async def test_2_attributes_start_no_programs(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those that the image's own git knows, as it does where Git LFS is installed."""
    trap = tmp_path / "trap"
    filters = f"\tsmudge = touch {trap} && cat\n\tclean = cat\n\trequired = true\n"
    installed = "".join(f'[filter "{name}"]\n{filters}' for name in ("evil", "lfs"))
    monkeypatch.setattr(git, "CONFIGURATION", git.CONFIGURATION + installed)
    files = {
        ".gitattributes": "* filter=evil diff=evil merge=evil\n*.sh filter=lfs\n",
        ".gitconfig": installed,
        "a.txt": "1\n",
        "b.sh": program(f"touch {trap}\n"),
    }
    assert (await site.checkout(site.wanted(site.commit("web", files)))).failed is None
    assert site.files()["a.txt"] == "1\n"
    assert not trap.exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% /tmp/x", "-u./evil", "--upload-pack=evil", "https://169.254.169.254/x"]
)
async def test_3_submodules_at_internal_addresses_and_other_traps(site: Site, url: str) -> None:
    files = {".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = "{url}"\n', "x": submodule("1" * 40)}
    said = await site.refused(files, submodules=True)
    assert "submodule x" in said or "git refuses (gitmodules" in said


@pytest.mark.parametrize(
    "files",
    [
        {".gitmodules": '[submodule "../../x"]\n\tpath = x\n\turl = ../lib.git\n', "x": submodule("1" * 40)},
        {".gitmodules": link("a.txt"), "a.txt": "1\n"},
        {"a/.git/config": "[core]\n"},
        {"a/.GIT/hooks/x": "1\n"},
        {"a/..": "1\n"},
        {".gi\u200ct/config": "1\n"},
        {"git~1/config": "1\n"},
    ],
    ids=lambda files: ascii(next(iter(files))),
)
async def test_3_names_that_git_must_not_write(site: Site, files: dict[str, str | Raw]) -> None:
    said = await site.refused(files)
    assert "holds an object that git refuses" in said


async def test_4_huge_files(site: Site) -> None:
    """By the pack while it comes; by the tree's own words where it is small when packed."""
    revision = site.commit("web", {"noise": os.urandom(6_000_000)})
    ended = await site.checkout(site.wanted(revision), size=2_000_000)
    assert "is too large" in str(ended.failed)
    zeros = site.commit("web", {"zeros": bytes(50_000_000)})
    ended = await site.checkout(site.wanted(zeros), size=20_000_000)
    assert "is too large: with it the workspace would have more than 19 MiB" in str(ended.failed)
    assert list(site.workspace.iterdir()) == []


async def test_4_a_pack_is_cut_off_while_it_comes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once it is here: a stranger decides how large it is."""
    sizes: list[int] = []
    measure = workspace.size_of

    def measured(folder: Path) -> int:
        sizes.append(measure(folder))
        return sizes[-1]

    monkeypatch.setattr(workspace, "size_of", measured)
    monkeypatch.setattr("mooring.checkout.git.TICK", 0.001)
    revision = site.commit("web", {"noise": os.urandom(30_000_000)})
    ended = await site.checkout(site.wanted(revision), size=1_000_000)
    assert "is too large" in str(ended.failed)
    assert max(sizes) < 30_000_000


async def test_5_many_files(site: Site) -> None:
    revision = site.commit("web", {f"d{n % 7}/f{n}": "x" for n in range(300)})
    ended = await site.checkout(site.wanted(revision), files=299)
    assert "has too many files: more than 299 in all" in str(ended.failed)
    assert (await site.checkout(site.wanted(revision), files=300)).failed is None


async def test_5_a_tree_of_trees_is_not_counted_to_its_end(site: Site) -> None:
    """Ten names, each the same tree of ten names, and so on: ten thousand million files in a few kilobytes."""
    tree = site.tree("web", {f"{n}" * 100: "x" for n in range(10)})
    for _ in range(9):
        item = [f"40000 {n}\0".encode() + bytes.fromhex(tree) for n in range(10)]
        tree = site.save("web", "tree", b"".join(item))
    began = time.monotonic()
    ended = await site.checkout(site.wanted(site.commit_tree("web", tree)))
    assert "has too many files" in str(ended.failed)
    assert time.monotonic() - began < 60


async def test_6_hooks_do_not_run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the repository's, nor those that the image's git puts into every new repository."""
    trap = tmp_path / "trap"
    script = program(f"#!/bin/sh\ntouch {trap}\n")
    names = ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman")
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for name in names:
        (template / name).write_bytes(script.content)
        (template / name).chmod(0o755)
    bare = git.environment
    monkeypatch.setattr(git, "environment", lambda place: {**bare(place), "GIT_TEMPLATE_DIR": str(template.parent)})
    files = {**{f"hooks/{name}": script for name in names}, **{f".githooks/{name}": script for name in names}}
    revision = site.commit("web", {**files, ".gitconfig": "[core]\n\thooksPath = .githooks\n"})
    assert (await site.checkout(site.wanted(revision))).failed is None
    assert not trap.exists()
    assert not (site.workspace / ".git" / "hooks").exists()


async def test_7_names_that_look_like_options(site: Site) -> None:
    files = {
        "--upload-pack=touch x": "1\n",
        "-rf/--": "2\n",
        "--/x": "3\n",
        ":(exclude)a": "4\n",
        "!x": "5\n",
        "#y": "6\n",
    }
    revision = site.commit("web", files)
    site.commit_tree("web", site.tree("web", files), branch="--upload-pack=evil")
    assert (await site.checkout(site.wanted(revision))).failed is None
    assert site.files() == files
    top = site.folder
    for number, path in enumerate(("--upload-pack=touch x", "-rf", "--", ":(exclude)a", "!x", "#y")):
        site.folder = top / str(number)
        site.folder.mkdir()
        ended = await site.checkout(site.wanted(revision, path=path))
        assert ended.failed is None, (path, ended)
        assert len(site.files()) == 1


@pytest.mark.parametrize(
    "url", ["https://a.example/x\r\ny", "https://a.example/x\n", "https://a.example/%0d%0a", "--x", ""]
)
async def test_8_line_ends_in_a_url(site: Site, url: str) -> None:
    with pytest.raises(BadRequest):
        request(url=url, revision="1" * 40, destination="/workspace")
    code, out, err = await site.process(f"--url={url}", f"--revision={'1' * 40}", f"--destination={site.workspace}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("mooring: --url: ")


async def test_8_line_ends_in_a_submodules_url(site: Site) -> None:
    files = {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = "https://a.example\\n/x"\n', "x": submodule("1" * 40)}
    assert "holds an object that git refuses (gitmodulesUrl)" in await site.refused(files, submodules=True)


# 9, `.lfsconfig`, is with the large files.


async def test_10_terminal_escapes(site: Site) -> None:
    """A name cannot move the cursor of whoever reads the log, nor can what the server says."""
    ended = await site.checkout(
        site.wanted(site.commit("web", {"\x1b[2J\x1b]0;pwned\x07evil\r\n\u202e": link("/etc")}))
    )
    assert "the symbolic link evil ? leads out" in str(ended.failed)
    await site.control(
        "POST", "/faults", {"kind": "status", "status": 418, "message": "\x1b[31mred", "path": "/acme/*"}
    )
    ended = await site.checkout(site.wanted("1" * 40))
    await site.control("DELETE", "/faults")
    said = "".join(ended.lines) + str(ended.failed)
    assert all(line.replace("\n", "").isprintable() for line in ended.lines)
    assert "\x1b" not in said
    assert "answers 418" in said


async def test_time_is_bounded(site: Site) -> None:
    """A server that never ends: git is killed, and nothing of it is left."""
    revision = site.commit("web", {"a.txt": "1\n"})
    await site.control("POST", "/faults", {"kind": "latency", "seconds": 600, "path": "/acme/web.git/*", "count": 1})
    began = time.monotonic()
    ended = await asyncio.wait_for(site.checkout(site.wanted(revision), seconds=1.5), 60)
    await site.control("DELETE", "/faults")
    assert "it took longer than 2 s" in str(ended.failed)
    assert time.monotonic() - began < 30
    assert list(site.workspace.iterdir()) == []
    # What git had begun was killed with it, and goes when the kernel comes to it.
    async with asyncio.timeout(10):
        while [seen for seen in processes().values() if str(site.workspace).encode() in seen]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # no event of the kernel tells

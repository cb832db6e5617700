"""What is fetched, what is in the workspace afterwards, and what a container that starts again does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.checkout.site import Site, link, program, submodule
from tests.lab.github_adapter.bench import counting

FILES = {
    "README.md": "read me\n",
    "run.sh": program("#!/bin/sh\n"),
    "src/app.py": "print(1)\n",
    "src/lib/deep.py": "x = 1\n",
    "link": link("src/app.py"),
    "sp ace/*[x]?/ü": "odd\n",
}


async def test_a_private_repository_at_exactly_one_commit(site: Site) -> None:
    """The commit, its files and their modes; git in the workload finds it clean, and knows where it came from."""
    first = site.commit("web", FILES)
    site.commit("web", {"a.txt": "newer\n"})
    ended = await site.checkout(site.wanted(first))
    assert ended.done == f"{first} of {site.url('web')} is in {site.workspace}: 6 files"
    assert site.files()["src/lib/deep.py"] == "x = 1\n"
    assert site.git("rev-parse", "HEAD") == first
    assert site.git("status", "--porcelain") == ""
    assert site.git("config", "remote.origin.url") == site.url("web")
    assert os.access(site.workspace / "run.sh", os.X_OK)
    assert (site.workspace / "link").readlink() == Path("src/app.py")
    assert not os.access(site.workspace / "README.md", os.X_OK)


async def test_a_commit_of_a_branch_with_slashes(site: Site) -> None:
    """Pods know commits alone, so a branch may be called what it likes, and move on."""
    site.commit("web", FILES)
    revision = site.commit_tree("web", site.tree("web", {"b.txt": "2\n"}), branch="feature/deep/--x#1")
    assert (await site.checkout(site.wanted(revision))).failed is None
    assert site.files() == {"b.txt": "2\n"}
    assert site.git("rev-parse", "HEAD") == revision


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("src", {"src/app.py", "src/lib/deep.py"}),
        ("./src//lib/", {"src/lib/deep.py"}),
        ("README.md", {"README.md"}),
        ("sp ace/*[x]?", {"sp ace/*[x]?/ü"}),
        (".", {"README.md", "run.sh", "src/app.py", "src/lib/deep.py", "link", "sp ace/*[x]?/ü"}),
    ],
)
async def test_a_part_of_a_repository(site: Site, path: str, found: set[str]) -> None:
    revision = site.commit(
        "web", {**FILES, "sp ace/axb/no": "1", "srcs/no": "1", "a/src/no": "1"} if path != "." else FILES
    )
    ended = await site.checkout(site.wanted(revision, path=path))
    assert ended.failed is None
    assert set(site.files()) == found
    assert site.git("status", "--porcelain") == ""
    assert (await site.checkout(site.wanted(revision, path=path))).done == (
        f"{revision} of {site.url('web')} is in {site.workspace} already; nothing was fetched"
    )


async def test_authorities_that_come_late(site: Site) -> None:
    """A Secret without them starts the pod all the same; it says what is wrong, and the next container has them."""
    revision, file = site.commit("web", FILES), site.folder / "ca.crt"
    ended = await site.checkout(site.wanted(revision, ca_file=str(file)))
    assert "is not trusted here. Correct it there, or trust its authority" in str(ended.failed)
    file.write_bytes(site.server.ca_file.read_bytes())
    assert (await site.checkout(site.wanted(revision, ca_file=str(file)))).failed is None


async def test_a_path_that_is_not_there(site: Site) -> None:
    assert "has no src/nothing. Correct spec.source.path" in await site.refused(FILES, path="src/nothing")
    assert "has no link/x" in await site.refused(FILES, path="link/x")


async def test_files_are_what_was_committed_byte_for_byte(site: Site) -> None:
    """No attribute changes them: neither line ends, nor encodings, nor keywords, nor filters."""
    files = {
        ".gitattributes": "*.txt text eol=crlf\n*.id ident\n*.u16 text working-tree-encoding=UTF-16\n*.f filter=evil\n",
        "a.txt": "one\ntwo\n",
        "b.id": "$Id$\n",
        "c.u16": "x\n",
        "d.f": "f\n",
    }
    revision = site.commit("web", files)
    assert (await site.checkout(site.wanted(revision))).failed is None
    assert {path: (site.workspace / path).read_bytes().decode() for path in files} == files
    assert not (site.workspace / ".git" / "info" / "attributes").exists()


# --- again in the same pod ---


async def test_a_container_that_starts_again_fetches_nothing(site: Site) -> None:
    lib = site.commit("lib", {"lib.py": "1\n"})
    content = b"large" * 1000
    files = {
        **FILES,
        ".gitmodules": '[submodule "lib"]\n\tpath = vendor/lib\n\turl = ../lib.git\n',
        "vendor/lib": submodule(lib),
        ".gitattributes": "*.bin filter=lfs\n",
        "a.bin": site.server.large_files.put(site.repository("web"), content),
    }
    wanted = site.wanted(site.commit("web", files), submodules=True, lfs=True)
    assert (await site.checkout(wanted)).failed is None
    (site.workspace / "built").write_text("by the workload")
    before = await site.requests()
    # Not even a credential is needed.
    site.credential.unlink()
    again = await site.checkout(wanted)
    assert again.done is not None
    assert again.done.endswith("already; nothing was fetched")
    assert await site.requests() == before
    assert (site.workspace / "built").exists()
    assert (site.workspace / "a.bin").read_bytes() == content


def _touch(path: Path) -> None:
    path.write_text("changed\n")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc")


def _protect(folder: Path) -> None:
    (folder / "app.py").unlink()
    folder.chmod(0o555)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file": lambda w: _touch(w / "README.md"),
    "a file of the same size": lambda w: (w / "README.md").write_text("read ME\n"),
    "a missing file": lambda w: os.remove(w / "src" / "app.py"),  # noqa: PTH107
    "a mode": lambda w: os.chmod(w / "run.sh", 0o644),  # noqa: PTH101
    "a link": lambda w: _relink(w / "link"),
    "a pipe": lambda w: _pipe(w / "README.md"),
    "no HEAD": lambda w: (w / ".git" / "HEAD").write_text("ref: refs/heads/mooring\n"),
    "no objects": lambda w: _empty(w / ".git" / "objects" / "pack"),
    "no repository": lambda w: (w / ".git").rename(w / "moved"),
    "write-protected": lambda w: _protect(w / "src"),
    "a file in a submodule": lambda w: _touch(w / "vendor" / "lib" / "lib.py"),
    "a large file": lambda w: (w / "a.bin").write_bytes(b"small" * 1000),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_is_not_complete_is_begun_anew(site: Site, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half done, or changed since: a workspace is believed only where every file is what was committed."""
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    lib = site.commit("lib", {"lib.py": "1\n"})
    files = {
        **FILES,
        ".gitmodules": '[submodule "lib"]\n\tpath = vendor/lib\n\turl = ../lib.git\n',
        "vendor/lib": submodule(lib),
        ".gitattributes": "*.bin filter=lfs\n",
        "a.bin": site.server.large_files.put(site.repository("web"), b"large" * 1000),
    }
    revision = site.commit("web", files)
    wanted = site.wanted(revision, submodules=True, lfs=True)
    first = await site.checkout(wanted)
    assert first.failed is None
    (site.workspace / "left").mkdir()
    CHANGES[what](site.workspace)
    again = await site.checkout(wanted)
    assert again.done == first.done
    assert not (site.workspace / "left").exists()
    assert (site.workspace / "README.md").read_text() == "read me\n"


async def test_the_workloads_git_configuration_is_not_read(site: Site) -> None:
    """Whoever had the workspace meanwhile may have told git there to ask elsewhere for what is missing."""
    wanted = site.wanted(site.commit("web", FILES))
    assert (await site.checkout(wanted)).failed is None
    async with counting() as (port, came):
        with (site.workspace / ".git" / "config").open("a") as file:
            file.write("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = evil\n")
            file.write(f'[remote "evil"]\n\turl = https://127.0.0.1:{port}/x\n\tpromisor = true\n')
        _empty(site.workspace / ".git" / "objects" / "pack")
        ended = await site.checkout(wanted)
        assert ended.failed is None
        assert came == []
    assert "evil" not in (site.workspace / ".git" / "config").read_text()


async def test_a_folder_that_is_no_workspace_is_left_alone(site: Site) -> None:
    site.workspace.mkdir()
    (site.workspace / "mine").write_text("precious")
    ended = await site.checkout(site.wanted(site.commit("web", FILES)))
    assert ended.failed is not None
    assert "neither empty, nor a checkout, nor a volume" in ended.failed
    assert (site.workspace / "mine").read_text() == "precious"
    link_to = site.folder / "link"
    link_to.symlink_to(site.workspace)
    wanted = site.wanted(site.commit("web", FILES), destination=str(link_to))
    assert "is not a folder of its own" in str((await site.checkout(wanted)).failed)


async def test_files_may_be_written_by_the_group(site: Site) -> None:
    """The workload may run as another user of the group that owns the volume; here through the whole command."""
    revision = site.commit("web", FILES)
    site.credential.write_text(site.tokens["jane"])
    code, out, err = await site.process(
        f"--url={site.url('web')}", f"--revision={revision}", f"--destination={site.workspace}",
        f"--credential-file={site.credential}", f"--ca-file={site.server.ca_file}",
    )  # fmt: skip
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == f"mooring: {revision} of {site.url('web')} is in {site.workspace}: 6 files."
    assert (site.workspace / "README.md").stat().st_mode & 0o777 == 0o664
    assert (site.workspace / "src").stat().st_mode & 0o777 == 0o775

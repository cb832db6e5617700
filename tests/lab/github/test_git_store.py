"""The bare repositories without a server: objects that git itself accepts, and answers that git itself would give."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.github.context import Signature, TreeEntry
from lab.github.gitobjects import valid_ref
from lab.github.gitstore import GitStore
from lab.github.model import ZERO_SHA, Repository

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = Signature("Ann", "ann@example.com", NOW)


@pytest.fixture
def store(tmp_path: Path) -> GitStore:
    return GitStore(tmp_path / "git")


async def repository(store: GitStore, number: int = 1) -> Repository:
    found = Repository(number, 1, f"r{number}", NOW, NOW, NOW)
    await store.create(found)
    return found


async def write(store: GitStore, place: Repository, **files: bytes | None) -> str:
    changes = {name.replace("__", "/"): content for name, content in files.items()}
    return (await store.write(place, "main", changes, message="Change", author=ANN))[1]


async def test_git_accepts_what_is_written(store: GitStore) -> None:
    place = await repository(store)
    await write(store, place, a=b"1\n", dir__b=b"2\n", dir__sub__c=b"3\n", **{"a.b": b"4", "dir-x": b"5"})
    await write(store, place, dir__sub__c=None, a=b"1\n1\n")
    out = await store.command.run(store.path(place), "fsck", "--strict", "--full")
    assert out == b""
    listed = await store.command.run(store.path(place), "ls-tree", "-r", "--name-only", "main")
    assert listed.decode().split() == ["a", "a.b", "dir-x", "dir/b"]


async def test_the_same_writes_give_the_same_commits(store: GitStore) -> None:
    one, two = await repository(store, 1), await repository(store, 2)
    assert await write(store, one, a=b"1") == await write(store, two, a=b"1")


async def test_commits_logs_and_counts(store: GitStore) -> None:
    place = await repository(store)
    first = await write(store, place, a=b"1\n", b=b"1\n")
    second = await write(store, place, a=b"1\n2\n", b=None)
    found = await store.commit(place, "main")
    assert found is not None
    assert [(f.path, f.status, f.additions, f.deletions) for f in found.files] == [
        ("a", "modified", 1, 0),
        ("b", "removed", 0, 1),
    ]
    assert found.files[0].patch == "@@ -1 +1,2 @@\n 1\n+2"
    assert [c.sha for c in await store.log(place, "main", path=None, skip=0, limit=9)] == [second, first]
    assert [c.sha for c in await store.log(place, "main", path=None, skip=1, limit=1)] == [first]
    assert (await store.count(place, "main", path=None), await store.count(place, "main", path="nothing")) == (2, 0)


async def test_a_rename_is_one_in_a_commit_and_two_in_a_push(store: GitStore) -> None:
    place = await repository(store)
    before = await write(store, place, old=b"a\nb\nc\n", binary=b"\0\1")
    after = await write(store, place, old=None, new=b"a\nb\nc\n", binary=b"\0\2")
    commit = await store.commit(place, after)
    assert commit is not None
    assert [(f.path, f.status, f.previous_path, f.patch) for f in commit.files] == [
        ("binary", "modified", None, None),
        ("new", "renamed", "old", None),
    ]
    ((_, lists),) = await store.pushed(place, "refs/heads/main", before, after)
    assert (lists.added, lists.removed, lists.modified) == (["new"], ["old"], ["binary"])


async def test_comparisons_start_at_the_merge_base(store: GitStore) -> None:
    place = await repository(store)
    base = await write(store, place, a=b"1")
    await store.set_branch(place, "topic", base)
    _, topic = await store.write(place, "topic", {"t": b"1"}, message="Topic", author=ANN)
    main = await write(store, place, a=b"2")
    found = await store.compare(place, "main", "topic")
    assert found is not None
    assert (found.merge_base.sha, found.ahead_by, found.behind_by) == (base, 1, 1)
    assert ([c.sha for c in found.commits], [f.path for f in found.files]) == ([topic], ["t"])
    assert await store.is_ancestor(place, base, main)
    assert not await store.is_ancestor(place, main, topic)
    _, orphan = await store.write(await repository(store, 2), "main", {"x": b"1"}, message="Alone", author=ANN)
    assert await store.compare(place, "main", orphan) is None


async def test_revisions(store: GitStore) -> None:
    place = await repository(store)
    first, second = await write(store, place, a=b"1"), await write(store, place, a=b"2")
    await store.command.run(store.path(place), "-c", "user.name=A", "-c", "user.email=a@b", "tag", "-am1", "v1", first)
    known = {"main": second, "heads/main": second, "refs/heads/main": second, "HEAD": second, "v1": first}
    for revision, sha in {**known, first: first, first[:8]: first}.items():
        assert await store.resolve(place, revision) == sha, revision
    for unknown in ("nope", "main~1", "../../x", "f" * 40, first[:5], "@{-1}", "-x", ""):
        assert await store.resolve(place, unknown) is None, unknown
    assert await store.tags(place) == [("v1", first)]
    await store.command.run(store.path(place), "pack-refs", "--all")
    assert await store.branch(place, "main") == second
    await store.command.run(store.path(place), "repack", "-adq")
    assert (await store.contents(place, "main", "a")) == TreeEntry("a", "file", _blob(b"2"), 1, b"2")


def _blob(content: bytes) -> str:
    import hashlib

    whole = b"blob %d\0%s" % (len(content), content)
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


async def test_branches_move_back_and_go(store: GitStore) -> None:
    place = await repository(store)
    first, second = await write(store, place, a=b"1"), await write(store, place, a=b"2")
    assert await store.set_branch(place, "main", first) == (second, first)
    assert await store.set_branch(place, "a/b", first) == (ZERO_SHA, first)
    with pytest.raises(ValueError, match="in its way"):
        await store.set_branch(place, "a", first)
    assert await store.set_branch(place, "a/b", None) == (first, ZERO_SHA)
    assert await store.set_branch(place, "a", first) == (ZERO_SHA, first)
    assert await store.branches(place) == [("a", first), ("main", first)]
    with pytest.raises(ValueError, match="not a commit"):
        await store.set_branch(place, "main", "f" * 40)


async def test_a_fork_outlives_its_parent(store: GitStore) -> None:
    parent = await repository(store)
    sha = await write(store, parent, a=b"1")
    fork = Repository(2, 2, "r2", NOW, NOW, NOW, fork_of=1)
    await store.fork(parent, fork)
    _, own = await store.write(fork, "main", {"b": b"2"}, message="Own", author=ANN)
    assert await store.resolve(parent, own) == own
    assert await store.branch(parent, "main") == sha
    await store.remove(parent)
    assert isinstance(await store.contents(fork, "main", "a"), TreeEntry)
    assert await store.size_kib(fork) >= 0
    await store.remove(fork)


async def test_what_an_earlier_run_left_is_gone(store: GitStore, tmp_path: Path) -> None:
    await write(store, await repository(store), a=b"1")
    again = GitStore(tmp_path / "git")
    assert await again.branch(await repository(again), "main") is None


async def test_what_nobody_looked_at_is_in_memory_and_what_git_sees_is_whole(store: GitStore, tmp_path: Path) -> None:
    place = await repository(store)
    sha = await write(store, place, a=b"1")
    assert await store.resolve(place, "main") == sha
    assert list((tmp_path / "git" / "repositories").iterdir()) == []
    out = await store.command.run(store.path(place), "rev-parse", "main")
    assert out.decode().strip() == sha == await store.branch(place, "main")


@pytest.mark.parametrize("path", ["../up", "/rooted", "a//b", ".git/config", "a/.GIT", ".", ""])
async def test_paths_that_git_refuses_are_refused(store: GitStore, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        await store.write(await repository(store), "main", {path: b"x"}, message="Bad", author=ANN)


@pytest.mark.parametrize("name", ["main", "a/b", "ünï", "v1.0", "x" * 244, "feature/#1"])
def test_names_that_git_takes(name: str) -> None:
    assert valid_ref(name)


@pytest.mark.parametrize(
    "name", ["", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\", "/a", "a/", "a//b", ".a", "a/.b", "a.lock",
             "a.", "@", "a@{b", "-a", "a\n", "x" * 245]
)  # fmt: skip
def test_names_that_git_refuses(name: str) -> None:
    assert not valid_ref(name)

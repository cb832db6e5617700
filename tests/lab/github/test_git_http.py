"""A real `git` against the lab's GitHub: who may fetch and push, and what GitHub says to those who may not."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.github.handle import Forge

WORLD: dict[str, Any] = {
    "users": [{"login": "ann", "email": "ann@example.com"}, {"login": "bob"}, {"login": "eve"}],
    "organizations": [{"login": "acme", "members": {"ann": "admin"}}],
    "apps": [{"slug": "ship", "owner": "acme", "permissions": {"contents": "write"}}],
    "repositories": [
        {"owner": "acme", "name": "open", "files": {"README.md": "open\n"}, "branches": {"next": {"a": "b\n"}}},
        {
            "owner": "acme",
            "name": "closed",
            "private": True,
            "files": {"README.md": "closed\n"},
            "collaborators": {"bob": "read"},
        },
        {"owner": "acme", "name": "old", "files": {"README.md": "old\n"}, "archived": True},
        {"owner": "acme", "name": "empty"},
    ],
    "installations": [{"app": "ship", "account": "acme"}],
    "tokens": [
        {"name": "ann", "user": "ann", "scopes": ["repo"]},
        {"name": "bob", "user": "bob", "scopes": ["repo"]},
        {"name": "eve", "user": "eve", "scopes": ["repo"]},
        {"name": "no-scope", "user": "ann"},
        {"name": "expired", "user": "ann", "scopes": ["repo"], "expires_in": -1},
        {
            "name": "narrow",
            "kind": "fine-grained",
            "user": "ann",
            "owner": "acme",
            "repositories": ["acme/open"],
            "permissions": {"contents": "write"},
        },
        {"name": "short", "kind": "installation", "app": "ship", "account": "acme"},
        {"name": "long", "kind": "installation", "app": "ship", "account": "acme", "form": "jwt"},
        {
            "name": "reader",
            "kind": "installation",
            "app": "ship",
            "account": "acme",
            "permissions": {"contents": "read"},
        },
        {
            "name": "elsewhere",
            "kind": "installation",
            "app": "ship",
            "account": "acme",
            "repositories": ["acme/open"],
        },
    ],
}


async def seeded(forge: Forge) -> dict[str, str]:
    """Make the world of these tests and return its tokens by name."""
    answer = await forge.seed(**WORLD)
    return {name: token["value"] for name, token in answer["tokens"].items()}


async def test_a_public_repository_is_cloned_by_anybody(forge: Forge) -> None:
    await seeded(forge)
    folder = await forge.clone("acme/open")
    assert (folder / "README.md").read_text() == "open\n"
    branches = (await forge.git("branch", "-r", cwd=folder)).out
    assert "origin/next" in branches


@pytest.mark.parametrize("token", ["ann", "bob", "short", "long", "reader"])
async def test_a_private_repository_is_cloned_with_a_token(forge: Forge, token: str) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/closed", tokens[token])
    assert (folder / "README.md").read_text() == "closed\n"


@pytest.mark.parametrize(
    ("repository", "token", "said"),
    [
        ("acme/closed", None, "could not read Username"),
        ("acme/nothing", None, "could not read Username"),
        ("acme/closed", "eve", "remote: Repository not found."),
        ("acme/closed", "no-scope", "remote: Repository not found."),
        ("acme/closed", "narrow", "remote: Repository not found."),
        ("acme/closed", "elsewhere", "remote: Repository not found."),
        ("acme/nothing", "ann", "remote: Repository not found."),
        ("acme/closed", "expired", "remote: Invalid username or token."),
    ],
)
async def test_a_clone_without_rights_fails_in_githubs_words(
    forge: Forge, repository: str, token: str | None, said: str
) -> None:
    tokens = await seeded(forge)
    remote = forge.remote(repository, tokens[token] if token else None)
    assert said in (await forge.git("clone", remote, "never", fails=True)).err


async def test_a_token_dies_when_it_is_revoked(forge: Forge) -> None:
    tokens = await seeded(forge)
    await forge.git("ls-remote", forge.remote("acme/closed", tokens["ann"]))
    await forge.control("POST", "/tokens/ann/revoke")
    said = (await forge.git("ls-remote", forge.remote("acme/closed", tokens["ann"]), fails=True)).err
    assert "Invalid username or token" in said


async def test_a_suspended_installation_fetches_nothing(forge: Forge) -> None:
    tokens = await seeded(forge)
    number = next(iter(forge.server.world.installations))
    await forge.control("POST", f"/installations/{number}/suspend")
    said = (await forge.git("ls-remote", forge.remote("acme/closed", tokens["short"]), fails=True)).err
    assert "suspended" in said


@pytest.mark.parametrize(
    ("repository", "token", "said"),
    [
        ("acme/open", "eve", "remote: Permission to acme/open.git denied to eve."),
        ("acme/closed", "bob", "remote: Permission to acme/closed.git denied to bob."),
        ("acme/closed", "reader", "remote: Write access to repository not granted."),
        ("acme/old", "ann", "remote: This repository was archived so it is read-only."),
        ("acme/open", None, "could not read Username"),
    ],
)
async def test_a_push_without_rights_fails_in_githubs_words(
    forge: Forge, repository: str, token: str | None, said: str
) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone(repository, tokens["ann"])
    before = (await forge.git("rev-parse", "HEAD", cwd=folder)).out
    await forge.commit(folder, {"new": "file"})
    remote = forge.remote(repository, tokens[token] if token else None)
    assert said in (await forge.git("push", remote, "HEAD:main", cwd=folder, fails=True)).err
    assert (await forge.git("ls-remote", forge.remote(repository, tokens["ann"]), "main")).out.startswith(before)


@pytest.mark.parametrize("token", ["ann", "short", "long"])
async def test_a_push_moves_the_branch_and_the_api_shows_it(forge: Forge, token: str) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/closed", tokens[token])
    sha = await forge.commit(folder, {"src/new.txt": "1\n2\n"}, "Add a file")
    await forge.git("push", "-q", "origin", "HEAD", cwd=folder)
    status, branch = await forge.get("/repos/acme/closed/branches/main", tokens["ann"])
    assert (status, branch["commit"]["sha"]) == (200, sha)


async def test_forced_pushes_tags_and_deletions_arrive(forge: Forge) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/closed", tokens["ann"])
    first = (await forge.git("rev-parse", "HEAD", cwd=folder)).out
    await forge.commit(folder, {"a": "1"})
    await forge.git("tag", "-a", "v1", "-m", "One", cwd=folder)
    await forge.git("push", "-q", "origin", "HEAD:main", "HEAD:topic", "v1", cwd=folder)
    await forge.git("push", "-q", "origin", f"{first}:main", cwd=folder, fails=True)
    await forge.git("push", "-q", "--force", "origin", f"{first}:main", cwd=folder)
    await forge.git("push", "-q", "origin", ":topic", cwd=folder)
    refs = (await forge.git("ls-remote", "origin", cwd=folder)).out
    assert f"{first}\trefs/heads/main" in refs
    assert "refs/heads/topic" not in refs
    assert "refs/tags/v1^{}" in refs


async def test_the_default_branch_cannot_be_deleted(forge: Forge) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/closed", tokens["ann"])
    said = (await forge.git("push", "origin", ":main", cwd=folder, fails=True)).err
    assert "refusing to delete the current branch: refs/heads/main" in said


async def test_the_first_branch_of_an_empty_repository_becomes_its_default(forge: Forge) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/empty", tokens["ann"])
    await forge.commit(folder, {"a": "1"})
    await forge.git("push", "-q", "origin", "HEAD:trunk", cwd=folder)
    _, repository = await forge.get("/repos/acme/empty", tokens["ann"])
    assert repository["default_branch"] == "trunk"
    assert (await forge.clone("acme/empty") / "a").read_text() == "1"


async def test_a_commit_is_fetched_by_sha_also_one_of_a_fork(forge: Forge) -> None:
    tokens = await seeded(forge)
    await forge.seed(repositories=[{"owner": "ann", "name": "open", "fork_of": "acme/open"}])
    fork = await forge.clone("ann/open", tokens["ann"])
    sha = await forge.commit(fork, {"impostor": "1"})
    await forge.git("push", "-q", "origin", "HEAD", cwd=fork)
    folder = await forge.clone("acme/open")
    await forge.git("fetch", "-q", "--depth=1", "origin", sha, cwd=folder)
    assert (await forge.git("rev-parse", "FETCH_HEAD", cwd=folder)).out == sha
    assert sha not in (await forge.git("ls-remote", "origin", cwd=folder)).out


async def test_shallow_and_partial_clones_work(forge: Forge) -> None:
    await seeded(forge)
    target = str(forge.folder / "partial")
    await forge.git("clone", "-q", "--depth=1", "--filter=blob:none", forge.remote("acme/open"), target)
    assert (Path(target) / "README.md").read_text() == "open\n"


async def test_a_renamed_repository_redirects_git(forge: Forge) -> None:
    tokens = await seeded(forge)
    number = forge.server.world.repository("acme", "closed")
    assert number is not None
    await forge.control("POST", f"/repositories/{number.id}/rename", {"name": "shut"})
    folder = await forge.clone("acme/closed", tokens["ann"])
    assert (folder / "README.md").read_text() == "closed\n"
    said = (await forge.git("ls-remote", forge.remote("acme/closed", tokens["eve"]), fails=True)).err
    assert "Repository not found." in said


async def test_two_pushes_at_once_are_one_after_the_other(forge: Forge) -> None:
    tokens = await seeded(forge)
    one, two = await forge.clone("acme/closed", tokens["ann"]), await forge.clone("acme/closed", tokens["ann"])
    await forge.commit(one, {"one": "1"})
    await forge.commit(two, {"two": "2"})
    commands = [forge.git("push", "-q", "origin", f"HEAD:{name}", cwd=cwd) for name, cwd in (("x", one), ("y", two))]
    await asyncio.gather(*commands)
    refs = (await forge.git("ls-remote", "--heads", forge.remote("acme/closed", tokens["ann"]))).out
    assert {line.rsplit("/", 1)[1] for line in refs.splitlines()} == {"main", "x", "y"}


async def test_the_dumb_protocol_and_odd_bodies_are_refused(forge: Forge) -> None:
    await seeded(forge)
    async with forge.session.get(f"{forge.web}/acme/open/info/refs") as answer:
        assert answer.status == 403
        assert "upgrade your git client" in await answer.text()
    url, body = f"{forge.web}/acme/open/git-upload-pack", gzip.compress(b"0000")
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"}
    async with forge.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
    async with forge.session.get(f"{forge.web}/acme/closed") as answer:
        assert answer.status == 404
    async with forge.session.get(f"{forge.web}/acme/open") as answer:
        assert (answer.status, "acme/open" in await answer.text()) == (200, True)


async def test_a_push_that_git_sends_in_chunks(forge: Forge) -> None:
    tokens = await seeded(forge)
    folder = await forge.clone("acme/closed", tokens["ann"])
    (folder / "large").write_bytes(os.urandom(3 * 2**20))
    await forge.git("add", "large", cwd=folder)
    sha = await forge.commit(folder, {"small": "1"})
    await forge.git("push", "-q", "origin", "HEAD", cwd=folder)
    assert (await forge.git("ls-remote", "origin", "main", cwd=folder)).out.startswith(sha)
    posts = [entry for entry in (await forge.control("GET", "/journal"))["entries"] if entry["method"] == "POST"]
    assert sum("receive-pack" in entry["path"] for entry in posts) == 2


async def test_a_clone_checks_out_the_default_branch_that_the_api_names(forge: Forge) -> None:
    tokens = await seeded(forge)
    await forge.clone("acme/open")
    url, headers = f"{forge.api}/repos/acme/open", {"Authorization": f"Bearer {tokens['ann']}"}
    async with forge.session.patch(url, json={"default_branch": "next"}, headers=headers) as answer:
        assert answer.status == 200
    folder = await forge.clone("acme/open")
    assert (await forge.git("branch", "--show-current", cwd=folder)).out == "next"

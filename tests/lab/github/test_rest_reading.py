"""Reading: accounts, repositories, branches, commits, comparisons, contents; pages, ETags, redirects of names."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.lab.github.running import Cast, GitHub
from tests.lab.github.test_rest_auth import assert_error


@pytest.fixture
async def alice(cast: Cast) -> Any:
    async with cast.github.client(cast.alice) as client:
        yield client


async def head_of(cast: Cast, branch: str = "main") -> str:
    sha = await cast.github.context.git.branch(cast.private, branch)
    assert sha is not None
    return sha


async def commit(client: httpx.AsyncClient, path: str, text: str, **fields: Any) -> httpx.Response:
    body = {"message": f"Write {path}", "content": base64.b64encode(text.encode()).decode(), **fields}
    return await client.put(f"/repos/acme/app/contents/{path}", json=body)


async def test_the_api_about_itself(cast: Cast, github: GitHub) -> None:
    async with github.client() as client:
        for path in ("", "/"):
            root = await client.get(f"{github.api_url}{path}")
            assert root.json()["repository_url"] == f"{github.api_url}/repos/{{owner}}/{{repo}}"
        meta = await client.get("/meta")
        assert meta.json()["installed_version"] == meta.headers["X-GitHub-Enterprise-Version"]
        assert_error(await client.get("/no/such/thing"), 404, "Not Found")
        assert_error(await client.post("/meta"), 404, "Not Found")
        old = await client.get("/meta", headers={"X-GitHub-Api-Version": "1999-01-01"})
        assert old.status_code == 400
        new = await client.get("/meta", headers={"X-GitHub-Api-Version": "2026-03-10"})
        assert new.headers["X-GitHub-Api-Version-Selected"] == "2026-03-10"
        assert new.headers["X-GitHub-Media-Type"] == "github.v3; format=json"


async def test_accounts(cast: Cast, alice: httpx.AsyncClient) -> None:
    me = (await alice.get("/user")).json()
    assert (me["login"], me["two_factor_authentication"]) == ("alice", False)
    assert (await alice.get("/users/ALICE")).json()["id"] == me["id"]
    assert (await alice.get(f"/user/{me['id']}")).json()["login"] == "alice"
    assert (await alice.get("/users/acme")).json()["type"] == "Organization"
    assert (await alice.get("/orgs/acme")).json()["public_repos"] == 1
    assert_error(await alice.get("/orgs/alice"), 404, "Not Found")
    assert_error(await alice.get("/users/nobody"), 404, "Not Found")
    async with cast.github.client(cast.personal("alice", kind="classic", scopes=["repo"]).value) as narrow:
        assert "two_factor_authentication" not in (await narrow.get("/user")).json()
    bot = await cast.token()
    async with cast.github.client(bot) as client:
        await commit(client, "bot.txt", "x")
        assert (await client.get("/users/mooring[bot]")).json()["type"] == "Bot"


async def test_lists_of_repositories(cast: Cast, alice: httpx.AsyncClient) -> None:
    names = [r["name"] for r in (await alice.get("/user/repos")).json()]
    assert names == ["app", "other", "site"]
    assert [r["name"] for r in (await alice.get("/user/repos?visibility=public")).json()] == ["site"]
    assert (await alice.get("/user/repos?affiliation=owner")).json() == []
    assert [r["name"] for r in (await alice.get("/orgs/acme/repos?type=private&sort=full_name")).json()] == [
        "app",
        "other",
    ]
    by_id = await alice.get(f"/organizations/{cast.private.owner_id}/repos?direction=desc&sort=full_name")
    assert [r["name"] for r in by_id.json()] == ["site", "other", "app"]
    async with cast.github.client() as stranger:
        assert [r["name"] for r in (await stranger.get("/users/acme/repos")).json()] == ["site"]
    assert (await alice.get("/user/repos?since=yesterday")).status_code == 422


async def test_one_repository(cast: Cast, alice: httpx.AsyncClient) -> None:
    shown = (await alice.get("/repos/ACME/App")).json()
    assert (shown["id"], shown["full_name"], shown["visibility"]) == (cast.private.id, "acme/app", "private")
    assert shown["clone_url"] == f"{cast.github.git_url}/acme/app.git"
    assert (await alice.get(f"/repositories/{cast.private.id}")).json() == shown
    assert_error(await alice.get("/repositories/999999"), 404, "Not Found")


async def test_branches_and_refs(cast: Cast, alice: httpx.AsyncClient) -> None:
    sha = await head_of(cast, "feature/x")
    assert [b["name"] for b in (await alice.get("/repos/acme/app/branches")).json()] == ["feature/x", "main"]
    assert (await alice.get("/repos/acme/app/branches?protected=true")).json() == []
    for path in ("feature/x", "feature%2Fx"):
        shown = (await alice.get(f"/repos/acme/app/branches/{path}")).json()
        assert (shown["name"], shown["commit"]["sha"]) == ("feature/x", sha)
    assert_error(await alice.get("/repos/acme/app/branches/nope"), 404, "Branch not found")
    assert (await alice.get("/repos/acme/app/git/ref/heads/feature/x")).json()["object"]["sha"] == sha
    assert_error(await alice.get("/repos/acme/app/git/ref/heads/feature"), 404, "Not Found")
    refs = (await alice.get("/repos/acme/app/git/matching-refs/heads/feat")).json()
    assert [r["ref"] for r in refs] == ["refs/heads/feature/x"]
    heads = (await alice.get(f"/repos/acme/app/commits/{sha}/branches-where-head")).json()
    assert [b["name"] for b in heads] == ["feature/x"]
    assert (await alice.get("/repos/acme/app/tags")).json() == []


async def test_commits(cast: Cast, alice: httpx.AsyncClient) -> None:
    first = await head_of(cast)
    second = (await commit(alice, "docs/a.md", "a")).json()["commit"]["sha"]
    listed = (await alice.get("/repos/acme/app/commits")).json()
    assert [c["sha"] for c in listed] == [second, first]
    assert listed[0]["author"]["login"] == "alice"
    assert [c["sha"] for c in (await alice.get("/repos/acme/app/commits?path=docs")).json()] == [second]
    assert [c["sha"] for c in (await alice.get(f"/repos/acme/app/commits?sha={first}")).json()] == [first]
    assert len((await alice.get("/repos/acme/app/commits?author=alice&since=2020-01-01T00:00:00Z")).json()) == 1
    one = (await alice.get("/repos/acme/app/commits/main")).json()
    assert one["stats"] == {"total": 1, "additions": 1, "deletions": 0}
    assert [(f["filename"], f["status"]) for f in one["files"]] == [("docs/a.md", "added")]
    sha_only = await alice.get("/repos/acme/app/commits/main", headers={"Accept": "application/vnd.github.sha"})
    assert sha_only.text == second
    raw = (await alice.get(f"/repos/acme/app/git/commits/{second}")).json()
    assert raw["parents"][0]["sha"] == first
    assert_error(await alice.get("/repos/acme/app/commits/nope"), 422, "No commit found for SHA: nope")
    assert_error(await alice.get("/repos/acme/app/commits?sha=nope"), 404, "Not Found")
    assert_error(await alice.get(f"/repos/acme/app/git/commits/{second[:10]}"), 404, "Not Found")


async def test_an_empty_repository(cast: Cast, alice: httpx.AsyncClient) -> None:
    assert (await alice.post("/user/repos", json={"name": "void", "private": True})).status_code == 201
    assert_error(await alice.get("/repos/alice/void/commits"), 409, "Git Repository is empty.")
    assert_error(await alice.get("/repos/alice/void/git/ref/heads/main"), 409, "Git Repository is empty.")
    assert_error(await alice.get("/repos/alice/void/contents/x"), 404, "This repository is empty.")
    assert (await alice.get("/repos/alice/void/branches")).json() == []


async def test_comparisons(cast: Cast, alice: httpx.AsyncClient) -> None:
    base = await head_of(cast)
    for number in range(3):
        await commit(alice, f"n{number}.txt", str(number))
    ahead = (await alice.get(f"/repos/acme/app/compare/{base}...main")).json()
    assert (ahead["status"], ahead["ahead_by"], ahead["behind_by"], len(ahead["commits"])) == ("ahead", 3, 0, 3)
    assert [f["filename"] for f in ahead["files"]] == ["n0.txt", "n1.txt", "n2.txt"]
    assert (await alice.get(f"/repos/acme/app/compare/main...{base}")).json()["status"] == "behind"
    assert (await alice.get("/repos/acme/app/compare/main...main")).json()["status"] == "identical"
    assert (await alice.get("/repos/acme/app/compare/main...feature/x")).json()["status"] == "diverged"
    assert (await alice.get("/repos/acme/app/compare/main...acme:feature/x")).json()["status"] == "diverged"
    paged = await alice.get(f"/repos/acme/app/compare/{base}...main?per_page=2&page=2")
    assert len(paged.json()["commits"]) == 1
    assert "files" not in paged.json()
    assert 'rel="prev"' in paged.headers["Link"]
    for basehead in ("main...nope", "main..main", "main", "main...mallory:main"):
        assert_error(await alice.get(f"/repos/acme/app/compare/{basehead}"), 404, "Not Found")


async def test_contents(cast: Cast, alice: httpx.AsyncClient) -> None:
    for path in ("", "/"):
        top = (await alice.get(f"/repos/acme/app/contents{path}")).json()
        assert [(e["name"], e["type"]) for e in top] == [("README.md", "file"), ("src", "dir")]
    deep = (await alice.get("/repos/acme/app/contents/src/lib/deep.py")).json()
    assert base64.b64decode(deep["content"]) == b"x = 1\n"
    raw = await alice.get("/repos/acme/app/contents/README.md", headers={"Accept": "application/vnd.github.raw+json"})
    assert raw.text == "# App\n"
    assert (await alice.get("/repos/acme/app/contents/new.txt?ref=feature/x")).status_code == 200
    assert_error(await alice.get("/repos/acme/app/contents/new.txt"), 404, "Not Found")
    missing = await alice.get("/repos/acme/app/contents/README.md?ref=nope")
    assert_error(missing, 404, "No commit found for the ref nope")


# Pages


async def test_pages_and_their_links(cast: Cast, github: GitHub, alice: httpx.AsyncClient) -> None:
    await github.seed({"repositories": [{"owner": "acme", "name": "many-{n}", "count": 104}]})
    first = await alice.get("/orgs/acme/repos?per_page=100&sort=full_name")
    assert len(first.json()) == 100
    assert set(first.links) == {"next", "last"}
    # As GitHub writes them: below the API, and by id.
    assert first.links["next"]["url"].startswith(f"{github.api_url}/organizations/{cast.private.owner_id}/repos?")
    last = await alice.get(first.links["next"]["url"])
    assert len(last.json()) == 7
    assert set(last.links) == {"prev", "first"}
    assert len({r["id"] for r in first.json() + last.json()}) == 107
    assert len((await alice.get("/orgs/acme/repos?per_page=1000")).json()) == 100
    beyond = await alice.get("/orgs/acme/repos?per_page=100&page=9")
    assert (beyond.json(), set(beyond.links)) == ([], {"prev", "first"})
    for junk in ("page=0", "page=-1", "page=x", "per_page=0", "per_page=x", "page=99999999999999999999"):
        assert (await alice.get(f"/orgs/acme/repos?{junk}")).status_code == 200


async def test_links_below_a_repository_are_by_its_id(cast: Cast, github: GitHub, alice: httpx.AsyncClient) -> None:
    await commit(alice, "a.txt", "a")
    page = await alice.get("/repos/acme/app/commits?per_page=1&sha=main")
    assert page.links["next"]["url"].startswith(f"{github.api_url}/repositories/{cast.private.id}/commits?")
    assert (await alice.get(page.links["next"]["url"])).json()[0]["parents"] == []


# Conditional requests


async def test_etags_belong_to_one_token(cast: Cast, alice: httpx.AsyncClient) -> None:
    path = "/repos/acme/app/branches"
    first = await alice.get(path)
    tag, used = first.headers["ETag"], int(first.headers["X-RateLimit-Used"])
    assert tag.startswith('W/"')
    again = await alice.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert int(again.headers["X-RateLimit-Used"]) == used
    other = cast.personal("alice", kind="classic", scopes=["repo"]).value
    async with cast.github.client(other) as client:
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 200
    await commit(alice, "a.txt", "a")
    assert (await alice.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_last_modified_of_a_repository(cast: Cast, alice: httpx.AsyncClient) -> None:
    since = (await alice.get("/repos/acme/app")).headers["Last-Modified"]
    assert (await alice.get("/repos/acme/app", headers={"If-Modified-Since": since})).status_code == 304
    await cast.github.control("POST", "/clock", {"advance": 5})
    await alice.patch("/repos/acme/app", json={"description": "new"})
    assert (await alice.get("/repos/acme/app", headers={"If-Modified-Since": since})).status_code == 200
    assert (await alice.get("/repos/acme/app", headers={"If-Modified-Since": "junk"})).status_code == 200


async def test_head_is_get_without_a_body(cast: Cast, alice: httpx.AsyncClient) -> None:
    seen = await alice.get("/repos/acme/app")
    head = await alice.head("/repos/acme/app")
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", seen.headers["ETag"])


async def test_tags(cast: Cast, alice: httpx.AsyncClient) -> None:
    sha = await head_of(cast)
    path = cast.github.server.store.path(cast.private)
    for name in ("v1", "v2"):
        tag = path / "refs" / "tags" / name
        tag.parent.mkdir(exist_ok=True)
        tag.write_text(f"{sha}\n")
    assert [t["name"] for t in (await alice.get("/repos/acme/app/tags")).json()] == ["v2", "v1"]
    assert (await alice.get("/repos/acme/app/git/ref/tags/v1")).json()["ref"] == "refs/tags/v1"
    assert (await alice.get("/repos/acme/app/commits/v1")).json()["sha"] == sha
    assert len((await alice.get("/repos/acme/app/git/matching-refs/tags/v")).json()) == 2


async def test_symlinks_and_submodules(cast: Cast, alice: httpx.AsyncClient) -> None:
    store = cast.github.server.store
    path = store.path(cast.private)

    async def blob(text: str) -> str:
        return (await store.command.run(path, "hash-object", "-w", "--stdin", stdin=text.encode())).decode().strip()

    modules = await blob('[submodule "lib"]\n\tpath = lib\n\turl = https://127.0.0.1/acme/lib.git\n')
    lines = [
        f"100644 blob {modules}\t.gitmodules",
        f"120000 blob {await blob('src/app.py')}\tlink",
        f"160000 commit {'1' * 40}\tlib",
    ]
    tree = (await store.command.run(path, "mktree", "--missing", stdin="\n".join(lines).encode())).decode().strip()
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    sha = (await store.command.run(path, *who, "commit-tree", tree, "-m", "links")).decode().strip()
    await store.set_branch(cast.private, "links", sha)
    listed = (await alice.get("/repos/acme/app/contents?ref=links")).json()
    assert {entry["name"]: entry["type"] for entry in listed} == {
        ".gitmodules": "file",
        "link": "symlink",
        "lib": "file",
    }
    assert (await alice.get("/repos/acme/app/contents/link?ref=links")).json()["target"] == "src/app.py"
    lib = (await alice.get("/repos/acme/app/contents/lib?ref=links")).json()
    assert (lib["type"], lib["submodule_git_url"]) == ("submodule", "https://127.0.0.1/acme/lib.git")


async def test_a_fork_is_compared_with_its_parent(cast: Cast, github: GitHub, alice: httpx.AsyncClient) -> None:
    await github.seed({"repositories": [{"owner": "bob", "name": "app", "fork_of": "acme/app", "private": True}]})
    async with github.client(cast.bob) as bob:
        body = {"message": "Mine", "content": base64.b64encode(b"x").decode()}
        assert (await bob.put("/repos/bob/app/contents/mine.txt", json=body)).status_code == 201
        fork = (await bob.get("/repos/bob/app")).json()
        assert (fork["fork"], fork["parent"]["full_name"], fork["source"]["id"]) == (True, "acme/app", cast.private.id)
        compared = (await bob.get("/repos/acme/app/compare/main...bob:main")).json()
        assert (compared["ahead_by"], [f["filename"] for f in compared["files"]]) == (1, ["mine.txt"])
    # Alice may not read the fork, so for her there is no such end.
    assert_error(await alice.get("/repos/acme/app/compare/main...bob:main"), 404, "Not Found")
    assert (await alice.get("/repos/acme/app")).json()["forks_count"] == 1

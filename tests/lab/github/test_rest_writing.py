"""Writing: repositories, files, hooks, statuses; what is refused and how."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest

from tests.lab.github.running import Cast
from tests.lab.github.test_rest_auth import assert_error

# Nobody listens there: what is delivered fails, which is all that these tests need.
NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture
async def alice(cast: Cast) -> Any:
    async with cast.github.client(cast.alice) as client:
        yield client


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Bodies


async def test_bodies_that_make_no_sense(cast: Cast, alice: httpx.AsyncClient) -> None:
    assert_error(await alice.post("/user/repos", content=b"{"), 400, "Problems parsing JSON")
    assert_error(await alice.post("/user/repos", content=b"[]"), 400, "Body should be a JSON object")
    missing = await alice.post("/user/repos", json={})
    assert_error(missing, 422, 'Invalid request.\n\n"name" wasn\'t supplied.')
    typed = await alice.post("/user/repos", json={"name": 7})
    assert_error(typed, 422, "Invalid request.\n\nFor 'properties/name', 7 is not a string.")


# Repositories


async def test_creating_repositories(cast: Cast, alice: httpx.AsyncClient) -> None:
    made = await alice.post("/user/repos", json={"name": "my notes", "private": True, "auto_init": True})
    assert (made.status_code, made.json()["full_name"]) == (201, "alice/my-notes")
    assert made.headers["Location"] == made.json()["url"]
    assert (await alice.get("/repos/alice/my-notes/contents/README.md")).status_code == 200
    again = await alice.post("/user/repos", json={"name": "MY-notes"})
    assert_error(again, 422, "Repository creation failed.")
    assert again.json()["errors"][0]["message"] == "name already exists on this account"
    assert (await alice.post("/orgs/acme/repos", json={"name": "new"})).json()["organization"]["login"] == "acme"
    async with cast.github.client(cast.carol) as carol:
        assert (await carol.post("/orgs/acme/repos", json={"name": "mine"})).status_code == 403
    async with cast.github.client(await cast.token()) as app:
        assert (await app.post("/orgs/acme/repos", json={"name": "apps-own"})).status_code == 201
        assert_error(await app.post("/user/repos", json={"name": "x"}), 403, "Resource not accessible by integration")


async def test_changing_a_repository(cast: Cast, alice: httpx.AsyncClient) -> None:
    changed = (
        await alice.patch("/repos/acme/app", json={"private": False, "default_branch": "feature/x", "description": "d"})
    ).json()
    assert (changed["visibility"], changed["default_branch"], changed["description"]) == ("public", "feature/x", "d")
    for body in ({"default_branch": "nope"}, {"name": "other"}):
        assert (await alice.patch("/repos/acme/app", json=body)).status_code == 422
    async with cast.github.client() as stranger:
        assert (await stranger.get("/repos/acme/app")).status_code == 200


async def test_deleting_a_repository(cast: Cast, alice: httpx.AsyncClient) -> None:
    async with cast.github.client(cast.personal("alice", kind="classic", scopes=["repo"]).value) as narrow:
        assert_error(await narrow.delete("/repos/acme/app"), 403, "Must have admin rights to Repository.")
    assert (await alice.delete("/repos/acme/app")).status_code == 204
    assert_error(await alice.get("/repos/acme/app"), 404, "Not Found")
    remade = await alice.post("/orgs/acme/repos", json={"name": "app"})
    assert remade.json()["id"] != cast.private.id


# Files


async def test_writing_files(cast: Cast, alice: httpx.AsyncClient) -> None:
    path = "/repos/acme/app/contents/docs/a b.md"
    made = await alice.put(path, json={"message": "Add", "content": encoded("one")})
    assert made.status_code == 201
    sha = made.json()["content"]["sha"]
    lacking = await alice.put(path, json={"message": "Change", "content": encoded("two")})
    assert_error(lacking, 422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    stale = await alice.put(path, json={"message": "Change", "content": encoded("two"), "sha": "0" * 40})
    assert_error(stale, 409, f"docs/a b.md does not match {'0' * 40}")
    changed = await alice.put(path, json={"message": "Change", "content": encoded("two"), "sha": sha})
    assert changed.status_code == 200
    assert changed.json()["commit"]["parents"][0]["sha"] == made.json()["commit"]["sha"]
    gone = {"message": "Remove", "sha": changed.json()["content"]["sha"]}
    assert (await alice.request("DELETE", path, json={**gone, "sha": sha})).status_code == 409
    removed = await alice.request("DELETE", path, json=gone)
    assert (removed.status_code, removed.json()["content"]) == (200, None)
    assert_error(await alice.request("DELETE", path, json=gone), 404, "Not Found")


async def test_files_that_cannot_be_written(cast: Cast, alice: httpx.AsyncClient) -> None:
    base = "/repos/acme/app/contents"
    junk = await alice.put(f"{base}/x", json={"message": "m", "content": "***"})
    assert_error(junk, 422, "content is not valid Base64")
    body = {"message": "m", "content": encoded("x")}
    nowhere = await alice.put(f"{base}/x", json={**body, "branch": "nope"})
    assert_error(nowhere, 404, "Branch nope not found")
    assert_error(await alice.put(f"{base}/src", json=body), 422, "Validation Failed")
    assert_error(await alice.put(f"{base}/.git/config", json=body), 422, "Validation Failed")


async def test_a_commit_of_an_installation_is_its_bots(cast: Cast) -> None:
    async with cast.github.client(await cast.token()) as app:
        body = {"message": "By a machine", "content": encoded("x"), "branch": "feature/x"}
        assert (await app.put("/repos/acme/app/contents/bot.txt", json=body)).status_code == 201
        made = (await app.get("/repos/acme/app/commits/feature/x")).json()
    assert (made["author"]["login"], made["author"]["type"]) == ("mooring[bot]", "Bot")


# Hooks

A_HOOK = {"config": {"url": NOWHERE}}


async def test_hooks(cast: Cast, alice: httpx.AsyncClient) -> None:
    config = {"url": NOWHERE, "content_type": "json", "secret": "s3cret", "insecure_ssl": 0}
    made = await alice.post("/repos/acme/app/hooks", json={"name": "web", "config": config, "events": ["push"]})
    assert made.status_code == 201
    assert made.json()["config"] == {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": NOWHERE}
    here = f"/repos/acme/app/hooks/{made.json()['id']}"
    assert (await alice.get(here)).json()["id"] == made.json()["id"]
    twin = await alice.post("/repos/acme/app/hooks", json={"config": config})
    assert_error(twin, 422, "Validation Failed")
    assert twin.json()["errors"][0]["message"] == "Hook already exists on this repository"
    overlapping = {"config": {**config, "secret": "another"}, "events": ["create", "push"]}
    assert (await alice.post("/repos/acme/app/hooks", json=overlapping)).status_code == 422
    assert [hook["id"] for hook in (await alice.get("/repos/acme/app/hooks")).json()] == [made.json()["id"]]
    # The same config for other events is another hook, until their events overlap.
    other = (await alice.post("/repos/acme/app/hooks", json={"config": config, "events": ["create"]})).json()["id"]
    assert (await alice.patch(f"/repos/acme/app/hooks/{other}", json={"events": ["push"]})).status_code == 422
    assert (await alice.get(f"/repos/acme/app/hooks/{other}")).json()["events"] == ["create"]
    assert (await alice.delete(f"/repos/acme/app/hooks/{other}")).status_code == 204
    events = (await alice.patch(here, json={"add_events": ["create"], "active": False})).json()
    assert (events["events"], events["active"]) == (["push", "create"], False)
    # GitHub's trap: a config without the secret takes the secret away.
    assert "secret" not in (await alice.patch(here, json={"config": {"url": NOWHERE}})).json()["config"]
    assert (await alice.patch(f"{here}/config", json={"secret": "again"})).json()["secret"] == "********"
    assert (await alice.get(f"{here}/config")).json()["url"] == NOWHERE
    assert (await alice.delete(here)).status_code == 204
    assert_error(await alice.get(here), 404, "Not Found")
    assert_error(await alice.delete(here), 404, "Not Found")


async def test_a_hook_that_says_nothing_of_its_form_is_one(cast: Cast, alice: httpx.AsyncClient) -> None:
    made = await alice.post("/repos/acme/app/hooks", json={"config": {"url": NOWHERE}})
    assert made.json()["config"]["content_type"] == "form"


async def test_removing_hooks_takes_a_scope_of_its_own(cast: Cast, alice: httpx.AsyncClient) -> None:
    here = f"/repos/acme/app/hooks/{(await alice.post('/repos/acme/app/hooks', json=A_HOOK)).json()['id']}"
    async with cast.github.client(cast.personal("alice", kind="classic", scopes=["write:repo_hook"]).value) as writer:
        assert (await writer.patch(here, json={"active": False})).status_code == 200
        assert_error(await writer.delete(here), 404, "Not Found")
    async with cast.github.client(cast.personal("alice", kind="classic", scopes=["admin:repo_hook"]).value) as keeper:
        assert (await keeper.delete(here)).status_code == 204


async def test_hooks_that_are_refused(cast: Cast, alice: httpx.AsyncClient) -> None:
    path = "/repos/acme/app/hooks"
    assert_error(await alice.post(path, json={}), 422, 'Invalid request.\n\n"config" wasn\'t supplied.')
    for config in (
        {},
        {"url": "ftp://x"},
        {"url": NOWHERE, "content_type": "xml"},
        {"url": NOWHERE, "insecure_ssl": 2},
    ):
        assert_error(await alice.post(path, json={"config": config}), 422, "Validation Failed")
    for number in range(20):
        body = {"config": {"url": f"{NOWHERE}/{number}"}, "events": ["push"], "active": False}
        assert (await alice.post(path, json=body)).status_code == 201
    full = await alice.post(path, json={"config": {"url": NOWHERE}, "events": ["push"]})
    assert full.json()["errors"][0]["message"] == 'The "push" event cannot have more than 20 hooks'
    assert (await alice.post(path, json={"config": {"url": NOWHERE}, "events": ["create"]})).status_code == 201
    async with cast.github.client(cast.alice) as client:
        page = await client.get(f"{path}?per_page=20")
        assert len((await client.get(page.links["next"]["url"])).json()) == 1


# Statuses


async def test_statuses(cast: Cast, alice: httpx.AsyncClient) -> None:
    sha = (await alice.get("/repos/acme/app/branches/main")).json()["commit"]["sha"]
    path = f"/repos/acme/app/statuses/{sha}"
    empty = (await alice.get("/repos/acme/app/commits/main/status")).json()
    assert (empty["state"], empty["total_count"]) == ("pending", 0)
    for state, context in (("pending", "deploy"), ("success", "deploy"), ("failure", "lint")):
        made = await alice.post(path, json={"state": state, "context": context, "target_url": "https://127.0.0.1/x"})
        assert (made.status_code, made.json()["creator"]["login"]) == (201, "alice")
    combined = (await alice.get("/repos/acme/app/commits/main/status")).json()
    assert (combined["state"], combined["total_count"], combined["sha"]) == ("failure", 2, sha)
    listed = (await alice.get("/repos/acme/app/commits/main/statuses")).json()
    assert [status["state"] for status in listed] == ["failure", "success", "pending"]
    assert_error(await alice.post(path, json={"state": "great"}), 422, "Validation Failed")
    assert (await alice.post(path, json={"state": "error", "description": "x" * 141})).status_code == 422
    unknown = await alice.post(f"/repos/acme/app/statuses/{'0' * 40}", json={"state": "error"})
    assert_error(unknown, 422, f"No commit found for SHA: {'0' * 40}")
    async with cast.github.client(await cast.token()) as app:
        assert (await app.post(path, json={"state": "success"})).json()["creator"]["type"] == "Bot"


async def test_of_two_who_change_a_file_one_wins(cast: Cast, alice: httpx.AsyncClient) -> None:
    path = "/repos/acme/app/contents/README.md"
    sha = (await alice.get(path)).json()["sha"]
    bodies = [{"message": "m", "content": encoded(str(number)), "sha": sha} for number in range(5)]
    answers = await asyncio.gather(*(alice.put(path, json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]

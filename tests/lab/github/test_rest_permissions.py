"""Who may see and do what: strangers, roles, scopes, narrowed tokens, suspended installations."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.lab.github.running import Cast, GitHub, Key
from tests.lab.github.test_rest_auth import assert_error

FOR_APPS = "Resource not accessible by integration"
FOR_TOKENS = "Resource not accessible by personal access token"
A_FILE = {"message": "Add", "content": base64.b64encode(b"x").decode()}


async def status_of(cast: Cast, token: str | None, method: str, path: str, **options: Any) -> httpx.Response:
    async with cast.github.client(token) as client:
        return await client.request(method, path, **options)


async def test_a_private_repository_does_not_exist_for_strangers(cast: Cast) -> None:
    for token in (None, cast.carol):
        for path in ("", "/branches", "/commits", "/contents/README.md", "/hooks", "/compare/main...feature/x"):
            assert_error(await status_of(cast, token, "GET", f"/repos/acme/app{path}"), 404, "Not Found")
        assert_error(await status_of(cast, token, "GET", f"/repositories/{cast.private.id}"), 404, "Not Found")
    assert (await status_of(cast, None, "GET", "/repos/acme/site")).status_code == 200


async def test_the_roles_of_people(cast: Cast) -> None:
    for token, expected in ((cast.alice, (True, True, True)), (cast.bob, (False, False, True))):
        shown = (await status_of(cast, token, "GET", "/repos/acme/app")).json()["permissions"]
        assert (shown["admin"], shown["push"], shown["pull"]) == expected
    # A member without administration rights sees no hooks, and may not even know why.
    assert_error(await status_of(cast, cast.bob, "GET", "/repos/acme/app/hooks"), 404, "Not Found")
    refused = await status_of(cast, cast.bob, "PATCH", "/repos/acme/app", json={"name": "x"})
    assert_error(refused, 403, "Must have admin rights to Repository.")
    assert_error(await status_of(cast, cast.bob, "PUT", "/repos/acme/app/contents/x", json=A_FILE), 404, "Not Found")


async def test_a_classic_token_without_the_repo_scope(cast: Cast) -> None:
    token = cast.personal("alice", kind="classic", scopes=["public_repo"]).value
    assert_error(await status_of(cast, token, "GET", "/repos/acme/app"), 404, "Not Found")
    assert (await status_of(cast, token, "PUT", "/repos/acme/site/contents/x", json=A_FILE)).status_code == 201
    hooks = cast.personal("alice", kind="classic", scopes=["read:repo_hook"]).value
    answer = await status_of(cast, hooks, "GET", "/repos/acme/site/hooks")
    assert (answer.status_code, answer.headers["X-Accepted-OAuth-Scopes"]) == (
        200,
        "admin:repo_hook, repo, write:repo_hook",
    )
    config = {"config": {"url": "https://127.0.0.1:9/"}}
    assert_error(await status_of(cast, hooks, "POST", "/repos/acme/site/hooks", json=config), 404, "Not Found")


async def test_an_installation_token_stays_in_its_repositories(cast: Cast) -> None:
    token = await cast.token()
    assert (await status_of(cast, token, "GET", "/repos/acme/app")).status_code == 200
    assert_error(await status_of(cast, token, "GET", "/repos/acme/other"), 404, "Not Found")
    # Public ones can be read by everybody, and written by nobody who was not let in.
    assert (await status_of(cast, token, "GET", "/repos/acme/site")).status_code == 200
    refused = await status_of(cast, token, "PUT", "/repos/acme/site/contents/x", json=A_FILE)
    assert_error(refused, 403, FOR_APPS)
    assert refused.headers["X-Accepted-GitHub-Permissions"] == "contents=write"


async def test_an_installation_token_stays_in_its_permissions(cast: Cast) -> None:
    token = await cast.token(permissions={"contents": "read"})
    assert (await status_of(cast, token, "GET", "/repos/acme/app/contents/README.md")).status_code == 200
    for method, path, body in (
        ("PUT", "/contents/x", A_FILE),
        ("POST", "/hooks", {}),
        ("POST", "/statuses/main", {"state": "success"}),
        ("PATCH", "", {"name": "x"}),
    ):
        assert_error(await status_of(cast, token, method, f"/repos/acme/app{path}", json=body), 403, FOR_APPS)
    metadata = await cast.token(permissions={"statuses": "read"})
    assert (await status_of(cast, metadata, "GET", "/repos/acme/app")).status_code == 200
    assert_error(await status_of(cast, metadata, "GET", "/repos/acme/app/commits"), 403, FOR_APPS)


async def test_a_fine_grained_token_is_bound(cast: Cast) -> None:
    acme = cast.private.owner_id
    bound: dict[str, Any] = {"owner_id": acme, "permissions": {"contents": "read"}, "repository_ids": {cast.private.id}}
    token = cast.personal("alice", **bound).value
    assert (await status_of(cast, token, "GET", "/repos/acme/app/commits")).status_code == 200
    assert_error(await status_of(cast, token, "GET", "/repos/acme/other"), 404, "Not Found")
    refused = await status_of(cast, token, "PUT", "/repos/acme/app/contents/x", json=A_FILE)
    assert_error(refused, 403, FOR_TOKENS)
    assert refused.headers["X-Accepted-GitHub-Permissions"] == "contents=write"
    alice = cast.github.context.world.account("alice")
    assert alice is not None
    elsewhere = cast.personal("alice", owner_id=alice.id, permissions={"contents": "read"}).value
    assert_error(await status_of(cast, elsewhere, "GET", "/repos/acme/app"), 404, "Not Found")


async def test_a_fine_grained_token_gives_no_more_than_its_owner_has(cast: Cast) -> None:
    token = cast.personal("bob", owner_id=cast.private.owner_id, permissions={"contents": "write"}).value
    refused = await status_of(cast, token, "PUT", "/repos/acme/app/contents/x", json=A_FILE)
    assert_error(refused, 403, FOR_TOKENS)


async def test_a_user_to_server_token_is_the_common_part_of_person_and_app(cast: Cast) -> None:
    alice = cast.personal("alice", kind="user-to-server", app_id=cast.app.id).value
    carol = cast.personal("carol", kind="user-to-server", app_id=cast.app.id).value
    assert (await status_of(cast, alice, "GET", "/user")).json()["login"] == "alice"
    assert (await status_of(cast, alice, "GET", "/repos/acme/app")).status_code == 200
    assert_error(await status_of(cast, alice, "GET", "/repos/acme/other"), 404, "Not Found")
    assert_error(await status_of(cast, carol, "GET", "/repos/acme/app"), 404, "Not Found")
    listed = (await status_of(cast, alice, "GET", "/user/installations")).json()
    assert [found["id"] for found in listed["installations"]] == [cast.installation.id]
    path = f"/user/installations/{cast.installation.id}/repositories"
    assert [r["name"] for r in (await status_of(cast, alice, "GET", path)).json()["repositories"]] == ["app"]
    assert_error(await status_of(cast, carol, "GET", path), 404, "Not Found")
    assert (await status_of(cast, carol, "GET", "/user/installations")).json()["total_count"] == 0
    assert (await status_of(cast, cast.alice, "GET", "/user/installations")).status_code == 403


async def test_a_user_to_server_token_of_another_app_reaches_nothing(cast: Cast, github: GitHub, key: Key) -> None:
    made = await github.seed({"apps": [{"slug": "other", "owner": "carol", "public_key": key.public}]})
    token = cast.personal("alice", kind="user-to-server", app_id=made["apps"]["other"]["id"]).value
    assert_error(await status_of(cast, token, "GET", "/repos/acme/app"), 404, "Not Found")
    assert (await status_of(cast, token, "GET", "/user/installations")).json()["total_count"] == 0


async def test_a_suspended_installation(cast: Cast) -> None:
    token = await cast.token()
    path = f"/app/installations/{cast.installation.id}"
    async with cast.as_app() as app:
        assert (await app.put(f"{path}/suspended")).status_code == 204
        assert (await app.get(path)).json()["suspended_at"] is not None
        assert_error(await app.post(f"{path}/access_tokens"), 403, "This installation has been suspended")
        suspended = await status_of(cast, token, "GET", "/repos/acme/app")
        assert_error(suspended, 403, "This installation has been suspended")
        assert (await app.delete(f"{path}/suspended")).status_code == 204
    assert (await status_of(cast, token, "GET", "/repos/acme/app")).status_code == 200


async def test_a_deleted_installation(cast: Cast) -> None:
    token = await cast.token()
    path = f"/app/installations/{cast.installation.id}"
    async with cast.as_app() as app:
        assert (await app.delete(path)).status_code == 204
        for answer in (await app.get(path), await app.post(f"{path}/access_tokens"), await app.delete(path)):
            assert_error(answer, 404, "Not Found")
    assert_error(await status_of(cast, token, "GET", "/repos/acme/app"), 401, "Bad credentials")


async def test_an_archived_repository_takes_no_writes(cast: Cast) -> None:
    assert (await status_of(cast, cast.alice, "PATCH", "/repos/acme/app", json={"archived": True})).status_code == 200
    for method, path, body in (
        ("PUT", "/contents/x", A_FILE),
        ("POST", "/hooks", {}),
        ("POST", "/statuses/main", {"state": "success"}),
        ("PATCH", "", {"description": "x"}),
    ):
        refused = await status_of(cast, cast.alice, method, f"/repos/acme/app{path}", json=body)
        assert_error(refused, 403, "Repository was archived so is read-only.")
    assert (await status_of(cast, cast.alice, "GET", "/repos/acme/app/commits")).status_code == 200
    assert (await status_of(cast, cast.alice, "PATCH", "/repos/acme/app", json={"archived": False})).status_code == 200


@pytest.mark.parametrize("below", ["", "/branches/feature/x", "/commits?per_page=1"])
async def test_a_renamed_repository_redirects_to_its_id(cast: Cast, github: GitHub, below: str) -> None:
    renamed = await status_of(cast, cast.alice, "PATCH", "/repos/acme/app", json={"name": "vessel"})
    assert renamed.json()["full_name"] == "acme/vessel"
    moved = await status_of(cast, cast.alice, "GET", f"/repos/acme/app{below}")
    assert_error(moved, 301, "Moved Permanently")
    assert moved.headers["Location"] == f"{github.api_url}/repositories/{cast.private.id}{below}"
    followed = await status_of(cast, cast.alice, "GET", moved.headers["Location"])
    assert followed.status_code == 200
    assert (await status_of(cast, cast.alice, "POST", "/repos/acme/app/hooks", json={})).status_code == 307
    # Whoever can't see the repository learns nothing of its move.
    assert_error(await status_of(cast, cast.carol, "GET", f"/repos/acme/app{below}"), 404, "Not Found")
    async with cast.as_app() as app:
        assert (await app.get("/repos/acme/app/installation")).status_code == 301
        assert (await app.get("/repos/acme/vessel/installation")).json()["id"] == cast.installation.id

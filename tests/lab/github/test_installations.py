"""What happens to an installation and its tokens: narrowed, widened, renamed, removed, replaced; and by whose clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from lab.github import journal, world
from tests.lab.github.handle import Forge, Receiver
from tests.lab.github.running import Cast, GitHub, Key
from tests.lab.github.test_rest_auth import assert_error

SUSPENDED = "This installation has been suspended"
FOR_APPS = "Resource not accessible by integration"


async def read(github: GitHub, token: str, path: str) -> httpx.Response:
    async with github.client(token) as client:
        return await client.get(path)


async def act(cast: Cast, action: str, body: Any = None) -> Any:
    return await cast.github.control("POST", f"/installations/{cast.installation.id}/{action}", body)


# The clock


async def test_every_answer_is_dated_by_the_labs_clock(cast: Cast, forge: Forge) -> None:
    await cast.github.control("POST", "/clock", {"set": "2031-02-03T04:05:06Z"})
    answers: list[Mapping[str, str]] = []
    for url in (
        f"{forge.api}/meta",
        f"{forge.api}/user",
        f"{forge.web}/acme/site.git/info/refs?service=git-upload-pack",
        f"{forge.web}/acme/none.git/info/refs?service=git-upload-pack",
        f"{forge.web}/acme/site",
    ):
        async with forge.session.get(url) as answer:
            await answer.read()
            answers.append(dict(answer.headers))
    await forge.fault("status", status=503, count=1)
    async with forge.session.get(f"{forge.api}/meta") as answer:
        assert answer.status == 503
        answers.append(dict(answer.headers))
    dates = [parsedate_to_datetime(headers["Date"]) for headers in answers]
    base = datetime.fromisoformat("2031-02-03T04:05:06Z")
    assert all(0 <= (date - base).total_seconds() < 30 for date in dates), dates


async def test_tokens_can_live_shorter(cast: Cast, github: GitHub) -> None:
    assert await github.control("GET", "/token-lifetime") == {"seconds": 3600}
    long_lived = await cast.token()
    assert await github.control("POST", "/token-lifetime", {"seconds": 30}) == {"seconds": 30}
    async with cast.as_app() as app:
        made = (await app.post(f"/app/installations/{cast.installation.id}/access_tokens")).json()
    left = datetime.fromisoformat(made["expires_at"]) - github.context.world.clock.now()
    assert 25 < left.total_seconds() <= 30
    seeded = await github.seed({"tokens": [{"name": "t", "kind": "installation", "app": "mooring", "account": "acme"}]})
    short_lived = (made["token"], seeded["tokens"]["t"]["value"])
    assert [(await read(github, token, "/repos/acme/app")).status_code for token in short_lived] == [200, 200]
    await github.control("POST", "/clock", {"advance": 31})
    for token in short_lived:
        assert_error(await read(github, token, "/repos/acme/app"), 401, "Bad credentials")
    assert (await read(github, long_lived, "/repos/acme/app")).status_code == 200
    await github.control("POST", "/reset")
    assert await github.control("GET", "/token-lifetime") == {"seconds": 3600}


@pytest.mark.parametrize("seconds", [0, -1, 90_000, "soon"])
async def test_a_lifetime_that_makes_no_sense(forge: Forge, seconds: Any) -> None:
    answer = await forge.control("POST", "/token-lifetime", {"seconds": seconds}, expect=400)
    assert answer["error"].startswith("seconds")


# What a token loses at once


async def test_a_repository_that_is_removed_is_gone_from_present_tokens(cast: Cast, github: GitHub) -> None:
    await act(cast, "repositories", {"add": ["other"]})
    narrowed = await cast.token(repository_ids=[cast.private.id, cast.other.id])
    whole = await cast.token()
    await act(cast, "repositories", {"remove": ["app"]})
    for token in (narrowed, whole):
        assert_error(await read(github, token, "/repos/acme/app"), 404, "Not Found")
        listed = (await read(github, token, "/installation/repositories")).json()
        assert (listed["total_count"], [found["name"] for found in listed["repositories"]]) == (1, ["other"])
    await act(cast, "repositories", {"add": ["app"]})
    assert (await read(github, narrowed, "/repos/acme/app")).status_code == 200


async def test_a_repository_that_is_added_is_no_part_of_a_narrowed_token(cast: Cast, github: GitHub) -> None:
    narrowed, whole = await cast.token(repository_ids=[cast.private.id]), await cast.token()
    await act(cast, "repositories", {"selection": "all"})
    assert_error(await read(github, narrowed, "/repos/acme/other"), 404, "Not Found")
    assert (await read(github, whole, "/repos/acme/other")).status_code == 200


async def test_a_permission_that_is_taken_is_gone_from_present_tokens(cast: Cast, github: GitHub, forge: Forge) -> None:
    token = await cast.token(permissions={"contents": "read"})
    assert (await read(github, token, "/repos/acme/app/commits")).status_code == 200
    await act(cast, "permissions", {"permissions": {"statuses": "write"}})
    assert_error(await read(github, token, "/repos/acme/app/commits"), 403, FOR_APPS)
    assert "Repository not found" in (await forge.git("ls-remote", forge.remote("acme/app", token), fails=True)).err
    # What is granted anew reaches no token that did not have it.
    await act(cast, "permissions", {"permissions": {"contents": "write", "statuses": "write"}})
    assert (await read(github, token, "/repos/acme/app/commits")).status_code == 200
    async with github.client(token) as client:
        body = {"state": "success"}
        assert_error(await client.post("/repos/acme/app/statuses/main", json=body), 403, FOR_APPS)


async def test_a_suspension_stops_git_too(cast: Cast, forge: Forge) -> None:
    token = await cast.token()
    await forge.git("ls-remote", forge.remote("acme/app", token))
    await act(cast, "suspend")
    assert SUSPENDED in (await forge.git("ls-remote", forge.remote("acme/app", token), fails=True)).err
    async with cast.as_app() as app:
        assert_error(await app.post(f"/app/installations/{cast.installation.id}/access_tokens"), 403, SUSPENDED)
    await act(cast, "unsuspend")
    await forge.git("ls-remote", forge.remote("acme/app", token))


async def test_a_token_that_is_too_complex(cast: Cast, github: GitHub) -> None:
    await act(cast, "repositories", {"add": ["other"]})
    await github.control("POST", "/limits", {"token_complexity": 3})
    path = f"/app/installations/{cast.installation.id}/access_tokens"
    two = {"contents": "read", "statuses": "read"}
    async with cast.as_app() as app:
        refused = await app.post(path, json={"permissions": two})
        assert refused.status_code == 422
        assert refused.json()["message"].startswith("Too many repositories for installation: with these permissions")
        fine: tuple[dict[str, Any], ...] = (
            {},
            {"permissions": {"contents": "read"}},
            {"permissions": two, "repositories": ["app", "other"]},
        )
        assert [(await app.post(path, json=body)).status_code for body in fine] == [201, 201, 201]
        await act(cast, "repositories", {"selection": "all"})
        assert (await app.post(path, json={"permissions": two})).status_code == 201


# Accounts


async def test_a_renamed_account_keeps_its_ids(cast: Cast, github: GitHub, forge: Forge, receiver: Receiver) -> None:
    await github.control("POST", "/apps/mooring/webhook", {"url": receiver.url})
    token, acme = await cast.token(), cast.private.owner_id
    await github.control("POST", f"/accounts/{acme}/rename", {"login": "emca"})
    told = await receiver.next()
    assert (told.event, told.payload["changes"]) == ("installation_target", {"login": {"from": "acme"}})
    assert (told.payload["account"]["login"], told.payload["installation"]["id"]) == ("emca", cast.installation.id)
    async with cast.as_app() as app:
        found = (await app.get(f"/app/installations/{cast.installation.id}")).json()
        assert (found["account"]["login"], found["account"]["id"], found["target_id"]) == ("emca", acme, acme)
        assert (await app.get("/orgs/emca/installation")).json()["id"] == cast.installation.id
        assert_error(await app.get("/orgs/acme/installation"), 404, "Not Found")
    assert (await read(github, token, "/repos/emca/app")).json()["id"] == cast.private.id
    moved = await read(github, token, "/repos/acme/app")
    assert (moved.status_code, moved.headers["Location"]) == (301, f"{github.api_url}/repositories/{cast.private.id}")
    # git follows, as long as nobody has taken the former login.
    assert (await forge.git("ls-remote", forge.remote("acme/app", token), "main")).out
    await github.seed({"organizations": [{"login": "acme"}]})
    assert_error(await read(github, token, "/repos/acme/app"), 404, "Not Found")


async def test_an_app_that_is_installed_again(cast: Cast, github: GitHub) -> None:
    token, account = await cast.token(), cast.installation.account_id
    await act(cast, "delete")
    made = await github.control(
        "POST", "/installations", {"app": "mooring", "account": "acme", "repositories": ["app"]}
    )
    assert made["id"] != cast.installation.id
    assert_error(await read(github, token, "/repos/acme/app"), 401, "Bad credentials")
    async with cast.as_app() as app:
        assert_error(await app.get(f"/app/installations/{cast.installation.id}"), 404, "Not Found")
        gone = await app.post(f"/app/installations/{cast.installation.id}/access_tokens")
        assert_error(gone, 404, "Not Found")
        assert (await app.get(f"/app/installations/{made['id']}")).json()["account"]["id"] == account


async def test_a_login_that_somebody_else_took(cast: Cast, github: GitHub) -> None:
    document = {
        "organizations": [{"login": "team", "members": {"bob": "admin"}}],
        "repositories": [{"owner": "team", "name": "app", "private": True, "files": {"a": "1"}}],
        "installations": [{"app": "mooring", "account": "team"}],
    }
    first = await github.seed(document)
    number = first["organizations"]["team"]["id"]
    async with cast.as_app() as app:
        path = f"/app/installations/{first['installations'][0]['id']}"
        token = (await app.post(f"{path}/access_tokens")).json()["token"]
        await github.control("POST", f"/accounts/{number}/delete")
        assert_error(await app.get("/orgs/team/installation"), 404, "Not Found")
        assert_error(await app.get(path), 404, "Not Found")
        assert_error(await read(github, token, "/repos/team/app"), 401, "Bad credentials")
        assert_error(await read(github, cast.bob, "/repos/team/app"), 404, "Not Found")
        second = await github.seed(document)
        found = (await app.get("/orgs/team/installation")).json()
    assert found["id"] == second["installations"][0]["id"] != first["installations"][0]["id"]
    assert found["account"]["id"] == second["organizations"]["team"]["id"] != number
    assert second["repositories"]["team/app"]["id"] != first["repositories"]["team/app"]["id"]
    gone = first["repositories"]["team/app"]["id"]
    assert_error(await read(github, cast.bob, f"/repositories/{gone}"), 404, "Not Found")
    assert gone not in github.context.world.repositories


async def test_a_person_who_leaves_takes_the_tokens_along(cast: Cast, github: GitHub) -> None:
    bob = github.context.world.account("bob")
    assert bob is not None
    async with github.client(cast.bob) as client:
        assert (await client.get("/repos/acme/app")).status_code == 200
        await github.control("POST", f"/accounts/{bob.id}/delete")
        assert_error(await client.get("/repos/acme/app"), 401, "Bad credentials")
    assert bob.id not in github.context.world.owner(cast.private).members


async def test_accounts_that_cannot_be_changed(cast: Cast, forge: Forge) -> None:
    acme = cast.private.owner_id
    taken = await forge.control("POST", f"/accounts/{acme}/rename", {"login": "ALICE"}, expect=409)
    assert "'ALICE' is taken" in taken["error"]
    owner = await forge.control("POST", f"/accounts/{acme}/delete", expect=409)
    assert "App 'mooring'" in owner["error"]
    assert "no account 1" in (await forge.control("POST", "/accounts/1/delete", expect=404))["error"]
    assert (await forge.control("POST", f"/accounts/{acme}/rename", {"login": "Acme"}))["login"] == "Acme"


# Many at once


async def test_a_thousand_installations_are_seeded_quickly(github: GitHub, key: Key) -> None:
    started = time.process_time()
    made = await github.seed(
        {
            "users": [{"login": "ann"}],
            "organizations": [{"login": "team-{n}", "count": 1000}],
            "apps": [{"slug": "ship", "owner": "ann", "public_key": key.public, "permissions": {"contents": "read"}}],
            "repositories": [{"owner": "team-{n}", "name": "app", "count": 1000, "private": True, "files": {"a": "1"}}],
            "installations": [{"app": "ship", "account": "team-{n}", "count": 1000, "repositories": ["app"]}],
        }
    )
    assert time.process_time() - started < 5
    assert len({found["id"] for found in made["installations"]}) == len(made["organizations"]) == 1000
    last = made["installations"][-1]
    assert last["account"] == "team-1000"
    async with github.client(key.sign(made["apps"]["ship"]["id"])) as app:
        minted = (await app.post(f"/app/installations/{last['id']}/access_tokens")).json()
    listed = (await read(github, minted["token"], "/installation/repositories")).json()
    assert [found["full_name"] for found in listed["repositories"]] == ["team-1000/app"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"organizations": [{"login": "team", "count": 2}]}, "login needs {n}"),
        ({"users": [{"login": "u{n}", "count": 2, "id": 7}]}, "no id can be given"),
        ({"installations": [{"app": "a", "account": "team", "count": 2}]}, "account needs {n}"),
        ({"organizations": [{"login": "team{m}"}]}, "organizations.0.login"),
    ],
)
async def test_many_need_a_number(forge: Forge, document: Any, said: str) -> None:
    assert said in (await forge.control("POST", "/seed", document, expect=400))["error"]


# The journal of mints


async def test_the_journal_tells_what_a_mint_asked_for(cast: Cast, github: GitHub) -> None:
    await act(cast, "repositories", {"add": ["other"]})
    start = (await github.control("GET", "/journal"))["next"]
    wanted = sorted([cast.other.id, cast.private.id])
    token = await cast.token(repository_ids=wanted[::-1], permissions={"contents": "read"})
    await cast.token(repositories=["app"])
    await cast.token()
    async with cast.as_app() as app:
        path = f"/app/installations/{cast.installation.id}/access_tokens"
        await app.post(path, json={"permissions": {"issues": "read"}, "repositories": [token, "x" * 200]})
    await read(github, token, "/repos/acme/app")
    entries = (await github.control("GET", f"/journal?since={start}"))["entries"]
    assert [(entry["status"], entry.get("asked")) for entry in entries] == [
        (201, {"repository_ids": wanted, "permissions": {"contents": "read"}}),
        (201, {"repositories": ["app"]}),
        (201, {}),
        (422, {"repositories": ["[hidden]", "x" * 100], "permissions": {"issues": "read"}}),
        (200, None),
    ]
    # The token that was made is known by its public id, under which it is found in use.
    assert entries[0]["minted"] == entries[-1]["credential"]
    assert entries[3]["minted"] is None
    assert token not in str(entries)


async def test_the_journal_of_mints_is_bounded(cast: Cast, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT_MINTS", 2)
    monkeypatch.setattr(journal, "KEPT_NAMES", 3)
    start = (await github.control("GET", "/journal"))["next"]
    await cast.token()
    async with cast.as_app() as app:
        for _ in range(2):
            body = {"repository_ids": [9, 8, 7, 6], "repositories": list("abcd")}
            await app.post(f"/app/installations/{cast.installation.id}/access_tokens", json=body)
    entries = (await github.control("GET", f"/journal?since={start}"))["entries"]
    asked = {"repository_ids": [6, 7, 8], "repositories": ["a", "b", "c"]}
    assert [entry.get("asked") for entry in entries] == [None, asked, asked]


async def test_tokens_that_are_over_are_let_go_of(cast: Cast, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    over = await cast.token()
    past = github.context.world.clock.now()
    classic = cast.personal("alice", kind="classic", expires_at=past).value
    await github.control("POST", "/clock", {"advance": 3601})
    now = int(github.context.world.clock.now().timestamp())
    live = []
    async with github.client(cast.key.sign(cast.app.id, iat=now - 1, exp=now + 60)) as app:
        for kept in (world.KEPT_CREDENTIALS, 1):
            monkeypatch.setattr(world, "KEPT_CREDENTIALS", kept)
            made = await app.post(f"/app/installations/{cast.installation.id}/access_tokens")
            live.append(made.json()["token"])
    known = {credential.value for credential in github.context.world.credentials()}
    assert over not in known
    # Only what GitHub itself makes in great numbers goes: tokens with a name are there to be looked up.
    assert {*live, cast.alice, classic} <= known
    assert_error(await read(github, over, "/repos/acme/app"), 401, "Bad credentials")

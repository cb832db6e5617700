"""Apps: themselves, their installations, their tokens in both forms, their webhook and its deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from lab.github.model import Delivery
from tests.lab.github.running import Cast, GitHub, Key
from tests.lab.github.test_rest_auth import assert_error

OUTSIDE = "There is at least one repository that does not exist or is not accessible to the parent installation."
TOO_MANY = "Too many repositories for installation: at most 500 can be listed."
UNGRANTED = "The permissions requested are not granted to this installation."


@pytest.fixture
async def app(cast: Cast) -> Any:
    async with cast.as_app() as client:
        yield client


async def test_an_app_and_its_installations(cast: Cast, app: httpx.AsyncClient) -> None:
    assert (await app.get("/app")).json()["client_id"] == cast.app.client_id
    listed = (await app.get("/app/installations")).json()
    assert [found["id"] for found in listed] == [cast.installation.id]
    for path in ("/orgs/acme/installation", "/users/acme/installation", "/repos/acme/app/installation"):
        found = (await app.get(path)).json()
        assert (found["id"], found["repository_selection"]) == (cast.installation.id, "selected")
    for path in ("/orgs/alice/installation", "/users/alice/installation", "/repos/acme/other/installation"):
        assert_error(await app.get(path), 404, "Not Found")
    assert (await app.get(f"/app/installations/{cast.installation.id}")).json()["app_slug"] == "mooring"


async def test_another_apps_installation_is_not_found(cast: Cast, github: GitHub, other_key: Key) -> None:
    made = await github.seed({"apps": [{"slug": "other", "owner": "carol", "public_key": other_key.public}]})
    async with github.client(other_key.sign(made["apps"]["other"]["id"])) as other:
        path = f"/app/installations/{cast.installation.id}"
        for answer in (await other.get(path), await other.post(f"{path}/access_tokens"), await other.delete(path)):
            assert_error(answer, 404, "Not Found")
        assert (await other.get("/app/installations")).json() == []


# Tokens


async def mint(cast: Cast, app: httpx.AsyncClient, body: Any = None, **headers: str) -> httpx.Response:
    return await app.post(f"/app/installations/{cast.installation.id}/access_tokens", json=body, headers=headers)


async def test_a_token_of_everything(cast: Cast, app: httpx.AsyncClient) -> None:
    made = (await mint(cast, app)).json()
    assert made["permissions"] == cast.installation.permissions
    assert (made["repository_selection"], "repositories" in made) == ("selected", False)
    left = datetime.fromisoformat(made["expires_at"]) - cast.github.context.world.clock.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_a_narrowed_token(cast: Cast, app: httpx.AsyncClient) -> None:
    cast.installation.repository_selection = "all"
    for body in ({"repository_ids": [cast.private.id]}, {"repositories": ["app"]}):
        made = (await mint(cast, app, {**body, "permissions": {"contents": "read"}})).json()
        assert made["permissions"] == {"metadata": "read", "contents": "read"}
        assert [found["name"] for found in made["repositories"]] == ["app"]
        assert made["repository_selection"] == "selected"
        async with cast.github.client(made["token"]) as client:
            listed = (await client.get("/installation/repositories")).json()
            assert (listed["total_count"], listed["repository_selection"]) == (1, "selected")
            assert_error(await client.get("/repos/acme/other"), 404, "Not Found")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"repositories": ["other"]}, OUTSIDE),
        ({"repositories": ["app", "nope"]}, OUTSIDE),
        ({"repository_ids": [999999]}, OUTSIDE),
        ({"repository_ids": list(range(1, 502))}, TOO_MANY),
        ({"repositories": [f"r{number}" for number in range(501)]}, TOO_MANY),
        ({"repository_ids": list(range(1, 501))}, OUTSIDE),
        ({"permissions": {"contents": "admin"}}, UNGRANTED),
        ({"permissions": {"issues": "read"}}, UNGRANTED),
    ],
)
async def test_a_token_of_more_than_there_is(
    cast: Cast, app: httpx.AsyncClient, body: dict[str, Any], message: str
) -> None:
    assert_error(await mint(cast, app, body), 422, message)


@pytest.mark.parametrize(
    "body",
    [
        {"repository_ids": ["app"]},
        {"repository_ids": [[1]]},
        {"repository_ids": [True]},
        {"repositories": [1]},
        {"permissions": {"contents": ["read"]}},
        {"permissions": {"contents": "some"}},
        {"permissions": ["contents"]},
    ],
)
async def test_a_token_of_what_makes_no_sense(cast: Cast, app: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await mint(cast, app, body)
    assert (answer.status_code, answer.json()["message"].startswith("Invalid request.")) == (422, True)


async def test_both_forms_of_token(cast: Cast, app: httpx.AsyncClient) -> None:
    lengths = {len((await mint(cast, app)).json()["token"]) for _ in range(4)}
    assert min(lengths) == 40
    assert 480 < max(lengths) < 560
    long = (await mint(cast, app, **{"X-GitHub-Stateless-S2S-Token": "enabled"})).json()["token"]
    assert long.startswith(f"ghs_{cast.app.id}_eyJ")
    assert long.count(".") == 2
    short = (await mint(cast, app, **{"X-GitHub-Stateless-S2S-Token": "disabled"})).json()["token"]
    cast.installation.token_form = "jwt"
    settled = (await mint(cast, app)).json()["token"]
    assert (len(short), len(settled) > 480) == (40, True)
    for token in (long, short, settled):
        async with cast.github.client(token) as client:
            assert (await client.get("/repos/acme/app")).status_code == 200


async def test_the_repositories_of_an_installation(cast: Cast, github: GitHub, app: httpx.AsyncClient) -> None:
    cast.installation.repository_selection = "all"
    await github.seed({"repositories": [{"owner": "acme", "name": "many-{n}", "count": 100, "private": True}]})
    async with github.client(await cast.token()) as client:
        first = await client.get("/installation/repositories?per_page=100")
        assert (first.json()["total_count"], len(first.json()["repositories"])) == (103, 100)
        second = await client.get(first.links["next"]["url"])
        assert len(second.json()["repositories"]) == 3
    async with github.client(cast.alice) as person:
        refused = await person.get("/installation/repositories")
        assert (refused.status_code, "installation access token" in refused.json()["message"]) == (403, True)


async def test_many_installations_come_in_pages(cast: Cast, github: GitHub, app: httpx.AsyncClient) -> None:
    await github.seed(
        {
            "organizations": [{"login": "team-{n}", "count": 104}],
            "installations": [{"app": "mooring", "account": "team-{n}", "count": 104}],
        }
    )
    assert (await app.get("/app")).json()["installations_count"] == 105
    assert len((await app.get("/app/installations")).json()) == 30
    seen: list[int] = []
    # More than a page can hold is cut to a hundred.
    url = "/app/installations?per_page=500"
    sizes = []
    while url:
        page = await app.get(url)
        sizes.append(len(page.json()))
        seen += [found["id"] for found in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert sizes == [100, 5]
    assert len(set(seen)) == 105


# The webhook


async def test_the_apps_hook(cast: Cast, app: httpx.AsyncClient) -> None:
    assert_error(await app.get("/app/hook/config"), 404, "Not Found")
    body = {"url": "https://127.0.0.1:9/h", "secret": "s3cret", "insecure_ssl": "1"}
    changed = (await app.patch("/app/hook/config", json=body)).json()
    assert changed == {**body, "secret": "********", "content_type": "json"}
    assert (await app.get("/app/hook/config")).json() == changed
    assert cast.app.webhook_secret == "s3cret"
    assert_error(await app.patch("/app/hook/config", json={"url": "junk"}), 422, "Validation Failed")


def record(cast: Cast, *, code: int, done: bool = True) -> Delivery:
    world = cast.github.context.world
    now = world.clock.now()
    return world.add_delivery(
        Delivery(
            id=world.new_id(),
            guid=f"guid-{code}",
            event="push",
            action=None,
            app_id=cast.app.id,
            hook_id=None,
            installation_id=cast.installation.id,
            repository_id=cast.private.id,
            url="http://127.0.0.1:9/",
            request_headers={"X-GitHub-Event": "push"},
            body=b'{"ref": "refs/heads/main"}',
            created_at=now,
            delivered_at=now if done else None,
            status="OK" if code < 400 else "failed to connect",
            status_code=code,
        )
    )


async def test_the_list_of_deliveries(cast: Cast, github: GitHub, app: httpx.AsyncClient) -> None:
    records = [record(cast, code=code) for code in (200, 500, 202, 0, 204)]
    record(cast, code=200, done=False)
    newest_first = [found.id for found in reversed(records)]
    path = "/app/hook/deliveries"
    assert [d["id"] for d in (await app.get(path)).json()] == newest_first
    seen, url = [], f"{path}?per_page=2"
    while url:
        page = await app.get(url)
        seen += [d["id"] for d in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert seen == newest_first
    failed = (await app.get(f"{path}?status=failure")).json()
    assert sorted(d["status_code"] for d in failed) == [0, 500]
    assert (await app.get(f"{path}?status=junk")).status_code == 422
    one = (await app.get(f"{path}/{records[0].id}")).json()
    assert one["request"]["payload"] == {"ref": "refs/heads/main"}
    assert_error(await app.get(f"{path}/999999"), 404, "Not Found")


@pytest.mark.parametrize("cursor", ["junk", "v1_", "v1_x", "12", ""])
async def test_a_bad_cursor(cast: Cast, app: httpx.AsyncClient, cursor: str) -> None:
    answer = await app.get("/app/hook/deliveries", params={"cursor": cursor})
    assert_error(answer, 400, f"Invalid cursor: {cursor!r}")


async def test_a_delivery_is_asked_for_again(cast: Cast, app: httpx.AsyncClient) -> None:
    cast.app.webhook_url = "http://127.0.0.1:9/hook"
    failed = record(cast, code=500)
    again = await app.post(f"/app/hook/deliveries/{failed.id}/attempts")
    assert (again.status_code, again.json()) == (202, {})
    await cast.github.server.deliverer.settled()
    attempts = [d for d in cast.github.context.world.deliveries.values() if d.guid == failed.guid]
    assert [d.redelivery for d in attempts] == [False, True]
    assert_error(await app.post("/app/hook/deliveries/999999/attempts"), 404, "Not Found")


async def test_the_deliveries_of_a_repositorys_hook(cast: Cast) -> None:
    async with cast.github.client(cast.alice) as alice:
        hook = (await alice.post("/repos/acme/app/hooks", json={"config": {"url": "http://127.0.0.1:9/"}})).json()
        path = f"/repos/acme/app/hooks/{hook['id']}/deliveries"
        assert (await alice.get(path)).status_code == 200
        for action in ("pings", "tests"):
            assert (await alice.post(f"/repos/acme/app/hooks/{hook['id']}/{action}")).status_code == 204
        await cast.github.server.deliverer.settled()
        listed = (await alice.get(path)).json()
        assert [d["event"] for d in listed] == ["push", "ping", "ping"]
        one = (await alice.get(f"{path}/{listed[-1]['id']}")).json()
        assert one["request"]["payload"]["hook_id"] == hook["id"]
        assert (await alice.post(f"{path}/{one['id']}/attempts")).status_code == 202
        await cast.github.server.deliverer.settled()
        again = (await alice.get(path)).json()[0]
        assert (again["guid"], again["redelivery"]) == (one["guid"], True)
        assert_error(await alice.get(f"{path}?cursor=junk"), 400, "Invalid cursor: 'junk'")
        assert_error(await alice.get(f"{path}/1"), 404, "Not Found")
        assert_error(await alice.get("/repos/acme/app/hooks/1/deliveries"), 404, "Not Found")


async def test_a_delivery_without_a_place_to_go(cast: Cast, app: httpx.AsyncClient) -> None:
    failed = record(cast, code=500)
    assert (await app.post(f"/app/hook/deliveries/{failed.id}/attempts")).status_code == 422

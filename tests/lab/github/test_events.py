"""What happens on the lab's GitHub becomes signed webhook events with the true commits and files."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from lab.github import webhook_contract
from lab.github.model import ZERO_SHA
from tests.lab.github.handle import Forge, Received, Receiver

SECRET = "It's a Secret to Everybody"


async def seeded(forge: Forge, receiver: Receiver, **hook: Any) -> dict[str, str]:
    """Make a repository with a hook, and an App without one; returns the tokens."""
    answer = await forge.seed(
        users=[{"login": "ann", "name": "Ann", "email": "ann@example.com"}],
        organizations=[{"login": "acme", "members": {"ann": "admin"}}, {"login": "umbrella"}],
        apps=[
            {"slug": "ship", "owner": "acme", "permissions": {"contents": "write"}, "events": ["push", "repository"]}
        ],
        repositories=[
            {
                "owner": "acme",
                "name": "site",
                "files": {"README.md": "1\n", "old.txt": "old\n"},
                "hooks": [{"url": receiver.url, "secret": SECRET, "events": ["push"], **hook}],
            },
            {"owner": "acme", "name": "other", "private": True, "files": {"a": "b"}},
        ],
        installations=[{"app": "ship", "account": "acme", "repositories": ["site"]}],
        tokens=[
            {"name": "ann", "user": "ann", "scopes": ["repo"]},
            {"name": "bot", "kind": "installation", "app": "ship", "account": "acme"},
        ],
    )
    return {name: token["value"] for name, token in answer["tokens"].items()}


async def app_hook(forge: Forge, receiver: Receiver) -> int:
    """Point the App's webhook at a receiver; returns the installation."""
    await forge.control("POST", "/apps/ship/webhook", {"url": receiver.url, "secret": SECRET})
    return next(iter(forge.server.world.installations))


def signed(delivery: Received) -> None:
    """Check the signature against the exact bytes."""
    expected = "sha256=" + hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).hexdigest()
    assert delivery.headers["X-Hub-Signature-256"] == expected


async def test_a_push_is_told_with_its_true_commits_and_files(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    before = (await forge.git("rev-parse", "HEAD", cwd=folder)).out
    first = await forge.commit(folder, {"src/new file.txt": "1\n", "README.md": "2\n"}, "One\n\nMore.")
    second = await forge.commit(folder, {"old.txt": None, "ünï.txt": "x\n"}, "Two")
    await forge.git("push", "-q", "origin", "HEAD", cwd=folder)
    delivery = await receiver.next()
    signed(delivery)
    event = delivery.payload
    assert (event["ref"], event["before"], event["after"]) == ("refs/heads/main", before, second)
    assert [event[flag] for flag in ("created", "deleted", "forced", "base_ref")] == [False, False, False, None]
    told = [(c["id"], c["message"], c["added"], c["modified"], c["removed"]) for c in event["commits"]]
    assert told == [
        (first, "One\n\nMore.", ["src/new file.txt"], ["README.md"], []),
        (second, "Two", ["ünï.txt"], [], ["old.txt"]),
    ]
    assert event["head_commit"] == event["commits"][-1]
    assert event["head_commit"]["author"] == {"name": "Ann", "email": "ann@example.com", "username": "ann"}
    assert event["pusher"] == {"name": "ann", "email": "ann@example.com"}
    assert event["compare"].endswith(f"/acme/site/compare/{before[:12]}...{second[:12]}")
    assert isinstance(event["repository"]["pushed_at"], int)
    assert event["sender"]["login"] == "ann"
    assert "installation" not in event
    assert receiver.came.empty()


async def test_the_headers_are_githubs(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    await forge.commit(folder, {"a": "1"})
    await forge.git("push", "-q", "origin", "HEAD", cwd=folder)
    headers = (await receiver.next()).headers
    repository = forge.server.world.repository("acme", "site")
    assert repository is not None
    (hook,) = forge.server.world.hooks_of(repository)
    assert headers["X-GitHub-Hook-ID"] == str(hook.id)
    assert headers["X-GitHub-Hook-Installation-Target-Type"] == "repository"
    assert headers["X-GitHub-Hook-Installation-Target-ID"] == str(repository.id)
    assert headers["X-GitHub-Enterprise-Host"] == forge.web.removeprefix("https://")
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Hub-Signature"].startswith("sha1=")


async def test_a_forced_push_and_a_deletion_say_so(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    first = (await forge.git("rev-parse", "HEAD", cwd=folder)).out
    second = await forge.commit(folder, {"a": "1"})
    await forge.git("push", "-q", "origin", "HEAD:main", "HEAD:topic", cwd=folder)
    main, topic = (await receiver.next()).payload, (await receiver.next()).payload
    assert (main["after"], topic["before"], topic["created"]) == (second, ZERO_SHA, True)
    assert topic["base_ref"] == "refs/heads/main"
    await forge.git("push", "-q", "--force", "origin", f"{first}:main", cwd=folder)
    forced = (await receiver.next()).payload
    assert (forced["before"], forced["after"], forced["forced"], forced["commits"]) == (second, first, True, [])
    assert forced["head_commit"]["id"] == first
    await forge.git("push", "-q", "origin", ":topic", cwd=folder)
    deleted = (await receiver.next()).payload
    assert (deleted["before"], deleted["after"], deleted["deleted"]) == (second, ZERO_SHA, True)
    assert (deleted["commits"], deleted["head_commit"]) == ([], None)


@pytest.mark.parametrize(("tags", "events"), [(3, 3), (4, 0)])
async def test_more_than_three_tags_send_no_event(forge: Forge, receiver: Receiver, tags: int, events: int) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    for number in range(tags):
        await forge.git("tag", f"v{number}", cwd=folder)
    await forge.git("push", "-q", "--tags", cwd=folder)
    refs = [(await receiver.next()).payload["ref"] for _ in range(events)]
    assert refs == [f"refs/tags/v{number}" for number in range(events)]
    await forge.control("POST", "/push", {"repository": "acme/site", "user": "ann", "files": {"last": "1"}})
    assert (await receiver.next()).payload["ref"] == "refs/heads/main"


async def test_an_annotated_tag_is_told_with_its_commit(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    head = (await forge.git("rev-parse", "HEAD", cwd=folder)).out
    await forge.git("tag", "-a", "v1", "-m", "One", cwd=folder)
    await forge.git("push", "-q", "origin", "v1", cwd=folder)
    event = (await receiver.next()).payload
    assert event["after"] == (await forge.git("rev-parse", "v1", cwd=folder)).out != head
    assert (event["head_commit"]["id"], event["commits"]) == (head, [])


async def test_a_push_of_hundreds_of_commits_is_told_whole(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    folder = await forge.clone("acme/site", tokens["ann"])
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@b> {1700000000 + n} +0200\ndata 2\nc\n"
        + ("from refs/heads/main^0\n" if n == 0 else "")
        + f"M 100644 inline f{n}\ndata 1\nx\n"
        for n in range(300)
    )
    (folder / "stream").write_text(stream)
    await forge.git("-c", f"alias.feed=!git fast-import --quiet < {folder / 'stream'}", "feed", cwd=folder)
    await forge.git("push", "-q", "origin", "main", cwd=folder)
    event = (await receiver.next()).payload
    assert [commit["added"] for commit in event["commits"]] == [[f"f{n}"] for n in range(300)]
    # Packed objects are read as well as loose ones.
    status, commit = await forge.get("/repos/acme/site/commits/main", tokens["ann"])
    assert (status, commit["files"][0]["filename"]) == (200, "f299")


async def test_an_app_and_a_repository_hook_hear_the_same_push_under_own_guids(
    forge: Forge, receiver: Receiver
) -> None:
    tokens = await seeded(forge, receiver)
    number = await app_hook(forge, receiver)
    folder = await forge.clone("acme/site", tokens["bot"])
    await forge.commit(folder, {"a": "1"})
    await forge.git("push", "-q", "origin", "HEAD", cwd=folder)
    both = [await receiver.next(), await receiver.next()]
    by_target = {delivery.headers["X-GitHub-Hook-Installation-Target-Type"]: delivery for delivery in both}
    app, hook = by_target["integration"], by_target["repository"]
    assert app.guid != hook.guid
    assert app.payload["installation"]["id"] == number
    assert {key: value for key, value in app.payload.items() if key != "installation"} == hook.payload
    assert (app.payload["sender"]["login"], app.payload["sender"]["type"]) == ("ship[bot]", "Bot")
    for delivery in both:
        signed(delivery)


async def test_an_app_hears_only_what_it_may(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver, active=False)
    number = await app_hook(forge, receiver)
    await forge.control("POST", "/push", {"repository": "acme/other", "user": "ann", "files": {"outside": "1"}})
    await forge.control("POST", f"/installations/{number}/permissions", {"permissions": {"statuses": "write"}})
    assert (await receiver.next()).payload["action"] == "new_permissions_accepted"
    await forge.control("POST", "/push", {"repository": "acme/site", "user": "ann", "files": {"no": "permission"}})
    await forge.control("POST", f"/installations/{number}/permissions", {"permissions": {"contents": "read"}})
    assert (await receiver.next()).payload["installation"]["permissions"]["contents"] == "read"
    await forge.control("POST", f"/installations/{number}/suspend")
    assert (await receiver.next()).payload["action"] == "suspend"
    await forge.control("POST", "/push", {"repository": "acme/site", "user": "ann", "files": {"while": "suspended"}})
    await forge.control("POST", f"/installations/{number}/unsuspend")
    assert (await receiver.next()).payload["action"] == "unsuspend"
    await forge.control("POST", "/push", {"repository": "acme/site", "user": "ann", "files": {"at": "last"}})
    assert (await receiver.next()).payload["commits"][0]["added"] == ["at"]


async def test_the_life_of_an_installation_is_told(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver, active=False)
    number = await app_hook(forge, receiver)
    await forge.control("POST", f"/installations/{number}/repositories", {"add": ["other"]})
    added = (await receiver.next()).payload
    assert (added["action"], [r["name"] for r in added["repositories_added"]]) == ("added", ["other"])
    await forge.control("POST", f"/installations/{number}/repositories", {"remove": ["site"]})
    removed = (await receiver.next()).payload
    assert (removed["action"], [r["name"] for r in removed["repositories_removed"]]) == ("removed", ["site"])
    await forge.control("POST", f"/installations/{number}/repositories", {"selection": "all"})
    assert (await receiver.next()).payload["repository_selection"] == "all"
    await forge.control("POST", f"/installations/{number}/delete")
    deleted = await receiver.next()
    assert (deleted.event, deleted.payload["action"]) == ("installation", "deleted")
    assert {r["name"] for r in deleted.payload["repositories"]} == {"site", "other"}
    made = await forge.control("POST", "/installations", {"app": "ship", "account": "acme", "repositories": ["site"]})
    created = (await receiver.next()).payload
    assert (created["action"], created["installation"]["id"]) == ("created", made["id"])


async def test_what_is_done_to_a_repository_is_told(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver, events=["repository"])
    repository = forge.server.world.repository("acme", "site")
    assert repository is not None
    steps: list[tuple[str, Any, str]] = [
        ("rename", {"name": "page"}, "renamed"),
        ("privatize", None, "privatized"),
        ("publicize", None, "publicized"),
        ("archive", None, "archived"),
        ("unarchive", None, "unarchived"),
        ("edit", {"description": "New"}, "edited"),
        ("transfer", {"owner": "umbrella"}, "transferred"),
        ("delete", None, "deleted"),
    ]
    seen = []
    for action, body, _ in steps:
        await forge.control("POST", f"/repositories/{repository.id}/{action}", body)
        seen.append((await receiver.next()).payload)
    assert [payload["action"] for payload in seen] == [told for *_, told in steps]
    assert seen[0]["changes"] == {"repository": {"name": {"from": "site"}}}
    assert seen[-1]["repository"]["full_name"] == "umbrella/page"
    assert (await forge.get("/repos/umbrella/page"))[0] == 404


async def test_refs_that_come_and_go_are_told_to_who_asks(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver, events=["create", "delete"])
    push = {"repository": "acme/site", "user": "ann", "branch": "topic"}
    await forge.control("POST", "/push", {**push, "files": {"a": "1"}})
    created = await receiver.next()
    assert (created.event, created.payload["ref"], created.payload["ref_type"]) == ("create", "topic", "branch")
    await forge.control("POST", "/push", {**push, "delete": True})
    assert (await receiver.next()).event == "delete"


async def test_a_write_through_the_api_is_told_as_a_push(forge: Forge, receiver: Receiver) -> None:
    tokens = await seeded(forge, receiver)
    url, headers = f"{forge.api}/repos/acme/site/contents/new.txt", {"Authorization": f"Bearer {tokens['bot']}"}
    async with forge.session.put(url, json={"message": "By API", "content": "eA=="}, headers=headers) as answer:
        assert answer.status == 201
        sha = (await answer.json())["commit"]["sha"]
    event = (await receiver.next()).payload
    assert (event["after"], event["commits"][0]["added"], event["pusher"]["name"]) == (sha, ["new.txt"], "ship[bot]")


async def test_a_body_that_breaks_the_schemas_is_found(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver)
    number = await app_hook(forge, receiver)
    forge.server.world.installations[number].permissions["no-such-permission"] = "read"
    await forge.control("POST", f"/installations/{number}/suspend")
    assert any("no-such-permission" in found for found in forge.github.take_violations())


def test_the_contract_finds_a_wrong_body() -> None:
    found = webhook_contract.problems("installation", {"action": "created", "installation": {"id": "seven"}})
    assert any("installation" in problem for problem in found)
    assert webhook_contract.problems("no_such_event", {}) == ["GitHub's schemas know no no_such_event event"]

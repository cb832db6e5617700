"""Each fault does what it says, as often as it says, to what it matches, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import pytest

from tests.lab.github.handle import Forge, Receiver, eventually


async def seeded(forge: Forge, receiver: Receiver | None = None) -> str:
    """Make a repository, with a hook where there is a receiver; returns a token."""
    hooks = [] if receiver is None else [{"url": receiver.url}]
    answer = await forge.seed(
        users=[{"login": "ann", "email": "ann@example.com"}],
        repositories=[{"owner": "ann", "name": "site", "files": {"a": "0"}, "hooks": hooks}],
        tokens=[{"name": "ann", "user": "ann", "scopes": ["repo"]}, {"name": "two", "user": "ann", "scopes": ["repo"]}],
    )
    return str(answer["tokens"]["ann"]["value"])


async def push(forge: Forge, text: str) -> str:
    answer = await forge.control("POST", "/push", {"repository": "ann/site", "user": "ann", "files": {"a": text}})
    return str(answer["after"])


async def head(forge: Forge, token: str) -> str:
    """Return the branch's commit as the API tells it."""
    _, branch = await forge.get("/repos/ann/site/branches/main", token)
    return str(branch["commit"]["sha"])


# Requests


async def test_latency(forge: Forge) -> None:
    token = await seeded(forge)
    await forge.fault("latency", seconds=0.2, count=1)
    started = time.monotonic()
    assert (await forge.get("/user", token))[0] == 200
    assert time.monotonic() - started >= 0.2


async def test_a_status_strikes_as_often_as_it_should_and_where(forge: Forge) -> None:
    token = await seeded(forge)
    await forge.fault("status", status=503, path="/api/v3/user", methods=["GET"], credential="ann", count=2)
    statuses = [(await forge.get("/user", token))[0] for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert (await forge.control("GET", "/faults"))["faults"][0]["hits"] == 2


async def test_a_fault_spares_other_paths_and_credentials(forge: Forge) -> None:
    token = await seeded(forge)
    other = next(found for found in forge.server.world.credentials() if found.id == "two").value
    await forge.fault("status", status=500, path="*/user", credential="two")
    assert (await forge.get("/user", token))[0] == 200
    assert (await forge.get("/repos/ann/site", other))[0] == 200
    assert (await forge.get("/user", other))[0] == 500


async def test_chances_are_the_same_in_each_run(forge: Forge) -> None:
    token = await seeded(forge)
    runs = []
    for _ in range(2):
        await forge.control("DELETE", "/faults")
        await forge.fault("status", status=500, probability=0.5)
        runs.append([(await forge.get("/user", token))[0] for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


@pytest.mark.parametrize("kind", ["drop", "truncate"])
async def test_a_connection_is_cut(forge: Forge, kind: str) -> None:
    token = await seeded(forge)
    number = await forge.fault(kind)
    with pytest.raises(aiohttp.ClientError):
        await forge.get("/user", token)
    await forge.control("DELETE", f"/faults/{number}")
    assert (await forge.get("/user", token))[0] == 200
    # The client may have tried twice.
    *cut, last = [entry["status"] for entry in (await forge.control("GET", "/journal"))["entries"]]
    assert (set(cut), last) == ({0}, 200)


async def test_a_clone_is_cut_in_the_middle(forge: Forge) -> None:
    await seeded(forge)
    await forge.fault("truncate", path="*/git-upload-pack", count=1)
    await forge.git("clone", forge.remote("ann/site"), "broken", fails=True)
    await forge.clone("ann/site")


async def test_a_cut_after_the_work_leaves_the_work_done(forge: Forge) -> None:
    token = await seeded(forge)
    folder = await forge.clone("ann/site", token)
    sha = await forge.commit(folder, {"a": "1"})
    await forge.fault("drop", path="*/git-receive-pack", after_work=True, count=1)
    await forge.git("push", "origin", "HEAD", cwd=folder, fails=True)
    assert await head(forge, token) == sha


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("retry_after", [None, 7])
async def test_the_secondary_limit_with_and_without_retry_after(
    forge: Forge, status: int, retry_after: int | None
) -> None:
    token = await seeded(forge)
    await forge.fault("secondary-limit", status=status, retry_after=retry_after, count=1)
    async with forge.session.get(f"{forge.api}/user", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == status
        assert answer.headers.get("Retry-After") == (None if retry_after is None else str(retry_after))
        assert "secondary rate limit" in (await answer.json())["message"]


async def test_the_primary_limit_says_when_it_ends(forge: Forge) -> None:
    token = await seeded(forge)
    await forge.fault("primary-limit", seconds=30, count=1)
    async with forge.session.get(f"{forge.api}/user", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (403, "0")
        assert 25 <= int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 31


async def test_a_redirect_elsewhere(forge: Forge) -> None:
    token = await seeded(forge)
    await forge.fault("redirect", location="https://elsewhere.invalid/", count=1)
    url, headers = f"{forge.api}/user", {"Authorization": f"Bearer {token}"}
    async with forge.session.get(url, headers=headers, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "https://elsewhere.invalid/")


# Deliveries


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_lost_delivery(forge: Forge, receiver: Receiver, *, recorded: bool) -> None:
    await seeded(forge, receiver)
    await forge.fault("lose", count=1, recorded=recorded)
    await push(forge, "1")
    second = await push(forge, "2")
    assert (await receiver.next()).payload["after"] == second
    await forge.server.deliverer.settled()
    told = (await forge.control("GET", "/deliveries"))["deliveries"]
    assert [each["status"] for each in told] == (["failed to connect to host", "OK"] if recorded else ["OK"])


async def test_a_doubled_delivery(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver)
    await forge.fault("double", event="push", repository="ann/*", count=1)
    await push(forge, "1")
    one, two = await receiver.next(), await receiver.next()
    assert (one.guid, one.body, one.headers) == (two.guid, two.body, two.headers)


async def test_a_late_delivery_comes_after_later_ones(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver)
    await forge.fault("late", seconds=2, count=1)
    first, second = await push(forge, "1"), await push(forge, "2")
    assert [(await receiver.next()).payload["after"] for _ in range(2)] == [second, first]


async def test_a_delivery_waits_until_it_is_told(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver)
    await forge.fault("late")
    kept, dropped = await push(forge, "1"), await push(forge, "2")
    waiting = (await forge.control("GET", "/deliveries?status=pending"))["deliveries"]
    assert len(waiting) == 2
    await forge.control("POST", f"/deliveries/{waiting[1]['guid']}/drop")
    await forge.control("POST", f"/deliveries/{waiting[0]['guid']}/delay", {"seconds": 0})
    assert (await receiver.next()).payload["after"] == kept
    await forge.server.deliverer.settled()
    assert receiver.came.empty(), dropped
    answer = await forge.control("POST", f"/deliveries/{waiting[0]['guid']}/drop", expect=409)
    assert "sent already" in answer["error"]


async def test_reordered_deliveries(forge: Forge, receiver: Receiver) -> None:
    await seeded(forge, receiver)
    await forge.fault("reorder", count=1)
    first, second = await push(forge, "1"), await push(forge, "2")
    assert [(await receiver.next()).payload["after"] for _ in range(2)] == [second, first]


# Replication


async def test_a_replica_lags_until_it_is_told(forge: Forge) -> None:
    token = await seeded(forge)
    before = await head(forge, token)
    number = await forge.fault("lag", repository="ann/site")
    after = await push(forge, "1")
    await forge.control("POST", "/push", {"repository": "ann/site", "user": "ann", "branch": "b", "files": {"c": "1"}})
    assert await head(forge, token) == before
    assert (await forge.get("/repos/ann/site/branches/b", token))[0] == 404
    assert (await forge.get("/repos/ann/site/commits/main", token))[1]["sha"] == before
    assert (await forge.get(f"/repos/ann/site/commits/{after}", token))[0] == 200
    assert [branch["name"] for branch in (await forge.get("/repos/ann/site/branches", token))[1]] == ["main"]
    _, compared = await forge.get(f"/repos/ann/site/compare/{before}...main", token)
    assert compared["status"] == "identical"
    await forge.control("DELETE", f"/faults/{number}")
    assert await head(forge, token) == after


async def test_a_replica_lags_by_seconds(forge: Forge) -> None:
    token = await seeded(forge)
    before = await head(forge, token)
    await forge.fault("lag", seconds=2)
    after = await push(forge, "1")
    assert await head(forge, token) == before

    async def caught_up() -> bool:
        return await head(forge, token) == after

    await eventually(caught_up)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "nonsense"}, "nonsense"),
        ({"kind": "status", "status": 200}, "status"),
        ({"kind": "latency"}, "seconds"),
        ({"kind": "drop", "probability": 2}, "probability"),
        ({"kind": "drop", "typo": 1}, "typo"),
        ({}, "kind"),
    ],
)
async def test_a_wrong_fault_is_refused_in_one_sentence(forge: Forge, fault: dict[str, Any], said: str) -> None:
    answer = await forge.control("POST", "/faults", fault, expect=400)
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert (await forge.control("DELETE", "/faults/99", expect=404))["error"] == "there is no fault 99"

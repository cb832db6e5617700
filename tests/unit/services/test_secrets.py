"""The cache of Secrets: one request for many callers, nothing old after an event, and never more than its bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.services import secrets as module
from mooring.services.secrets import Secrets


class CountingCluster:
    """Answers a read with how many there were before it, when the gate is open. It stands for no API server."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: Transient | None = None
        self.padding = ""

    async def read(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        assert kind == "Secret"
        number = len(self.reads)
        self.reads.append(f"{namespace}/{name}")
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        if name == "missing":
            return None
        return {"number": number, "padding": self.padding} if self.padding else {"number": number}


def cache() -> tuple[Secrets, CountingCluster]:
    cluster: Any = CountingCluster()
    return Secrets(cluster), cluster


async def started() -> None:
    """Let tasks that are ready reach their gate."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["pat", "missing"])
async def test_many_callers_share_one_request_and_later_ones_need_none(name: str) -> None:
    secrets, cluster = cache()
    found = await asyncio.gather(*(secrets.get("team-a", name) for _ in range(100)))
    assert await secrets.get("team-a", name) == found[0]
    assert all(one is found[0] for one in found)
    # One that is missing is asked for again: it may be there before a watch tells of it.
    assert len(cluster.reads) == (2 if found[0] is None else 1)


async def test_secrets_of_two_namespaces_are_two() -> None:
    secrets, cluster = cache()
    await asyncio.gather(secrets.get("team-a", "pat"), secrets.get("team-b", "pat"))
    assert sorted(cluster.reads) == ["team-a/pat", "team-b/pat"]


async def test_a_changed_secret_is_read_again() -> None:
    secrets, cluster = cache()
    assert await secrets.get("team-a", "pat") == {"number": 0}
    secrets.changed("team-a", "other")
    assert await secrets.get("team-a", "pat") == {"number": 0}
    secrets.changed("team-a", "pat")
    assert await secrets.get("team-a", "pat") == {"number": 1}
    assert len(cluster.reads) == 2


async def test_what_was_being_read_when_it_changed_is_neither_kept_nor_shared() -> None:
    secrets, cluster = cache()
    cluster.gate.clear()
    early = asyncio.create_task(secrets.get("team-a", "pat"))
    await started()
    secrets.changed("team-a", "pat")
    late = asyncio.create_task(secrets.get("team-a", "pat"))
    await started()
    cluster.gate.set()
    assert (await early, await late) == ({"number": 0}, {"number": 1})
    assert await secrets.get("team-a", "pat") == {"number": 1}
    assert len(cluster.reads) == 2


async def test_whoever_gives_up_takes_the_answer_from_nobody() -> None:
    secrets, cluster = cache()
    cluster.gate.clear()
    first, second = (asyncio.create_task(secrets.get("team-a", "pat")) for _ in range(2))
    await started()
    first.cancel()
    await started()
    cluster.gate.set()
    assert await second == {"number": 0}
    assert first.cancelled()
    assert len(cluster.reads) == 1


async def test_trouble_reaches_all_and_is_not_kept() -> None:
    secrets, cluster = cache()
    cluster.trouble = Transient(Reason.CLUSTER_UNAVAILABLE, "away")
    told = await asyncio.gather(*(secrets.get("team-a", "pat") for _ in range(3)), return_exceptions=True)
    assert told == [cluster.trouble] * 3
    cluster.trouble = None
    assert await secrets.get("team-a", "pat") == {"number": 1}


async def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SECRETS", 2)
    secrets, cluster = cache()
    for name in ("a", "b", "a", "c", "a"):
        await secrets.get("team-a", name)
    assert cluster.reads == ["team-a/a", "team-a/b", "team-a/c"]
    await secrets.get("team-a", "b")
    assert cluster.reads[-1] == "team-a/b"
    assert len(secrets._kept) == 2  # noqa: SLF001 - the bound is what is tested
    assert not secrets._reading  # noqa: SLF001 - nothing is left behind


async def test_no_value_is_in_a_text_form() -> None:
    secrets, _ = cache()
    await secrets.get("team-a", "pat")
    assert "number" not in repr(secrets)


async def test_a_huge_secret_is_read_each_time() -> None:
    secrets, cluster = cache()
    cluster.padding = "x" * module.KEPT_LENGTH
    assert (await secrets.get("team-a", "pat") or {})["number"] == 0
    assert (await secrets.get("team-a", "pat") or {})["number"] == 1


def test_a_name_is_taken_from_when_a_watch_or_a_write_shows_it_until_it_is_gone() -> None:
    secrets, cluster = cache()
    assert not secrets.is_taken("team-a", "pat")
    secrets.take("team-a", "pat")
    assert secrets.is_taken("team-a", "pat")
    secrets.seen("team-a", "pat", is_there=False)
    assert not secrets.is_taken("team-a", "pat")
    secrets.seen("team-a", "pat", is_there=True)
    assert secrets.is_taken("team-a", "pat")
    assert cluster.reads == []


async def test_what_is_read_from_a_secret_is_read_once_for_as_long_as_that_is_kept() -> None:
    secrets, cluster = cache()
    place, read = ("team-a", "app"), list[Any]()

    def reader(secret: dict[str, Any] | None, name: str) -> str:
        read.append(secret)
        return f"{name} {(secret or {}).get('number')}"

    async def found() -> str:
        return secrets.read_from(place, await secrets.get(*place), reader)

    assert [await found(), await found()] == ["app 0", "app 0"]
    assert len(read) == 1
    secrets.changed(*place)
    assert [await found(), await found()] == ["app 1", "app 1"]
    assert len(read) == 2
    # What is not there, or too large to be kept, is kept by nobody.
    missing = ("team-a", "missing")
    for _ in range(2):
        assert secrets.read_from(missing, await secrets.get(*missing), reader) == "missing None"
    cluster.padding = "x" * module.KEPT_LENGTH
    secrets.changed(*place)
    await found()
    await found()
    assert len(read) == 6
    assert secrets._read_from == {}  # noqa: SLF001 - nobody else sees what is kept


async def test_with_a_secret_that_makes_room_goes_what_was_read_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SECRETS", 2)
    secrets, _ = cache()
    for name in ("a", "b", "c"):
        secrets.read_from(("team-a", name), await secrets.get("team-a", name), lambda _, name: name)
    assert list(secrets._read_from) == [("team-a", "b"), ("team-a", "c")]  # noqa: SLF001 - as above

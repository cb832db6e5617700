"""Events are posted behind the work's back: in order, few at once, and dropped when there are too many."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mooring.ports import Cluster
from mooring.services import herald
from mooring.services.herald import POSTS_AT_ONCE, Herald

SUBJECT = {
    "apiVersion": "mooring.dev/v1alpha1",
    "kind": "Project",
    "metadata": {"namespace": "a", "name": "p", "uid": "u", "resourceVersion": "1"},
    "status": {"large": "x" * 1000},
}


class Posts:
    """Takes Events where the API server would, and lets the test hold them up."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.subjects: list[dict[str, Any]] = []
        self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def emit(self, subject: dict[str, Any], *, warning: bool, reason: str, message: str) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        self.told.append(message)
        self.subjects.append(subject)


def tell(to: Herald, *messages: str) -> None:
    for message in messages:
        to.tell(SUBJECT, warning=False, reason="Ready", message=message)


async def test_nobody_waits_and_few_are_posted_at_once() -> None:
    posts, dropped = Posts(), []
    posts.gate.clear()
    found = Herald(cast("Cluster", posts), lambda: dropped.append(1))
    tell(found, *(str(number) for number in range(10)))
    task = asyncio.create_task(found.serve())
    for _ in range(5):
        await asyncio.sleep(0)
    assert posts.most == POSTS_AT_ONCE
    posts.gate.set()
    for _ in range(30):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(posts.told, key=int) == [str(number) for number in range(10)]
    assert not dropped
    assert all("status" not in subject for subject in posts.subjects)


async def test_too_many_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "WAITING_EVENTS", 3)
    posts, dropped = Posts(), []
    found = Herald(cast("Cluster", posts), lambda: dropped.append(1))
    tell(found, "1", "2", "3", "4", "5")
    await found.finish()
    assert posts.told == ["1", "2", "3"]
    assert len(dropped) == 2


async def test_the_end_waits_for_the_last_ones_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "LAST_SECONDS", 0.01)
    posts = Posts()
    posts.gate.clear()
    found = Herald(cast("Cluster", posts), lambda: None)
    tell(found, "1")
    await found.finish()
    assert posts.told == []


async def posted_after(found: Herald, posts: Posts) -> list[str]:
    task = asyncio.create_task(found.serve())
    for _ in range(30):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return posts.told


async def test_a_crowd_of_work_goes_before() -> None:
    posts = Posts()
    found = Herald(cast("Cluster", posts), lambda: None)
    found.calm = asyncio.Event()
    tell(found, "1")
    assert await posted_after(found, posts) == []


async def test_a_crowd_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "BEHIND_WORK", 0.0)
    posts = Posts()
    found = Herald(cast("Cluster", posts), lambda: None)
    found.calm = asyncio.Event()
    tell(found, "1", "2", "3")
    assert await posted_after(found, posts) == ["1", "2", "3"]

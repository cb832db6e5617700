"""Who was faster: the gateway, which only records, or somebody whose change has to be looked at. The port is played."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from mooring.ports import Changed, Object
from mooring.services import statuses
from mooring.services.store import key_of
from tests.unit.objects import raw_project
from tests.unit.services.platforms import platform


class Shelf:
    """The port, with one object that others change just before our writes."""

    def __init__(self, *others: Callable[[Object], object]) -> None:
        self.live = raw_project(resourceVersion="1", generation=1)
        self.live["status"] = {"source": {"decidedSha": "a"}, "push": {"delivery": "d1"}}
        self.others = list(others)
        self.reads = 0

    async def write_status(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, uid: str, resource_version: str
    ) -> Object:
        if self.others:
            self.others.pop(0)(self.live)
            self._move()
        if (uid, resource_version) != (self.live["metadata"]["uid"], self.live["metadata"]["resourceVersion"]):
            raise Changed("somebody was faster")
        self._move()
        self.live["status"] |= patch
        return copy.deepcopy(self.live)

    async def read_own(self, kind: str, namespace: str, name: str) -> Object | None:
        self.reads += 1
        return copy.deepcopy(self.live)

    def _move(self) -> None:
        metadata = self.live["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata["managedFields"] = [{"time": metadata["resourceVersion"]}]


def records(obj: Object) -> None:
    """Do what the gateway does."""
    obj["status"]["push"] = {"delivery": "d2"}
    obj["status"]["deliveries"] = [{"delivery": "d2"}]


def made_again(obj: Object) -> None:
    """Delete it, and make one of the same name."""
    obj["metadata"]["uid"] = "another"


async def write(*others: Callable[[Object], object], overtaken: statuses.Overtaken = statuses.never) -> Shelf:
    shelf: Any = Shelf(*others)
    herald: Any = SimpleNamespace(tell=lambda *_, **__: None)
    seen = copy.deepcopy(shelf.live)
    at = platform(cluster=shelf, herald=herald)
    try:
        stored = await statuses.write(at, seen, {"url": "https://shop.example.com"}, (), overtaken=overtaken)
    except Changed:
        # What is there by now is known for the next run.
        shelf.stored = None
    else:
        shelf.stored = stored
        kept = at.store.get(key_of(seen))
        assert kept is not None
        assert kept["metadata"]["resourceVersion"] == shelf.live["metadata"]["resourceVersion"]
    found: Shelf = shelf
    return found


async def test_a_gateway_that_was_faster_delays_nothing() -> None:
    shelf: Any = await write(records)
    assert shelf.stored == shelf.live
    assert (shelf.live["status"]["url"], shelf.live["status"]["push"]["delivery"]) == ("https://shop.example.com", "d2")
    assert shelf.reads == 1


async def test_what_a_record_overtakes_is_decided_anew() -> None:
    shown: list[Object] = []

    def overtaken(newer: Object) -> bool:
        shown.append(newer)
        return True

    shelf: Any = await write(records, overtaken=overtaken)
    assert shelf.stored is None
    assert "url" not in shelf.live["status"]
    assert [newer["status"]["push"] for newer in shown] == [{"delivery": "d2"}]


@pytest.mark.parametrize(
    "change",
    [
        lambda obj: obj["spec"].update(suspend=True),
        lambda obj: obj["metadata"].update(annotations={"mooring.dev/redeploy": "now"}),
        lambda obj: obj["status"].update(source={"decidedSha": "b"}),
        made_again,
    ],
    ids=["spec", "annotation", "status", "another"],
)
async def test_what_somebody_else_changed_is_looked_at_first(change: Callable[[Object], object]) -> None:
    shelf: Any = await write(change)
    assert shelf.stored is None
    assert "url" not in shelf.live["status"]


async def test_it_is_tried_twice_and_no_more() -> None:
    shelf: Any = await write(records, records, records)
    assert (shelf.stored, len(shelf.others), shelf.reads) == (None, 1, 2)

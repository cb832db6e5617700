"""Posts Kubernetes Events behind the work's back: a run never waits for one, and a burst of them slows nothing down.

What does not fit into the queue is dropped and counted: the status says the same, and stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mooring.ports import Cluster, Object

# Events that wait. A rollout of a thousand Projects makes two thousand; each is about a kilobyte.
WAITING_EVENTS = 4096
# Posts at once: few, so that they leave the API server to the work.
POSTS_AT_ONCE = 2
# Seconds that an Event waits at most while objects wait for their runs: a rotated token reaches all pods first.
BEHIND_WORK = 15.0
# Seconds that an ending process gives to what still waits.
LAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Notice:
    subject: Object
    warning: bool
    reason: str
    message: str
    # When it is posted at the latest, by the loop's clock.
    latest: float


class Herald:
    """The queue of Events."""

    def __init__(self, cluster: Cluster, dropped: Callable[[], None]) -> None:
        self._cluster = cluster
        self._dropped = dropped
        self._waiting: asyncio.Queue[_Notice] = asyncio.Queue(WAITING_EVENTS)
        # Set while there is no crowd of work before the Events.
        self.calm = asyncio.Event()
        self.calm.set()

    def tell(self, subject: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post an Event soon."""
        # Only what an Event needs of the object: it must not hold a whole status in memory.
        metadata = {name: subject["metadata"].get(name) for name in ("namespace", "name", "uid", "resourceVersion")}
        kept = {"apiVersion": subject["apiVersion"], "kind": subject["kind"], "metadata": metadata}
        try:
            latest = asyncio.get_running_loop().time() + BEHIND_WORK
            self._waiting.put_nowait(_Notice(kept, warning, reason, message, latest))
        except asyncio.QueueFull:
            self._dropped()

    async def serve(self) -> None:
        """Post until cancelled; then what still waits, for a moment."""
        async with asyncio.TaskGroup() as group:
            for number in range(POSTS_AT_ONCE):
                group.create_task(self._post(), name=f"post Events {number}")

    async def finish(self) -> None:
        """Post what still waits, as far as there is time."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while not self._waiting.empty():
                    await self._one(self._waiting.get_nowait())
        except TimeoutError:
            return

    async def _post(self) -> None:
        while True:
            notice = await self._waiting.get()
            await self._until_calm(notice.latest)
            await self._one(notice)

    async def _until_calm(self, latest: float) -> None:
        try:
            async with asyncio.timeout_at(latest):
                await self.calm.wait()
        except TimeoutError:
            return

    async def _one(self, notice: _Notice) -> None:
        await self._cluster.emit(notice.subject, warning=notice.warning, reason=notice.reason, message=notice.message)

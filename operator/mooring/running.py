"""What runs together in `mooring operator`, from standing by to the end. It is put together in `wiring`.

Kopf comes in as one more coroutine, from `handlers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.cluster.watch import Watch
from mooring.domain.leadership import Lost
from mooring.observability.health import Health, Latch
from mooring.observability.metrics import Metrics
from mooring.services.election import Election
from mooring.services.gateway_identity import GatewayIdentity
from mooring.services.intake import Intake
from mooring.services.platform import Platform
from mooring.services.webhook_secret import WebhookSecret
from mooring.services.work import WorkQueue
from mooring.settings import Settings

log = logging.getLogger(__name__)

# What is under way at the end gets so long. Kubernetes gives 30 s for all of it.
DRAIN_SECONDS = 5.0
# For so long at most the first runs of all objects have the process for themselves.
FIRST_RUNS_SECONDS = 30.0

Stop = Callable[[], Awaitable[None]]
# Kopf, given up to which version each collection was listed, what stops everything else, and what says that it has to
# end.
Follow = Callable[[Mapping[str, str], Stop, asyncio.Event], Awaitable[None]]


@dataclass(slots=True)
class Operator:
    """Everything that `mooring operator` is made of, but for Kopf and the admin server."""

    settings: Settings
    platform: Platform
    intake: Intake
    queue: WorkQueue
    # What is looked at by itself and is no object: it takes no place of one.
    beside: WorkQueue
    metrics: Metrics
    health: Health
    election: Election
    watches: list[Watch]
    # All three kinds are listed before the first object is looked at: else a Project would seem to have no token to
    # inherit, and a credential to have no user. Kopf tells of them in any order.
    own_kinds: list[Watch]
    # The Secrets of the Projects as they are by now, in a few lists; the watch on Deployments begins with such a list.
    # To read two objects for each Project would be most of what a start takes.
    secrets: list[Watch]
    filled: Latch
    webhooks: WebhookSecret
    # For the gateway in the same Pod, if any.
    gateway: GatewayIdentity | None
    close_installations: Stop
    close_github: Stop

    async def run(self, kopf: Follow, also_stop: Stop) -> None:
        """Stand by until this process leads, then work until a signal ends it; raises Lost where another one leads.

        The Lease is released when nothing of this process is at work any more.
        """
        ending = asyncio.Event()
        _end_on_signals(ending)
        beside = asyncio.create_task(self.gateway.keep(), name="the gateway's credential") if self.gateway else None
        try:
            if await self._leads(ending):
                async with asyncio.TaskGroup() as group:
                    keeping = group.create_task(self.election.keep(ending.set), name="keep the Lease")
                    await self._work(kopf, also_stop, ending)
                    keeping.cancel()
        finally:
            await self.election.end()
            if beside is not None:
                beside.cancel()
                await asyncio.gather(beside, return_exceptions=True)
        if self.election.lost is not None:
            raise Lost(self.election.lost)

    async def _leads(self, ending: asyncio.Event) -> bool:
        """Wait until this process leads, or has to end."""
        winning = asyncio.create_task(self.election.win(), name="stand by")
        try:
            if await _ended_before(ending, winning):
                return False
            winning.result()
            return True
        finally:
            winning.cancel()
            await asyncio.gather(winning, return_exceptions=True)

    async def _work(self, kopf: Follow, also_stop: Stop, ending: asyncio.Event) -> None:
        """Fill the caches, then reconcile until Kopf ends.

        Kopf is given what stops everything else, and calls it when it is about to end: it would wait for whatever runs
        in the event loop, and then cancel it.
        """
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[Any]] = [
                group.create_task(watch.run(), name=f"watch {watch.scope}") for watch in self.watches
            ]
            listing = group.create_task(_listed(self.own_kinds), name="list the three kinds")
            tasks += [listing, group.create_task(self._reconcile(listing), name="reconcile")]
            tasks.append(group.create_task(self.platform.herald.serve(), name="Events"))

            async def stop() -> None:
                await asyncio.gather(self.queue.drain(DRAIN_SECONDS), self.beside.drain(DRAIN_SECONDS))
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                # What many runs shared outlives each of them.
                await self.platform.secrets.aclose()
                await self.close_installations()
                await self.close_github()
                await also_stop()

            # Kopf follows the three kinds from where the lists ended.
            if not await _ended_before(ending, listing):
                await kopf(listing.result(), stop, ending)
            await stop()
        await self.platform.herald.finish()

    async def _reconcile(self, listing: asyncio.Task[dict[str, str]]) -> None:
        await asyncio.gather(listing, _listed(self.secrets))
        # What the lists remembered is not needed twice.
        self.own_kinds.clear()
        self.secrets.clear()
        await asyncio.gather(*(watch.synced.wait() for watch in self.watches))
        # None of it is garbage before it is replaced: to look through it again and again would take seconds.
        gc.freeze()
        self.filled.set()
        # Before the first object: what was proven of it is known by these keys.
        await self.webhooks.begin()
        log.info("the caches are filled; reconciling begins")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.webhooks.serve(), name="webhooks")
            group.create_task(serve_behind(self.queue, self.beside), name="looks beside")
            await self.queue.serve()


async def serve_behind(first: WorkQueue, other: WorkQueue, seconds: float = FIRST_RUNS_SECONDS) -> None:
    """Serve a queue when all that is due in another one has found its place, or after some seconds all the same."""
    other.touch()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await first.calm.wait()
    await other.serve()


async def _listed(watches: list[Watch]) -> dict[str, str]:
    """Have collections listed once; return by their paths up to which version everything was told."""
    async with asyncio.TaskGroup() as group:
        listing = [group.create_task(watch.run(), name=f"list {watch.scope}") for watch in watches]
        await asyncio.gather(*(watch.synced.wait() for watch in watches))
        for task in listing:
            task.cancel()
    return {watch.scope.path: watch.version for watch in watches}


async def _ended_before(ending: asyncio.Event, task: asyncio.Task[Any]) -> bool:
    """Wait for a task, but no longer than until everything has to end; tell whether it has."""
    waiting = asyncio.create_task(ending.wait(), name="wait for a signal")
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return ending.is_set()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def _end_on_signals(ending: asyncio.Event) -> None:
    """Have signals end what stands by; Kopf puts its own handlers in their place."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)

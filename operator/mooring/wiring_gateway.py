"""The composition root of the gateway: watches feed the caches, the receiver decides by them, recorders write.

Nothing is decided here, and nothing runs before `Gateway.run`. The server comes from `gateway`: it is given the Gateway
as what takes its deliveries, and stopped first.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import CA_FILE, TOKEN_FILE, Connection, Reload
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.watch import Scope, Seen, Watch
from mooring.domain.names import OwnKind
from mooring.observability.gateway_metrics import GatewayMetrics
from mooring.observability.health import Health
from mooring.ports import Event, Hook, Verdict
from mooring.services.clock import SystemClock
from mooring.services.receiving.books import Noticed, Notices, Pushed, Pushes
from mooring.services.receiving.followers import Followers
from mooring.services.receiving.hooks import Hooks
from mooring.services.receiving.places import Place
from mooring.services.receiving.receiver import DeliveryReceiver
from mooring.services.receiving.recorder import Recorder, Shared
from mooring.settings import Settings

log = logging.getLogger(__name__)

# How often a credential is looked for that the operator has not written yet.
LOOK_SECONDS = 0.5

Stop = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen by watches, as `receiver.Caches`."""

    watches: Sequence[Watch]

    def are_filled(self) -> bool:
        """Tell whether everything was listed once."""
        return all(watch.synced.is_set() for watch in self.watches)

    def are_current(self) -> bool:
        """Tell whether news arrive."""
        return all(watch.is_current for watch in self.watches)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What works once there is a connection to the API server."""

    receiver: DeliveryReceiver
    hooks: Hooks
    watched: Watched
    recorders: tuple[Recorder[Pushed], Recorder[Noticed]]


class Gateway:
    """Everything that `mooring gateway` is made of, but for its servers. It is a `ports.Receiver`."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, version: str) -> None:
        self.metrics = GatewayMetrics(version=version)
        self.health = Health()
        self.health.must_be_ready("webhooks", self.not_ready)
        self._settings = settings
        self._environ = environ
        self._parts: _Parts | None = None

    # --- what the server asks ---

    def not_ready(self) -> str | None:
        """Say what is missing before anything can be answered; None where nothing is."""
        if self._parts is None:
            return "there is no credential for the API server yet"
        return self._parts.receiver.not_ready()

    def hook(self, path_id: str | None) -> Hook | None:
        """Return the hook of an address (None: the operator's own App); None where there is none."""
        return self._parts.receiver.hook(path_id) if self._parts is not None else None

    def take(self, hook: Hook, event: Event, *, delivery: str) -> Verdict | Awaitable[Verdict]:
        """Record what a delivery said, whose signature was verified."""
        if self._parts is None:
            return Verdict(503, "unavailable", "Mooring is not ready yet.")
        return self._parts.receiver.take(hook, event, delivery=delivery)

    # --- from the start to the end ---

    async def run(self, stop_serving: Stop) -> None:
        """Work until a signal ends it; what is under way then is answered. Raises ConfigurationError."""
        ending = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        if not await self._has_credential(ending):
            await stop_serving()
            return
        connection = await Connection.open(self._environ, account=self._settings.gateway_token_dir)
        try:
            await self._work(self._assemble(connection), stop_serving, ending)
        finally:
            await connection.close()

    async def check_access(self) -> None:
        """Raise ConfigurationError where the access to the cluster is bad, and nobody is about to mend that."""
        if self._awaited is None:
            await Reload(self._environ)()

    @property
    def _awaited(self) -> Path | None:
        """Return the folder into which the operator writes a credential, if it does."""
        return None if self._environ.get("KUBECONFIG") else self._settings.gateway_token_dir

    async def _has_credential(self, ending: asyncio.Event) -> bool:
        """Wait for the credential that the operator writes, where it does; tell whether there is one."""
        if (folder := self._awaited) is None:
            return True
        missing = ""
        while not ending.is_set():
            missing, told = (
                next((name for name in (TOKEN_FILE, CA_FILE) if not _has_content(folder / name)), ""),
                missing,
            )
            if not missing:
                return True
            if missing != told:
                log.info("%s is not there yet: the operator writes it", folder / missing)
            await _within(ending.wait(), LOOK_SECONDS)
        return False

    async def _work(self, parts: _Parts, stop_serving: Stop, ending: asyncio.Event) -> None:
        self._parts = parts
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.run(), name=f"watch {watch.scope}") for watch in parts.watched.watches]
            tasks.append(group.create_task(parts.hooks.serve(), name="keys of webhooks"))
            tasks.append(group.create_task(_say_when_filled(parts.watched), name="first lists"))
            await ending.wait()
            log.info("the gateway ends; what is under way is answered first")
            # The caches go on meanwhile: what is under way is decided by them.
            await stop_serving()
            for recorder in parts.recorders:
                await recorder.aclose()
            for task in tasks:
                task.cancel()

    def _assemble(self, connection: Connection) -> _Parts:
        settings, clock = self._settings, SystemClock()
        assert settings.webhook_dir is not None  # noqa: S101 - `Settings.load` requires it of the gateway
        followers = Followers(settings.github_api_url)
        hooks = Hooks(settings.webhook_dir, followers, default_api=settings.github_api_url)
        cluster = KubernetesCluster(connection, clock, instance=socket.gethostname())
        shared = Shared(cluster, wrote=self.metrics.wrote)
        pushes, notices = Recorder(Pushes(followers), shared), Recorder(Notices(followers), shared)
        watched = Watched(_watches(settings, connection, followers))
        receiver = DeliveryReceiver(
            hooks=hooks, followers=followers, pushes=pushes, notices=notices, caches=watched, clock=clock
        )
        self.metrics.watch_followers(lambda: len(followers))
        return _Parts(receiver, hooks, watched, (pushes, notices))


def _watches(settings: Settings, connection: Connection, followers: Followers) -> list[Watch]:
    """Return the watches on what webhooks may concern."""
    takers: Mapping[OwnKind, Callable[[Seen], None]] = {
        "GitHubInstallation": lambda seen: _installation(followers, seen),
        "Project": lambda seen: _project(followers, seen),
    }
    return [
        Watch(connection, Scope(RESOURCES[kind], place, contents=True), take)
        for kind, take in takers.items()
        for place in settings.watch_namespaces or (None,)
    ]


def _project(followers: Followers, seen: Seen) -> None:
    if seen.event == "DELETED":
        followers.drop(Place(seen.namespace, seen.name), seen.uid)
    elif seen.obj is not None:
        followers.put(seen.obj, listed=seen.listed)


def _installation(followers: Followers, seen: Seen) -> None:
    if seen.event == "DELETED":
        followers.drop_installation(Place(seen.namespace, seen.name), seen.uid)
    elif seen.obj is not None:
        followers.put_installation(seen.obj, listed=seen.listed)


async def _say_when_filled(watched: Watched) -> None:
    await asyncio.gather(*(watch.synced.wait() for watch in watched.watches))
    # None of it is garbage before it is replaced: to look through it again and again would take from every answer.
    gc.freeze()
    log.info("the caches are filled")


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


async def _within(done: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Wait for something, but not for longer."""
    try:
        await asyncio.wait_for(done, seconds)
    except TimeoutError:
        return

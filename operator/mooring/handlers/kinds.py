"""Registration of the three kinds with Kopf, and its settings."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import kopf

from mooring.cluster.kinds import RESOURCES
from mooring.domain import names
from mooring.domain.resources import KINDS
from mooring.handlers.session import Continuation, Pace, RollCall, paced
from mooring.running import Stop
from mooring.services.intake import Intake
from mooring.services.store import Key
from mooring.settings import Settings

log = logging.getLogger(__name__)

# Seconds. The server ends a watch after the first; a connection without a byte for the last one is dead: the server
# sends a bookmark about once a minute.
SERVER_SECONDS, CONNECT_SECONDS, INACTIVITY_SECONDS = 600, 10, 150
# Seconds for a page of a list as a whole.
PAGE_SECONDS = 60
# Objects in a page of a list: it bounds what a start needs of memory.
PAGE_OBJECTS = 200
# Seconds that Kopf keeps a task, and the last event, of each object after an event. After a start there is one of each
# object, and by itself Kopf would keep them all for five seconds: more memory than everything else takes. They hold
# nothing that a next event needs.
IDLE_SECONDS = 0.5
# Seconds for Kopf to come to an end that nobody asked for; it kills the process then.
ENDING_SECONDS = 30
# Seconds after which an end that nobody asked for is not waited for any more.
HANGING_SECONDS = 10
# Seconds between tries while the API server is away; the last one is repeated.
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
# Who we are to other operators of Kopf's, to whom we never speak. By itself Kopf would look for the user's name, and in
# a container there is often none for its number. (Kopf has no public name for the type.)
IDENTITY: Any = "mooring"


class Ended(Exception):
    """Kopf ended without having been asked to; the text says why."""

    def __init__(self, why: str, *, hangs: bool = False) -> None:
        super().__init__(why)
        # Whether it holds up everything else: what waits for all of its tasks may wait for ever.
        self.hangs = hangs


class Endless:
    """Waits between tries, without an end: by itself, Kopf gives up after a minute, and ends the process."""

    def __iter__(self) -> Iterator[float]:
        """Begin anew, as each request does."""
        return itertools.chain(WAITS, itertools.repeat(WAITS[-1]))


class NoDifferences(kopf.DiffBaseStorage):
    """Compares nothing: handlers of plain events get no differences.

    By itself, Kopf copies each object with its status at each event, to compare it with an annotation that we don't
    keep.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 - Kopf's own signature
        """Return that there is nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Return that nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing."""


def registry(
    intake: Intake, listed: Mapping[str, str], stop: Stop, *, places: Collection[str | None] = (None,)
) -> kopf.OperatorRegistry:
    """Return a registry of our own, so that nothing depends on what was imported."""
    handlers = kopf.OperatorRegistry()

    # A coroutine, though it awaits nothing: Kopf would run a plain function in a thread, beside the event loop.
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        intake.own_kind(event["type"], dict(event["object"]))

    for kind in KINDS:
        kopf.on.event(names.GROUP, names.VERSION, kind.info.plural, registry=handlers, id="seen")(seen)

    collections = {RESOURCES[kind].collection(place): (kind, place) for kind in names.OWN_KINDS for place in places}

    def known(path: str) -> dict[str, Key]:
        return intake.known(*collections[path])

    pace, continuation = Pace(), Continuation(listed, RollCall(known, intake.missing))

    async def login(**given: Any) -> kopf.AiohttpSession | None:
        await pace.wait("login")
        info = kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
        return paced(info, pace, continuation) if info is not None else None

    async def end(**_: Any) -> None:
        await stop()

    kopf.on.login(registry=handlers)(login)
    kopf.on.cleanup(registry=handlers, id="stop")(end)
    return handlers


def configuration() -> kopf.OperatorSettings:
    """Return Kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = NoDifferences()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = SERVER_SECONDS + INACTIVITY_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.chunk_size = PAGE_OBJECTS
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.networking.request_timeout = PAGE_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = Endless()
    settings.process.ultimate_exiting_timeout = ENDING_SECONDS
    return settings


async def follow(
    settings: Settings, intake: Intake, listed: Mapping[str, str], stop: Stop, ending: asyncio.Event
) -> None:
    """Follow the three kinds until a signal or `ending` ends it; then stop what else runs. Raises Ended else.

    `listed` has the versions, by collection, up to which the intake was told everything.
    """
    loop, others = asyncio.get_running_loop(), asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry(intake, listed, stop, places=settings.watch_namespaces or (None,)),
        settings=configuration(),
        standalone=True,
        identity=IDENTITY,
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        stop_flag=ending,
    )
    # In the place of Kopf's own, which do not tell us that they were called.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    running = asyncio.create_task(kopf.run_tasks(tasks, ignored=others), name="Kopf")
    others.add(running)
    try:
        await _end_in_time(running, tasks, ending)
        await running
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        raise
    except Ended:
        raise
    except Exception as problem:
        if not ending.is_set():
            raise Ended(_why(problem)) from problem
        log.warning("following the three kinds ended with %s", _why(problem))
    if not ending.is_set():
        raise Ended("Kopf does not follow the three kinds any more, and does not say why")
    loop.set_exception_handler(_left_open)


async def _end_in_time(
    running: asyncio.Task[None], tasks: Collection[asyncio.Task[Any]], ending: asyncio.Event
) -> None:
    """Wait until Kopf comes to an end; raise Ended where nobody asked for one, and it hangs."""
    await asyncio.wait({running, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.is_set():
        await asyncio.wait({running}, timeout=HANGING_SECONDS)
    if not ending.is_set() and not running.done():
        raise Ended(_why_first(tasks), hangs=True)


def _why_first(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Say why the first of Kopf's tasks ended."""
    ended = (task.exception() for task in tasks if task.done() and not task.cancelled())
    problem = next((it for it in ended if isinstance(it, Exception)), None)
    told = _why(problem) if problem is not None else "Kopf does not follow the three kinds any more"
    return f"{told}, and hangs"


def _why(problem: Exception) -> str:
    """Say what ended Kopf, without the text of what the API server sent."""
    status = getattr(problem, "status", None)
    told = f"the API server answered {status}" if isinstance(status, int) else type(problem).__name__
    return f"Kopf cannot go on with following the three kinds ({told})"


def _left_open(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Take generators that Kopf left open for what they are, once it has ended.

    A watch that is cancelled between two events stays suspended in its `yield`. The event loop closes all such
    generators when it ends, in any order; one that finds what it holds closed already complains, and nothing is lost.
    """
    if "asyncgen" in context:
        log.debug("a generator was left open: %s", context.get("exception"))
    else:
        loop.default_exception_handler(dict(context))

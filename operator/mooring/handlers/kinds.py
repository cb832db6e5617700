"""Registration of the three kinds with Kopf, and its settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import kopf

from mooring.domain import names
from mooring.domain.resources import KINDS
from mooring.services.intake import Intake
from mooring.settings import Settings
from mooring.wiring import Stop

log = logging.getLogger(__name__)

# Seconds. The server ends a watch after the first; a connection without a byte for the last one is dead: the server
# sends a bookmark about once a minute.
SERVER_SECONDS, CONNECT_SECONDS, INACTIVITY_SECONDS = 600, 10, 150
# Objects in a page of a list: it bounds what a start needs of memory.
PAGE_OBJECTS = 200


def registry(intake: Intake, stop: Stop) -> kopf.OperatorRegistry:
    """Return a registry of our own, so that nothing depends on what was imported."""
    handlers = kopf.OperatorRegistry()

    # A coroutine, though it awaits nothing: Kopf would run a plain function in a thread, beside the event loop.
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        intake.own_kind(event["type"], dict(event["object"]))

    for kind in KINDS:
        kopf.on.event(names.GROUP, names.VERSION, kind.info.plural, registry=handlers, id="seen")(seen)

    async def login(**given: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    async def end(**_: Any) -> None:
        await stop()

    kopf.on.login(registry=handlers)(login)
    kopf.on.cleanup(registry=handlers, id="stop")(end)
    return handlers


def configuration() -> kopf.OperatorSettings:
    """Return Kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = SERVER_SECONDS + INACTIVITY_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.chunk_size = PAGE_OBJECTS
    return settings


async def follow(settings: Settings, intake: Intake, stop: Stop, ending: asyncio.Event) -> None:
    """Follow the three kinds until a signal or `ending` ends it; then stop what else runs."""
    await kopf.operator(
        registry=registry(intake, stop),
        settings=configuration(),
        standalone=True,
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        stop_flag=ending,
    )
    asyncio.get_running_loop().set_exception_handler(_left_open)


def _left_open(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Take generators that Kopf left open for what they are, once it has ended.

    A watch that is cancelled between two events stays suspended in its `yield`. The event loop closes all such
    generators when it ends, in any order; one that finds what it holds closed already complains, and nothing is lost.
    """
    if "asyncgen" in context:
        log.debug("a generator was left open: %s", context.get("exception"))
    else:
        loop.default_exception_handler(dict(context))

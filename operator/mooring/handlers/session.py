"""The HTTP session that Kopf uses: as Kopf would make it, but that nothing is done again and again without a pause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

import aiohttp
import kopf

from mooring.cluster.backoff import Backoff

# What is done again after so many seconds was good for something. Kopf opens a watch at once after the last one, also
# where that ended at once: hundreds of times a second, where a balancer cuts watches. And it uses a session that it
# is given at once, also where the last one was refused.
SETTLED_SECONDS = 5.0
# The first and the longest wait in seconds; a random part of it is really waited.
WAITS = (0.5, 8.0)


class Pace:
    """Has whatever is done soon after the time before wait, ever longer."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._random = Random()  # noqa: S311 - spreads load, guards nothing
        # By what is done: a few watches, and the login.
        self._done: dict[str, float] = {}
        self._backoffs: dict[str, Backoff] = {}

    async def wait(self, what: str) -> None:
        """Return when something may be done again."""
        backoff = self._backoffs.setdefault(what, Backoff(*WAITS, self._random))
        done = self._done.get(what)
        if done is not None and self._clock() - done < SETTLED_SECONDS:
            await self._sleep(backoff.next())
        else:
            backoff.reset()
        self._done[what] = self._clock()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request of Kopf's when it is time."""
        if request.url.query.get("watch") == "true":
            await self.wait(request.url.path)
            if request.session.closed:
                # Refused meanwhile. This is how aiohttp says it, and what Kopf takes for a reason to log in again.
                raise RuntimeError("Session is closed")
        return await handler(request)


def paced(info: kopf.ConnectionInfo, pace: Pace) -> kopf.AiohttpSession:
    """Return a session with the credentials that Kopf found. Kopf closes it, and wants another where it is refused."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=False,
        middlewares=(pace,),
    )
    return kopf.AiohttpSession(
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
        aiohttp_session=session,
    )

"""The HTTP session that Kopf uses: as Kopf would make it, but that nothing is done again and again without a pause.

Nor is everything listed twice: Kopf goes on from where our own lists ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
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
# A field selector that fits no object: names have no capital letters.
NOBODY = "metadata.name=NOBODY"


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


class Continuation:
    """Has Kopf watch what was listed before it began, from there on.

    Its own first list would bring every object once more, and leave a task and a memory of each. So that list is asked
    for nobody, and whatever Kopf would watch from its version is watched from the version of ours: nothing is missed in
    between. When Kopf lists again, it is because a watch could not go on, and then it gets everything.
    """

    def __init__(self, listed: Mapping[str, str]) -> None:
        """Take the versions by the path of the collection."""
        self._listed = dict(listed)
        # The version of the list of nobody, as Kopf's first watch tells it: until then that list may fail, and be
        # asked for again.
        self._nobodys: dict[str, str] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request of Kopf's."""
        # The API may be below a path of its server's.
        path = next((known for known in self._listed if request.url.path.endswith(known)), None)
        if request.method == "GET" and path is not None:
            query = request.url.query
            if query.get("watch") == "true":
                request.url = request.url.update_query(self._since(path, query.get("resourceVersion", "")))
            elif path not in self._nobodys:
                # From the API server's memory: its version does not matter.
                request.url = request.url.update_query(fieldSelector=NOBODY, resourceVersion="0")
            else:
                del self._listed[path]
        return await handler(request)

    def _since(self, path: str, version: str) -> dict[str, str]:
        """Return what to change about a watch: nothing once Kopf has got on by an event."""
        if self._nobodys.setdefault(path, version) == version:
            return {"resourceVersion": self._listed[path]}
        del self._listed[path]
        return {}


def paced(info: kopf.ConnectionInfo, pace: Pace, continuation: Continuation) -> kopf.AiohttpSession:
    """Return a session with the credentials that Kopf found. Kopf closes it, and wants another where it is refused."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        # Inside a cluster, compression costs more than it saves.
        headers={"Accept-Encoding": "identity", **(info.as_http_headers() or {})},
        proxy=info.proxy_url,
        trust_env=False,
        middlewares=(pace, continuation),
    )
    return kopf.AiohttpSession(
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
        aiohttp_session=session,
    )

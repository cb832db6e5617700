"""The HTTP session that Kopf uses: as Kopf would make it, but that nothing is done again and again without a pause.

Nor is everything listed twice: Kopf goes on from where our own lists ended. When it lists again nevertheless, what is
gone is found out, which it does not tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import aiohttp
import kopf
import orjson

from mooring.cluster.backoff import Backoff
from mooring.services.store import Key

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


class RollCall:
    """Finds out who is gone whenever Kopf lists a collection again.

    Kopf tells of everybody who is on the list, and of nobody who went while its watch was broken.
    """

    def __init__(self, present: Callable[[str], dict[str, Key]], gone: Callable[[Key, str], None]) -> None:
        """Take who is known in a collection, by uid and by the path of it, and whom to tell of those who are gone."""
        self._present = present
        self._gone = gone
        # By collection: who is known since before the list was asked for, and was on no page of it yet.
        self._missing: dict[str, dict[str, Key]] = {}

    async def hold(
        self, path: str, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request for a page of a list."""
        if "continue" not in request.url.query:
            self._missing[path] = self._present(path)
        response = await handler(request)
        # Where it is refused, Kopf asks for the same page again, or begins anew with the first one.
        if response.status == 200:
            self._strike(path, await response.read())
        return response

    def _strike(self, path: str, body: bytes) -> None:
        """Strike who is on a page; after the last one, tell of those who are left."""
        missing = self._missing.get(path)
        if missing is None:
            return
        try:
            page = orjson.loads(body)
            for item in page["items"]:
                missing.pop(item["metadata"]["uid"], None)
            is_last = not page["metadata"].get("continue")
        except (AttributeError, KeyError, TypeError, ValueError):
            # Not a list: whatever answered, nobody is gone because of it.
            del self._missing[path]
            return
        if is_last:
            for uid, key in self._missing.pop(path).items():
                self._gone(key, uid)


class Continuation:
    """Has Kopf watch what was listed before it began, from there on.

    Its own first list would bring every object once more, and leave a task and a memory of each. So that list is asked
    for nobody, and whatever Kopf would watch from its version is watched from the version of ours: nothing is missed in
    between. When Kopf lists again, it is because a watch could not go on, and then it gets everything.
    """

    def __init__(self, listed: Mapping[str, str], roll_call: RollCall) -> None:
        """Take the versions by the path of the collection."""
        self._paths = tuple(listed)
        self._listed = dict(listed)
        self._roll_call = roll_call
        # The version of the list of nobody, as Kopf's first watch tells it: until then that list may fail, and be
        # asked for again.
        self._nobodys: dict[str, str] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request of Kopf's."""
        # The API may be below a path of its server's.
        path = next((known for known in self._paths if request.url.path.endswith(known)), None)
        if request.method != "GET" or path is None:
            return await handler(request)
        query = request.url.query
        if query.get("watch") == "true":
            request.url = request.url.update_query(self._since(path, query.get("resourceVersion", "")))
            return await handler(request)
        if path not in self._nobodys:
            # From the API server's memory: its version does not matter.
            request.url = request.url.update_query(fieldSelector=NOBODY, resourceVersion="0")
            return await handler(request)
        self._listed.pop(path, None)
        return await self._roll_call.hold(path, request, handler)

    def _since(self, path: str, version: str) -> dict[str, str]:
        """Return what to change about a watch: nothing once Kopf has got on by an event, or listed again."""
        if path in self._listed and self._nobodys.setdefault(path, version) == version:
            return {"resourceVersion": self._listed[path]}
        self._listed.pop(path, None)
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

"""What goes wrong on the lab's GitHub, on request: slow, failing and cut answers, deliveries astray, replicas behind.

A fault is set through the control API and hits what it matches, as often and as likely as it says. Chances come from
one random generator with a fixed seed, so a run can be repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from lab.github.journal import CUT, presented
from lab.github.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Set on a request whose streamed answer must break off after its first bytes.
CUT_STREAM: web.RequestKey[bool] = web.RequestKey("cut_stream", bool)
_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)
_DOCUMENTATION = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"
_SERVER_ERRORS = {500: "Server Error", 502: "Server Error", 503: "Service Unavailable", 504: "Gateway Timeout"}


class FaultSpec(BaseModel):
    """What every fault has."""

    model_config = ConfigDict(extra="forbid")

    # How many times it strikes; unset means until it is removed.
    count: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0


class RequestFault(FaultSpec):
    """A fault of matching requests: REST, git and web alike."""

    methods: list[str] = []
    # Globs: the path without its query, and the public id of the credential.
    path: str = "*"
    credential: str = "*"

    def matches(self, method: str, path: str, credential: str) -> bool:
        """Tell whether a request is one of those meant."""
        if self.methods and method not in self.methods:
            return False
        return fnmatchcase(path, self.path) and fnmatchcase(credential, self.credential)


class Latency(RequestFault):
    """Answer later."""

    kind: Literal["latency"]
    seconds: Annotated[float, Field(ge=0, le=600)]


class Status(RequestFault):
    """Answer with this status instead of doing anything."""

    kind: Literal["status"]
    status: Annotated[int, Field(ge=400, le=599)]
    message: str | None = None
    headers: dict[str, str] = {}
    retry_after: Annotated[int, Field(ge=0)] | None = None


class SecondaryLimit(RequestFault):
    """Refuse as GitHub's secondary rate limits do, with or without Retry-After."""

    kind: Literal["secondary-limit"]
    status: Literal[403, 429] = 403
    retry_after: Annotated[int, Field(ge=0)] | None = None


class PrimaryLimit(RequestFault):
    """Refuse as a spent primary limit does: nothing remains until `seconds` from now."""

    kind: Literal["primary-limit"]
    status: Literal[403, 429] = 403
    seconds: Annotated[int, Field(ge=0)] = 60


class Drop(RequestFault):
    """Cut the connection without an answer, before or after the work was done."""

    kind: Literal["drop"]
    after_work: bool = False


class Truncate(RequestFault):
    """Do the work, and cut the connection in the middle of the answer's body."""

    kind: Literal["truncate"]


class Redirect(RequestFault):
    """Send the client elsewhere."""

    kind: Literal["redirect"]
    location: str
    status: Literal[301, 302, 307, 308] = 307


class DeliveryFault(FaultSpec):
    """A fault of matching webhook deliveries."""

    # Globs: the event, owner/name, and app or repository for whose hook it is.
    event: str = "*"
    repository: str = "*"
    target: Literal["*", "app", "repository"] = "*"


class Lose(DeliveryFault):
    """Never send; `recorded` says whether GitHub's list of deliveries shows a failure or nothing at all."""

    kind: Literal["lose"]
    recorded: bool = True


class Double(DeliveryFault):
    """Send twice, with one GUID."""

    kind: Literal["double"]


class Late(DeliveryFault):
    """Send after `seconds`, or, without them, only when the control API says so."""

    kind: Literal["late"]
    seconds: Annotated[float, Field(ge=0, le=86400)] | None = None


class Reorder(DeliveryFault):
    """Hold back until the next delivery to the same hook has been sent, or `seconds` have passed."""

    kind: Literal["reorder"]
    seconds: Annotated[float, Field(gt=0, le=600)] = 5.0


class Lag(FaultSpec):
    """Let the REST API read branches as they were `seconds` ago, or, without them, as they are now."""

    kind: Literal["lag"]
    repository: str = "*"
    seconds: Annotated[float, Field(gt=0, le=86400)] | None = None


Spec = Annotated[
    Latency
    | Status
    | SecondaryLimit
    | PrimaryLimit
    | Drop
    | Truncate
    | Redirect
    | Lose
    | Double
    | Late
    | Reorder
    | Lag,
    Field(discriminator="kind"),
]
AnyDelivery = Lose | Double | Late | Reorder
AnyRequest = Latency | Status | SecondaryLimit | PrimaryLimit | Drop | Truncate | Redirect


@dataclass(slots=True)
class Fault:
    """A fault that was set, and how often it has struck."""

    id: int
    spec: Any
    hits: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> bool:
        """Tell whether it has struck as often as it should."""
        return self.spec.count is not None and self.hits >= self.spec.count

    def as_json(self) -> dict[str, Any]:
        """Return the fault for the control API."""
        return {"id": self.id, "hits": self.hits, **self.spec.model_dump()}


class Faults:
    """The faults in force."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self._random = random.Random(0)  # noqa: S311 - repeatable on purpose
        self.active: dict[int, Fault] = {}

    def add(self, spec: BaseModel) -> Fault:
        """Set a fault."""
        fault = Fault(next(self._numbers), spec)
        self.active[fault.id] = fault
        return fault

    def clear(self) -> None:
        """Remove every fault, and start the chances anew."""
        self.active.clear()
        self._random.seed(0)

    def _strikes(self, fault: Fault) -> bool:
        if fault.spent or self._random.random() >= fault.spec.probability:
            return False
        fault.hits += 1
        return True

    def for_delivery(self, event: str, repository: str, target: str) -> Iterable[AnyDelivery]:
        """Return what happens to a delivery."""
        for fault in list(self.active.values()):
            spec = fault.spec
            if not isinstance(spec, DeliveryFault) or not fnmatchcase(event, spec.event):
                continue
            if fnmatchcase(repository, spec.repository) and spec.target in {"*", target} and self._strikes(fault):
                yield spec  # type: ignore[misc]  # every DeliveryFault that can be set is one of the four

    def lag_moment(self, repository: str) -> float | None:
        """Return the moment (monotonic) of which reads of a repository tell, or None for now."""
        for fault in list(self.active.values()):
            spec = fault.spec
            if isinstance(spec, Lag) and fnmatchcase(repository, spec.repository) and self._strikes(fault):
                return fault.since if spec.seconds is None else time.monotonic() - spec.seconds
        return None

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the faults that match a request strike it, in the order in which they were set."""
        credential = presented(self._world, request)
        for fault in list(self.active.values()):
            spec = fault.spec
            if not isinstance(spec, RequestFault) or not spec.matches(request.method, request.path, credential):
                continue
            if not self._strikes(fault):
                continue
            if isinstance(spec, Latency):
                await asyncio.sleep(spec.seconds)
            else:
                return await self._strike(request, handler, spec)
        return await handler(request)

    async def _strike(self, request: web.Request, handler: Handler, spec: RequestFault) -> web.StreamResponse:
        if isinstance(spec, Drop):
            if spec.after_work:
                await handler(request)
            return _cut(request)
        if isinstance(spec, Truncate):
            return await _truncated(request, handler)
        if isinstance(spec, Redirect):
            return web.Response(status=spec.status, headers={"Location": spec.location})
        return self._refusal(spec)

    def _refusal(self, spec: RequestFault) -> web.Response:
        headers, message, status = {}, "", 500
        if isinstance(spec, PrimaryLimit):
            reset = int(self._world.clock.now().timestamp()) + spec.seconds
            headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Used": "5000"}
            headers |= {"X-RateLimit-Reset": str(reset), "X-RateLimit-Resource": "core"}
            message, status = "API rate limit exceeded.", spec.status
        elif isinstance(spec, SecondaryLimit):
            message, status = _SECONDARY, spec.status
        elif isinstance(spec, Status):
            message = spec.message or _SERVER_ERRORS.get(spec.status, "Error")
            headers, status = dict(spec.headers), spec.status
        if isinstance(spec, SecondaryLimit | Status) and spec.retry_after is not None:
            headers["Retry-After"] = str(spec.retry_after)
        body = json.dumps({"message": message, "documentation_url": _DOCUMENTATION})
        return web.Response(status=status, headers=headers, text=body, content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    """Close the connection at once; the response that is returned reaches nobody."""
    request[CUT] = True
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the head and half of the body, then cut. A streamed answer cuts itself."""
    request[CUT_STREAM] = True
    response = await handler(request)
    if not isinstance(response, web.Response) or response.prepared:
        return response
    body = response.body if isinstance(response.body, bytes | bytearray) else b""
    broken = web.StreamResponse(status=response.status, headers=response.headers)
    broken.content_length = max(2, len(body))
    await broken.prepare(request)
    await broken.write(bytes(body[: len(body) // 2]) or b"{")
    _cut(request)
    return broken

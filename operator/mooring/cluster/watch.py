"""Watches: a list, then a stream, for ever. What is seen goes to a callback; nothing is decided here.

A list comes in pages. The first one of whole objects comes as a stream, where the API server can do that: it sends them
from its memory, while for each page it reads and decodes them anew, which takes ten times as long.

Of objects that are not ours only metadata is asked for, so that no content of a Secret ever arrives. Of each object no
more is kept than tells whether it changed or went while the stream was broken.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, NoReturn
from urllib.parse import urlencode

import aiohttp
import orjson

from mooring.cluster import errors
from mooring.cluster.backoff import Backoff
from mooring.cluster.connection import JSON, NO_ANSWER, Answer, AnswerTooLarge, Connection, read_at_most
from mooring.cluster.errors import Asked
from mooring.cluster.kinds import Resource
from mooring.cluster.limits import WatchTimings
from mooring.domain.names import GROUP

log = logging.getLogger(__name__)

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

Object = dict[str, Any]
Labels = tuple[tuple[str, str], ...]
OUR_LABELS = f"{GROUP}/"
# Said by the API server behind the last of what was there.
ALL_TOLD = "k8s.io/initial-events-end"


class Expired(Exception):
    """What we know is too old to go on from: list again."""


class Broken(Exception):
    """The list or the stream failed; the text is for the log and holds no content."""

    def __init__(self, text: str, *, seconds: float = 0.0) -> None:
        super().__init__(text)
        self.seconds = seconds  # to wait at least, as the server asked


@dataclass(frozen=True, slots=True)
class Seen:
    """An object that came, changed or went."""

    kind: str
    event: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    # All of them; where the object went unseen, those of Mooring that were last seen.
    labels: Mapping[str, str] = field(default_factory=dict)
    # The whole object, where contents were asked for.
    obj: Object | None = field(default=None, repr=False)
    # Whether a list has it: then it is so, though another version may have a higher number. After a restore of etcd all
    # versions are lower than before.
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What a watch looks at."""

    resource: Resource
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None
    contents: bool = False
    # Whole objects in the first list, and metadata from then on.
    contents_at_first: bool = False

    @property
    def path(self) -> str:
        """Return the path of the collection."""
        return self.resource.collection(self.namespace)

    def query(self, **more: str | int) -> str:
        """Return the query that goes with every request of this watch."""
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return "?" + urlencode({name: value for name, value in {**given, **more}.items() if value not in (None, "")})

    def __str__(self) -> str:
        """Name it for the log."""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource.role_name}{where}"


class Watch:
    """One collection, followed until cancelled."""

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        changed: Callable[[Seen], None],
        *,
        back: Callable[[], None] | None = None,
        timings: WatchTimings | None = None,
        random: Random | None = None,
    ) -> None:
        self.scope = scope
        # Called when a watch that could not be opened is open again, and its news, if it was listed anew, are told.
        self._back = back
        self._was_away = False
        self._is_open = False
        # Set when the first list is in: what a reader of the caches waits for.
        self.synced = asyncio.Event()
        self._connection = connection
        self._changed = changed
        self._timings = timings or WatchTimings()
        self._random = random or Random()  # noqa: S311 - spreads load, guards nothing
        self._backoff = Backoff(*self._timings.backoff_seconds, self._random)
        # (namespace, name) -> (uid, resource version, the labels that an unseen deletion is told with)
        self._known: dict[tuple[str, str], tuple[str, str, Labels]] = {}
        self._page_objects = 0
        # One try: whatever is wrong with it, pages will tell.
        self._may_stream = True
        self._version: str | None = None
        self._told_up_to = ""

    @property
    def version(self) -> str:
        """Return up to which version everything was told, also where it is too old to go on; empty before a list."""
        return self._told_up_to

    @property
    def is_current(self) -> bool:
        """Tell whether news arrive, as far as this watch knows: its stream was opened, and has not broken since."""
        return self._is_open

    async def run(self) -> None:
        """List, then follow; start again after every break, never in a hurry. Ends only when cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            started, broken = clock(), Broken("the server ended it early")
            try:
                if self._version is None:
                    self._version = self._told_up_to = await self._streamed() or await self._list()
                    self.synced.set()
                await self._follow()
            except Expired:
                self._version = None
                broken = Broken("too old to go on, listed again")
            except Broken as problem:
                broken = problem
            except NO_ANSWER as problem:
                broken = Broken(type(problem).__name__)  # its text is not ours, and may quote what was received
            except (KeyError, TypeError, ValueError, AttributeError):
                # JSON that is not what it should be: whatever answered, the next list may come from the API server.
                self._version = None
                broken = Broken("what answered is not the API server")
            else:
                if clock() - started >= self._timings.settled_seconds:
                    self._backoff.reset()
                    continue
            await self._pause(broken, lived=clock() - started)

    async def _pause(self, broken: Broken, *, lived: float) -> None:
        if lived >= self._timings.settled_seconds and self.synced.is_set():
            self._backoff.reset()
        self._was_away, self._is_open = True, False
        wait = max(self._backoff.next(), broken.seconds)
        log.warning("the watch on %s broke (%s); again in %.1f s", self.scope, broken, wait)
        await asyncio.sleep(wait)

    # The list

    async def _list(self) -> str:
        """Read all pages; tell what is new, what changed and what is gone. Return the version to go on from."""
        timings = self._timings
        self._page_objects = timings.whole_page_objects if self._wants_contents else timings.page_objects
        found: set[tuple[str, str]] = set()
        following, version = "", ""
        while True:
            page = await self._page(following)
            version = page["metadata"].get("resourceVersion") or version
            for item in page.get("items") or ():
                found.add(self._note("ADDED", item, listed=True))
            following = page["metadata"].get("continue") or ""
            if not following:
                break
        for place in [place for place in self._known if place not in found]:
            self._tell_gone(place)
        return version

    async def _streamed(self) -> str | None:
        """Have whole objects streamed that are there at first; return the version to go on from, None: it failed."""
        if not (self._may_stream and self._wants_contents) or self.scope.fields is not None:
            return None  # of a single object, a list is no more than that
        self._may_stream = False
        query = self.scope.query(
            watch="true", allowWatchBookmarks="true", sendInitialEvents="true", resourceVersionMatch="NotOlderThan"
        )
        timings = self._timings
        stream = self._connection.stream(
            self.scope.path + query,
            accept=JSON,
            seconds=timings.server_seconds[1],
            silence=timings.page_seconds,
        )
        try:
            async with stream as response:
                if response.status != 200:
                    log.debug("the list of %s comes in pages: answered %d", self.scope, response.status)
                    return None
                async for line in _lines(response, timings.event_bytes):
                    event = _object(line)
                    kind, metadata = event.get("type"), event["object"].get("metadata") or {}
                    if kind == "BOOKMARK" and (metadata.get("annotations") or {}).get(ALL_TOLD) == "true":
                        return str(metadata["resourceVersion"])
                    if kind in {"ADDED", "MODIFIED", "DELETED"}:
                        # What happens meanwhile may come before the bookmark.
                        self._note(str(kind), event["object"], listed=kind == "ADDED")
                    elif kind != "BOOKMARK":
                        break
        except (Broken, *NO_ANSWER) as problem:
            log.debug("the list of %s comes in pages: %s", self.scope, type(problem).__name__)
        return None

    @property
    def _wants_contents(self) -> bool:
        """Tell whether a list has to bring whole objects."""
        return self.scope.contents or (self.scope.contents_at_first and not self.synced.is_set())

    async def _page(self, following: str) -> Object:
        accept = JSON if self._wants_contents else METADATA_LIST
        while True:
            query = self.scope.query(limit=self._page_objects, **({"continue": following} if following else {}))
            try:
                answer = await self._connection.page(
                    self.scope.path + query, accept=accept, seconds=self._timings.page_seconds
                )
            except AnswerTooLarge:
                if self._page_objects <= self._timings.smallest_page:
                    raise
                self._page_objects = max(self._page_objects // 2, self._timings.smallest_page)
                continue
            break
        if answer.status != 200:
            self._raise("list", answer)
        return _object(answer.body)

    def _raise(self, verb: str, answer: Answer) -> NoReturn:
        if answer.status == 410:
            raise Expired
        refused = errors.refusal(
            Asked(verb, self.scope.resource, self.scope.namespace, None), answer, datetime.now(UTC)
        )
        raise Broken(str(refused), seconds=errors.wait_seconds(answer.headers) or 0.0)

    # The stream

    async def _follow(self) -> None:
        seconds = self._random.uniform(*self._timings.server_seconds)
        query = self.scope.query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version or "",
            timeoutSeconds=int(seconds) or 1,
        )
        stream = self._connection.stream(
            self.scope.path + query,
            accept=JSON if self.scope.contents else METADATA,
            # The server ends the stream itself; this is for one that forgets to.
            seconds=seconds + self._timings.inactivity_seconds,
            silence=self._timings.inactivity_seconds,
        )
        async with stream as response:
            if response.status != 200:
                body = await read_at_most(response, self._timings.event_bytes)
                self._raise("watch", Answer(response.status, response.headers, body))
            if self._was_away and self._back is not None:
                self._back()
            self._was_away, self._is_open = False, True
            async for line in _lines(response, self._timings.event_bytes):
                self._take(_object(line))

    def _take(self, event: Object) -> None:
        kind, obj = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise Expired if obj.get("code") == 410 else Broken(f"the stream ended with code {obj.get('code')}")
        self._version = obj["metadata"].get("resourceVersion") or self._version
        # An event that arrived shows that the connection works.
        self._backoff.reset()
        if kind in {"ADDED", "MODIFIED", "DELETED"}:
            self._note(str(kind), obj)
        self._told_up_to = self._version or ""

    def _note(self, event: str, obj: Object, *, listed: bool = False) -> tuple[str, str]:
        """Remember an object, and tell of it where it is news."""
        metadata = obj["metadata"]
        metadata.pop("managedFields", None)
        # One copy of each name serves all objects and all caches.
        place = (sys.intern(metadata.get("namespace") or ""), sys.intern(metadata["name"]))
        uid, version = metadata["uid"], metadata["resourceVersion"]
        known = self._known.get(place)
        labels = metadata.get("labels") or {}
        if event == "DELETED":
            self._known.pop(place, None)
        else:
            if known is not None and known[0] != uid:
                self._tell_gone(place)
            elif known is not None and known[1] == version:
                return place
            event = "MODIFIED" if known is not None and known[0] == uid else "ADDED"
            ours = tuple(
                (sys.intern(key), sys.intern(value)) for key, value in labels.items() if key.startswith(OUR_LABELS)
            )
            self._known[place] = (uid, version, ours)
        self._tell(
            Seen(
                self.scope.resource.kind,
                event,
                *place,
                uid=uid,
                resource_version=version,
                generation=int(metadata.get("generation") or 0),
                labels=labels,
                obj=self._complete(obj) if self._wants_contents else None,
                listed=listed,
            )
        )
        return place

    def _complete(self, obj: Object) -> Object:
        """Name the kind, which the items of a list leave out."""
        return {"apiVersion": self.scope.resource.api_version, "kind": self.scope.resource.kind, **obj}

    def _tell_gone(self, place: tuple[str, str]) -> None:
        uid, version, labels = self._known.pop(place)
        self._tell(
            Seen(
                self.scope.resource.kind,
                "DELETED",
                *place,
                uid=uid,
                resource_version=version,
                generation=0,
                labels=dict(labels),
            )
        )

    def _tell(self, seen: Seen) -> None:
        """Pass news on. A defect in whoever takes them must not end the watch, and with it the process."""
        try:
            self._changed(seen)
        except Exception:
            log.exception("news of %s %s/%s were not understood", seen.kind, seen.namespace, seen.name)
            # The next list tells of it again: what it has is news then, and what it has not is gone.
            place = (seen.namespace, seen.name)
            if seen.event == "DELETED":
                self._known[place] = (seen.uid, seen.resource_version, tuple(seen.labels.items()))
            else:
                self._known.pop(place, None)


async def _lines(response: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Split a stream into lines, none longer than allowed."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        end, *following = chunk.split(b"\n")
        rest += end
        if following:
            if rest:
                yield bytes(rest)
            for line in following[:-1]:
                if line:
                    yield line
            rest = bytearray(following[-1])
        if len(rest) > most:
            raise AnswerTooLarge


def _object(body: bytes) -> Object:
    try:
        content = orjson.loads(body)
    except ValueError:
        raise Broken("what answered is not the API server") from None
    if not isinstance(content, dict) or ("metadata" not in content and "object" not in content):
        raise Broken("what answered is not the API server")
    return content

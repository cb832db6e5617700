"""Keeps in one ConfigMap up to where failed deliveries were handled, so that a restart asks for nothing twice.

Read once, before it is first needed; from then on memory is the truth, and what somebody else writes there is replaced
with the next thing to write. In a quiet cluster nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from mooring.domain import names
from mooring.domain.webhooks.attempts import Cursor, fresh, within_reach
from mooring.domain.webhooks.cursors import AppPlace, BadCursors, dump, parse, worth_keeping
from mooring.ports import AlreadyExists, Changed, Cluster, Object

log = logging.getLogger(__name__)

KEY = "deliveries.json"


class DeliveryCursors:
    """The cursors of all Apps. One for a process; only who leads uses it."""

    def __init__(self, cluster: Cluster, namespace: str, used: Callable[[], Iterable[AppPlace]]) -> None:
        """Take what tells which Apps are in use."""
        self._cluster = cluster
        self._namespace = namespace
        self._used = used
        self._where = f"ConfigMap {namespace}/{names.DELIVERIES_CONFIG_MAP}"
        self._cursors: dict[AppPlace, Cursor] = {}
        # The object that was seen or written last. One task at a time reads or writes: each writes for all.
        self._uid: str | None = None
        self._has_read = False
        self._turn = asyncio.Lock()
        # Apps of which more is known than is written.
        self._unwritten: set[AppPlace] = set()

    async def of(self, place: AppPlace, now: datetime) -> Cursor:
        """Return where an App's next look begins; `now` is the time there."""
        async with self._turn:
            if not self._has_read:
                self._take_in(await self._read())
                self._has_read = True
        return within_reach(self._cursors.get(place) or fresh(now), now)

    def put(self, place: AppPlace, cursor: Cursor, *, is_news: bool) -> None:
        """Remember a cursor; what is no news is written when something else is."""
        self._cursors[place] = cursor
        if is_news:
            self._unwritten.add(place)

    def forget(self, place: AppPlace) -> None:
        """Drop an App that nobody uses any more; the next write leaves it out."""
        self._cursors.pop(place, None)
        self._unwritten.discard(place)

    async def write(self, place: AppPlace, now: datetime) -> None:
        """Write all that is known, where there is news of an App; raise Changed where somebody else made the object."""
        async with self._turn:
            if place not in self._unwritten:
                return  # nothing to write, or another App's write took it along
            if self._uid is None:
                found = await self._read()
                self._uid = None if found is None else str(found["metadata"]["uid"])
            written = set(self._unwritten)
            manifest = self._manifest(now)
            try:
                if self._uid is None:
                    stored = await self._cluster.create(manifest)
                else:
                    stored = await self._cluster.apply(manifest, uid=self._uid)
            except (AlreadyExists, Changed) as moved:
                self._uid = None
                raise Changed(f"{self._where} was made or removed meanwhile") from moved
            self._uid = str(stored["metadata"]["uid"])
            self._unwritten -= written

    async def _read(self) -> Object | None:
        return await self._cluster.read("ConfigMap", self._namespace, names.DELIVERIES_CONFIG_MAP)

    def _take_in(self, found: Object | None) -> None:
        """Begin with what is there; what cannot be read is as good as nothing."""
        if found is None:
            return
        self._uid = str(found["metadata"]["uid"])
        try:
            self._cursors = parse(str((found.get("data") or {}).get(KEY) or ""))
        except BadCursors as problem:
            log.warning(
                "%s cannot be read: %s. Failed deliveries of the last hour are looked at; some may be asked for again.",
                self._where,
                problem,
            )

    def _manifest(self, now: datetime) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.DELIVERIES_CONFIG_MAP,
                "namespace": self._namespace,
                "labels": {names.MANAGED_BY: names.MANAGER},
            },
            "data": {KEY: dump(worth_keeping(self._cursors, self._used(), now))},
        }

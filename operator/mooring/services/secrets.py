"""Reads the Secrets that people name, keeps them until a watch says that they changed, and knows which names are free.

A thousand Projects that inherit one token read one Secret once. What is kept stays in memory, is bounded, and is never
printed.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from mooring.ports import Cluster, Object

R = TypeVar("R")


async def write_secret(cluster: Cluster, manifest: Object, live: Object) -> Object:
    """Make a Secret of ours what the manifest says, and nothing more: also where somebody added keys or froze it."""
    metadata = live["metadata"]
    if live.get("immutable"):
        place = (metadata["namespace"], metadata["name"])
        await cluster.delete("Secret", *place, uid=metadata["uid"], resource_version=metadata["resourceVersion"])
        return await cluster.create(manifest)
    stored = await cluster.apply(manifest, uid=metadata["uid"])
    added = set(stored.get("data") or ()) - set(manifest["data"])
    return await cluster.drop_data(stored, added) if added else stored


# Secrets kept at once; past this the least recently used is read again when needed.
KEPT_SECRETS = 4096
# Characters of one that is kept, as JSON. A token takes a few hundred; a Secret may have a MiB, and is read each time.
KEPT_LENGTH = 8192


class Secrets:
    """Secrets by namespace and name."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kept: OrderedDict[tuple[str, str], Object | None] = OrderedDict()
        self._reading: dict[tuple[str, str], asyncio.Task[Object | None]] = {}
        # The names of all that watches have shown, that were written, or that were in the way of a first write.
        self._taken: set[tuple[str, str]] = set()
        # What was read from those that are kept, by whom.
        self._read_from: dict[tuple[str, str], tuple[Object, Callable[[Object | None, str], Any], Any]] = {}

    def is_taken(self, namespace: str, name: str) -> bool:
        """Tell whether there is a Secret of that name, as far as watches have told."""
        return (namespace, name) in self._taken

    def take(self, namespace: str, name: str) -> None:
        """Take note that a name is taken."""
        self._taken.add((namespace, name))

    def seen(self, namespace: str, name: str, *, is_there: bool) -> None:
        """Take what a watch tells of a Secret."""
        self.changed(namespace, name)
        if is_there:
            self._taken.add((namespace, name))
        else:
            self._taken.discard((namespace, name))

    async def get(self, namespace: str, name: str) -> Object | None:
        """Return a Secret, or None where there is none. Callers that ask at once share one request."""
        key = (namespace, name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._read(key), name=f"read Secret {namespace}/{name}")
            self._reading[key] = task
        # Whoever is cancelled must not take the answer from the others.
        return await asyncio.shield(task)

    def read_from(self, key: tuple[str, str], secret: Object | None, read: Callable[[Object | None, str], R]) -> R:
        """Return what is read from a Secret, once for as long as it is kept. It is shared: nobody may change it."""
        known = self._read_from.get(key)
        if known is not None and known[0] is secret and known[1] is read:
            shared: R = known[2]
            return shared
        found = read(secret, key[1])
        if secret is not None and self._kept.get(key) is secret:
            self._read_from[key] = secret, read, found
        return found

    async def aclose(self) -> None:
        """End the reads under way."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def changed(self, namespace: str, name: str) -> None:
        """Forget what a Secret has, which is something else by now; a read under way is not kept either."""
        self._kept.pop((namespace, name), None)
        self._read_from.pop((namespace, name), None)
        self._reading.pop((namespace, name), None)

    async def _read(self, key: tuple[str, str]) -> Object | None:
        try:
            secret = await self._cluster.read("Secret", *key)
            # One that is missing is not kept: it may be there before a watch tells of it, and a Project that begins
            # without its token would have to roll once more.
            worth = secret is not None and len(json.dumps(secret)) <= KEPT_LENGTH
            if worth and self._reading.get(key) is asyncio.current_task():
                self._kept[key] = secret
                while len(self._kept) > KEPT_SECRETS:
                    gone, _ = self._kept.popitem(last=False)
                    self._read_from.pop(gone, None)
            return secret
        finally:
            if self._reading.get(key) is asyncio.current_task():
                del self._reading[key]

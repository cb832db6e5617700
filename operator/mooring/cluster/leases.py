"""`ports.Leases` on a real API server: one Lease, written only onto the version that was seen.

No time of another machine is read here. The connection is one of its own: the guard that needs the Lease does not hold
for it, and no other request stands in its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mooring.cluster import errors
from mooring.cluster.connection import JSON, NO_ANSWER, Answer, Connection
from mooring.cluster.errors import Asked
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.watch import Scope, Seen, Watch
from mooring.domain import names
from mooring.domain.leadership import Lease
from mooring.ports import AlreadyExists, Changed, Clock, Object

MERGE = "application/merge-patch+json"
LEASE = RESOURCES["Lease"]
METHODS = {"get": "GET", "create": "POST", "patch": "PATCH"}
_MANAGER_QUERY = f"?fieldManager={names.FIELD_MANAGER}"


class KubernetesLease:
    """One Lease of the operator's namespace."""

    def __init__(self, connection: Connection, clock: Clock, namespace: str, name: str) -> None:
        self._connection = connection
        self._clock = clock
        self._namespace = namespace
        self._name = name

    def __str__(self) -> str:
        """Name it for the log."""
        return f"Lease {self._namespace}/{self._name}"

    async def read(self, *, seconds: float) -> Lease | None:
        """Return the Lease as it is now, None where there is none."""
        asked = self._asked("get")
        answer = await self._send(asked, asked.path, None, JSON, seconds=seconds)
        if errors.is_missing(answer):
            return None
        if answer.status >= 300:
            raise errors.refusal(asked, answer, self._clock.now())
        return _lease(errors.decoded_object(asked, answer))

    async def take(self, seen: Lease | None, holder: str, lasting: int, transitions: int, *, seconds: float) -> Lease:
        """Make the Lease, or take over what was seen; raise Changed where somebody else was faster."""
        now = micro_time(self._clock.now())
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": lasting,
            "leaseTransitions": transitions,
            "acquireTime": now,
            "renewTime": now,
        }
        return await self._make(spec, seconds) if seen is None else await self._patch(seen, spec, seconds)

    async def renew(self, held: Lease, *, seconds: float) -> Lease:
        """Say that the holder is still there; raise Changed where the Lease is not as it was."""
        return await self._patch(held, {"renewTime": micro_time(self._clock.now())}, seconds)

    async def release(self, held: Lease, *, seconds: float) -> Lease:
        """Leave the Lease to whoever comes first; raise Changed where it is not as it was."""
        return await self._patch(held, {"holderIdentity": "", "renewTime": micro_time(self._clock.now())}, seconds)

    async def follow(self, saw: Callable[[Lease | None], None]) -> None:
        """Tell of every change, until cancelled."""

        def changed(seen: Seen) -> None:
            saw(None if seen.event == "DELETED" or seen.obj is None else _lease(seen.obj))

        scope = Scope(LEASE, self._namespace, fields=f"metadata.name={self._name}", contents=True)
        await Watch(self._connection, scope, changed).run()

    def _asked(self, verb: str) -> Asked:
        return Asked(verb, LEASE, self._namespace, self._name)

    async def _make(self, spec: Mapping[str, Any], seconds: float) -> Lease:
        metadata = {"name": self._name, "labels": {names.MANAGED_BY: names.MANAGER}}
        body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
        path = LEASE.collection(self._namespace)
        try:
            return await self._write(self._asked("create"), path, body, JSON, seconds=seconds)
        except AlreadyExists as problem:
            raise Changed(str(problem)) from None

    async def _patch(self, seen: Lease, spec: Mapping[str, Any], seconds: float) -> Lease:
        """Change some fields; those that others may have put there stay."""
        asked = self._asked("patch")
        body = {"metadata": {"resourceVersion": seen.version}, "spec": spec}
        return await self._write(asked, asked.path, body, MERGE, seconds=seconds)

    async def _write(
        self, asked: Asked, path: str, body: Mapping[str, Any], content_type: str, *, seconds: float
    ) -> Lease:
        content = json.dumps(body, separators=(",", ":")).encode()
        answer = await self._send(asked, path + _MANAGER_QUERY, content, content_type, seconds=seconds)
        if answer.status >= 300:
            raise errors.refusal(asked, answer, self._clock.now())
        return _lease(errors.decoded_object(asked, answer))

    async def _send(
        self, asked: Asked, path: str, content: bytes | None, content_type: str, *, seconds: float
    ) -> Answer:
        try:
            return await self._connection.request(
                METHODS[asked.verb], path, content, content_type=content_type, seconds=seconds
            )
        except NO_ANSWER as error:
            raise errors.no_answer(asked, error) from None


def _lease(found: Object) -> Lease:
    spec = found.get("spec") or {}
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        seconds=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        renewed=str(spec.get("renewTime") or ""),
        version=str(found["metadata"]["resourceVersion"]),
    )


def micro_time(moment: datetime) -> str:
    """Write a moment as Kubernetes' MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

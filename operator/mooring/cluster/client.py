"""`ports.Cluster` on a real API server. What to write is decided elsewhere; here stands how it is written safely.

Every write is held to what was observed: a first write fails where the name is taken, later ones carry the uid, and a
status carries the version. All writes of children are server-side applies. An object made by POST would keep the fields
of its first version for ever: the API server books them to an update, so an apply that drops one does not remove it.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from mooring.cluster import errors
from mooring.cluster.connection import JSON, NO_ANSWER, Connection
from mooring.cluster.errors import Asked
from mooring.cluster.kinds import RESOURCES, Resource
from mooring.domain import names
from mooring.domain.errors import Trouble
from mooring.domain.names import FIELD_MANAGER, GATEWAY_MANAGER, Kind, OwnKind
from mooring.ports import AlreadyExists, Changed, Clock, Object

log = logging.getLogger(__name__)

APPLY = "application/apply-patch+yaml"  # JSON is YAML, and quicker to write
MERGE = "application/merge-patch+json"
# Pods of a Project that are looked at: of more, the rest says the same.
MOST_PODS = 100
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

# etcd begins to count at 1 before its first write, so no object has this version: an apply that is held to it makes the
# object where there is none (201), and is refused as a conflict (409) where there is one.
NO_VERSION = "1"
# Rounds of reading a version and writing onto it, where the caller has none and somebody else's write comes between.
STATUS_ROUNDS = 5

REPORTING_CONTROLLER = "mooring.dev/operator"
# The API server's own limits for Events, in bytes and characters, and for what it appends to a generated name.
NOTE_BYTES = 1024
INSTANCE_LENGTH = 128
EVENT_NAME_LENGTH = 200

_APPLY_QUERY = f"?fieldManager={FIELD_MANAGER}&force=true"
_MANAGER_QUERY = f"?fieldManager={FIELD_MANAGER}"
_GATEWAY_QUERY = f"?fieldManager={GATEWAY_MANAGER}"


class KubernetesCluster:
    """The API server as the services see it. One per process; any number of tasks may use it at once."""

    def __init__(self, connection: Connection, clock: Clock, *, instance: str) -> None:
        self._connection = connection
        self._clock = clock
        self._instance = instance[:INSTANCE_LENGTH]

    async def read(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object without its managedFields, or None where there is none."""
        return await self._read(RESOURCES[kind], namespace, name)

    async def read_own(self, kind: OwnKind, namespace: str, name: str) -> Object | None:
        """Return one of the three kinds, fresh from the API server."""
        return await self._read(RESOURCES[kind], namespace, name)

    async def read_config_map(self, namespace: str, name: str) -> Object | None:
        """Return a ConfigMap, or None where there is none."""
        return await self._read(RESOURCES["ConfigMap"], namespace, name)

    async def pods(self, namespace: str, project: str) -> list[Object]:
        """List the pods of a Project, a bounded number of them."""
        resource = RESOURCES["Pod"]
        labels = quote(f"{names.MANAGED_BY}={names.MANAGER},{names.PROJECT_LABEL}={project}")
        path = f"{resource.collection(namespace)}?labelSelector={labels}&limit={MOST_PODS}"
        found = await self._send("GET", path, Asked("list", resource, namespace, None))
        return list((found or {}).get("items") or ())

    async def create(self, manifest: Object) -> Object:
        """Make a child where there is none; raise AlreadyExists where the name is taken, whoever was first."""
        asked = _asked("create", manifest)
        try:
            return await self._apply(asked, manifest, resourceVersion=NO_VERSION)
        except Changed:
            # A conflict says only that it was refused; a taken name means that an object is there.
            taken = await self._read(asked.resource, asked.namespace, asked.name or "", accept=METADATA_ONLY)
            if taken is None:
                raise
            raise AlreadyExists(f"{asked.subject} exists already") from None

    async def apply(self, manifest: Object, *, uid: str) -> Object:
        """Apply a child, held to the uid that was observed; raise Changed where that object is gone or replaced."""
        return await self._apply(_asked("patch", manifest), manifest, uid=uid)

    async def drop_data(self, secret: Object, keys: Iterable[str]) -> Object:
        """Take keys out of a Secret that others put in, held to its version; raise Changed where that moved on."""
        asked = _asked("patch", secret)
        patch = {
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
            "data": dict.fromkeys(keys),
        }
        return await self._write("PATCH", asked.path + _MANAGER_QUERY, asked, patch, MERGE)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete exactly the object that was observed; one that is gone is fine; raise Changed where it changed."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        asked = Asked("delete", RESOURCES[kind], namespace, name)
        await self._send("DELETE", asked.path, asked, body=options, missing_is_fine=True)

    async def write_status(
        self,
        kind: OwnKind,
        namespace: str,
        name: str,
        status: Mapping[str, Any],
        *,
        uid: str,
        resource_version: str | None,
    ) -> Object:
        """Merge fields into a status (None removes one); raise Changed where the object is gone, replaced or moved on.

        The API server ignores a uid in a patch of a status, so the version holds it: none is ever used twice. Without
        one the present version is read first, which makes two requests of it.
        """
        asked = Asked("patch", RESOURCES[kind], namespace, name, "status")
        if resource_version is not None:
            return await self._merge_status(asked, status, resource_version)
        for _ in range(STATUS_ROUNDS):
            version = await self._version(asked, uid)
            try:
                return await self._merge_status(asked, status, version)
            except Changed:
                continue  # read again: the uid decides whether it may be written
        raise Changed(f"{asked.subject} changes faster than its status can be written")

    async def merge_recorded(
        self,
        kind: OwnKind,
        namespace: str,
        name: str,
        fields: Mapping[str, Any],
        *,
        resource_version: str,
        seconds: float,
    ) -> str:
        """Merge what came by webhook into a status, as the gateway: one attempt; raise Changed where the object moved.

        Whoever sent it waits for the answer, so a server that is slow is given up soon. The answer is its metadata
        alone: held to a version, the write says by itself what is there then.
        """
        asked = Asked("patch", RESOURCES[kind], namespace, name, "status")
        patch = {"metadata": {"resourceVersion": resource_version}, "status": fields}
        stored = await self._write(
            "PATCH", asked.path + _GATEWAY_QUERY, asked, patch, MERGE, accept=METADATA_ONLY, seconds=seconds
        )
        return str(stored["metadata"]["resourceVersion"])

    async def read_recorded(self, kind: OwnKind, namespace: str, name: str, *, seconds: float) -> Object | None:
        """Return one of the three kinds, fresh from the API server, or give up soon."""
        return await self._read(RESOURCES[kind], namespace, name, seconds=seconds)

    async def keep_finalizer(self, obj: Object, finalizer: str, *, wanted: bool) -> Object | None:
        """Add or take away a finalizer, held to the version that was observed.

        The whole list is written, so the version guards those of others. Taking the last one away from an object that
        is being deleted removes it: the answer may then be that there is none.
        """
        metadata = obj["metadata"]
        asked = Asked("patch", RESOURCES[obj["kind"]], metadata["namespace"], metadata["name"])
        before = metadata.get("finalizers") or []
        after = [*before, finalizer] if wanted else [name for name in before if name != finalizer]
        patch = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "finalizers": after}
        }
        return await self._send(
            "PATCH", asked.path + _MANAGER_QUERY, asked, body=patch, content_type=MERGE, missing_is_fine=not wanted
        )

    async def emit(self, subject: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post a Kubernetes Event about an object. Losing one is not an error: it is noted at debug level."""
        event = _event(subject, warning=warning, reason=reason, message=message, instance=self._instance)
        event["eventTime"] = _micro_time(self._clock.now())
        resource = RESOURCES["Event"]
        asked = Asked("create", resource, subject["metadata"]["namespace"], None)
        path = resource.collection(asked.namespace)
        try:
            await self._send("POST", path, asked, body=event, seconds=self._connection.limits.event_seconds)
        except (Trouble, AlreadyExists, Changed) as problem:
            log.debug("an Event about %s was lost: %s", subject["metadata"]["name"], problem)

    async def _read(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        accept: str = JSON,
        seconds: float | None = None,
    ) -> Object | None:
        asked = Asked("get", resource, namespace, name)
        return await self._send("GET", asked.path, asked, accept=accept, seconds=seconds, missing_is_fine=True)

    async def _apply(self, asked: Asked, manifest: Object, **held_to: str) -> Object:
        held = {**manifest, "metadata": {**manifest["metadata"], **held_to}}
        return await self._write("PATCH", asked.path + _APPLY_QUERY, asked, held, APPLY)

    async def _version(self, asked: Asked, uid: str) -> str:
        found = await self._read(asked.resource, asked.namespace, asked.name or "", accept=METADATA_ONLY)
        if found is None or found["metadata"]["uid"] != uid:
            raise Changed(f"{asked.subject} was removed or replaced since it was read")
        return str(found["metadata"]["resourceVersion"])

    async def _merge_status(self, asked: Asked, status: Mapping[str, Any], version: str) -> Object:
        patch = {"metadata": {"resourceVersion": version}, "status": status}
        return await self._write("PATCH", asked.path + _MANAGER_QUERY, asked, patch, MERGE)

    async def _write(
        self,
        method: str,
        path: str,
        asked: Asked,
        body: Mapping[str, Any],
        content_type: str,
        *,
        accept: str = JSON,
        seconds: float | None = None,
    ) -> Object:
        found = await self._send(
            method, path, asked, body=body, content_type=content_type, accept=accept, seconds=seconds
        )
        if found is None:
            raise errors.no_object(asked)
        return found

    async def _send(
        self,
        method: str,
        path: str,
        asked: Asked,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float | None = None,
        missing_is_fine: bool = False,
    ) -> Object | None:
        """Send a request and return the object in the answer; None where there is none and that is fine."""
        content = None if body is None else orjson.dumps(body)
        try:
            answer = await self._connection.request(
                method, path, content, content_type=content_type, accept=accept, seconds=seconds
            )
        except NO_ANSWER as error:
            raise errors.no_answer(asked, error) from None  # the cause may quote what was sent
        if answer.status >= 300:
            if missing_is_fine and errors.is_missing(answer):
                return None
            raise errors.refusal(asked, answer, self._clock.now())
        return errors.decoded_object(asked, answer)


def _asked(verb: str, manifest: Object) -> Asked:
    metadata = manifest["metadata"]
    return Asked(verb, RESOURCES[manifest["kind"]], metadata["namespace"], metadata["name"])


def _event(subject: Object, *, warning: bool, reason: str, message: str, instance: str) -> dict[str, Any]:
    metadata = subject["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name'][:EVENT_NAME_LENGTH].rstrip('.-')}-"},
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "note": _shortened(message),
        "regarding": {
            "apiVersion": subject["apiVersion"],
            "kind": subject["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }


def _shortened(message: str) -> str:
    content = message.encode()
    return message if len(content) <= NOTE_BYTES else content[: NOTE_BYTES - 3].decode(errors="ignore") + "…"


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

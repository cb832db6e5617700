"""`services.release.Estate` on a real API server: lists in small pages, and owners for what Mooring made for itself."""

from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlencode

from mooring.cluster import errors
from mooring.cluster.client import MERGE, KubernetesCluster
from mooring.cluster.connection import JSON, NO_ANSWER, Connection
from mooring.cluster.errors import Asked
from mooring.cluster.kinds import RESOURCES, Resource
from mooring.domain.names import FIELD_MANAGER, OwnKind
from mooring.domain.ownership import Account
from mooring.ports import Changed, Clock, Object

# Objects in a page: of the largest that etcd takes, so many fit into one answer.
PAGE_OBJECTS = 10
PAGE_SECONDS = 30.0
_REVIEW = Resource("SelfSubjectReview", "authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)
_ACCOUNT = "system:serviceaccount:"


class KubernetesEstate(KubernetesCluster):
    """What Mooring leaves behind, and where it is. One for a process."""

    def __init__(self, connection: Connection, clock: Clock, *, instance: str, namespace: str) -> None:
        super().__init__(connection, clock, instance=instance)
        self._namespace = namespace

    async def pages(self, kind: OwnKind, namespace: str | None) -> AsyncIterator[list[Object]]:
        """List one of the three kinds, a few at a time; raise Changed where the list has to be begun anew."""
        resource, following = RESOURCES[kind], ""
        while True:
            page = await self._page(resource, namespace, following)
            # The items of a list do not name their kind.
            yield [{"apiVersion": resource.api_version, "kind": kind, **item} for item in page.get("items") or ()]
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return

    async def account(self) -> Account | None:
        """Return the service account that this process has, None where it runs as somebody else."""
        asked = Asked("create", _REVIEW, None, None)
        body = {"apiVersion": _REVIEW.api_version, "kind": _REVIEW.kind}
        found = await self._write("POST", _REVIEW.collection(), asked, body, JSON)
        user = (found.get("status") or {}).get("userInfo") or {}
        name = str(user.get("username") or "")
        own = f"{_ACCOUNT}{self._namespace}:"
        return Account(name.removeprefix(own), str(user["uid"])) if name.startswith(own) and user.get("uid") else None

    async def give(self, kind: Literal["Lease", "ConfigMap", "Secret"], name: str, owner: Account) -> bool:
        """Let an object of the operator's own namespace go with its owner; False where there is none."""
        asked = Asked("patch", RESOURCES[kind], self._namespace, name)
        reference = {"apiVersion": "v1", "kind": "ServiceAccount", "name": owner.name, "uid": owner.uid}
        patch = {"metadata": {"ownerReferences": [reference]}}
        path = f"{asked.path}?fieldManager={FIELD_MANAGER}"
        return await self._send("PATCH", path, asked, body=patch, content_type=MERGE, missing_is_fine=True) is not None

    async def _page(self, resource: Resource, namespace: str | None, following: str) -> Object:
        asked = Asked("list", resource, namespace, None)
        query = urlencode({"limit": PAGE_OBJECTS, **({"continue": following} if following else {})})
        path = f"{resource.collection(namespace)}?{query}"
        try:
            answer = await self._connection.page(path, accept=JSON, seconds=PAGE_SECONDS)
        except NO_ANSWER as error:
            raise errors.no_answer(asked, error) from None
        if answer.status == 404:
            return {}  # the kind is not there any more, and no object of it
        if answer.status == 410:
            raise Changed("the list is too old to go on")
        if answer.status >= 300:
            raise errors.refusal(asked, answer, self._clock.now())
        return errors.decoded_object(asked, answer)

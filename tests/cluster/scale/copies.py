"""Objects by the thousand, in exactly the form in which the operator would have written them, from its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.cluster.kinds import RESOURCES
from mooring.domain.conditions import timestamp
from mooring.domain.projects import SourceFacts
from mooring.domain.resources.project_status import RevisionStatus
from mooring.domain.webhooks.following import proven_facts
from mooring.domain.webhooks.keys import Keys, prove
from tests.cluster.harness import Hub, Object


def as_run(deployment: Object) -> dict[str, int]:
    """Return the status of a Deployment whose pods run."""
    counted = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    return {"observedGeneration": deployment["metadata"]["generation"], **counted}


async def send(
    connection: Connection, method: str, kind: str, place: Mapping[str, str], body: Object, *, subresource: str = ""
) -> Object:
    """Create an object, or merge something into one."""
    resource = RESOURCES[kind]
    path, form = resource.collection(place["namespace"]), "application/json"
    if method == "PATCH":
        path, form = f"{path}/{place['name']}{subresource}", "application/merge-patch+json"
    named = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    answer = await connection.request(method, path, json.dumps(named).encode(), content_type=form)
    assert answer.status in {200, 201}, answer.status
    return dict(json.loads(answer.body))


async def write_status(cluster: KubernetesCluster, obj: Object, status: Object) -> None:
    """Write a status."""
    metadata = obj["metadata"]
    await cluster.write_status(
        obj["kind"],
        metadata["namespace"],
        metadata["name"],
        status,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )


@dataclass(frozen=True)
class Following:
    """A Project that follows a repository by an installation, and what the copies of it are signed with."""

    hub: Hub
    project: Object
    installation: Object
    keys: Keys
    # How far GitHub's clock is ahead of ours, in seconds.
    ahead: float

    @property
    def revision(self) -> RevisionStatus:
        """Return its revision."""
        return RevisionStatus.model_validate(self.project["status"]["revision"])

    def status(self, copy: Object, full_name: str, repository_id: int) -> Object:
        """Return its status for a copy with another repository: proven an hour ago, and read just now."""
        name, first = copy["metadata"]["name"], self.project["metadata"]["name"]
        status = json.loads(json.dumps(self.project["status"]).replace(f'"{first}-', f'"{name}-'))
        proven = proven_facts(
            copy,
            self.installation,
            self.keys,
            default_api=self.hub.api_url,
            repository_id=repository_id,
            branch=status["source"]["branch"],
        )
        assert proven is not None
        now, followed = datetime.now(UTC), status["source"]["fullName"]
        status["source"] |= {
            "repositoryId": repository_id,
            "nodeId": None,
            "fullName": full_name,
            "specName": full_name,
            "proof": prove(self.keys, proven),
            "provenAt": timestamp(now - timedelta(hours=1)),
            "readAt": timestamp(now + timedelta(seconds=self.ahead)),
        }
        for one in status["conditions"]:
            one["message"] = str(one["message"]).replace(f"{followed},", f"{full_name},")
        return dict(status)

    def facts(self, status: Object) -> SourceFacts:
        """Return what children are made of, by the status of a copy."""
        source = status["source"]
        return SourceFacts(
            provider=source["provider"],
            full_name=source["fullName"],
            url=f"{self.hub.web_url}/{source['fullName']}.git",
            branch=source["branch"],
            decided_sha=source["decidedSha"],
            head_sha=source["headSha"],
            repository_id=source["repositoryId"],
        )

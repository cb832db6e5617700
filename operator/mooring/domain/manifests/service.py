"""The Service of an exposed Project: inside the cluster only, one port for each of the workload's."""

from typing import Any

from mooring.domain import names
from mooring.domain.manifests.metadata import Manifest, metadata, selector
from mooring.domain.resources.kubernetes import ContainerPort
from mooring.domain.resources.project import Project


def service(project: Project) -> Manifest | None:
    """The Service, or None where the Project is not exposed.

    Always of type ClusterIP: a tenant gets neither a port of a node nor an address outside of the cluster by it.
    """
    if project.spec.expose is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(project, names.child(project.metadata.name)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(project),
            "ports": [_port(port) for port in project.spec.workload.ports],
        },
    }


def _port(port: ContainerPort) -> dict[str, Any]:
    return {
        # Kubernetes wants a name as soon as there are two ports; the made-up one must not change when a second comes.
        "name": port.name or f"{port.protocol.lower()}-{port.container_port}",
        "port": port.container_port,
        "protocol": str(port.protocol),
        "targetPort": port.container_port,
    }

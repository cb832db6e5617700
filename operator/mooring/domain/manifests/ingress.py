"""The Ingress of a Project that is exposed under a host. Whether it may have that host is decided elsewhere."""

from typing import Any

from mooring.domain import names
from mooring.domain.errors import Stalled
from mooring.domain.manifests.metadata import Manifest, metadata
from mooring.domain.reasons import Reason
from mooring.domain.resources.kubernetes import Protocol
from mooring.domain.resources.project import ExposeSpec, Project

HTTP_PORT_NAME = "http"


def ingress(project: Project) -> Manifest | None:
    """The Ingress that leads everything under the host to the workload, or None where no host is given."""
    expose = project.spec.expose
    if expose is None or expose.host is None:
        return None
    name = names.child(project.metadata.name)
    spec: dict[str, Any] = {"rules": [_rule(expose.host, name, http_port(project))]}
    if expose.class_name is not None:
        spec["ingressClassName"] = expose.class_name
    if expose.tls_secret_name is not None:
        spec["tls"] = [{"hosts": [expose.host], "secretName": expose.tls_secret_name}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(project, name, _annotations(expose)),
        "spec": spec,
    }


def _annotations(expose: ExposeSpec) -> dict[str, str]:
    """What the tenant asks for, without what Mooring itself says in annotations."""
    return {key: value for key, value in (expose.annotations or {}).items() if not key.startswith(f"{names.GROUP}/")}


def _rule(host: str, service: str, port: int) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": {"number": port}}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def http_port(project: Project) -> int:
    """The port that an Ingress leads to: it speaks nothing but TCP to a backend."""
    port = tcp_port(project)
    if port is None:
        raise Stalled(
            Reason.INVALID_SPEC,
            f"Project {project.metadata.name}: expose.host needs a port with protocol TCP; add one to workload.ports",
        )
    return port


def tcp_port(project: Project) -> int | None:
    """The TCP port named http, else the first TCP port, if there is one."""
    ports = [port for port in project.spec.workload.ports if port.protocol is Protocol.TCP]
    named = [port for port in ports if port.name == HTTP_PORT_NAME]
    return next((port.container_port for port in (*named, *ports)), None)

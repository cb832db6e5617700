"""What a Project publishes, held against the administrator's policy; and who keeps a host that several ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mooring.domain.errors import Stalled
from mooring.domain.manifests.ingress import http_port
from mooring.domain.policy import IngressPolicy
from mooring.domain.reasons import Reason
from mooring.domain.resources.project import Project


def check_publishing(project: Project, policy: IngressPolicy) -> None:
    """Raise what the policy or Kubernetes does not allow, naming the field and what to do."""
    expose = project.spec.expose
    if expose is None or expose.host is None:
        return
    if not policy.host_allowed(expose.host):
        raise _refused("host", expose.host, "ingress.hostSuffixes")
    if not policy.class_allowed(expose.class_name):
        raise _refused("className", str(expose.class_name), "ingress.classNames")
    if forbidden := policy.forbidden_annotations(expose.annotations or {}):
        raise _refused("annotations", ", ".join(forbidden[:3]), "ingress.annotationKeys")
    http_port(project)


def _refused(field: str, value: str, setting: str) -> Stalled:
    return Stalled(
        Reason.NOT_ALLOWED,
        f"spec.expose.{field}: {value} is not allowed here. Use another, or ask the administrator for it in"
        f" {setting} of the policy.",
    )


def first_of_host(projects: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the uid of the Project that keeps a host: the oldest one that asks for it.

    Of two that were made in the same second it is the one that runs already, so that none loses what it had.
    """
    claims = [
        (
            str(project["metadata"].get("creationTimestamp") or ""),
            not (project.get("status") or {}).get("revision"),
            str(project["metadata"].get("uid")),
        )
        for project in projects
        if not project["metadata"].get("deletionTimestamp")
    ]
    return min(claims)[-1] if claims else None

"""The versions of how a Deployment is rendered: so that an upgrade of Mooring rolls no workload.

A Deployment says which version it was rendered with, and keeps it until its pods are made anew anyway (see
`domain.rendering`). So what a version renders never changes: any change of it would roll every workload of every user.
Whoever wants another Deployment adds a version with a renderer of its own, and golden files beside those that exist.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mooring.domain import names
from mooring.domain.manifests.deployment import DeploymentInputs, deployment
from mooring.domain.manifests.metadata import Manifest
from mooring.domain.manifests.second import second
from mooring.domain.resources.project import Project

Renderer = Callable[[Project, DeploymentInputs], Manifest]

FIRST = 1
"""What a Deployment has that says none: those from before there were versions do not, and are not written for it."""

RENDERERS: dict[int, Renderer] = {FIRST: deployment, 2: second}
"""Every version that was ever released. None may go: there may be Deployments that have it."""


def newest() -> int:
    """The version that new pods are made with."""
    return max(RENDERERS)


def written_on(live: Mapping[str, Any]) -> int | None:
    """The version that a Deployment says it has; None where it says none that we know.

    That is the first one, one of a newer Mooring, or one that somebody edited.
    """
    text = str((live["metadata"].get("annotations") or {}).get(names.TEMPLATE_VERSION_ANNOTATION))
    return next((version for version in RENDERERS if str(version) == text), None)

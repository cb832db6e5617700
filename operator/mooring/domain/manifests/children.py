"""All children of a Project, in the order in which they are applied."""

from collections.abc import Callable

from mooring.domain import names
from mooring.domain.manifests import checkout, versions
from mooring.domain.manifests.deployment import DeploymentInputs
from mooring.domain.manifests.ingress import ingress
from mooring.domain.manifests.metadata import Manifest, with_digest
from mooring.domain.manifests.secret import token_secret
from mooring.domain.manifests.service import service
from mooring.domain.resources.project import Project


def children(
    project: Project,
    token: str | None,
    inputs: DeploymentInputs,
    version: int | None = None,
    *,
    authorities: str | None = None,
    origin: str | None = None,
    mark: Callable[[Manifest], Manifest] = lambda deployment: deployment,
) -> list[Manifest]:
    """Secret, Deployment, Service, Ingress: each after what it refers to; what is not wanted is not there.

    The Deployment is that of a template version (None: the newest), with what `mark` notes on it. All but the Secret
    carry their digest. The token and its mount in `inputs` come together or not at all.
    """
    if (token is None) != (inputs.token is None):
        raise ValueError("a token and its mount come together: give both or none")
    version = version or versions.newest()
    workload = versions.RENDERERS[version](project, inputs)
    # Only where pods look for them: so an upgrade writes no Secret, as it rolls no Deployment.
    shown = (
        authorities
        if checkout.shows_authorities(workload["spec"]["template"]["spec"], names.token_secret(project.metadata.name))
        else None
    )
    # Also where these pods do not look: those that they replace may, and go on while the rollout fails.
    told = origin if version > versions.FIRST else None
    secrets = [] if token is None else [token_secret(project, token, shown, told)]
    others = [mark(workload), service(project), ingress(project)]
    return [*secrets, *(with_digest(manifest) for manifest in others if manifest is not None)]

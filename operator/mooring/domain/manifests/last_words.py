"""Version 2 of the Deployment: a container that fails leaves the last lines of its log, where it wrote no message.

So whoever reads the Project's status sees why, and nobody needs the right to read logs.
"""

from mooring.domain.manifests.deployment import DeploymentInputs, deployment
from mooring.domain.manifests.metadata import Manifest
from mooring.domain.resources.project import Project

POLICY = "FallbackToLogsOnError"


def deployment_with_last_words(project: Project, inputs: DeploymentInputs) -> Manifest:
    """The Deployment of version 1, with that said of each container."""
    manifest = deployment(project, inputs)
    pod = manifest["spec"]["template"]["spec"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        container["terminationMessagePolicy"] = POLICY
    return manifest

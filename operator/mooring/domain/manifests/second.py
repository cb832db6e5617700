"""Version 2 of the Deployment: containers leave last words, and one that serves ends when nobody is sent to it.

A container that fails leaves the last lines of its log in its own status, where it wrote no message: so whoever reads
the Project's status sees why, and nobody needs the right to read logs.

Kubernetes tells a pod to end and its Services to forget it at the same moment, and nodes learn of the latter a little
later. A workload that listens on a port is told to end only after that: else a rollout would refuse requests.
"""

from mooring.domain.manifests import checkout
from mooring.domain.manifests.deployment import DeploymentInputs, deployment
from mooring.domain.manifests.metadata import Manifest
from mooring.domain.resources.project import Project

LAST_WORDS = "FallbackToLogsOnError"
FORGOTTEN_SECONDS = 5
"""Within this every node has a changed Service, unless it is in trouble."""
GRACE_SECONDS = 30
"""Kubernetes' own default for all of a pod's end, in which that time is counted."""


def second(project: Project, inputs: DeploymentInputs) -> Manifest:
    """The Deployment of version 1, with that said of its containers."""
    manifest = deployment(project, inputs)
    pod = manifest["spec"]["template"]["spec"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        container["terminationMessagePolicy"] = LAST_WORDS
    seconds = _seconds(project)
    if seconds:
        pod["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": seconds}}}
    if inputs.source is not None:
        checkout.add_authorities(manifest["spec"]["template"], inputs.source)
    return manifest


def _seconds(project: Project) -> int:
    """How long the workload goes on after it was told to end: at most half of its time, the rest is its own."""
    workload = project.spec.workload
    if not workload.ports:
        return 0
    grace = workload.termination_grace_period_seconds
    return min(FORGOTTEN_SECONDS, (GRACE_SECONDS if grace is None else grace) // 2)

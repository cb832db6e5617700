"""Version 2 of the Deployment: containers leave last words, and one that serves begins and ends without a gap.

A container that fails leaves the last lines of its log in its own status, where it wrote no message: so whoever reads
the Project's status sees why, and nobody needs the right to read logs.

Kubernetes sends requests to a container as soon as it has started, unless a probe says that it is not ready. One that
listens on a port is therefore asked whether it does, where the spec has no probe of its own: else a rollout would send
requests to a program that is still loading, and take the old one away.

Kubernetes tells a pod to end and its Services to forget it at the same moment, and nodes learn of the latter a little
later. A workload that listens on a port is told to end only after that: else a rollout would refuse requests.

The checkout is shown whom to trust where a GitHub has an authority of its own, and where its large files are. Beside
the token it finds where that may be sent: a Secret outlives a move to another host, and so may a pod's URL.
"""

from typing import Any

from mooring.domain.manifests import checkout
from mooring.domain.manifests.deployment import DeploymentInputs, deployment
from mooring.domain.manifests.ingress import tcp_port
from mooring.domain.manifests.metadata import Manifest
from mooring.domain.resources.project import Project

LAST_WORDS = "FallbackToLogsOnError"
FORGOTTEN_SECONDS = 5
"""Within this every node has a changed Service, unless it is in trouble."""
GRACE_SECONDS = 30
"""Kubernetes' own default for all of a pod's end, in which that time is counted."""
PROBE_SECONDS = 2
"""A push is served sooner by what a shorter period saves; a connection each second would fill somebody's log."""
PROBE_FAILURES = 5
"""Ten seconds without an answer. A server that is busy for a moment shall not lose its traffic to those that are left,
or to nobody."""


def second(project: Project, inputs: DeploymentInputs) -> Manifest:
    """The Deployment of version 1, with that said of its containers."""
    manifest = deployment(project, inputs)
    pod = manifest["spec"]["template"]["spec"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        container["terminationMessagePolicy"] = LAST_WORDS
    (workload,) = pod["containers"]
    if (probe := _readiness(project)) is not None:
        workload["readinessProbe"] = probe
    if seconds := _seconds(project):
        workload["lifecycle"] = {"preStop": {"sleep": {"seconds": seconds}}}
    if inputs.source is not None:
        checkout.add_origin(manifest["spec"]["template"]["spec"])
        checkout.add_authorities(manifest["spec"]["template"], inputs.source)
        checkout.add_large_file_hosts(manifest["spec"]["template"], inputs.source)
    return manifest


def _readiness(project: Project) -> dict[str, Any] | None:
    """The question whether the workload listens, where the spec has none: on the port that an Ingress would lead to."""
    port = tcp_port(project)
    if port is None or project.spec.workload.readiness_probe is not None:
        return None
    return {"tcpSocket": {"port": port}, "periodSeconds": PROBE_SECONDS, "failureThreshold": PROBE_FAILURES}


def _seconds(project: Project) -> int:
    """How long the workload goes on after it was told to end: at most half of its time, the rest is its own."""
    workload = project.spec.workload
    if not workload.ports:
        return 0
    grace = workload.termination_grace_period_seconds
    return min(FORGOTTEN_SECONDS, (GRACE_SECONDS if grace is None else grace) // 2)

"""The Deployment of a Project: one workload container that satisfies the restricted Pod Security Standard.

What a Project may say of its container is passed on in Kubernetes' own words, unread. So `$(NAME)` in `command`,
`args` and the values of `env` is Kubernetes' reference to a variable of that container, resolved by the node and by
nobody before. The token's variable comes last, so no other value can take it up; an argument can, if the Project's own
author writes it.
"""

from dataclasses import dataclass
from typing import Any

from mooring.domain import names
from mooring.domain.manifests import checkout
from mooring.domain.manifests.checkout import CheckoutSource
from mooring.domain.manifests.metadata import Manifest, labels, metadata, selector
from mooring.domain.resources.common import Model
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus
from mooring.domain.resources.workload import DEFAULT_TOKEN_ENV, WorkloadSpec

CONTAINER = "workload"
DEFAULT_MOUNT_PATH = "/workspace"
DEFAULT_ACCOUNT = "default"
ACCOUNT_VOLUME = "mooring-service-account"
ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
ACCOUNT_TOKEN_SECONDS = 3607
"""The lifetime that Kubernetes itself asks for: an API server that still extends old clients' tokens knows it by it."""
PROGRESS_DEADLINE_SECONDS = 600
"""Time for pulling images, checking out and starting before a rollout counts as failed; Kubernetes' own default."""
REVISION_HISTORY_LIMIT = 3
"""Old ReplicaSets to keep for people: what to go back to stands in the Project's own history."""


@dataclass(frozen=True, slots=True)
class TokenMount:
    """The Secret with the effective token, and a checksum that changes when the token does."""

    secret_name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class DeploymentInputs:
    """What was decided about a Deployment beside the spec itself.

    `service_account` is set only where the Project names one that allows it. `restart` is any text that, when it
    changes, makes new pods of the same revision.
    """

    revision: RevisionStatus
    token: TokenMount | None = None
    source: CheckoutSource | None = None
    suspended: bool = False
    service_account: str | None = None
    restart: str | None = None


def deployment(project: Project, inputs: DeploymentInputs) -> Manifest:
    """The Deployment.

    `replicas` is there only when the spec names a number or the Project is suspended; else it belongs to an autoscaler.
    When a suspension ends and the spec names none, the API server puts its default of 1 where Mooring's 0 was (the
    number from before is not remembered), and an autoscaler, which leaves 0 alone, goes on from 1. That holds only
    where the 0 was applied: what a POST wrote belongs to another operation of the same manager, and would stay.
    """
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector(project)},
        # A new pod must be available before an old one goes: a revision that does not start takes nothing away, and a
        # single pod is no gap. More than one extra at a time would only cost more room.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
        "revisionHistoryLimit": REVISION_HISTORY_LIMIT,
        "template": {"metadata": _template_metadata(project, inputs), "spec": _pod(project.spec.workload, inputs)},
    }
    replicas = 0 if inputs.suspended else project.spec.workload.replicas
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(project, names.child(project.metadata.name)),
        "spec": spec,
    }


def _template_metadata(project: Project, inputs: DeploymentInputs) -> dict[str, Any]:
    annotations = {
        names.REVISION_ANNOTATION: inputs.revision.sha,
        names.DELIVERY_ANNOTATION: inputs.revision.delivery,
        names.TRIGGER_ANNOTATION: None if inputs.revision.trigger is None else str(inputs.revision.trigger),
        names.TOKEN_CHECKSUM_ANNOTATION: None if inputs.token is None else inputs.token.checksum,
        names.RESTART_ANNOTATION: inputs.restart,
    }
    present = _present(annotations)
    return {"labels": labels(project), **({"annotations": present} if present else {})}


# --- the pod ---


def _pod(workload: WorkloadSpec, inputs: DeploymentInputs) -> dict[str, Any]:
    return {
        # Always named: the API server would bring an omitted account back from the deprecated field beside it.
        "serviceAccountName": inputs.service_account or DEFAULT_ACCOUNT,
        # Never by itself: that would give the token to the checkout as well. See _account_volume.
        "automountServiceAccountToken": False,
        # Variables about every Service of the namespace are no part of a fixed environment.
        "enableServiceLinks": False,
        "securityContext": _pod_security(workload, inputs),
        "containers": [_workload_container(workload, inputs)],
        **_optional_lists(workload, inputs),
        **_scheduling(workload),
    }


def _pod_security(workload: WorkloadSpec, inputs: DeploymentInputs) -> dict[str, Any]:
    return _present(
        {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "runAsUser": workload.run_as_user,
            "runAsGroup": workload.run_as_group,
            "fsGroup": _fs_group(workload, inputs),
        }
    )


def _fs_group(workload: WorkloadSpec, inputs: DeploymentInputs) -> int | None:
    """The group of the volumes' files.

    With a source there is always one: the workspace then belongs to a group that checkout and workload share, whatever
    users their images name, and the checkout, which is not root, may read its credential.
    """
    if workload.fs_group is not None or inputs.source is None:
        return workload.fs_group
    return checkout.DEFAULT_ID if workload.run_as_group is None else workload.run_as_group


def _optional_lists(workload: WorkloadSpec, inputs: DeploymentInputs) -> dict[str, Any]:
    volumes = checkout.volumes(inputs.source) if inputs.source is not None else []
    if inputs.service_account is not None:
        volumes.append(_account_volume())
    lists: dict[str, list[Any]] = {
        "initContainers": [checkout.container(inputs.source, workload)] if inputs.source is not None else [],
        "imagePullSecrets": [secret.to_api() for secret in workload.image_pull_secrets],
        "volumes": volumes,
    }
    return {name: items for name, items in lists.items() if items}


def _scheduling(workload: WorkloadSpec) -> dict[str, Any]:
    return _present(
        {
            "terminationGracePeriodSeconds": workload.termination_grace_period_seconds,
            "nodeSelector": workload.node_selector or None,
            "tolerations": [toleration.to_api() for toleration in workload.tolerations] or None,
            "affinity": _api(workload.affinity),
        }
    )


def _account_volume() -> dict[str, Any]:
    """What Kubernetes would mount into every container by itself, as a volume that only the workload mounts."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": ACCOUNT_TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": ACCOUNT_VOLUME, "projected": {"sources": sources}}


# --- the workload's container ---


def _workload_container(workload: WorkloadSpec, inputs: DeploymentInputs) -> dict[str, Any]:
    mount_path = workload.mount_path or DEFAULT_MOUNT_PATH
    return _present(
        {
            "name": CONTAINER,
            "image": workload.image,
            "command": list(workload.command) or None,
            "args": list(workload.args) or None,
            "workingDir": workload.working_dir or (mount_path if inputs.source is not None else None),
            "env": _environment(workload, inputs.token) or None,
            "envFrom": [source.to_api() for source in workload.env_from] or None,
            "ports": _ports(workload) or None,
            "resources": _api(workload.resources),
            "startupProbe": _api(workload.startup_probe),
            "readinessProbe": _api(workload.readiness_probe),
            "livenessProbe": _api(workload.liveness_probe),
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": _mounts(mount_path, inputs) or None,
        }
    )


def _environment(workload: WorkloadSpec, token: TokenMount | None) -> list[dict[str, Any]]:
    variables = [variable.to_api() for variable in workload.env]
    if token is not None:
        reference = {"name": token.secret_name, "key": names.EFFECTIVE_TOKEN_KEY}
        variables.append({"name": workload.token_env or DEFAULT_TOKEN_ENV, "valueFrom": {"secretKeyRef": reference}})
    return variables


def _ports(workload: WorkloadSpec) -> list[dict[str, Any]]:
    return [
        _present({"name": port.name, "containerPort": port.container_port, "protocol": str(port.protocol)})
        for port in workload.ports
    ]


def _mounts(mount_path: str, inputs: DeploymentInputs) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = []
    if inputs.source is not None:
        mounts.append({"name": checkout.WORKSPACE_VOLUME, "mountPath": mount_path})
    if inputs.service_account is not None:
        mounts.append({"name": ACCOUNT_VOLUME, "mountPath": ACCOUNT_FOLDER, "readOnly": True})
    return mounts


def _api(model: Model | None) -> dict[str, Any] | None:
    return None if model is None else model.to_api()


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

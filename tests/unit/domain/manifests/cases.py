"""Projects and what was decided about them, for tests of what every manifest must be. Golden files: `projects.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.domain.manifests import CheckoutSource, DeploymentInputs, TokenMount, children
from mooring.domain.resources import Project
from mooring.domain.resources.project_status import RevisionStatus, Trigger

SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
TOKEN = "ghp_" + "A" * 36
UID = "6f2c1f0e-3f3b-4c1c-9a55-1d2e3f405162"
CHECKOUT_IMAGE = "registry.example.com/mooring:1.0.0"


@dataclass(frozen=True)
class Case:
    """One Project with its inputs; `token` is the effective token, if there is one."""

    spec: Mapping[str, Any]
    inputs: DeploymentInputs
    token: str | None = None

    def project(self, *, namespace: str = "team-a", uid: str = UID) -> Project:
        """The Project as if it had been read from the API server."""
        metadata = {"name": "shop", "namespace": namespace, "uid": uid}
        return Project.model_validate({"metadata": metadata, "spec": self.spec})

    def manifests(self, *, namespace: str = "team-a", uid: str = UID) -> list[dict[str, Any]]:
        """All children."""
        return children(self.project(namespace=namespace, uid=uid), self.token, self.inputs)


def revision(trigger: Trigger = Trigger.CREATE, delivery: str | None = None) -> RevisionStatus:
    """A revision of the commit that all cases use."""
    return RevisionStatus(sha=SHA, short_sha=SHA[:7], trigger=trigger, delivery=delivery)


def checkout(**changes: Any) -> CheckoutSource:
    """A plain public repository."""
    return CheckoutSource(**{"url": "https://github.com/acme/shop.git", "sha": SHA, "image": CHECKOUT_IMAGE, **changes})


_MOUNT = TokenMount(secret_name="shop-default-token", checksum="0011223344556677")
_NODES = {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64", "amd64"]}]}
_PODS = {"labelSelector": {"matchLabels": {"app": "shop"}}, "topologyKey": "kubernetes.io/hostname"}
_ANYWHERE = {"labelSelector": {}, "namespaceSelector": {}, "topologyKey": "topology.kubernetes.io/zone"}

FULL_WORKLOAD: dict[str, Any] = {
    "image": "registry.example.com/acme/shop:1.2",
    "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}],
    "command": ["python", "-m", "shop"],
    "args": ["--port", "$(PORT)", "--raw=$HOME", ""],
    "workingDir": "/srv/shop/web",
    "env": [
        {"name": "PORT", "value": "8080"},
        {"name": "EMPTY", "value": ""},
        {"name": "BARE"},
        {"name": "DB", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url", "optional": False}}},
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "theme", "key": "colour", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1024Ki"}}},
    ],
    "envFrom": [{"prefix": "X_", "configMapRef": {"name": "flags", "optional": True}}, {"secretRef": {"name": "more"}}],
    "ports": [
        {"name": "metrics", "containerPort": 9090},
        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
        {"containerPort": 8080, "protocol": "UDP"},
    ],
    "replicas": 3,
    "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {"cpu": "0.5", "memory": "1.5e8"}},
    "startupProbe": {"grpc": {"port": 9090}, "failureThreshold": 30},
    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 0, "periodSeconds": 5},
    "livenessProbe": {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 5, "timeoutSeconds": 2},
    "terminationGracePeriodSeconds": 0,
    "runAsUser": 1000,
    "runAsGroup": 0,
    "fsGroup": 2000,
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [
        {"key": "dedicated", "operator": "Equal", "value": "", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_NODES]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": _NODES}],
        },
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "podAffinityTerm": _PODS}],
        },
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_ANYWHERE]},
    },
    "serviceAccountName": "shop",
    "tokenEnv": "GH_TOKEN",
    "mountPath": "/srv/shop",
}
FULL_EXPOSE = {
    "host": "shop.example.com",
    "className": "nginx",
    "tlsSecretName": "shop-tls",
    "annotations": {"example.com/timeout": "30", "mooring.dev/applied": "mine"},
}
PLAIN_WORKLOAD = {"image": "registry.example.com/acme/shop:1.2"}

CASES: dict[str, Case] = {
    "image-only": Case({"workload": PLAIN_WORKLOAD}, DeploymentInputs(revision=RevisionStatus())),
    "public-source": Case(
        {"workload": PLAIN_WORKLOAD, "source": {"github": {"repository": "acme/shop"}}},
        DeploymentInputs(revision=revision(), source=checkout()),
    ),
    "private-source-and-token": Case(
        {
            "workload": {**PLAIN_WORKLOAD, "runAsGroup": 1001, "ports": [{"containerPort": 8000}]},
            "source": {"github": {"repository": "acme/shop"}, "path": "-odd/$(HOME)"},
            "expose": {},
        },
        DeploymentInputs(
            revision=revision(Trigger.PUSH, DELIVERY),
            token=_MOUNT,
            source=checkout(path="-odd/$(HOME)", credential_secret="shop-default-token"),
        ),
        token=TOKEN,
    ),
    "suspended": Case(
        {"workload": {**PLAIN_WORKLOAD, "replicas": 2}, "suspend": True},
        DeploymentInputs(revision=RevisionStatus(trigger=Trigger.SPEC), token=_MOUNT, suspended=True),
        token=TOKEN,
    ),
    "everything": Case(
        {
            "workload": FULL_WORKLOAD,
            "source": {"git": {"url": "https://git.example.com/acme/shop.git"}, "submodules": True, "lfs": True},
            "expose": FULL_EXPOSE,
        },
        DeploymentInputs(
            revision=revision(Trigger.MANUAL, DELIVERY),
            token=_MOUNT,
            source=checkout(
                url="https://git.example.com/acme/shop.git",
                path="services/shop",
                submodules=True,
                lfs=True,
                credential_secret="mooring-clone-0a1b2c3d-1",
            ),
            service_account="shop",
            restart="2026-01-02T03:04:05Z",
        ),
        token=TOKEN,
    ),
}

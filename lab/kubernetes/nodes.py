"""What kinds of nodes have in common, and the two without processes of pods: none at all, and simulated ones.

Real nodes are in the package `real`; `kinds` knows all three by name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lab.folder import Folder, write
from lab.kubernetes.api import healthy
from lab.member import Member
from lab.ports import LOOPBACK

if TYPE_CHECKING:
    from lab.kubernetes.control_plane import ControlPlane

STAGES = Path(__file__).with_name("stages")
SIMULATED_NODES = 3
REAL_NODE = "real-1"
NODE_NETWORK = "10.127.0."
POD_RANGE = "10.128.0.0/12"  # a million addresses: the simulator hands them out one after the other


class Nodes:
    """What differs between the kinds."""

    binaries: tuple[str, ...] = ()  # what it needs beside etcd, API server and controller manager
    controllers: Sequence[str] = ()

    @property
    def address(self) -> str:
        """Where API server and GitHub listen."""
        return LOOPBACK

    @property
    def service_range(self) -> str:
        """The addresses of Services."""
        return "10.96.0.0/16"

    @staticmethod
    def require() -> None:
        """Refuse a machine that cannot have such nodes."""

    @property
    def env(self) -> Mapping[str, str]:
        """What the lab's users have to know beside the rest."""
        return {}

    def foundation(self, folder: Folder, binaries: Mapping[str, Path]) -> Sequence[Member]:  # noqa: ARG002 - for some
        """The processes to start before everything else."""
        return ()

    def api_server_options(self, plane: "ControlPlane") -> Mapping[str, object]:  # noqa: ARG002 - for some
        """Options of the API server that it adds or replaces."""
        return {}

    def members(self, plane: "ControlPlane") -> Sequence[Member]:  # noqa: ARG002 - for some
        """The processes to start once the API server is ready."""
        return ()

    def join(self, plane: "ControlPlane") -> None:
        """Create what these nodes need before they can work."""

    def clean(self) -> None:
        """Remove what is left on the machine when all processes have ended."""


class NoNodes(Nodes):
    """No workload ever starts: for benchmarks, and for tests that need objects only."""

    controllers = (
        "clusterrole-aggregation-controller",
        "garbage-collector-controller",
        "namespace-controller",
        "resourcequota-controller",
        "root-ca-certificate-publisher-controller",
        "serviceaccount-controller",
        "serviceaccount-token-controller",
        "validatingadmissionpolicy-status-controller",
    )


class SimulatedNodes(Nodes):
    """Nodes and pods that go through their states on the API server, with nothing behind them: kwok and the stages."""

    binaries = ("kube-scheduler", "kwok")
    controllers = ("*",)

    def members(self, plane: "ControlPlane") -> Sequence[Member]:
        return (scheduler(plane), _kwok(plane))

    def join(self, plane: "ControlPlane") -> None:
        for number in range(1, SIMULATED_NODES + 1):
            plane.api.create("/api/v1/nodes", _node(number))


def scheduler(plane: "ControlPlane") -> Member:
    """What decides where a pod runs, where any does."""
    from lab.kubernetes.control_plane import CLIENT_LIMITS

    settings = plane.folder.settings / "scheduler.yaml"
    content = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(plane.kubeconfig("scheduler")), **CLIENT_LIMITS},
        "leaderElection": {"leaderElect": False},
        "enableProfiling": False,
    }
    write(settings, yaml.safe_dump(content, sort_keys=False))
    pair, tls = plane.credentials.controllers, plane.tls()
    command = (
        str(plane.binaries["kube-scheduler"]),
        f"--config={settings}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plane.scheduler_port}",
        f"--tls-cert-file={pair.certificate}",
        f"--tls-private-key-file={pair.key}",
    )
    return Member("kube-scheduler", command, lambda: healthy(plane.scheduler_port, "/readyz", tls))


def _kwok(plane: "ControlPlane") -> Member:
    """The simulator counts as ready when the nodes that it plays are."""
    command = (
        str(plane.binaries["kwok"]),
        f"--kubeconfig={plane.kubeconfig('kwok')}",
        "--manage-all-nodes=true",
        f"--cidr={POD_RANGE}",
        "--node-lease-duration-seconds=40",
        "-v=WARN",
        *(f"--config={stage}" for stage in sorted(STAGES.glob("*.yaml"))),
    )

    def ready() -> bool:
        nodes = (plane.api.get("/api/v1/nodes") or {}).get("items", [])
        return len(nodes) == SIMULATED_NODES and all(is_ready(node) for node in nodes)

    return Member("kwok", command, ready)


def _node(number: int) -> dict[str, object]:
    name = f"simulated-{number}"
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    room = {"cpu": "1k", "memory": "1Ti", "pods": "10k", "ephemeral-storage": "10Ti"}
    addresses = [{"type": "InternalIP", "address": f"{NODE_NETWORK}{number}"}, {"type": "Hostname", "address": name}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"addresses": addresses, "allocatable": room, "capacity": room},
    }


def is_ready(node: dict[str, Any]) -> bool:
    """Whether a node says so of itself."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

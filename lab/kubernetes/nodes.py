"""Kinds of nodes: what a lab runs so that pods run, or only seem to, or do not exist at all.

A kind is one class here and one entry in KINDS. Real nodes (kubelet, containerd) are meant to be the third.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import yaml

from lab.errors import UsageError
from lab.folder import write
from lab.kubernetes.api import healthy
from lab.member import Member

if TYPE_CHECKING:
    from lab.kubernetes.control_plane import ControlPlane

STAGES = Path(__file__).with_name("stages")
SIMULATED_NODES = 3
NODE_NETWORK = "10.127.0."
POD_RANGE = "10.128.0.0/12"  # a million addresses: the simulator hands them out one after the other


class Nodes(Protocol):
    """What differs between the kinds."""

    @property
    def binaries(self) -> tuple[str, ...]:
        """What it needs beside etcd, API server and controller manager."""

    @property
    def api_server_options(self) -> Mapping[str, object]:
        """Options of the API server that it adds or replaces."""

    @property
    def controllers(self) -> Sequence[str]:
        """Which controllers run."""

    def members(self, plane: "ControlPlane") -> Sequence[Member]:
        """The processes to start once the API server is ready."""

    def join(self, plane: "ControlPlane") -> None:
        """Create what the API server has to know of these nodes."""


class NoNodes:
    """No workload ever starts: for benchmarks, and for tests that need objects only."""

    binaries: tuple[str, ...] = ()
    api_server_options: Mapping[str, object] = MappingProxyType({})
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

    def members(self, plane: "ControlPlane") -> Sequence[Member]:  # noqa: ARG002 - part of the protocol
        return ()

    def join(self, plane: "ControlPlane") -> None:
        pass


class SimulatedNodes:
    """Nodes and pods that go through their states on the API server, with nothing behind them: kwok and the stages."""

    binaries: tuple[str, ...] = ("kube-scheduler", "kwok")
    api_server_options: Mapping[str, object] = MappingProxyType({})
    controllers = ("*",)

    def members(self, plane: "ControlPlane") -> Sequence[Member]:
        return (_scheduler(plane), _kwok(plane))

    def join(self, plane: "ControlPlane") -> None:
        for number in range(1, SIMULATED_NODES + 1):
            plane.api.create("/api/v1/nodes", _node(number))


KINDS: dict[str, type[NoNodes] | type[SimulatedNodes]] = {"simulated": SimulatedNodes, "none": NoNodes}


def kind(name: str) -> Nodes:
    """The kind of this name."""
    if name == "real":
        raise UsageError("--nodes real is not there yet: choose simulated or none")
    if name not in KINDS:
        raise UsageError(f"--nodes {name} is unknown: choose {' or '.join(KINDS)}")
    return KINDS[name]()


def _scheduler(plane: "ControlPlane") -> Member:
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
        return len(nodes) == SIMULATED_NODES and all(_is_ready(node) for node in nodes)

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


def _is_ready(node: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

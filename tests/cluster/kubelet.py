"""A kubelet for Mooring's own pods: kubectl reaches the processes of a test by it, as if they ran in pods.

The lab's nodes are played, and nobody answers there for logs, ports and commands. The simulator can do that, too: on
one more node, it hands out the logs of a process, and leads ports to where the process listens.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab import binaries
from lab.kubernetes.pki import Authority
from lab.ports import LOOPBACK, Ports
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.process import SYSTEM, Gateway, Mooring

NODE = "with-a-kubelet"
OPERATOR, GATEWAY = "mooring-operator-7d4b", "mooring-gateway-5f6c"
WEBHOOKS = 8080
CHECKOUT = "checkout"
# The simulator wants to play something; there is no such object.
NOTHING = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "nothing"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Node"},
        "selector": {"matchLabels": {"there-is": "no-such-node"}},
        "next": {"statusTemplate": ""},
    },
}


@dataclass
class Pod:
    """One of Mooring's processes, as a pod."""

    name: str
    component: str
    process: Mooring
    ports: Mapping[int, str]  # a container's port, and where the process listens


@dataclass
class Kubelet:
    """What answers for the pods."""

    kube: Kube
    folder: Path
    trusted: str  # the authorities of the GitHub that its pods ask
    pods: list[Pod] = field(default_factory=list)

    def bring(self) -> None:
        """Have every pod there that is not."""
        for pod in self.pods:
            status, _ = self.kube.request("GET", f"/api/v1/namespaces/{SYSTEM}/pods/{pod.name}")
            if status == 404:
                _create(self.kube, pod)

    def write_logs(self) -> None:
        """Write what the processes have said by now, in the form in which containers' logs are kept."""
        for pod in self.pods:
            lines = [*pod.process.log.splitlines(), *pod.process.output.splitlines()]
            (self.folder / f"{pod.name}.log").write_text(_as_kept(lines))

    def say(self, container: str, text: str) -> None:
        """Have a container of this name, in any other pod of the node, say something."""
        (self.folder / f"{container}.log").write_text(_as_kept(text.splitlines()))

    def configuration(self, pod: Pod) -> list[dict[str, Any]]:
        """Return what the simulator has to know of a pod."""
        log = str(self.folder / f"{pod.name}.log")
        place = {"metadata": {"name": pod.name, "namespace": SYSTEM}, "apiVersion": "kwok.x-k8s.io/v1alpha1"}
        # Of an image the commands that the pages use: Python, and what a pod trusts.
        trusted = {"PATH": _programs(), "SSL_CERT_FILE": self.trusted}
        environment = [{"name": name, "value": value} for name, value in trusted.items()]
        forwards = [{"ports": [port], "target": _target(where)} for port, where in pod.ports.items()]
        return [
            {**place, "kind": "Logs", "spec": {"logs": [{"logsFile": log, "previousLogsFile": log}]}},
            {**place, "kind": "PortForward", "spec": {"forwards": forwards}},
            {
                **place,
                "kind": "Exec",
                "spec": {"execs": [{"local": {"workDir": str(self.folder), "envs": environment}}]},
            },
        ]


def _programs() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def _as_kept(lines: Iterable[str]) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return "".join(f"{now} stdout F {line}\n" for line in lines)


def _target(where: str) -> dict[str, Any]:
    found = urlsplit(where)
    return {"address": found.hostname, "port": found.port}


def pods_of(operator: Mooring, gateway: Gateway) -> list[Pod]:
    """Return the pods of an operator and a gateway."""
    return [
        Pod(OPERATOR, "operator", operator, {8081: operator.admin}),
        Pod(GATEWAY, "gateway", gateway, {8082: gateway.admin, WEBHOOKS: gateway.url}),
    ]


@contextmanager
def running(kube: Kube, folder: Path, trusted: str, pods: list[Pod]) -> Iterator[Kubelet]:
    """Answer for these pods until the end of the block."""
    folder.mkdir()
    kubelet = Kubelet(kube, folder, trusted, pods)
    kubelet.write_logs()
    with Ports() as ports:
        port = ports.free()
        process = _start(kubelet, port)
        try:
            _join(kube, port)
            kubelet.bring()
            _until_answering(kube, pods[0])
            yield kubelet
        finally:
            process.terminate()
            process.wait(PATIENCE)
            for pod in pods:
                kube.request("DELETE", f"/api/v1/namespaces/{SYSTEM}/pods/{pod.name}?gracePeriodSeconds=0")
            kube.request("DELETE", f"/api/v1/nodes/{NODE}")


def _start(kubelet: Kubelet, port: int) -> subprocess.Popen[bytes]:
    folder = kubelet.folder
    configuration = folder / "kubelet.yaml"
    logs = [{"containers": [CHECKOUT], "logsFile": str(folder / f"{CHECKOUT}.log")}]
    others = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterLogs", "metadata": {"name": "others"}}
    parts = [
        NOTHING,
        {**others, "spec": {"logs": logs}},
        *(it for pod in kubelet.pods for it in kubelet.configuration(pod)),
    ]
    configuration.write_text(yaml.safe_dump_all(parts))
    pair = Authority(folder, "kubelet").issue("kubelet", hosts=[LOOPBACK])
    command = [
        str(binaries.find("kwok")),
        f"--kubeconfig={kubelet.kube.kubeconfig}",
        "--manage-single-node=there-is-no-such-node",
        f"--node-port={port}",
        f"--server-address={LOOPBACK}:{port}",
        f"--tls-cert-file={pair.certificate}",
        f"--tls-private-key-file={pair.key}",
        f"--config={configuration}",
    ]
    # It looks commands up by its own PATH, whatever it sets for them: both must lead to the same Python.
    environment = {"HOME": str(folder), "PATH": _programs()}
    with (folder / "kubelet.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def _join(kube: Kube, port: int) -> None:
    addresses = [{"type": "InternalIP", "address": LOOPBACK}, {"type": "Hostname", "address": LOOPBACK}]
    endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    taint = {"key": "example.com/only", "value": "named", "effect": "NoSchedule"}
    body = {"metadata": {"name": NODE}, "spec": {"taints": [taint]}, "status": {"addresses": addresses, **endpoint}}
    status, answer = kube.request("POST", "/api/v1/nodes", body)
    assert status == 201, answer


def bound(name: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod on this node with the containers of another's template."""
    found = template["spec"]
    parts = {kind: [_bare(one) for one in found.get(kind) or []] for kind in ("initContainers", "containers")}
    return {"metadata": {"name": name}, "spec": {"nodeName": NODE, **parts}}


def _bare(container: Mapping[str, Any]) -> dict[str, Any]:
    return {key: container[key] for key in ("name", "image", "terminationMessagePolicy") if key in container}


def _create(kube: Kube, pod: Pod) -> None:
    labels = {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/component": pod.component}
    # A Service finds the port for webhooks by its name.
    ports = [{"containerPort": port, **({"name": "http"} if port == WEBHOOKS else {})} for port in pod.ports]
    spec = {"nodeName": NODE, "containers": [{"name": pod.component, "image": "mooring", "ports": ports}]}
    body = {"metadata": {"name": pod.name, "labels": labels}, "spec": spec}
    deadline = time.monotonic() + PATIENCE
    # A namespace's own account comes a moment after the namespace.
    while (made := kube.request("POST", f"/api/v1/namespaces/{SYSTEM}/pods", body))[0] != 201:
        assert made[0] == 403, made
        assert time.monotonic() < deadline, made
        time.sleep(0.1)


def _until_answering(kube: Kube, pod: Pod) -> None:
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod.name}/log?tailLines=1"
    deadline = time.monotonic() + PATIENCE
    while (answer := kube.request("GET", path))[0] != 200:
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)

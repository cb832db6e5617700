"""Mooring as people install it, by its chart and in its own image, on the node; and the lab's GitHub beside it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import Lab, binaries, images
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.harness import Hub, People
from tests.node.support import Node

CHART = ROOT / "helm" / "mooring"
SYSTEM = "mooring-system"
PATIENCE = 120.0
"""Seconds for whatever needs new pods, on a machine that has other things to do."""
UPGRADED = "another"
# What a resolver and an Ingress would do for it, the tests do: they tell GitHub the address of the gateway's Service.
PUBLIC = "https://mooring.example.com"


class Mooring:
    """The installed release."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.env = node.lab.env
        self.hub = Hub(self.env)
        self._folder = folder
        self._kube = Kube(Access.load(Path(self.env["KUBECONFIG"])), self.env["KUBECONFIG"])
        self._helm_path = binaries.find("helm")

    def install(self, image: str) -> None:
        """From nothing to an operator and a gateway that are ready."""
        self.node.kubectl("create", "namespace", SYSTEM)
        trusted = f"--from-file=ca.crt={self.env['MOORING_GITHUB_CA_FILE']}"
        self.node.kubectl("create", "configmap", "github-ca", "--namespace", SYSTEM, trusted)
        repository, _, tag = image.rpartition(":")
        # A second one of each would change nothing but the time that two cores need.
        values = {
            "image": {"repository": repository, "tag": tag},
            "github": {"apiUrl": self.env["MOORING_GITHUB_API_URL"], "caConfigMap": "github-ca"},
            "operator": {"replicas": 1},
            "gateway": {"replicas": 1, "url": PUBLIC},
        }
        self.helm("install", "mooring", CHART, "--values=-", values=values)
        self.ready()

    def upgrade(self, image: str) -> None:
        """Another image under the same values."""
        images.name_again(self.node.lab, image, f"{image.rpartition(':')[0]}:{UPGRADED}")
        self.helm("upgrade", "mooring", CHART, "--reuse-values", f"--set=image.tag={UPGRADED}")
        self.ready()

    def helm(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> None:
        done = subprocess.run(
            [self._helm_path, *arguments, f"--namespace={SYSTEM}"],
            input=json.dumps(values or {}),
            env={"HOME": str(self._folder), "KUBECONFIG": self.env["KUBECONFIG"], "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def ready(self) -> None:
        for name in ("operator", "gateway"):
            self.node.kubectl(
                "rollout", "status", f"deployment/mooring-{name}", f"--namespace={SYSTEM}", f"--timeout={PATIENCE:.0f}s"
            )

    def logs(self, name: str) -> str:
        """What operator or gateway wrote."""
        return self.node.kubectl("logs", f"--namespace={SYSTEM}", f"deployment/mooring-{name}", "--tail=-1")

    @property
    def gateway(self) -> str:
        """Where the gateway's Service answers, pods and host alike."""
        return "http://" + self.node.kubectl(
            "get", "service", "mooring-gateway", f"--namespace={SYSTEM}", "--output=jsonpath={.spec.clusterIP}"
        )

    def tenant(self, namespace: str) -> People:
        """Whoever administers a new namespace, where only restricted pods are admitted."""
        self.node.kubectl("create", "namespace", namespace)
        enforce = "pod-security.kubernetes.io/enforce=restricted"
        self.node.kubectl("label", "namespace", namespace, enforce)
        return People(self._kube, namespace)

    def close(self) -> None:
        self.hub.close()
        self._kube.close()


@contextmanager
def installed(lab: Lab, archive: Path, folder: Path) -> Iterator[Mooring]:
    """Mooring on a lab's node, with its image loaded."""
    images.load(lab, archive)
    mooring = Mooring(Node(lab), folder)
    try:
        mooring.install(images.name_of(archive))
        yield mooring
    finally:
        mooring.close()


def page(address: str, port: int) -> tuple[int, str]:
    """What is answered on a new connection; status 0 where nothing is."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as problem:
        return 0, repr(problem)
    finally:
        connection.close()


def uids(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}

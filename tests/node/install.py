"""Mooring as people install it, by its chart and in its own image, on the node; and the lab's GitHub beside it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import Lab, images
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People
from tests.lab.kubernetes.support import until
from tests.node.desk import Desk
from tests.node.support import Node

SYSTEM = "mooring-system"
PATIENCE = 120.0
"""Seconds for whatever needs new pods, on a machine that has other things to do."""
PAGE = "docs/guide/install.md"
# As the page names it; the engine that builds and pushes it there is buildah here, and the node's own store.
IMAGE_NAME = "registry.example.com/mooring:0.1.0"
RUN_HERE = {"docs/guide/install.md": ("With Helm", "An Enterprise Server")}
# A second one of each would change nothing but the time that two cores need.
ALONE = "operator.replicas=1,gateway.replicas=1"
CONFIG_MAP = "github.caConfigMap=github-ca"
# What a resolver and an Ingress would do for it, the tests do: they tell GitHub the address of the gateway's Service.
PUBLIC = "https://mooring.example.com"


class Mooring:
    """The installed release."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.env = node.lab.env
        self.hub = Hub(self.env)
        self.kube = Kube(Access.load(Path(self.env["KUBECONFIG"])), self.env["KUBECONFIG"])
        # The lab's GitHub is what an Enterprise Server is to people: elsewhere, and with an authority of its own.
        instead = {
            "https://ghes.example.com/api/v3": self.env["MOORING_GITHUB_API_URL"],
            "image.tag=0.1.0 --wait": f"image.tag=0.1.0,{ALONE} --wait",
        }
        self.desk = Desk(folder / "desk", self.env["KUBECONFIG"], instead)
        self.desk.lay("ca.crt", Path(self.env["MOORING_GITHUB_CA_FILE"]).read_text())
        self.notes = ""

    def install(self) -> None:
        """From nothing to an operator and a gateway that are ready, as the guide says."""
        (self.notes,) = self.desk.follow(PAGE, "With Helm")
        self.desk.follow(PAGE, "An Enterprise Server", {CONFIG_MAP: f"{CONFIG_MAP},gateway.url={PUBLIC}"})
        assert not self.desk.untyped(RUN_HERE)
        self.ready()

    def helm(self, words: str) -> str:
        return self.desk.type(f"helm {words} --namespace {SYSTEM}")

    @property
    def revision(self) -> int:
        """The number of the release as it is now."""
        return int(json.loads(self.helm("history mooring --max 1 --output json"))[-1]["revision"])

    @property
    def leader(self) -> str:
        """Who leads, as the Lease says."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/mooring-operator"
        return str(self.kube.request("GET", path)[1].get("spec", {}).get("holderIdentity") or "")

    def ready(self) -> None:
        """Wait until what is installed now runs, and one of its operators leads: none that is about to end."""
        kept = self.node.kubectl("get", "deployments", f"--namespace={SYSTEM}", "--output=name")
        for name in kept.split():
            self.node.kubectl("rollout", "status", name, f"--namespace={SYSTEM}", f"--timeout={PATIENCE:.0f}s")
        until(self._is_led, "an operator of this release leads", PATIENCE)

    def _is_led(self) -> bool:
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{self.leader.partition('_')[0]}"
        metadata = self.kube.request("GET", path)[1].get("metadata", {})
        return "name" in metadata and "deletionTimestamp" not in metadata

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
        return People(self.kube, namespace)

    def close(self) -> None:
        self.hub.close()
        self.kube.close()


@contextmanager
def installed(lab: Lab, archive: Path, folder: Path) -> Iterator[Mooring]:
    """Mooring on a lab's node, with its image loaded."""
    images.load(lab, archive)
    images.name_again(lab, images.name_of(archive), IMAGE_NAME)
    mooring = Mooring(Node(lab), folder)
    try:
        mooring.install()
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

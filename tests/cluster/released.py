"""Mooring's chart as a release in its namespace, for pages that change values: its pods only seem to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.process import SYSTEM
from tests.cluster.reading import Desk

# In this cluster others have installed the definitions and the Roles by hand.
INSTALL = (
    f"helm install mooring helm/mooring --namespace {SYSTEM} --create-namespace --take-ownership --force-conflicts "
    "--set image.repository=registry.example.com/mooring,image.tag=0.1.0"
)


class Release:
    """What the chart made."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def get(self, path: str, name: str) -> dict[str, Any]:
        """Return one of its objects."""
        status, body = self._kube.request("GET", f"{path.format(SYSTEM)}/{name}")
        assert status == 200, body
        return body

    def container(self, deployment: str) -> dict[str, Any]:
        """Return the first container of a Deployment."""
        found = self.get("/apis/apps/v1/namespaces/{}/deployments", deployment)
        container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        return container

    def environment(self, deployment: str) -> dict[str, str]:
        """Return the variables of that container."""
        return {entry["name"]: entry.get("value", "") for entry in self.container(deployment)["env"]}


@contextmanager
def released(kube: Kube, desk: Desk) -> Iterator[Release]:
    """Have a release until the end of the block."""
    done = desk.run(INSTALL)
    assert done.returncode == 0, done.stderr
    try:
        yield Release(kube)
    finally:
        gone = desk.run(f"helm uninstall mooring --namespace {SYSTEM} --no-hooks --wait --timeout 60s")
        install_kinds(kube)
        assert gone.returncode == 0, gone.stderr

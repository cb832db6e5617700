"""Whoever has a cluster of kind and follows the guide: kubectl, Helm and the chart, and nothing of the lab's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kind import KindCluster

from lab import binaries

SYSTEM = "mooring-system"
OURS = "--selector=app.kubernetes.io/part-of=mooring"
IN_NAMESPACE = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,jobs,pods"
OF_THE_CLUSTER = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
PATIENCE = 300
"""Seconds for what needs new pods, on a runner with few cores."""

Object = dict[str, Any]


class Stranger:
    """One person at one cluster."""

    def __init__(self, cluster: KindCluster, image: str, chart: Path, folder: Path) -> None:
        self._cluster = cluster
        self._image = image
        self._chart = chart
        self._folder = folder

    def kubectl(self, *words: str, given: Object | None = None) -> str:
        """Run kubectl with an object on its standard input; what it complains of stands in the test's output."""
        said: str = self._cluster.kubectl(*words, input=json.dumps(given) if given else "", timeout=PATIENCE + 60)
        return said

    def helm(self, *words: str) -> None:
        """Run Helm on the release."""
        subprocess.run(
            [str(binaries.find("helm")), *words, f"--namespace={SYSTEM}", "--wait", f"--timeout={PATIENCE}s"],
            env={
                "HOME": str(self._folder),
                "KUBECONFIG": str(self._cluster.kubeconfig_path),
                "PATH": os.environ["PATH"],
            },
            timeout=2 * PATIENCE,
            check=True,
        )

    def install(self) -> None:
        """Install as the guide says, where only restricted pods are admitted."""
        self.namespace(SYSTEM)
        repository, _, tag = self._image.rpartition(":")
        self.helm("install", "mooring", str(self._chart), f"--set=image.repository={repository},image.tag={tag}")

    def namespace(self, name: str) -> None:
        """Make a namespace that takes restricted pods only."""
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, RESTRICTED)

    def apply(self, kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Apply an object of one of Mooring's kinds."""
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": "mooring.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        self.kubectl("apply", "--filename=-", given=body)

    def wait(self, what: str, namespace: str, condition: str) -> None:
        """Wait for a condition of an object, or for its end."""
        self.kubectl("wait", what, f"--namespace={namespace}", f"--for={condition}", f"--timeout={PATIENCE}s")

    def get(self, what: str, namespace: str) -> Object:
        """Read an object, or a list of them."""
        found: Object = json.loads(self.kubectl("get", what, f"--namespace={namespace}", "--output=json"))
        return found

    def pods(self, namespace: str, project: str) -> set[str]:
        """Return the uids of a Project's pods that are to stay."""
        of_project = f"--selector=mooring.dev/project={project}"
        found = json.loads(self.kubectl("get", "pods", f"--namespace={namespace}", of_project, "--output=json"))
        return {pod["metadata"]["uid"] for pod in found["items"] if not pod["metadata"].get("deletionTimestamp")}

    def page(self, namespace: str, service: str) -> str:
        """Return what a Service answers, by way of the API server; nothing while it does not."""
        try:
            return self.kubectl("get", f"--raw=/api/v1/namespaces/{namespace}/services/{service}/proxy/")
        except subprocess.CalledProcessError:
            return ""

    def left(self) -> str:
        """Name what is still there of what the chart made."""
        inside = self.kubectl("get", IN_NAMESPACE, f"--namespace={SYSTEM}", OURS, "--output=name")
        return inside + self.kubectl("get", OF_THE_CLUSTER, OURS, "--output=name")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Where a step fails, put into the test's output what the cluster was like."""
        try:
            yield
        except BaseException:
            for words in (
                ("get", "pods,deployments,services", "--all-namespaces", "--output=wide"),
                ("get", "githubusers.mooring.dev,projects.mooring.dev", "--all-namespaces", "--output=yaml"),
                ("events", "--all-namespaces"),
                ("logs", f"--namespace={SYSTEM}", OURS, "--all-containers", "--prefix", "--tail=200"),
            ):
                self._tell(*words)
            raise

    def _tell(self, *words: str) -> None:
        try:
            said = self.kubectl(*words)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
            said = repr(problem)
        print(f"\n$ kubectl {' '.join(words)}\n{said}")  # noqa: T201 - pytest shows it with the failure

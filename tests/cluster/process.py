"""Operator and gateway as processes, under the Roles that are shipped: how tests start, ask, stop and kill them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from mooring import rbac
from tests.cluster.conftest import PATIENCE, ROOT, Kube

SYSTEM = "mooring-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
CHECKOUT_IMAGE = "registry.example.com/mooring:test"


class Mooring:
    """One of Mooring's processes, under its shipped Role."""

    def __init__(self, process: subprocess.Popen[bytes], admin: str, folder: Path, name: str = "operator") -> None:
        self.process = process
        self.admin = admin
        self._folder = folder
        self.name = name

    @property
    def log(self) -> str:
        """Return what it wrote to standard error."""
        return (self._folder / f"{self.name}.err").read_text()

    @property
    def output(self) -> str:
        """Return what it wrote to standard output."""
        return (self._folder / f"{self.name}.out").read_text()

    @property
    def audit(self) -> list[dict[str, Any]]:
        """Return the audit record."""
        return [json.loads(line) for line in self.output.splitlines()]

    def ask(self, path: str) -> httpx.Response:
        """Ask the admin server."""
        return httpx.get(self.admin + path, timeout=PATIENCE, trust_env=False)

    def until_logged(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the log has a text; fail with the log when it has not in time, or the process ends."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"{self.name} did not log {text!r}:\n{self.log[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """End it as Kubernetes does; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


ROLE_PLACES = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


def install_roles(kube: Kube) -> None:
    """Apply the shipped Roles, as the guide says."""
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    assert status in {201, 409}, body
    for name in ("operator.yaml", "cluster-wide.yaml", "gateway.yaml", "gateway-cluster-wide.yaml"):
        install_role(kube, name)


def install_another(kube: Kube, name: str) -> None:
    """Apply the Roles for an operator in a namespace of its own, where it has a Lease of its own: both of this name."""
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert status in {201, 409}, body
    files = rbac.files(namespace=name, name=name)
    for file in ("operator.yaml", "cluster-wide.yaml"):
        _apply(kube, files[file], name)


def install_role(kube: Kube, name: str, namespace: str = SYSTEM) -> None:
    """Apply one of the shipped files."""
    _apply(kube, (ROOT / "manifests" / "rbac" / name).read_text(), namespace)


def _apply(kube: Kube, text: str, namespace: str) -> None:
    for manifest in yaml.safe_load_all(text):
        apply_role(kube, manifest, namespace)


def apply_role(kube: Kube, manifest: Mapping[str, Any], namespace: str = SYSTEM) -> None:
    """Apply a Role, an account or what binds them."""
    path = f"{ROLE_PLACES[manifest['kind']].format(namespace)}/{manifest['metadata']['name']}"
    status, body = kube.request(
        "PATCH", f"{path}?fieldManager=tests&force=true", dict(manifest), "application/apply-patch+yaml"
    )
    assert status in {200, 201}, body


def free_lease(kube: Kube) -> None:
    """Take the Lease from an operator that was killed, as an administrator may who knows that it is dead.

    Without that the next one waits for the Lease's end, as it has to: nothing tells it that nobody is there any more.
    """
    status, body = kube.request("DELETE", f"{LEASES}/mooring-operator")
    assert status in {200, 404}, body


@contextmanager
def policy(kube: Kube, document: Mapping[str, Any]) -> Iterator[None]:
    """Put the administrator's policy in place until the end of the block."""
    place = f"/api/v1/namespaces/{SYSTEM}/configmaps/mooring-policy"
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mooring-policy"},
        "data": {"policy.yaml": yaml.safe_dump(dict(document))},
    }
    kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    status, answer = kube.request(
        "PATCH", f"{place}?fieldManager=administrator&force=true", body, "application/apply-patch+yaml"
    )
    assert status in {200, 201}, answer
    yield
    kube.request("DELETE", place)


def operator_environment(lab: Lab, kubeconfig: Path, **more: str) -> dict[str, str]:
    """Return the environment of an operator: nothing of ours but what it needs."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(kubeconfig.parent),
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": str(kubeconfig),
        "MOORING_NAMESPACE": SYSTEM,
        "MOORING_CHECKOUT_IMAGE": CHECKOUT_IMAGE,
        "MOORING_GITHUB_API_URL": lab.env["MOORING_GITHUB_API_URL"],
        "MOORING_GITHUB_CA_FILE": lab.env["MOORING_GITHUB_CA_FILE"],
        "MOORING_OPERATOR_LISTEN": "127.0.0.1:0",
        "MOORING_LOG_LEVEL": "debug",
        **more,
    }


@contextmanager
def running_operator(lab: Lab, kube: Kube, folder: Path, *, module: str = "mooring", **more: str) -> Iterator[Mooring]:
    """Run the operator until the end of the block; it is ready when the block begins."""
    install_roles(kube)
    with operating(lab, kube, folder, module=module, **more) as mooring:
        yield mooring


@contextmanager
def operating(lab: Lab, kube: Kube, folder: Path, *, module: str = "mooring", **more: str) -> Iterator[Mooring]:
    """Do the same under Roles that are there already."""
    free_lease(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    mooring = start_operator(operator_environment(lab, kubeconfig, **more), folder, module)
    try:
        wait_ready(mooring)
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()


# A TLS connection to which the server has not yet said goodbye when the process ends is no fault of ours, nor is a
# socket whose connecting was given up in time: asyncio leaves both to the collector of garbage.
WARNINGS = (
    *("-W", "error"),
    *("-W", "ignore:unclosed transport:ResourceWarning"),
    *("-W", "ignore:unclosed <socket.socket:ResourceWarning"),
)


def start_operator(environment: Mapping[str, str], folder: Path, module: str = "mooring") -> Mooring:
    """Start the process; it says in its log where the admin server listens."""
    with (folder / "operator.out").open("ab") as out, (folder / "operator.err").open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, *WARNINGS, "-m", module, "operator"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    return Mooring(process, "", folder)


ADMIN = re.compile(r'"message":"the admin server listens on ([^"]+)"')


def wait_ready(mooring: Mooring, seconds: float = PATIENCE, *, leads: bool = True) -> None:
    """Wait until the operator is ready, and leads; fail with its log when it is not in time, or ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and mooring.process.poll() is None:
        found = ADMIN.findall(mooring.log)
        if found:
            mooring.admin = f"http://{found[-1]}"
            # Who stands by is ready, too.
            works = "the caches are filled" in mooring.log.rpartition(found[-1])[2]
            try:
                if works >= leads and mooring.ask("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
        time.sleep(0.05)
    pytest.fail(f"the operator did not become ready:\n{mooring.log[-4000:]}")


# --- the gateway ---


class Gateway(Mooring):
    """The gateway, and where it takes deliveries."""

    @property
    def url(self) -> str:
        """Return where it listens; it says so in its log."""
        return f"http://{SERVES.findall(self.log)[-1]}"

    def metric(self, name: str) -> float:
        """Return one of its metrics, by its name with all labels."""
        lines = self.ask("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).rpartition(" ")[2])


SERVES = re.compile(r'"message":"the gateway listens on ([^"]+)"')


def gateway_kubeconfig(lab: Lab, folder: Path) -> Path:
    """Write a kubeconfig with the gateway's own account."""
    return service_account_kubeconfig(lab.env, SYSTEM, "mooring-gateway", folder / "gateway.kubeconfig")


def start_gateway(
    lab: Lab, kubeconfig: Path | None, webhook_dir: Path, folder: Path, name: str, **more: str
) -> Gateway:
    """Start a gateway of this name, which is not ready yet; nothing of ours is in its environment but what it needs."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "operator"),
        **({"KUBECONFIG": str(kubeconfig)} if kubeconfig is not None else {}),
        "MOORING_NAMESPACE": SYSTEM,
        "MOORING_WEBHOOK_DIR": str(webhook_dir),
        "MOORING_GITHUB_API_URL": lab.env["MOORING_GITHUB_API_URL"],
        "MOORING_GATEWAY_LISTEN": "127.0.0.1:0",
        "MOORING_GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "MOORING_LOG_LEVEL": "debug",
        **more,
    }
    with (folder / f"{name}.out").open("ab") as out, (folder / f"{name}.err").open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, *WARNINGS, "-m", "mooring", "gateway"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    return Gateway(process, "", folder, name)


def wait_serving(gateway: Gateway, *, ready: bool = True, seconds: float = PATIENCE) -> None:
    """Wait until a gateway listens, and is as ready as expected; fail with its log when it is not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and gateway.process.poll() is None:
        log = gateway.log
        if SERVES.search(log) and (found := ADMIN.findall(log)):
            gateway.admin = f"http://{found[-1]}"
            if (gateway.ask("/readyz").status_code == 200) is ready:
                return
        time.sleep(0.05)
    pytest.fail(f"{gateway.name} did not come to serve:\n{gateway.log[-4000:]}")


@contextmanager
def running_gateways(
    lab: Lab, kubeconfig: Path, webhook_dir: Path, folder: Path, *names: str
) -> Iterator[tuple[Gateway, ...]]:
    """Run gateways until the end of the block; they are ready when it begins."""
    gateways = tuple(start_gateway(lab, kubeconfig, webhook_dir, folder, name) for name in names)
    try:
        for gateway in gateways:
            wait_serving(gateway)
        yield gateways
    finally:
        for gateway in gateways:
            if gateway.process.poll() is None:
                gateway.kill()

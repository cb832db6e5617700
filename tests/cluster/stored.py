"""Objects as a release of Mooring leaves them in a cluster: how they are taken, and put back for a later one.

`python -m tests.cluster.stored RELEASE` runs the operator of this checkout on a small world of its own, and writes what
is there then to `tests/unit/resources/stored/RELEASE.yaml`. The world is the same whenever it is made: addresses, ids
and commits are fixed, so that what is put back still fits to it.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, ROOT, Kube, install_kinds
from tests.cluster.harness import Hub, Object, People, is_observed
from tests.cluster.operator.apps import output, put_secret
from tests.cluster.process import policy, running_operator

STORED = ROOT / "tests" / "unit" / "resources" / "stored"
NAMESPACE = "stored"
SUFFIX = "stored.example.com"
# Nobody else listens here: the URLs of repositories stand in what is stored.
ADDRESS, PORT = "127.83.84.79", 38443
BEGINNING = "2026-01-01T12:00:00Z"
TOKENS = {"global": ("alice", "ghp_" + "S" * 36), "own": ("bob", "ghp_" + "T" * 36)}
APP, INSTALLATION, SHOP, OPEN, ACME = 7001, 7002, 7003, 7004, 7005
CHILDREN = ("Secret", "Deployment", "Service", "Ingress")
OWN = ("GitHubUser", "GitHubInstallation", "Project")
# Where the API server keeps each kind in its store.
PLACES = {
    "GitHubUser": "mooring.dev/githubusers",
    "GitHubInstallation": "mooring.dev/githubinstallations",
    "Project": "mooring.dev/projects",
    "Secret": "secrets",
    "Deployment": "deployments",
    "Service": "services/specs",
    "Ingress": "ingress",
}


# --- the world ---


@contextmanager
def github(folder: Path) -> Iterator[tuple[Hub, str]]:
    """Run a GitHub of its own until the end of the block; the text is its App's private key."""
    ready, token = folder / "github.json", folder / "github.token"
    token.write_text("control-token-of-the-stored-world")
    options = {"dir": folder / "github", "address": ADDRESS, "port": PORT, "token-file": token, "ready-file": ready}
    line = [sys.executable, "-m", "lab.github", *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the stored world's GitHub did not start at {ADDRESS}:{PORT}")
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        hub = Hub(
            {
                "MOORING_GITHUB_API_URL": told["api_url"],
                "LAB_GITHUB_GIT_URL": told["git_url"],
                "MOORING_GITHUB_CA_FILE": told["ca_file"],
                "LAB_GITHUB_CONTROL_URL": told["control_url"],
                "LAB_ADMIN_TOKEN": token.read_text(),
            }
        )
        try:
            yield hub, _seed(hub)
        finally:
            hub.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def _seed(hub: Hub) -> str:
    # Commits are made at one moment, so that they always have the same names.
    hub.control("POST", "/clock", {"set": BEGINNING})
    made = hub.seed(
        users=[{"login": "alice", "id": 6001}, {"login": "bob", "id": 6002}],
        organizations=[{"login": "acme", "id": ACME, "members": {"alice": "admin", "bob": "member"}}],
        apps=[{"slug": "stored", "id": APP, "owner": "alice", "permissions": {"contents": "read", "metadata": "read"}}],
        repositories=[
            {"owner": "acme", "name": "shop", "id": SHOP, "private": True, "files": {"index.html": "hello"}},
            {"owner": "acme", "name": "open", "id": OPEN, "files": {"index.html": "hello"}},
        ],
        installations=[{"app": "stored", "account": "acme", "id": INSTALLATION, "token_form": "short"}],
        tokens=[
            {"name": name, "user": user, "value": value, "scopes": ["repo"]} for name, (user, value) in TOKENS.items()
        ],
    )
    hub.control("POST", "/clock", {"reset": True})
    return str(made["apps"]["stored"]["private_key"])


@contextmanager
def operator(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[None]:
    """Run the operator on the stored world's GitHub until the end of the block."""
    settings = {"MOORING_GITHUB_API_URL": hub.api_url, "MOORING_GITHUB_CA_FILE": hub.ca_file}
    with policy(kube, {"ingress": {"hostSuffixes": [SUFFIX]}}), running_operator(lab, kube, folder, **settings):
        yield


def people(kube: Kube) -> People:
    """Make the namespace, and return who works there."""
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    assert status == 201, body
    return People(kube, NAMESPACE)


# --- what people apply ---


def _workload(**more: Any) -> dict[str, Any]:
    return {"image": "registry.example.com/acme/shop:1", **more}


def _projects() -> dict[str, dict[str, Any]]:
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 9090}]
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5}
    own = {"secretRef": {"name": "own"}}
    return {
        "image-only": {"workload": _workload()},
        "own-token": {"workload": _workload(replicas=2, tokenEnv="GH_TOKEN"), "token": own},
        "no-token": {"workload": _workload(), "token": {"source": "none"}},
        "suspended": {"workload": _workload(replicas=3), "suspend": True},
        "published": {
            "workload": _workload(ports=ports, readinessProbe=probe, env=[{"name": "A", "value": "b"}]),
            "expose": {"host": f"shop.{SUFFIX}", "tlsSecretName": "tls"},
        },
        "public-source": {
            "workload": _workload(runAsUser=1000, resources={"limits": {"memory": "64Mi"}}),
            "source": {"github": {"repository": "acme/open"}, "path": "web"},
        },
        "private-source": {
            "workload": _workload(mountPath="/srv"),
            "source": {"github": {"repository": "acme/shop"}},
            "token": own,
        },
        "by-installation": {
            "workload": _workload(),
            "source": {"github": {"repository": "acme/shop"}, "submodules": True},
            "installationRef": {"name": "acme"},
        },
    }


def apply_everything(somebody: People, key: str) -> None:
    """Apply one of each, and wait until all of them are Ready."""
    for name, (_, value) in TOKENS.items():
        somebody.secret(name, value)
    put_app(somebody, key)
    somebody.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}, "login": "alice"})
    outputs = [output("ci", permissions={"contents": "read"}, repositories=["acme/shop"])]
    spec = {"account": "acme", "appSecretRef": {"name": "app"}, "outputs": outputs}
    somebody.apply("GitHubInstallation", "acme", spec)
    for name, wanted in _projects().items():
        somebody.apply("Project", name, wanted)
    until_ready(somebody)


def until_ready(somebody: People) -> None:
    """Wait until all of them are Ready."""
    for kind in OWN:
        for obj in somebody.list(kind):
            somebody.until_condition(obj["metadata"]["name"], "Ready", "True", _ready_reason(obj), kind=kind)


def _ready_reason(obj: Object) -> str:
    return "Suspended" if obj["spec"].get("suspend") else "Ready"


def put_app(somebody: People, key: str) -> None:
    """Write the App's Secret. It is not stored: the key of an App is nothing to keep in a repository."""
    put_secret(somebody, "app", {"appId": str(APP), "privateKey": key})


# --- taking, and putting back ---


def take(somebody: People) -> list[Object]:
    """Return what is there, as the API server gives it."""
    found = [obj for kind in (*OWN, *CHILDREN) for obj in _complete(kind, somebody)]
    return [obj for obj in found if obj["metadata"]["name"] != "app"]


def _complete(kind: str, somebody: People) -> list[Object]:
    versions = {"Deployment": "apps/v1", "Ingress": "networking.k8s.io/v1", "Secret": "v1", "Service": "v1"}
    return [
        {"apiVersion": versions.get(kind, "mooring.dev/v1alpha1"), "kind": kind, **obj} for obj in somebody.list(kind)
    ]


def put_back(store: Store, backup: Iterable[Object], somebody: People) -> None:
    """Write what was taken, owners first, and wait until Kubernetes has made the pods, which are not taken."""
    found = list(backup)
    for obj in found:
        store.put({**obj, "status": {}} if obj["kind"] == "Deployment" else obj)
    somebody.until_every("Deployment", {it["metadata"]["name"]: _is_up for it in found if it["kind"] == "Deployment"})


def _is_up(deployment: Object | None) -> bool:
    if not is_observed(deployment) or deployment is None:
        return False
    return bool(deployment["status"].get("availableReplicas", 0) == deployment["spec"]["replicas"])


def load(path: Path) -> list[Object]:
    """Read stored objects."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


class Store:
    """The store of a lab's API server, into which a backup is put back: uids, times and statuses as they were."""

    def __init__(self, lab: Lab) -> None:
        line = Path(f"/proc/{lab.pids['kube-apiserver']}/cmdline").read_bytes().decode().split("\0")
        options = dict(part.removeprefix("--").split("=", 1) for part in line if part.startswith("--") and "=" in part)
        trust = ssl.create_default_context(cafile=options["etcd-cafile"])
        trust.load_cert_chain(options["etcd-certfile"], options["etcd-keyfile"])
        self._client = httpx.Client(base_url=options["etcd-servers"], verify=trust, trust_env=False, timeout=PATIENCE)

    def put(self, obj: Mapping[str, Any]) -> None:
        """Write an object as it is."""
        metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
        place = f"/registry/{PLACES[obj['kind']]}/{metadata['namespace']}/{metadata['name']}"
        body = json.dumps({**obj, "metadata": metadata})
        texts = {"key": place, "value": body}
        answer = self._client.post(
            "/v3/kv/put", json={name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        )
        assert answer.status_code == 200, answer.text

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def main(release: str) -> None:
    """Write what this checkout leaves in a cluster."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lab = Lab.up(folder / "lab")
        kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
        try:
            install_kinds(kube)
            with github(folder) as (hub, key):
                somebody = people(kube)
                with operator(lab, kube, hub, folder):
                    apply_everything(somebody, key)
                found = take(somebody)
        finally:
            kube.close()
            lab.down()
    text = yaml.safe_dump_all(found, sort_keys=False, width=120)
    (STORED / f"{release}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

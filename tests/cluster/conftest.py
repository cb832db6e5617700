"""One lab for all cluster tests: a real API server and the lab's GitHub, with the kinds installed.

Tests speak to the API server as admin to play the part of people. What is under test, operator and gateway, never does:
it runs as a process of its own under its shipped Role.
"""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab import Lab
from lab.kubernetes.kubeconfig import Access

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 30.0


class Kube:
    """The API server, asked as admin over one connection that is kept alive."""

    def __init__(self, access: Access, kubeconfig: str) -> None:
        self.server = access.server
        self.kubeconfig = kubeconfig
        self._client = httpx.Client(
            base_url=access.server,
            verify=ssl.create_default_context(cadata=access.ca),
            headers={"Authorization": f"Bearer {access.token}", "Accept": "application/json"},
            timeout=PATIENCE,
            trust_env=False,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Make one request; return status and body, whatever the status is."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = self._client.request(
            method, path, content=content, headers={"Content-Type": content_type, **(headers or {})}
        )
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {"message": answer.text}

    @contextmanager
    def watch(self, path: str) -> Iterator[Iterator[dict[str, Any]]]:
        """Read the events of a watch; the server ends it at its timeoutSeconds."""
        with self._client.stream("GET", path) as lines:
            yield (json.loads(line) for line in lines.iter_lines())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run the lab that all cluster tests share."""
    running = Lab.up(tmp_path_factory.mktemp("lab"))
    try:
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def kube(lab: Lab) -> Iterator[Kube]:
    """Return the API server with the three kinds installed and established."""
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    install_kinds(kube)
    yield kube
    kube.close()


def install_kinds(kube: Kube) -> None:
    """Apply crds/ and wait, on a watch, until the API server serves them."""
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        name = definition["metadata"]["name"]
        status, body = kube.request(
            "PATCH",
            f"{base}/{name}?fieldManager=tests&force=true",
            yaml.safe_dump(definition).encode(),
            "application/apply-patch+yaml",
        )
        assert status in {200, 201}, body
        wait_established(kube, f"{base}?watch=true&fieldSelector=metadata.name={name}&timeoutSeconds=20")


def wait_established(kube: Kube, watch: str) -> None:
    """Read a watch until the definition is established."""
    with kube.watch(watch) as events:
        for event in events:
            conditions = (event["object"].get("status") or {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
    pytest.fail("the API server did not establish the definition in time")


_numbers = itertools.count(1)


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """Return a fresh namespace."""
    name = f"test-{next(_numbers)}"
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert status == 201, body
    yield name
    kube.request("DELETE", f"/api/v1/namespaces/{name}")

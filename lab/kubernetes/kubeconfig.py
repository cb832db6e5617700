"""Kubeconfig files: how a client finds the lab's API server and proves who it is. One user each."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import UsageError
from lab.folder import write


@dataclass(frozen=True)
class Access:
    """An API server, its CA (PEM) and a bearer token."""

    server: str
    ca: str
    token: str

    def save(self, path: Path, *, user: str, namespace: str = "default") -> Path:
        """Write it as a kubeconfig that only the owner can read."""
        cluster = {"server": self.server, "certificate-authority-data": base64.b64encode(self.ca.encode()).decode()}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user, "namespace": namespace}}],
            "current-context": "lab",
        }
        write(path, yaml.safe_dump(content, sort_keys=False))
        return path

    @classmethod
    def load(cls, path: Path) -> "Access":
        """Read a kubeconfig that this module wrote."""
        try:
            content: dict[str, Any] = yaml.safe_load(path.read_text())
            cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
            ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
            return cls(cluster["server"], ca, user["token"])
        except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError, ValueError) as error:
            raise UsageError(f"{path} is not a kubeconfig of the lab: name the KUBECONFIG of its env file") from error

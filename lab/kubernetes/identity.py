"""Being somebody else in the lab: a kubeconfig for a service account, so that tests run under the Role that ships."""

from collections.abc import Mapping
from pathlib import Path

from lab.errors import UsageError
from lab.kubernetes.api import Api
from lab.kubernetes.kubeconfig import Access


def service_account_kubeconfig(
    lab_env: Mapping[str, str], namespace: str, name: str, path: Path, expiration_seconds: int = 3600
) -> Path:
    """Write a kubeconfig with a fresh token of the service account (it must exist) and return its path."""
    if "KUBECONFIG" not in lab_env:
        raise UsageError("the lab's env has no KUBECONFIG: pass the env of a lab that is up")
    admin = Access.load(Path(lab_env["KUBECONFIG"]))
    answer = Api(admin).create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": expiration_seconds},
        },
    )
    access = Access(admin.server, admin.ca, answer["status"]["token"])
    return access.save(path, user=f"{namespace}-{name}", namespace=namespace)

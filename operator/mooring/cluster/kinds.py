"""Which kind stands at which path of the API, and what RBAC calls it."""

from dataclasses import dataclass
from urllib.parse import quote

from mooring.domain.names import GROUP, VERSION
from mooring.domain.resources import KINDS


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it."""

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What stands in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def role_name(self) -> str:
        """What stands in a Role: `secrets`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def collection(self, namespace: str | None = None) -> str:
        """Return the path of all objects, of one namespace or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace is None:
            return f"{root}/{self.plural}"
        return f"{root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def path(self, namespace: str | None, name: str) -> str:
        """Return the path of one object. No name leads elsewhere: an empty one would be the whole collection."""
        if name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is no name of a {self.kind}")
        return f"{self.collection(namespace if self.namespaced else None)}/{quote(name, safe='')}"


_OTHERS = (
    Resource("Secret", "", "v1", "secrets"),
    Resource("ConfigMap", "", "v1", "configmaps"),
    Resource("Service", "", "v1", "services"),
    Resource("ServiceAccount", "", "v1", "serviceaccounts"),
    Resource("Namespace", "", "v1", "namespaces", namespaced=False),
    Resource("Pod", "", "v1", "pods"),
    Resource("Deployment", "apps", "v1", "deployments"),
    Resource("Ingress", "networking.k8s.io", "v1", "ingresses"),
    Resource("Event", "events.k8s.io", "v1", "events"),
    Resource("Lease", "coordination.k8s.io", "v1", "leases"),
)
_OWN = tuple(Resource(kind.info.kind, GROUP, VERSION, kind.info.plural) for kind in KINDS)
RESOURCES = {resource.kind: resource for resource in (*_OTHERS, *_OWN)}

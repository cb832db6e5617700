"""etcd, API server, controller manager: files and command lines. All listen on loopback, by TLS, and ask who comes."""

import secrets
import ssl
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import yaml

from lab.folder import Folder, write
from lab.kubernetes.api import Api, healthy
from lab.kubernetes.kubeconfig import Access
from lab.kubernetes.nodes import REAL_NODE, Nodes
from lab.kubernetes.pki import Authority, Pair, signing_key
from lab.member import Member
from lab.ports import LOOPBACK, Ports

SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
# Who may come with a static token: name and group. Each server is itself, as in a real cluster; the admin is
# people and tests alone, so that their requests can be told from the lab's own in the audit log.
USERS = {
    "admin": ("lab:admin", "system:masters"),
    "supervisor": ("lab:supervisor", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kwok": ("lab:kwok", "system:masters"),
    "kubelet": (f"system:node:{REAL_NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "dns": ("lab:dns", "system:masters"),
}
CLIENT_LIMITS = {
    "qps": 1000,
    "burst": 2000,
}  # the defaults (20, 30) would make a thousand Deployments a matter of minutes


@dataclass(frozen=True)
class Credentials:
    """What the servers present and accept."""

    authority: Authority
    api_server: Pair
    controllers: Pair
    etcd: Pair
    signing_key: Path
    tokens: dict[str, str]
    token_file: Path

    @classmethod
    def create(cls, folder: Path, nodes: Nodes) -> "Credentials":
        first_service = ip_network(nodes.service_range)[1]  # the API server's own
        hosts = dict.fromkeys((LOOPBACK, nodes.address, str(first_service), *SERVICE_NAMES))
        authority = Authority(folder, "Mooring lab")
        tokens = {user: secrets.token_urlsafe(24) for user in USERS}
        token_file = folder / "tokens.csv"
        lines = [f'{tokens[user]},{name},{name},"{group}"\n' for user, (name, group) in USERS.items()]
        write(token_file, "".join(lines))
        return cls(
            authority=authority,
            api_server=authority.issue("api-server", hosts=[*hosts], groups=["system:masters"]),
            controllers=authority.issue("controllers", hosts=[LOOPBACK]),
            etcd=authority.issue("etcd", hosts=[LOOPBACK]),
            signing_key=signing_key(folder / "service-accounts.key"),
            tokens=tokens,
            token_file=token_file,
        )


class ControlPlane:
    """The control plane of one lab: everything its members' command lines are made from."""

    def __init__(
        self, folder: Folder, ports: Ports, binaries: dict[str, Path], nodes: Nodes, *, api_port: int | None
    ) -> None:
        self.folder = folder
        self.binaries = binaries
        self._nodes = nodes
        self.credentials = Credentials.create(folder.secrets, nodes)
        self._etcd_port, self._etcd_peer_port = ports.free(), ports.free()
        self._api_port = ports.fixed(api_port, "--api-port", nodes.address) if api_port else ports.free(nodes.address)
        self._controllers_port = ports.free()
        self.scheduler_port = ports.free()
        self._ca = self.credentials.authority.certificate.read_text()
        self.access("admin").save(folder.kubeconfig, user="admin")
        self.api = Api(self.access("supervisor"))

    @property
    def server(self) -> str:
        return f"https://{self._nodes.address}:{self._api_port}"

    def access(self, user: str) -> Access:
        return Access(self.server, self._ca, self.credentials.tokens[user])

    def kubeconfig(self, user: str) -> Path:
        """A server's own kubeconfig."""
        return self.access(user).save(self.folder.secrets / f"{user}.kubeconfig", user=user)

    def tls(self, client: Pair | None = None) -> ssl.SSLContext:
        """For asking a server of this lab."""
        context = ssl.create_default_context(cadata=self._ca)
        if client:
            context.load_cert_chain(client.certificate, client.key)
        return context

    def etcd(self) -> Member:
        """The store. It need not survive a power cut, so it does not wait for the disk."""
        pair, ca = self.credentials.etcd, self.credentials.authority.certificate
        client, peer = f"https://{LOOPBACK}:{self._etcd_port}", f"https://{LOOPBACK}:{self._etcd_peer_port}"
        tls = self.tls(pair)
        options = {
            "name": "lab",
            "data-dir": self.folder.etcd,
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"lab={peer}",
            "client-cert-auth": "true",
            "trusted-ca-file": ca,
            "cert-file": pair.certificate,
            "key-file": pair.key,
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": ca,
            "peer-cert-file": pair.certificate,
            "peer-key-file": pair.key,
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        return Member("etcd", self._line("etcd", options), lambda: healthy(self._etcd_port, "/health", tls))

    def api_server(self, *, audit: bool) -> Member:
        """The API server, with what a real cluster has: RBAC, node restriction, service accounts with bound tokens."""
        keys = self.credentials
        options = {
            "etcd-servers": f"https://{LOOPBACK}:{self._etcd_port}",
            "etcd-cafile": keys.authority.certificate,
            "etcd-certfile": keys.etcd.certificate,
            "etcd-keyfile": keys.etcd.key,
            "bind-address": self._nodes.address,
            "advertise-address": self._nodes.address,
            "endpoint-reconciler-type": "none",  # a loopback address is no valid endpoint of a Service
            "secure-port": self._api_port,
            "tls-cert-file": keys.api_server.certificate,
            "tls-private-key-file": keys.api_server.key,
            "client-ca-file": keys.authority.certificate,
            "token-auth-file": keys.token_file,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "service-cluster-ip-range": self._nodes.service_range,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": keys.signing_key,
            "service-account-signing-key-file": keys.signing_key,
            "profiling": "false",
            **(self._audit_options() if audit else {}),
            **self._nodes.api_server_options(self),
        }
        # With watches open it would take a minute to end. Nothing in it needs more than its last answers.
        return Member(
            "kube-apiserver",
            self._line("kube-apiserver", options),
            lambda: self.api.healthy("/readyz"),
            ready_seconds=60,
            grace_seconds=1,
            # A short-lived server has memory to spare and two cores to share: let it collect garbage less often.
            environment={"GOGC": "400"},
        )

    def controller_manager(self) -> Member:
        """The controllers that go with the kind of nodes. Each has its own service account, so RBAC binds them too."""
        keys, tls = self.credentials, self.tls()
        options = {
            "kubeconfig": self.kubeconfig("controller-manager"),
            "controllers": ",".join(self._nodes.controllers),
            "use-service-account-credentials": "true",
            "service-account-private-key-file": keys.signing_key,
            "root-ca-file": keys.authority.certificate,
            "leader-elect": "false",
            "bind-address": LOOPBACK,
            "secure-port": self._controllers_port,
            "tls-cert-file": keys.controllers.certificate,
            "tls-private-key-file": keys.controllers.key,
            "kube-api-qps": CLIENT_LIMITS["qps"],
            "kube-api-burst": CLIENT_LIMITS["burst"],
            "profiling": "false",
        }
        return Member(
            "kube-controller-manager",
            self._line("kube-controller-manager", options),
            lambda: healthy(self._controllers_port, "/healthz", tls) and self._namespace_is_usable(),
        )

    def _namespace_is_usable(self) -> bool:
        """Pods are refused until the namespace has its service account; the CA's ConfigMap is mounted into them."""
        return all(
            self.api.get(f"/api/v1/namespaces/default/{path}")
            for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt")
        )

    def _audit_options(self) -> dict[str, object]:
        policy = self.folder.settings / "audit-policy.yaml"
        rules = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        write(policy, yaml.safe_dump(rules, sort_keys=False))
        return {"audit-policy-file": policy, "audit-log-path": self.folder.audit_log, "audit-log-format": "json"}

    def _line(self, binary: str, options: dict[str, object]) -> tuple[str, ...]:
        return (str(self.binaries[binary]), *(f"--{name}={value}" for name, value in options.items()))

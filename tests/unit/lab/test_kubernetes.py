"""Certificates, kubeconfigs and kinds of nodes, without a control plane."""

import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.errors import UsageError
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kinds import KINDS, kind
from lab.kubernetes.kubeconfig import Access
from lab.kubernetes.nodes import STAGES
from lab.kubernetes.pki import Authority, Pair


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """One connection in each direction; what the server read."""
    ours, theirs = socket.socketpair()
    received: list[bytes] = []

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as connection:
            received.append(connection.recv(5))
            connection.sendall(b"bye")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname=name) as connection:
        connection.sendall(b"hello")
        connection.recv(3)
    thread.join()
    return received[0]


def contexts(authority: Authority, server: Pair, client: Pair) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_cert_chain(server.certificate, server.key)
    asking = ssl.create_default_context(cafile=str(authority.certificate))
    asking.load_cert_chain(client.certificate, client.key)
    return serving, asking


@pytest.mark.parametrize("name", ["127.0.0.1", "kubernetes.default.svc"])
def test_certificates_hold_for_their_hosts_both_ways(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path, "test")
    server = authority.issue("server", hosts=["127.0.0.1", "kubernetes.default.svc"])
    assert shake_hands(*contexts(authority, server, authority.issue("client", groups=["team"])), name) == b"hello"


def test_a_client_certificate_is_no_servers(tmp_path: Path) -> None:
    pair = Authority(tmp_path, "test").issue("client", groups=["team"])
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.subject.rfc4514_string() == "O=team,CN=client"
    assert pair.key.stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_is_read_back_as_written(tmp_path: Path) -> None:
    access = Access("https://127.0.0.1:1", "-----CA-----\n", "token")
    path = access.save(tmp_path / "kubeconfig", user="someone")
    assert Access.load(path) == access
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "clusters: []", "clusters: [{cluster: {}}]", ": :"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a kubeconfig of the lab"):
        Access.load(path)


def test_being_somebody_needs_a_lab(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no KUBECONFIG"):
        service_account_kubeconfig({}, "default", "someone", tmp_path / "kubeconfig")


def test_kinds_of_nodes() -> None:
    assert set(KINDS) == {"simulated", "none", "real"}
    assert kind("none").binaries == ()
    assert not {"deployment-controller", "replicaset-controller"} & set(kind("none").controllers)
    assert set(kind("simulated").binaries) == {"kube-scheduler", "kwok"}
    assert sorted(path.name for path in STAGES.glob("*.yaml")) == ["node.yaml", "pod.yaml"]

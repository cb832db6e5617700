"""Trouble with the real API server: what a person is told, and that no secret is told with it."""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import ConfigurationError, Connection
from mooring.cluster.limits import Limits
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.reasons import Reason
from mooring.ports import AlreadyExists, Changed
from tests.cluster.adapter.conftest import RealClock
from tests.cluster.adapter.support import Proxy
from tests.cluster.conftest import Kube

PLANTED = "planted-secret-value"
ENCODED = base64.b64encode(PLANTED.encode()).decode()


def secret(namespace: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "s", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", **fields}


def deployment(namespace: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": "d"}
    container = {"name": "app", "image": "app", "env": [{"name": "TOKEN", "value": PLANTED}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def texts(error: BaseException) -> Iterator[str]:
    """Return all that a log could show of an error and of what led to it."""
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is not None:
            yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
            chain += [one.__cause__, one.__context__]


def assert_clean(error: BaseException) -> None:
    told = "\n".join(texts(error))
    assert PLANTED not in told
    assert ENCODED not in told


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"replicas": -1}, "spec.replicas: must be greater than or equal to 0"),
        ({"replicas": "many"}, "spec.replicas"),
        ({"selector": {"matchLabels": {"other": "x"}}}, "spec.template.metadata.labels"),
        ({"unknown": 1}, "spec.unknown"),
    ],
)
async def test_a_refused_manifest_names_the_field(
    cluster: KubernetesCluster, namespace: str, spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(Stalled) as refused:
        await cluster.create(deployment(namespace, **spec))
    assert refused.value.reason == Reason.INVALID_SPEC
    assert field in refused.value.message
    assert f"Deployment {namespace}/d" in refused.value.message
    assert_clean(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"token": f"{PLANTED}?"}},
        {"data": {"token": [ENCODED]}},
        {"data": {ENCODED + "?": ENCODED}},
        {"data": {"token": ENCODED}, ENCODED: ENCODED},
        {"data": {"token": ENCODED}, "type": "kubernetes.io/tls"},
        {"data": {"token": ENCODED}, "immutable": PLANTED},
        {"data": {"token": base64.b64encode(PLANTED.encode() * 60_000).decode()}},
        {"data": {"token": base64.b64encode(PLANTED.encode() * 200_000).decode()}},
    ],
)
async def test_no_value_of_a_refused_secret_is_told(
    cluster: KubernetesCluster, namespace: str, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Stalled) as refused:
        await cluster.create(secret(namespace, **fields))
    assert refused.value.reason == Reason.INVALID_SPEC
    if ENCODED + "?" not in fields["data"]:  # a key of a Secret is told: it is a name
        assert_clean(refused.value)
    assert PLANTED not in caplog.text


async def test_no_value_is_told_by_conflicts_and_broken_connections(
    cluster: KubernetesCluster, proxied: Connection, proxy: Proxy, namespace: str
) -> None:
    manifest = secret(namespace, data={"token": ENCODED})
    made = await cluster.create(manifest)
    with pytest.raises(AlreadyExists) as taken:
        await cluster.create(manifest)
    with pytest.raises(Changed) as changed:
        await cluster.apply(manifest, uid="11111111-1111-1111-1111-111111111111")
    await proxy.stop()
    with pytest.raises(Transient) as broken:
        await KubernetesCluster(proxied, RealClock(), instance="t").apply(manifest, uid=made["metadata"]["uid"])
    for error in (taken.value, changed.value, broken.value):
        assert_clean(error)
    # The search itself finds a leak.
    with pytest.raises(AssertionError):
        assert_clean(ValueError({"token": ENCODED}))


async def test_a_missing_right_is_named(lab: Lab, kube: Kube, namespace: str, tmp_path: Path) -> None:
    status, _ = kube.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "weak"}})
    assert status == 201
    role = {
        "metadata": {"name": "weak"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["patch"]}],
    }
    binding = {
        "metadata": {"name": "weak"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "weak"},
        "subjects": [{"kind": "ServiceAccount", "name": "weak", "namespace": namespace}],
    }
    for plural, body in (("roles", role), ("rolebindings", binding)):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}"
        assert kube.request("POST", path, body)[0] == 201
    config = service_account_kubeconfig(lab.env, namespace, "weak", tmp_path / "weak")
    connection = await Connection.open({"KUBECONFIG": str(config)})
    cluster = KubernetesCluster(connection, RealClock(), instance="t")
    try:
        with pytest.raises(Transient, match=f"get on secrets in namespace {namespace}"):
            await cluster.read("Secret", namespace, "s")
        with pytest.raises(Transient, match=f"create on secrets in namespace {namespace}"):
            await cluster.create(secret(namespace))
        with pytest.raises(Transient, match=r"patch on deployments of apps in namespace"):
            await cluster.create(deployment(namespace))
    finally:
        await connection.close()


async def test_nobody_listens(tmp_path: Path, kube: Kube) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = Access(f"https://127.0.0.1:{taken.getsockname()[1]}", _ca(kube), "t").save(tmp_path / "k", user="u")
        connection = await Connection.open({"KUBECONFIG": str(config)})
        try:
            with pytest.raises(Transient, match="could not be reached") as error:
                await KubernetesCluster(connection, RealClock(), instance="t").read("Secret", "default", "s")
            assert error.value.reason == Reason.CLUSTER_UNAVAILABLE
        finally:
            await connection.close()


async def test_nobody_answers(proxy: Proxy, tmp_path: Path) -> None:
    connection = await Connection.open(
        {"KUBECONFIG": proxy.kubeconfig(tmp_path / "k")}, Limits(request_seconds=0.3, connect_seconds=0.3)
    )
    proxy.close_door()
    try:
        with pytest.raises(Transient, match="did not answer in time"):
            await KubernetesCluster(connection, RealClock(), instance="t").read("Secret", "default", "s")
    finally:
        await connection.close()


async def test_an_answer_may_not_be_larger_than_is_accepted(
    kube: Kube, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.create(secret(namespace, data={"token": base64.b64encode(PLANTED.encode() * 1000).decode()}))
    connection = await Connection.open({"KUBECONFIG": kube.kubeconfig}, Limits(answer_bytes=10_000))
    try:
        with pytest.raises(Trouble, match="more than is accepted") as error:
            await KubernetesCluster(connection, RealClock(), instance="t").read("Secret", namespace, "s")
        assert_clean(error.value)
    finally:
        await connection.close()


async def test_a_replaced_token_is_taken_up(kube: Kube, tmp_path: Path) -> None:
    right = Access.load(Path(kube.kubeconfig))
    path = tmp_path / "k"
    Access(right.server, right.ca, "expired").save(path, user="u")
    connection = await Connection.open({"KUBECONFIG": str(path)}, Limits(token_check_seconds=0.0))
    cluster = KubernetesCluster(connection, RealClock(), instance="t")
    try:
        with pytest.raises(Transient, match="does not accept Mooring's credentials"):
            await cluster.read("Secret", "default", "s")
        right.save(path, user="u")
        assert await cluster.read("Secret", "default", "s") is None
    finally:
        await connection.close()


@pytest.mark.parametrize("server", ["http://203.0.113.1", "http://cluster.example"])
async def test_a_token_never_travels_in_clear_text(server: str, kube: Kube, tmp_path: Path) -> None:
    config = Access(server, _ca(kube), "t").save(tmp_path / "k", user="u")
    with pytest.raises(ConfigurationError, match="not https"):
        await Connection.open({"KUBECONFIG": str(config)})


def _ca(kube: Kube) -> str:
    return Access.load(Path(kube.kubeconfig)).ca

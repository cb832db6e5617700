"""The adapter under test, straight to the API server and through a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.kubernetes.kubeconfig import Access
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from tests.cluster.adapter.support import Proxy
from tests.cluster.conftest import Kube


class RealClock:
    """The time as it is."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


@pytest.fixture
async def connection(kube: Kube) -> AsyncIterator[Connection]:
    """Return a connection as admin."""
    opened = await Connection.open({"KUBECONFIG": kube.kubeconfig})
    yield opened
    await opened.close()


@pytest.fixture
def cluster(connection: Connection) -> KubernetesCluster:
    """Return the adapter."""
    return KubernetesCluster(connection, RealClock(), instance="test-instance")


@pytest.fixture
async def proxy(kube: Kube) -> AsyncIterator[Proxy]:
    """Return a proxy before the API server."""
    proxy = Proxy(Access.load(Path(kube.kubeconfig)))
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def proxied(proxy: Proxy, tmp_path: Path) -> AsyncIterator[Connection]:
    """Return a connection through the proxy."""
    opened = await Connection.open({"KUBECONFIG": proxy.kubeconfig(tmp_path / "proxied")})
    yield opened
    await opened.close()

"""Two gateways for all tests of a module, as they run in a cluster: processes of their own under the shipped Role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from mooring.domain.webhooks.keys import AppHook
from tests.cluster.conftest import Kube
from tests.cluster.gateway.site import Site
from tests.cluster.harness import Hub, People
from tests.cluster.process import Gateway, gateway_kubeconfig, install_roles, running_gateways

SECRET = "the-operators-webhook-secret"


@pytest.fixture(scope="session")
def hub(lab: Lab) -> Iterator[Hub]:
    """Return the lab's GitHub."""
    hub = Hub(lab.env)
    yield hub
    violations = hub.violations()
    hub.close()
    assert violations == []


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return the folder that is mounted, with the operator's App in it."""
    site = Site(tmp_path_factory.mktemp("webhook"), lab.env["MOORING_GITHUB_API_URL"])
    site.write(AppHook(site.api_url, (SECRET,)))
    return site


@pytest.fixture(scope="module")
def kubeconfig(lab: Lab, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the gateway's access to the API server."""
    install_roles(kube)
    return gateway_kubeconfig(lab, tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="module")
def gateways(lab: Lab, kubeconfig: Path, site: Site) -> Iterator[tuple[Gateway, Gateway]]:
    """Run two of them; they are ready."""
    with running_gateways(lab, kubeconfig, site.folder, kubeconfig.parent, "one", "two") as (one, two):
        yield one, two
        for gateway in (one, two):
            assert gateway.stop() == 0
            assert SECRET not in gateway.log + str(gateway.audit)
            assert '"level":"error"' not in gateway.log
            assert '"level":"critical"' not in gateway.log


@pytest.fixture
def people(kube: Kube, namespace: str) -> People:
    """Return somebody in a fresh namespace."""
    return People(kube, namespace)

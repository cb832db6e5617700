"""One operator, one gateway and one kubelet for all pages: what a reader of them has in front of him."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Lab
from lab.ports import LOOPBACK, Ports
from tests.cluster import kubelet as kubelets
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import Hub, People
from tests.cluster.kubelet import Kubelet
from tests.cluster.operator import hooked
from tests.cluster.operator.apps import Account, make_account
from tests.cluster.process import (
    SYSTEM,
    Gateway,
    Mooring,
    gateway_kubeconfig,
    running_operator,
    start_gateway,
    wait_serving,
)
from tests.cluster.reading import Desk, Reader
from tests.pages import Sections


@dataclass
class Place:
    """Where a reader works."""

    kube: Kube
    hub: Hub
    operator: Mooring
    gateway: Gateway
    kubelet: Kubelet
    mounted: Path

    @property
    def system(self) -> People:
        """Return the administrator."""
        return People(self.kube, SYSTEM)

    def mount(self) -> None:
        """Bring the operator's Secret to the gateway, as kubelet does."""
        hooked.mount(self.kube, self.mounted)

    def reader(self, desk: Desk, sections: Sections, page: str, words: Mapping[str, str]) -> Reader:
        """Return a reader of a page, with what the processes have said by now in their logs."""
        return _Reader(self, desk, sections, page, words)

    @property
    def github(self) -> Mapping[str, str]:
        """Return the words that stand for github.com."""
        host = self.hub.web_url.removeprefix("https://")
        return {"https://api.github.com": self.hub.api_url, "https://github.com": self.hub.web_url, "github.com": host}


class _Reader(Reader):
    """A reader whose kubectl shows the newest lines of the logs."""

    def __init__(self, place: Place, desk: Desk, sections: Sections, page: str, words: Mapping[str, str]) -> None:
        super().__init__(desk, sections, page, words)
        self._place = place

    def _next(self, expected: tuple[str, ...], words: Mapping[str, str]) -> str:
        self._place.kubelet.write_logs()
        return super()._next(expected, words)


@pytest.fixture(scope="package")
def place(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run all of it under its shipped Roles."""
    folder = tmp_path_factory.mktemp("pages")
    mounted = folder / "webhook"
    mounted.mkdir()
    with Ports() as ports:
        address = f"{LOOPBACK}:{ports.free()}"
        # GitHub sends to where the gateway listens, and Mooring looks whether an App's webhook goes there.
        settings = {"MOORING_PUBLIC_BASE_URL": f"http://{address}", "MOORING_DEVELOPMENT": "true"}
        with running_operator(lab, kube, folder, MOORING_SWEEP_INTERVAL="24h", **settings) as operator:
            hooked.mount(kube, mounted)
            kubeconfig = gateway_kubeconfig(lab, folder)
            gateway = start_gateway(lab, kubeconfig, mounted, folder, "gateway", MOORING_GATEWAY_LISTEN=address)
            try:
                wait_serving(gateway)
                pods = kubelets.pods_of(operator, gateway)
                with kubelets.running(kube, folder / "kubelet", hub.ca_file, pods) as kubelet:
                    yield Place(kube, hub, operator, gateway, kubelet, mounted)
            finally:
                gateway.kill()


@pytest.fixture(scope="package")
def mooring(place: Place) -> Mooring:
    """Return the operator that `people` work with."""
    return place.operator


@pytest.fixture
def desk(place: Place, tmp_path: Path) -> Desk:
    """Return a folder to work in."""
    return Desk(place.kube, place.hub, tmp_path / "desk")


@pytest.fixture
def acme(hub: Hub) -> Account:
    """Return the organisation that the pages speak of, under a name of its own."""
    return make_account(hub, "shop", "api", "site")


def decoded(people: People, name: str) -> dict[str, str]:
    """Return what a Secret holds."""
    secret = people.get("Secret", name)
    assert secret is not None
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def until(holds: Callable[[], bool], what: str = "") -> None:
    """Wait for something that no watch tells of."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)

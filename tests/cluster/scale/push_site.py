"""Where signed pushes are tried at large: a lab of one's own, an operator, two gateways, an App that is connected.

A test module makes `lab`, `kube` and `site` its own: each that does has a lab that nobody else writes to.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.front import Front
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import LabApp, put_app
from tests.cluster.operator.pushes import Shop
from tests.cluster.process import (
    SYSTEM,
    Gateway,
    Mooring,
    free_lease,
    gateway_kubeconfig,
    install_roles,
    operator_environment,
    start_gateway,
    start_operator,
    wait_ready,
    wait_serving,
)

ACCOUNT, INSTALLATION, SECRET = "model", "acme", "the-webhook-secret-of-the-model"
# Seconds until all that was pushed has led to what it leads to: GitHub has a minute to show what lags.
CONVERGES = 120.0
_numbers = itertools.count(1)


@dataclass
class Site:
    """The operator, the gateways, and who works with them."""

    lab: Lab
    kube: Kube
    hub: Hub
    people: People
    folder: Path
    front: Front
    environment: dict[str, str]
    token: str = field(repr=False)
    # The App that is connected: GitHub tells its key once.
    app: str
    operator: Mooring | None = None
    gateways: list[Gateway] = field(default_factory=list)
    # The Project that somebody else writes to.
    troubled: str | None = None

    @property
    def mount(self) -> Path:
        """Return the folder that is mounted into the gateways."""
        return self.folder / "webhooks"

    def start_operator(self) -> None:
        """Start the operator; it leads at once."""
        free_lease(self.kube)
        self.operator = start_operator(self.environment, self.folder)

    def kill_operator(self) -> None:
        """End it as a crash does, and start the next one."""
        assert self.operator is not None
        self.operator.kill()
        self.start_operator()

    def start_gateway(self, number: int) -> None:
        """Start a gateway in the place of one, or as a new one; nobody waits until it is ready."""
        name = f"gateway-{next(_numbers)}"
        gateway = start_gateway(self.lab, self.folder / "gateway.kubeconfig", self.mount, self.folder, name)
        self.gateways[number : number + 1] = [gateway]
        # It tells its port at once, and answers 503 until its caches are filled.
        gateway.until_logged("the gateway listens on")
        self.front.ports = [int(each.url.rpartition(":")[2]) for each in self.gateways]

    def kill_gateway(self, number: int) -> None:
        """End one as a crash does, and start another one in its place."""
        self.gateways[number].kill()
        self.start_gateway(number)

    def stop(self) -> None:
        """End all processes."""
        for process in (self.operator, *self.gateways):
            if process is not None and process.process.poll() is None:
                process.kill()


def mounted(system: People, folder: Path, namespace: str) -> None:
    """Play the kubelet: put what the operator wrote for the gateways where they read it, once an App is in it."""

    def content(secret: Object | None) -> str:
        return base64.b64decode(((secret or {}).get("data") or {}).get(WEBHOOK_KEY, "")).decode()

    found = system.until("Secret", WEBHOOK_SECRET, lambda secret: f'"{namespace}"' in content(secret), "a hook")
    folder.mkdir(mode=0o700)
    (folder / WEBHOOK_KEY).write_text(content(found))


@contextmanager
def running(
    lab: Lab, kube: Kube, hub: Hub, people: People, folder: Path, settings: Mapping[str, str]
) -> Iterator[Site]:
    """Run operator and gateways, and connect an App to them."""
    install_roles(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    gateway_kubeconfig(lab, folder)
    front = Front()
    always = {"MOORING_PUBLIC_BASE_URL": front.url, "MOORING_DEVELOPMENT": "true", "MOORING_LOG_LEVEL": "info"}
    environment = operator_environment(lab, kubeconfig, **always, **settings)
    app = f"model-{next(_numbers)}"
    site = Site(lab, kube, hub, people, folder, front, environment, hub.token(app, "alice"), app)
    try:
        site.start_operator()
        assert site.operator is not None
        wait_ready(site.operator)
        url = connect(site)
        mounted(People(kube, SYSTEM), site.mount, people.namespace)
        for number in range(2):
            site.start_gateway(number)
            wait_serving(site.gateways[number])
        hub.control("POST", f"/apps/{app}/webhook", {"url": url, "secret": SECRET})
        yield site
    finally:
        site.stop()
        front.close()


def connect(site: Site) -> str:
    """Make an App and its GitHubInstallation; return where its webhook goes."""
    hub, people = site.hub, site.people
    hub.control("POST", "/limits", {"authenticated": 1_000_000, "points_per_minute": 1_000_000})
    permissions = {"contents": "read", "metadata": "read"}
    made = hub.seed(
        apps=[{"slug": site.app, "owner": "alice", "permissions": permissions, "events": ["push"]}],
        installations=[{"app": site.app, "account": ACCOUNT, "repositories": "all"}],
    )["apps"][site.app]
    put_app(people, LabApp(site.app, int(made["id"]), str(made["private_key"])), webhookSecret=SECRET)
    people.apply("GitHubInstallation", INSTALLATION, {"account": ACCOUNT, "appSecretRef": {"name": "app"}})

    def told(obj: Object | None) -> str:
        return str((((obj or {}).get("status") or {}).get("webhook") or {}).get("url") or "")

    found = people.until("GitHubInstallation", INSTALLATION, lambda obj: told(obj) != "", "a webhook")
    people.settled(INSTALLATION, kind="GitHubInstallation")
    return told(found)


def new_shop(site: Site, debounce: str) -> Shop:
    """Make a repository and a Project that runs its first commit."""
    name = f"shop-{next(_numbers)}"
    repository = {"owner": ACCOUNT, "name": name, "private": True, "files": {"src/a": name}}
    ((full_name, told),) = site.hub.seed(repositories=[repository])["repositories"].items()
    shop = Shop(site.people, site.hub, full_name, int(told["id"]), str(told["head"]), site.token, name)
    shop.apply(installationRef={"name": INSTALLATION}, deploy={"debounce": debounce})
    shop.ran("Create", 1, shop.last)
    return shop


def is_done(obj: Object | None, head: str) -> bool:
    """Tell whether a Project runs a head, by what was decided, what is deployed and what is ready."""
    status = (obj or {}).get("status") or {}
    source, push = status.get("source") or {}, status.get("push") or {}
    ready: Object = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    shas = {source.get("headSha"), source.get("decidedSha"), (status.get("revision") or {}).get("sha")}
    return shas == {head} and ready.get("status") == "True" and source.get("delivery") == push.get("delivery")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run a lab that nobody else writes to, nor kills an operator in."""
    lab = Lab.up(tmp_path_factory.mktemp("pushes-lab"))
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def kube(lab: Lab) -> Iterator[Kube]:
    """Return the administrator's access, with the kinds installed."""
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    install_kinds(kube)
    yield kube
    kube.close()


@pytest.fixture
def site(
    lab: Lab, kube: Kube, namespace: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Run the operator, with the sweep interval of the test's module if it says one, and two gateways."""
    interval = getattr(request.module, "SWEEP_INTERVAL", None)
    settings = {"MOORING_SWEEP_INTERVAL": interval} if interval else {}
    hub = Hub(lab.env)
    hub.seed(users=[{"login": "alice"}], organizations=[{"login": ACCOUNT, "members": {"alice": "admin"}}])
    with running(lab, kube, hub, People(kube, namespace), tmp_path_factory.mktemp("pushes"), settings) as found:
        yield found
    assert hub.violations() == []
    hub.close()

"""A signed push becomes exactly one redeploy: on a real API server, with real processes and GitHub's real deliveries.

What tests/unit/domain/test_push_model.py tries with pure rules takes place here: an operator and two gateways under
their own Roles, and a GitHub whose deliveries come late, twice and in another order, whose API lags, and which is asked
for them again. Processes are killed, and somebody else writes to the same objects all the time.
"""

from __future__ import annotations

import base64
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.front import Front
from tests.cluster.harness import Hub, Object, People, rollouts_of
from tests.cluster.operator.apps import LabApp, put_app
from tests.cluster.operator.pushes import Pushed, Shop
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

pytestmark = pytest.mark.scale

EXAMPLES = 20
FEWEST_STEPS, MOST_STEPS = 5, 8
ACCOUNT, INSTALLATION, SECRET = "model", "acme", "the-webhook-secret-of-the-model"
# Seconds until all that was pushed has led to what it leads to: GitHub has a minute to show what lags.
CONVERGES = 120.0
COUNTED: Counter[str] = Counter()
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
def running(lab: Lab, kube: Kube, hub: Hub, people: People, folder: Path) -> Iterator[Site]:
    """Run operator and gateways, and connect an App to them."""
    install_roles(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    gateway_kubeconfig(lab, folder)
    front = Front()
    environment = operator_environment(
        lab, kubeconfig, MOORING_PUBLIC_BASE_URL=front.url, MOORING_DEVELOPMENT="true", MOORING_LOG_LEVEL="info"
    )
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


@contextmanager
def troublemaker(site: Site) -> Iterator[None]:
    """Have somebody else write to the status of the Project at hand all the time, so that both writers conflict."""
    kube, end = Kube(Access.load(Path(site.lab.env["KUBECONFIG"])), site.lab.env["KUBECONFIG"]), threading.Event()

    def trouble() -> None:
        people = People(kube, site.people.namespace)
        for number in itertools.count(1):
            # More than either writes, and not so many that they cost more than all the rest.
            if end.wait(0.15):
                return
            if (name := site.troubled) is not None:
                body = {"status": {"webhook": {"state": f"State{number}"}}}
                kube.request("PATCH", f"{people.path('Project', name)}/status", body, "application/merge-patch+json")
                COUNTED["foreign write"] += 1

    thread = threading.Thread(target=trouble, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        kube.close()


class Example:
    """People at GitHub, and what goes wrong on the way: with a repository and a Project of its own."""

    def __init__(self, site: Site) -> None:
        self.site, name = site, f"shop-{next(_numbers)}"
        repository = {"owner": ACCOUNT, "name": name, "private": True, "files": {"src/a": name}}
        ((full_name, told),) = site.hub.seed(repositories=[repository])["repositories"].items()
        self.shop = Shop(site.people, site.hub, full_name, int(told["id"]), str(told["head"]), site.token, name)
        self.shop.apply(installationRef={"name": INSTALLATION}, deploy={"debounce": "200ms"})
        self.shop.ran("Create", 1, self.shop.last)
        site.troubled = name
        self.heads = [self.shop.last]
        self.exists = True

    def _moved(self, pushed: Pushed) -> None:
        self.heads.append(pushed.sha)
        self.exists = True

    # --- people ---

    def push(self, _: int = 0) -> None:
        """A commit on top; it brings a branch back that was deleted."""
        COUNTED["push" if self.exists else "re-creation"] += 1
        more = {} if self.exists else {"parent": self.heads[-1]}
        self._moved(self.shop.push(None, **more))

    def burst(self, number: int) -> None:
        """Several pushes in one second."""
        COUNTED["burst"] += 1
        for _ in range(2 + number):
            self.push()

    def push_by_force(self, number: int) -> None:
        """A commit in place of others."""
        COUNTED["forced push"] += 1
        self._moved(self.shop.push(parent=self.heads[-1 - (1 + number) % len(self.heads)]))

    def there_and_back(self, _: int) -> None:
        """A, B, A."""
        COUNTED["there and back"] += 1
        if not self.exists:
            self.push()
        before = self.heads[-1]
        self._moved(self.shop.push())
        self._moved(self.shop.back_to(before))

    def delete(self, _: int) -> None:
        """The branch goes, and comes back with the next push."""
        if self.exists:
            COUNTED["deletion"] += 1
            self.shop.push(delete=True)
            self.exists = False

    def push_elsewhere(self, _: int) -> None:
        """A commit on another branch."""
        COUNTED["push elsewhere"] += 1
        last = self.shop.last
        self.shop.push(branch="other", parent=self.heads[-1])
        self.shop.last = last

    # --- what goes wrong ---

    def misdeliver(self, number: int) -> None:
        """The next delivery comes twice, late, or after the one behind it."""
        fault = ({"kind": "double"}, {"kind": "late", "seconds": 1}, {"kind": "reorder", "seconds": 2})[number]
        COUNTED[str(fault["kind"])] += 1
        self.site.hub.control("POST", "/faults", {**fault, "repository": self.shop.repository, "count": 1})
        self.push()

    def lag(self, number: int) -> None:
        """The API shows the branch as it is now, so many times."""
        COUNTED["lag"] += 1
        lag = {"kind": "lag", "repository": self.shop.repository, "count": 1 + number}
        self.site.hub.control("POST", "/faults", lag)
        self.push()

    def redeliver(self, number: int) -> None:
        """GitHub sends a delivery again, to where the hook points now."""
        self._again("redeliver", number)

    def replay(self, number: int) -> None:
        """Somebody sends a delivery again who had recorded it."""
        self._again("replay", number)

    def rest(self, _: int) -> None:
        """Nobody does anything until what was pushed runs."""
        COUNTED["rest"] += 1
        self._settle()

    def _again(self, action: str, number: int) -> None:
        known = sorted({each["guid"]: each["id"] for each in self._deliveries()}.items(), key=lambda each: each[1])
        if known:
            COUNTED[action] += 1
            self.site.hub.control("POST", f"/deliveries/{known[-1 - number % len(known)][0]}/{action}")

    def kill_the_operator(self, _: int) -> None:
        """It ends after a push, wherever it is."""
        COUNTED["kill of the operator"] += 1
        self.push()
        self.site.kill_operator()

    def kill_a_gateway(self, number: int) -> None:
        """It ends after a push, wherever it is."""
        COUNTED["kill of a gateway"] += 1
        self.push()
        self.site.kill_gateway(number % 2)

    # --- what holds ---

    def _deliveries(self) -> list[dict[str, Any]]:
        found = self.site.hub.control("GET", "/deliveries?event=push")["deliveries"]
        return [each for each in found if each["repository_id"] == self.shop.repository_id]

    def _answered(self) -> bool:
        """Ask GitHub to send again what nobody answered well; tell whether nothing is left of that."""
        attempts = self._deliveries()
        newest = {each["guid"]: each for each in attempts}
        done = {each["guid"] for each in attempts if 200 <= each["status_code"] < 300}
        open_ = [each for guid, each in newest.items() if guid not in done]
        for each in open_:
            if each["status"] != "pending":
                COUNTED["sent again"] += 1
                self.site.hub.control("POST", f"/deliveries/{each['guid']}/redeliver")
        return not open_ and all(each["status"] != "pending" for each in attempts)

    def _settle(self) -> None:
        if not self.exists:
            self.push()
        until(self._answered, "an answer to every delivery", self._deliveries)
        head, name = self.heads[-1], self.shop.name
        self.site.people.until("Project", name, lambda obj: is_done(obj, head), f"run {head[:7]}", seconds=CONVERGES)

    def end(self) -> None:
        """In the end the newest head runs, it took no more rollouts than heads, and nothing rolls afterwards."""
        self._settle()
        self.site.troubled = None
        rollouts = self._rollouts()
        changes = sum(now != before for before, now in itertools.pairwise(self.heads))
        assert 1 <= rollouts <= 1 + changes
        COUNTED["rollout"] += rollouts - 1
        self.replay(0)
        self._nothing_rolls(rollouts)
        COUNTED["example"] += 1

    def _rollouts(self) -> int:
        return self.site.people.rollouts(self.shop.name)

    def _nothing_rolls(self, rollouts: int) -> None:
        """Watch the Deployment for longer than two debounce times: nothing may roll, also not for a replay."""
        people, name = self.site.people, f"{self.shop.name}-default"
        path = people.path("Deployment")
        deployment = people.get("Deployment", name)
        assert deployment is not None
        query = f"watch=true&fieldSelector=metadata.name={name}&timeoutSeconds=1"
        query += f"&resourceVersion={deployment['metadata']['resourceVersion']}"
        with people.kube.watch(f"{path}?{query}") as events:
            assert [rollouts_of(event["object"]) for event in events if event["type"] == "MODIFIED"] in (
                [],
                [rollouts],
            )


def is_done(obj: Object | None, head: str) -> bool:
    """Tell whether a Project runs a head, by what was decided, what is deployed and what is ready."""
    status = (obj or {}).get("status") or {}
    source, push = status.get("source") or {}, status.get("push") or {}
    ready: Object = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    shas = {source.get("headSha"), source.get("decidedSha"), (status.get("revision") or {}).get("sha")}
    return shas == {head} and ready.get("status") == "True" and source.get("delivery") == push.get("delivery")


def until(holds: Callable[[], bool], what: str, shown: Callable[[], object]) -> None:
    """Look until something holds; say what there is where it does not in time."""
    deadline = time.monotonic() + CONVERGES
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come: {shown()}"
        time.sleep(0.2)


STEPS: tuple[Callable[[Example, int], None], ...] = (
    *(Example.push, Example.burst, Example.push_by_force, Example.there_and_back, Example.delete),
    *(Example.push_elsewhere, Example.misdeliver, Example.lag, Example.redeliver, Example.replay),
    *(Example.kill_the_operator, Example.kill_a_gateway, Example.rest),
)


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
def site(lab: Lab, kube: Kube, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return what all examples share."""
    hub = Hub(lab.env)
    hub.seed(users=[{"login": "alice"}], organizations=[{"login": ACCOUNT, "members": {"alice": "admin"}}])
    folder = tmp_path_factory.mktemp("pushes")
    with running(lab, kube, hub, People(kube, namespace), folder) as found, troublemaker(found):
        yield found
    assert hub.violations() == []
    hub.close()


def test_a_push_becomes_one_redeploy_whatever_happens(site: Site) -> None:
    started = time.monotonic()

    # What fails here is no sooner understood for being tried a hundred times again: nothing is shrunk.
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2)), min_size=FEWEST_STEPS, max_size=MOST_STEPS))
    def live(steps: list[tuple[Callable[[Example, int], None], int]]) -> None:
        example = Example(site)
        for step, number in steps:
            step(example, number)
        example.end()

    live()
    sys.stdout.write(f"{dict(COUNTED.most_common())}, {time.monotonic() - started:.0f} s\n")
    # Most examples end elsewhere than they began: else the end would say little.
    assert COUNTED["rollout"] >= EXAMPLES // 2

"""What GitHub could not deliver is asked for again, and recorded (D6): with real processes and GitHub's own list.

The gateway stands behind an address that can be closed. A look takes place nearly every second, so a test waits for
the looks that GitHub's journal shows, and knows what was asked.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from mooring.domain.names import DELIVERIES_CONFIG_MAP, WEBHOOK_KEY, WEBHOOK_SECRET
from mooring.domain.webhooks.cursors import parse
from mooring.services.delivery_cursors import KEY
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.front import Front
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import Account, LabApp, install, make_account, make_app, put_app
from tests.cluster.operator.pushes import Shop
from tests.cluster.operator.webhooks import document, url_of
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

SECRET, INSTALLATION = "the-webhook-secret-of-this-app", "it"
# Nobody listens there.
CLOSED = 9
LISTS, ASKS, CONFIG = "GET /app/hook/deliveries", "POST /app/hook/deliveries/*/attempts", "GET /app/hook/config"
_numbers = itertools.count(1)


@dataclass
class Site:
    """An operator, a gateway behind an address, and an App whose webhook goes there."""

    kube: Kube
    hub: Hub
    people: People
    folder: Path
    front: Front
    environment: dict[str, str]
    app: LabApp
    account: Account
    operator: Mooring | None = None
    gateway: Gateway | None = None
    # Where the App's webhook goes.
    url: str = ""
    shops: list[Shop] = field(default_factory=list)

    @property
    def system(self) -> People:
        """Return whoever works in the operator's namespace."""
        return People(self.kube, SYSTEM)

    # --- processes ---

    def start(self) -> None:
        """Start the operator; it leads at once."""
        free_lease(self.kube)
        self.operator = start_operator(self.environment, self.folder)
        wait_ready(self.operator)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.operator is not None
        self.operator.kill()

    def open(self) -> None:
        """Have deliveries arrive."""
        assert self.gateway is not None
        self.front.ports = [int(self.gateway.url.rpartition(":")[2])]

    def close(self) -> None:
        """Have deliveries fail."""
        self.front.ports = [CLOSED]

    # --- people ---

    def shop(self) -> Shop:
        """Make a repository and a Project that follows it."""
        name = f"shop-{next(_numbers)}"
        repository = {"owner": self.account.login, "name": name, "private": True, "files": {"src/a": name}}
        ((full_name, told),) = self.hub.seed(repositories=[repository])["repositories"].items()
        shop = Shop(self.people, self.hub, full_name, int(told["id"]), str(told["head"]), "", name)
        shop.apply(installationRef={"name": INSTALLATION})
        shop.ran("Create", 1, shop.last)
        return shop

    def recorded(self, shop: Shop, guids: list[str]) -> None:
        """Wait until the last push is recorded under one of these GUIDs, and was rolled out.

        A look at the branch may find it before: so what triggered the rollout is not told here.
        """

        def there(obj: Object | None) -> bool:
            status = (obj or {}).get("status") or {}
            pushed = status.get("push") or {}
            return (pushed.get("sha"), (status.get("revision") or {}).get("sha")) == (shop.last, shop.last)

        found = shop.people.until("Project", shop.name, there, "the last push")
        assert found is not None
        assert found["status"]["push"]["delivery"] in guids
        newest = {it["guid"]: it["status_code"] for it in self.deliveries(shop)}
        assert set(newest.values()) <= {200, 202}

    # --- what GitHub says ---

    def deliveries(self, shop: Shop) -> list[dict[str, Any]]:
        """Return all attempts of pushes to a repository, oldest first, as soon as none is under way."""

        def settled() -> bool:
            found = self.hub.control("GET", "/deliveries?event=push")["deliveries"]
            self._found = [it for it in found if it["repository_id"] == shop.repository_id]
            return all(it["status"] != "pending" for it in self._found)

        until(settled, "an end of all deliveries")
        return self._found

    _found: list[dict[str, Any]] = field(default_factory=list)

    def failing(self, shop: Shop, count: int) -> list[str]:
        """Return the GUIDs of deliveries, of which so many have failed by now."""
        until(lambda: len(self.deliveries(shop)) >= count, f"{count} attempts")
        assert not any(200 <= it["status_code"] < 300 for it in self.deliveries(shop))
        return [str(it["guid"]) for it in self.deliveries(shop)]

    def asked(self, since: int, app: LabApp | None = None) -> list[str]:
        """Return what an App asked about its webhook after a mark, without ids and queries.

        What GitHub held while its asker was killed is carried out, and told of, long after: another test's mark may
        come before that, so it is left out.
        """
        found = []
        for entry in self.hub.journal(since):
            if entry["seconds"] >= PATIENCE:
                continue
            path = entry["path"].partition("?")[0].removeprefix("/api/v3")
            if entry["credential"] == f"app-{(app or self.app).app_id}" and path.startswith("/app/hook/"):
                parts = ["*" if part.isdigit() else part for part in path.split("/")]
                found.append(f"{entry['method']} {'/'.join(parts)}")
        return found

    def looks(self, count: int = 2, app: LabApp | None = None) -> None:
        """Wait until so many looks have begun and ended."""
        since = self.hub.mark()
        until(lambda: self.asked(since, app).count(CONFIG) > count, f"{count} looks")

    # --- what is kept ---

    def cursors(self) -> Object:
        """Return the ConfigMap."""
        found = self.system.get("ConfigMap", DELIVERIES_CONFIG_MAP)
        assert found is not None
        return found

    def in_doubt(self) -> bool:
        """Tell whether something was written down that was not asked for yet."""
        found = self.system.get("ConfigMap", DELIVERIES_CONFIG_MAP)
        cursors = parse(found["data"][KEY]) if found is not None else {}
        return any(not asked.is_sure for cursor in cursors.values() for asked in cursor.asked.values())

    def repeated(self) -> list[str]:
        """Return the GUIDs that the audit record tells of."""
        assert self.operator is not None
        return [line["delivery"] for line in self.operator.audit if line["action"] == "delivery.repeated"]


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that no watch tells of."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come to {what}")
        time.sleep(0.05)


@contextmanager
def fault(hub: Hub, **what: Any) -> Iterator[None]:
    """Have GitHub fail until the end of the block."""
    hub.control("POST", "/faults", what)
    try:
        yield
    finally:
        hub.control("DELETE", "/faults")


@pytest.fixture(scope="module")
def site(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run all of it."""
    folder, namespace = tmp_path_factory.mktemp("redeliveries"), "redeliveries"
    install_roles(kube)
    assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})[0] == 201
    hub.control("POST", "/limits", {"authenticated": 1_000_000, "points_per_minute": 1_000_000})
    people, front = People(kube, namespace), Front()
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    environment = operator_environment(
        lab,
        kubeconfig,
        MOORING_PUBLIC_BASE_URL=front.url,
        MOORING_DEVELOPMENT="true",
        MOORING_SWEEP_INTERVAL="1s",
        MOORING_WATCH_NAMESPACES=namespace,
    )
    site = Site(kube, hub, people, folder, front, environment, make_app(hub), make_account(hub))
    try:
        site.start()
        connect(site, lab)
        yield site
    finally:
        for process in (site.operator, site.gateway):
            if process is not None and process.process.poll() is None:
                process.kill()
        front.close()
        kube.request("DELETE", f"/api/v1/namespaces/{namespace}")
        kube.request("DELETE", f"/api/v1/namespaces/{SYSTEM}/configmaps/{DELIVERIES_CONFIG_MAP}")


def connect(site: Site, lab: Lab) -> None:
    """Have the App's webhook go to the gateway, which is told of it as the kubelet does."""
    people, hub = site.people, site.hub
    install(hub, site.app, site.account.login)
    put_app(people, site.app, webhookSecret=SECRET)
    people.apply("GitHubInstallation", INSTALLATION, {"account": site.account.login, "appSecretRef": {"name": "app"}})
    found = people.until("GitHubInstallation", INSTALLATION, lambda obj: url_of(obj) is not None, "an address")
    site.url = str(url_of(found))

    def told(secret: Object | None) -> bool:
        known = document(secret)
        return known is not None and any(app.namespace == people.namespace for app in known.apps)

    secret = site.system.until("Secret", WEBHOOK_SECRET, told, "the App")
    assert secret is not None
    mount = site.folder / "webhooks"
    mount.mkdir(mode=0o700)
    (mount / WEBHOOK_KEY).write_bytes(base64.b64decode(secret["data"][WEBHOOK_KEY]))
    gateway = start_gateway(lab, gateway_kubeconfig(lab, site.folder), mount, site.folder, "gateway")
    site.gateway = gateway
    wait_serving(gateway)
    site.open()
    hub.control("POST", f"/apps/{site.app.slug}/webhook", {"url": site.url, "secret": SECRET})


def test_what_failed_while_the_gateway_was_down_is_asked_for_once_and_recorded(site: Site) -> None:
    one, other = site.shop(), site.shop()
    site.looks()
    since = site.hub.mark()
    with fault(site.hub, kind="status", status=503, path="*/app/hook/deliveries"):
        site.close()
        for _ in range(2):
            one.push()
        other.push()
        failed = [*site.failing(one, 2), *site.failing(other, 1)]
        site.open()
    for shop in (one, other):
        site.recorded(shop, failed)
    site.looks()
    assert sorted(site.repeated()) == sorted(failed)
    asked = site.asked(since)
    assert asked.count(ASKS) == len(failed)
    assert set(asked) == {CONFIG, LISTS, ASKS}
    assert [it["redelivery"] for it in site.deliveries(other)] == [False, True]
    assert site.operator is not None
    assert 'mooring_deliveries_repeated_total{via="app"} 3.0' in site.operator.ask("/metrics").text

    # A restart asks for nothing of it again, and writes nothing.
    version = site.cursors()["metadata"]["resourceVersion"]
    site.kill()
    since = site.hub.mark()
    site.start()
    site.looks(3)
    assert set(site.asked(since)) == {CONFIG, LISTS}
    assert site.cursors()["metadata"]["resourceVersion"] == version


def test_what_keeps_failing_is_sent_three_times_again_and_no_more(site: Site) -> None:
    shop = site.shop()
    site.looks()
    since = site.hub.mark()
    site.close()
    shop.push()
    guids = site.failing(shop, 4)
    assert len(set(guids)) == 1
    site.looks(3)
    assert site.asked(since).count(ASKS) == 3
    site.kill()
    site.start()
    site.looks(3)
    assert len(site.deliveries(shop)) == 4
    assert site.asked(since).count(ASKS) == 3
    site.open()
    site.looks()
    assert len(site.deliveries(shop)) == 4


def test_a_process_that_is_killed_while_it_asks_loses_nothing(site: Site) -> None:
    shop = site.shop()
    site.looks()
    site.close()
    with fault(site.hub, kind="latency", seconds=PATIENCE, path="*/attempts"):
        shop.push()
        (guid,) = site.failing(shop, 1)
        until(site.in_doubt, "a note before the asking")
        site.kill()
    site.open()
    site.start()
    site.recorded(shop, [guid])
    until(lambda: guid in site.repeated(), "the record of the asking")
    assert {it["guid"] for it in site.deliveries(shop)} == {guid}
    assert len(site.deliveries(shop)) <= 1 + 2
    until(lambda: not site.in_doubt(), "certainty")


def test_one_that_is_killed_again_and_again_does_not_ask_too_often(site: Site) -> None:
    shop = site.shop()
    site.looks()
    site.close()
    shop.push()
    # Wherever it is: at the first asking, when it was answered, or at the next one.
    for kill in range(4):
        until(lambda kill=kill: len(site.deliveries(shop)) > min(kill, 2), "one attempt more")  # type: ignore[misc]
        site.kill()
        site.start()
    site.looks(3)
    assert len(site.deliveries(shop)) <= 4
    site.open()


def test_what_goes_elsewhere_is_not_asked_for(site: Site) -> None:
    shop = site.shop()
    site.looks()
    hook = f"/apps/{site.app.slug}/webhook"
    site.hub.control("POST", hook, {"url": f"http://127.0.0.1:{CLOSED}/webhooks/github", "secret": SECRET})
    site.looks()
    since = site.hub.mark()
    shop.push()
    (guid,) = site.failing(shop, 1)
    site.looks(3)
    assert set(site.asked(since)) == {CONFIG}
    # It comes back: what failed meanwhile is sent to where it should have gone.
    site.hub.control("POST", hook, {"url": site.url, "secret": SECRET})
    site.recorded(shop, [guid])
    until(lambda: guid in site.repeated(), "the record of the asking")


def test_a_map_that_was_spoilt_is_begun_anew(site: Site) -> None:
    site.kill()
    site.system.patch("ConfigMap", DELIVERIES_CONFIG_MAP, {"data": {KEY: json.dumps({"apps": "all"})}})
    site.start()
    assert site.operator is not None
    site.operator.until_logged(f"ConfigMap {SYSTEM}/{DELIVERIES_CONFIG_MAP} cannot be read")
    # The list itself tells what was tried three times; what was asked for and came is asked for once more, at most.
    shop = site.shop()
    site.close()
    shop.push()
    (guid,) = set(site.failing(shop, 1))
    site.open()
    site.recorded(shop, [guid])
    until(lambda: guid in site.repeated(), "the record of the asking")
    assert parse(site.cursors()["data"][KEY])


def test_one_app_s_trouble_delays_no_other_and_one_that_nobody_uses_is_looked_at_no_more(site: Site) -> None:
    people, second = site.people, make_app(site.hub)
    install(site.hub, second, site.account.login)
    put_app(people, second, "second", webhookSecret=SECRET)
    people.apply("GitHubInstallation", "second", {"account": site.account.login, "appSecretRef": {"name": "second"}})
    # Its webhook goes nowhere, so it is asked for nothing; but it is looked at.
    site.looks(app=second)
    hook = f"app-{site.app.app_id}"
    with fault(site.hub, kind="latency", seconds=PATIENCE, path="*/app/hook/*", credential=hook):
        site.looks(5, app=second)
    site.looks()
    # Its spec cannot be used, or it is gone.
    people.patch("GitHubInstallation", INSTALLATION, {"spec": {"apiUrl": "https://elsewhere.example.com/api/v3"}})
    people.until_condition(INSTALLATION, "Stalled", "True", "HostNotAllowed", kind="GitHubInstallation")
    ends(site, second)
    people.patch("GitHubInstallation", INSTALLATION, {"spec": {"apiUrl": None}})
    site.looks()
    people.delete("GitHubInstallation", INSTALLATION)
    people.until("GitHubInstallation", INSTALLATION, lambda obj: obj is None, "its end")
    ends(site, second)


def ends(site: Site, other: LabApp) -> None:
    """See that the App is looked at no more, while another one is."""

    def is_quiet() -> bool:
        since = site.hub.mark()
        site.looks(3, app=other)
        return not site.asked(since)

    # A look may be under way, and the operator learns of the end a moment after the API server.
    assert any(is_quiet() for _ in range(3))


def test_a_webhook_that_goes_elsewhere_is_told_of_once(site: Site) -> None:
    """A start does not know where it goes before it has asked; until then, what was told stays (O1)."""
    people, app, account = site.people, make_app(site.hub), make_account(site.hub, "away")
    install(site.hub, app, account.login)
    put_app(people, app, "away", webhookSecret=SECRET)
    place = {"url": "https://elsewhere.example.com/hook", "secret": SECRET}
    site.hub.control("POST", f"/apps/{app.slug}/webhook", place)
    people.apply("GitHubInstallation", "away", {"account": account.login, "appSecretRef": {"name": "away"}})
    spec = {"source": {"github": {"repository": f"{account.login}/away"}}, "workload": {"image": "nginx"}}
    people.apply("Project", "away", {**spec, "installationRef": {"name": "away"}})

    def told() -> Object:
        found = people.until_condition("away", "WebhookReady", "False", "WebhookElsewhere")
        return {"webhook": found["status"]["webhook"], **condition(found, "WebhookReady")}

    before = told()
    site.kill()
    site.start()
    site.looks(3, app=app)
    assert told() == before

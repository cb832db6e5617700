"""The page about what stands between GitHub and the gateway: what it demands is enough, what it warns of is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab import Lab
from lab.ports import LOOPBACK, Ports
from tests.cluster.chart.rendering import render
from tests.cluster.conftest import PATIENCE, ROOT
from tests.cluster.gateway.site import post, signed
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import Account, install, make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages import proxies
from tests.cluster.operator.pages.conftest import Place, until
from tests.cluster.operator.pages.proxies import Change, proxy
from tests.cluster.operator.pushes import Shop
from tests.cluster.operator.webhooks import url_of
from tests.cluster.process import Gateway, gateway_kubeconfig, start_gateway, wait_serving
from tests.cluster.reading import Desk

PAGE = "docs/guide/reverse-proxy.md"
RUN_HERE = {"docs/guide/reverse-proxy.md": ("Tunnels", "No public address")}
KIND, SECRET = "GitHubInstallation", "a-webhook-secret-behind-a-proxy"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
# What the page says of each: what is answered, and whether it is a failure that GitHub shows.
WARNED: dict[str, tuple[Change | None, int]] = {
    "parses the JSON and writes it anew": (proxies.writes_json_anew, 401),
    "takes headers away": (proxies.drops_the_signature, 401),
    "none, or `identity`": (proxies.packs, 415),
    "`application/json`": (proxies.changes_the_type, 415),
    "each exactly once": (proxies.doubles_a_header, 400),
    "and all below it": (proxies.changes_the_path, 404),
    "not from http to https": (None, 301),
}


def test_the_commands(place: Place, desk: Desk, people: People, hub: Hub, fresh: TokenMaker) -> None:
    service = render({})["Service/mooring-gateway"]
    place.system.create("Service", service)
    # Of a push, more may tell than the annotation: here they only have it wait.
    shop = Shop.open(people, hub, fresh(), deploy={"auto": False})
    try:
        with ExitStack() as stack:
            local = stack.enter_context(Ports()).free()
            words = {"8080": str(local), "team-a": people.namespace}
            reader = stack.enter_context(place.reader(desk, RUN_HERE, PAGE, words))
            with reader.keeps("service/mooring-gateway", until="Forwarding from"):
                # What comes by the tunnel is judged like all else.
                wrong: tuple[dict[str, str], str, str] = ({"zen": "x"}, "wrong", "ping")
                assert post(f"http://{LOOPBACK}:{local}", *wrong) == post(place.gateway.url, *wrong)
            pushed = shop.push()
            reader.types("mooring.dev/redeploy")
            shop.ran("Manual", 2, pushed.sha)
    finally:
        place.system.delete("Service", "mooring-gateway")


@pytest.fixture
def behind(lab: Lab, place: Place, tmp_path: Path) -> Iterator[Gateway]:
    """Run a gateway that knows its proxies."""
    kubeconfig = gateway_kubeconfig(lab, tmp_path)
    gateway = start_gateway(
        lab, kubeconfig, place.mounted, tmp_path, "behind", MOORING_TRUSTED_PROXIES=f"{LOOPBACK}/32,10.0.7.0/24"
    )
    try:
        wait_serving(gateway)
        yield gateway
    finally:
        gateway.kill()


def test_what_arrives_as_it_was_sent(place: Place, people: People, hub: Hub, acme: Account, behind: Gateway) -> None:
    app = make_app(hub, events=["push"])
    install(hub, app, acme.login)
    put_app(people, app, webhookSecret=SECRET)
    people.apply(KIND, "it", {"account": acme.login, "appSecretRef": {"name": "app"}})
    found = people.until(KIND, "it", lambda it: url_of(it) is not None, "an address")
    path = str(url_of(found)).removeprefix(place.gateway.url)

    def is_known() -> bool:
        place.mount()
        return post(behind.url, {"zen": "x"}, SECRET, "ping", path)[0] == 200

    until(is_known, "the gateway knows the App")

    def sent(url: str) -> int:
        """Have GitHub send a push, and return what it shows of the answer."""
        hub.control("POST", f"/apps/{app.slug}/webhook", {"url": url + path, "secret": SECRET})
        body = {"repository": f"{acme.login}/shop", "user": "alice", "files": {"a.txt": url}}
        known = {one["id"] for one in pushes(hub, app.app_id)}
        hub.control("POST", "/push", body)
        until(lambda: bool(settled(hub, app.app_id, known)), "a delivery")
        return int(settled(hub, app.app_id, known)[0]["status_code"])

    with proxy(behind.url, proxies.faithful) as url:
        assert sent(url) in {200, 202}
    with proxy(behind.url, proxies.below_a_path) as url:
        assert sent(f"{url}/mooring") in {200, 202}
    for words, (change, status) in WARNED.items():
        assert words in TEXT
        with proxy(behind.url, change) as url:
            assert sent(url) == status, words
    what_is_too_large_is_refused(behind, path)
    who_sends_is_told_by_trusted_proxies_alone(behind, path)


def pushes(hub: Hub, app: int) -> list[Object]:
    """Return the pushes that were sent to an App."""
    every = hub.control("GET", "/deliveries")["deliveries"]
    return [one for one in every if (one["app_id"], one["event"]) == (app, "push")]


def settled(hub: Hub, app: int, known: set[int]) -> list[Object]:
    """Return those that are new, and answered."""
    return [one for one in pushes(hub, app) if one["id"] not in known and one["status_code"]]


def what_is_too_large_is_refused(behind: Gateway, path: str) -> None:
    """Announce a body that is larger than GitHub's largest."""
    (most,) = re.findall(r"25 MiB; more is (\d+)", TEXT)
    where = urlsplit(behind.url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
    try:
        _, headers = signed({}, "any")
        connection.putrequest("POST", path)
        for name, value in {**headers, "Content-Length": str(25 * 1024 * 1024 + 1)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == int(most)
    finally:
        connection.close()


def who_sends_is_told_by_trusted_proxies_alone(behind: Gateway, path: str) -> None:
    """One address sends many wrong signatures; what others send through the same proxy is not slowed down."""
    (at_once,) = re.findall(r"many wrong signatures: (\d+) at once", TEXT)
    with (
        proxy(behind.url, proxies.faithful, "203.0.113.9") as loud,
        proxy(behind.url, proxies.faithful, "203.0.113.10") as other,
        proxy(behind.url, proxies.faithful, "203.0.113.9, 10.0.7.3") as chain,
    ):
        answers = [post(loud, {"zen": "x"}, "wrong", "ping", path)[0] for _ in range(int(at_once) + 15)]
        assert answers[:10] == [401] * 10
        assert 429 in answers
        assert answers.index(429) >= int(at_once)
        assert post(other, {"zen": "x"}, "wrong", "ping", path)[0] == 401
        # By a second proxy of the chain it is the same address, which may have one more each second.
        assert 429 in [post(chain, {"zen": "x"}, "wrong", "ping", path)[0] for _ in range(int(at_once))]

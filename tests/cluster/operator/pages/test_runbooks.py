"""The runbooks, in front of an operator and a gateway whose logs, ports and Lease kubectl reaches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from lab.ports import LOOPBACK, Ports
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.kubelet import GATEWAY, OPERATOR
from tests.cluster.operator.apps import install, make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place
from tests.cluster.operator.pushes import GLOBAL
from tests.cluster.reading import Desk

RUN_HERE = {
    "docs/runbooks/README.md": ("Runbooks",),
    "docs/runbooks/operator.md": (
        "MooringDown",
        "MooringNotReady",
        "MooringNoLeader",
        "MooringQueueStuck",
        "MooringDefects",
    ),
    "docs/runbooks/github.md": ("MooringGitHubUnavailable", "MooringGitHubLimited", "MooringRefreshFailing"),
    "docs/runbooks/webhooks.md": ("MooringDeliveriesFailing",),
    "docs/runbooks/tokens.md": ("MooringTokensRefused", "MooringTokensExpiring"),
}
MorePeople = Callable[..., People]
FORWARDED = "Forwarding from"


@pytest.fixture
def ports() -> Iterator[dict[str, str]]:
    """Return the words for ports of this machine that nobody else gets, in place of those that the pages use."""
    with Ports() as found:
        free = {port: found.free() for port in (8081, 8082)}
        led = {str(port): f"{local}:{port}" for port, local in free.items()}
        yield led | {f"{LOOPBACK}:{port}": f"{LOOPBACK}:{local}" for port, local in free.items()}


@pytest.mark.usefixtures("trouble")
def test_the_operator(
    place: Place, desk: Desk, people: People, hub: Hub, fresh: TokenMaker, ports: dict[str, str]
) -> None:
    github_fails(people, hub, fresh, {"kind": "status", "status": 502})
    people.apply("Project", "shop", {"token": {"source": "none"}, "workload": {"image": "nginx"}})
    people.settled("shop")
    with place.reader(desk, RUN_HERE, "docs/runbooks/README.md", {}) as reader:
        lease = place.system.get("Lease", "mooring-operator")
        assert reader.types("holderIdentity") == (lease or {})["spec"]["holderIdentity"]
    words = {"POD": OPERATOR, **ports}
    with place.reader(desk, RUN_HERE, "docs/runbooks/operator.md", words) as reader:
        assert OPERATOR in reader.types("get pods -o wide")
        assert f"Name:             {OPERATOR}" in reader.types("describe pod")
        last = reader.types("--previous --tail=50").splitlines()
        assert 0 < len(last) <= 50
        assert all(json.loads(line)["ts"] for line in last)
        with reader.keeps("port-forward POD 8081", until=FORWARDED):
            assert 'mooring_build_info{version="' in reader.types("/metrics | grep mooring_build_info")

        with reader.keeps("port-forward POD 8081", until=FORWARDED):
            assert reader.types("/readyz") == "ok\n"
        assert '"level":"warning"' in reader.types("--since=1h | grep -e")
        assert reader.types("can-i list projects") == "yes\n"
        assert reader.types("can-i watch secrets") == "yes\n"

        assert "holderIdentity:" in reader.types("get lease mooring-operator -o yaml")
        assert reader.types("can-i patch leases") == "yes\n"
        assert "leads now" in reader.types("mooring.services.election")
        before = place.system.get("Lease", "mooring-operator")
        reader.types("delete lease")
        assert before is not None

        def is_new(lease: Object | None) -> bool:
            return lease is not None and lease["metadata"]["uid"] != before["metadata"]["uid"]

        place.system.until("Lease", "mooring-operator", is_new, "one that is made anew")

        assert reader.types("logs POD --tail=200")
        with reader.keeps("port-forward POD 8081", until=FORWARDED):
            assert reader.types("/healthz") == "ok\n"
        reader.types("> mooring.log")
        assert "the caches are filled" in (desk.folder / "mooring.log").read_text()
        reader.types("delete pod POD")
        assert place.system.get("Pod", OPERATOR) is None
        place.kubelet.bring()

        # There is no such line, as there should be none.
        assert reader.is_refused('"reconcile failed"') == ""
        told = reader.types("kubectl describe projects", NAME="shop", NAMESPACE=people.namespace)
        assert "Reason:                Ready" in told


@pytest.fixture
def trouble(hub: Hub) -> Iterator[None]:
    """Clear what a test asked GitHub to do wrong."""
    yield
    hub.control("DELETE", "/faults")


def github_fails(people: People, hub: Hub, fresh: TokenMaker, fault: dict[str, object]) -> str:
    """Have GitHub refuse a token of a person's in some way; return the reason that its GitHubUser gives."""
    token = fresh()
    hub.control("POST", "/faults", {**fault, "credential": fresh.last})
    people.secret(GLOBAL, token)
    people.apply("GitHubUser", "default", {})

    def is_told(user: Object | None) -> bool:
        return condition(user or {}, "Ready").get("status") == "False"

    user = people.until("GitHubUser", "default", is_told, "not Ready")
    return str(condition(user or {}, "Ready")["reason"])


@pytest.mark.usefixtures("trouble")
def test_github(place: Place, desk: Desk, people: People, more_people: MorePeople, hub: Hub, fresh: TokenMaker) -> None:
    words = {"POD": OPERATOR, **place.github}
    with place.reader(desk, RUN_HERE, "docs/runbooks/github.md", words) as reader:
        assert github_fails(people, hub, fresh, {"kind": "status", "status": 502}) == "GitHubUnavailable"
        assert "502" in reader.types('"mooring.github')
        assert reader.types("exec POD").strip() == "200"

        limited = more_people()
        assert github_fails(limited, hub, fresh, {"kind": "primary-limit", "seconds": 60}) == "RateLimited"
        assert f"{limited.namespace} " in reader.types("grep -e RateLimited")
        desk.environment["GH_TOKEN"] = fresh("bob")
        assert json.loads(reader.types("gh api rate_limit"))["remaining"] > 0

        app = make_app(hub)
        install(hub, app)
        put_app(people, app)
        people.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
        people.settled("it", kind="GitHubInstallation")
        assert f"{people.namespace} " in reader.types("get githubinstallations")
        assert "mooring.github" in reader.types('"mooring.github')


def test_webhooks(place: Place, desk: Desk, people: People, hub: Hub, ports: dict[str, str]) -> None:
    app = make_app(hub)
    install(hub, app)
    put_app(people, app, webhookSecret="a-webhook-secret-of-the-runbook")
    people.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    people.apply("Project", "shop", {"workload": {"image": "nginx"}})
    with place.reader(desk, RUN_HERE, "docs/runbooks/webhooks.md", {"POD": GATEWAY, **ports}) as reader:
        with reader.keeps("port-forward POD 8082", until=FORWARDED):
            assert reader.types("/readyz") == "ok\n"
            assert 'result="failed"' in reader.types("grep mooring_gateway_patches_total")
        # Nothing went wrong.
        assert reader.is_refused('"level"') == ""
        reader.words["POD"] = OPERATOR
        with reader.keeps("port-forward POD 8081", until=FORWARDED):
            assert "mooring_deliveries_repeated_total" in reader.types("grep mooring_deliveries_repeated_total")
        assert reader.is_refused("failed deliveries of") == ""
        reader.types("mooring.dev/redeploy", NAME="shop", NAMESPACE=people.namespace)
        assert "mooring.dev/redeploy" in (people.get("Project", "shop") or {})["metadata"]["annotations"]


def test_tokens(place: Place, desk: Desk, people: People, hub: Hub, fresh: TokenMaker) -> None:
    ends = fresh(expires_in=3600)
    revoked = fresh()
    hub.control("POST", f"/tokens/{fresh.last}/revoke")
    people.secret(GLOBAL, revoked)
    people.apply("GitHubUser", "default", {})
    people.until_condition("default", "Ready", "False", "TokenInvalid", kind="GitHubUser")
    words = {"POD": OPERATOR, "NAMESPACE": people.namespace}
    with place.reader(desk, RUN_HERE, "docs/runbooks/tokens.md", words) as reader:
        assert "TokenInvalid" in reader.types("kubectl get projects")
        described = reader.types("kubectl describe githubusers", NAME="default")
        assert "TokenResolved" in described
        assert "Reason:                TokenInvalid" in described
        record = [json.loads(line) for line in reader.types("token.refused").splitlines()]
        assert people.namespace in {line["object"]["namespace"] for line in record}
        reader.types("create secret generic NAME", stdin=f"{ends}\n", NAME=GLOBAL)
        ready = people.until_condition("default", "Ready", "True", "TokenExpiring", kind="GitHubUser")
        users = reader.types("kubectl get githubusers", "ENDS")
        assert f"{people.namespace}   default   {ready['status']['token']['expiresAt']}" in users
        assert "ENDS" in reader.types("kubectl get projects", "ENDS")

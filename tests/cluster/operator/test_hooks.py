"""A repository's webhook: what is asked of GitHub for it, step by step, and that what it sends is taken."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lab import Lab
from mooring.domain.webhooks.keys import hook_secrets
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator import hooking
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.hooking import Repository, Site, until_gone, until_hooked, webhook
from tests.cluster.operator.pushes import GLOBAL, Shop, keys_of
from tests.cluster.process import Mooring

HELD = "mooring.dev/hook"
# What GitHub notes where nobody answered.
UNREACHED = "failed to connect to host"


@pytest.fixture(scope="module")
def site(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the operator, with an address for GitHub."""
    admin = hub.token(hooking.random_name("admin"), "alice")
    with hooking.running(lab, kube, hub, tmp_path_factory.mktemp("hooks"), admin) as found:
        yield found


@pytest.fixture(scope="module")
def mooring(site: Site) -> Mooring:
    """Return the operator that `people` work with."""
    return site.mooring


def audited(site: Site, people: People) -> list[tuple[str, int]]:
    """Return what was done with hooks for a namespace."""
    lines = [line for line in site.mooring.audit if line["object"]["namespace"] == people.namespace]
    return [(line["action"], line["hook"]) for line in lines if line["action"].startswith("hook.")]


@pytest.fixture
def answered(site: Site) -> Iterator[None]:
    """Run a gateway, so that no hook looks as if nothing of it arrived."""
    with site.gateway():
        yield


@pytest.mark.usefixtures("answered")
def test_what_is_asked_from_the_first_project_to_the_last(
    site: Site, people: People, hub: Hub, fresh: TokenMaker
) -> None:
    mark = hub.mark()
    shop = Shop.open(people, hub, fresh())
    told = until_hooked(people)
    there = Repository.of(site, shop, mark)
    there.was_asked("GET hooks", "POST hooks")
    (hook,) = there.hooks
    assert {name: hook[name] for name in ("id", "active", "events")} == {
        "id": told["hookId"],
        "active": True,
        "events": ["push", "repository"],
    }
    assert (hook["config"]["content_type"], hook["config"]["insecure_ssl"]) == ("json", "0")
    # It came after the pods, and nothing waited for it.
    assert (told["via"], told["repositoryId"], told["secretVersion"]) == ("Repository", shop.repository_id, 1)
    assert HELD in shop.project()["metadata"]["finalizers"]

    # A second Project of the same repository.
    people.apply("Project", "second", shop.project()["spec"])
    assert until_hooked(people, "second")["hookId"] == hook["id"]
    people.until_condition("second", "Ready", "True", "Ready")
    there.was_asked()

    # A restart asks nothing, and writes nothing.
    before = {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in people.list("Project")}
    site.restart()
    there.was_asked()
    assert {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in people.list("Project")} == before

    # Somebody edits it; somebody removes it.
    there.call("PATCH", f"/{hook['id']}", {"active": False, "config": {**hook["config"], "secret": "theirs"}})
    site.look()
    there.was_asked("GET hook", "PATCH hook")
    assert [it["active"] for it in there.hooks] == [True]
    there.call("DELETE", f"/{hook['id']}")
    site.look()
    # The list tells a hook that is gone from one that the token may not see.
    there.was_asked("GET hook", "GET hooks", "POST hooks")
    (hook,) = there.hooks
    for name in ("shop", "second"):
        until_hooked(people, name, lambda told: told["hookId"] == hook["id"])

    # Another master key.
    site.mooring.stop()
    site.masters(2)
    site.start()
    for name in ("shop", "second"):
        until_hooked(people, name, lambda told: told["secretVersion"] == 2)
    there.was_asked("GET hook", "PATCH hook")

    # The first of two goes, then the last.
    until_gone(people, "shop")
    there.was_asked()
    until_gone(people, "second")
    there.was_asked("GET hook", "DELETE hook")
    assert there.hooks == []
    assert [action for action, _ in audited(site, people)] == [
        "hook.made",
        "hook.changed",
        "hook.made",
        "hook.changed",
        "hook.removed",
    ]


def test_another_repository_has_another_and_the_last_one_takes_the_former_along(
    site: Site, people: People, hub: Hub, fresh: TokenMaker
) -> None:
    shop = Shop.open(people, hub, fresh())
    former = until_hooked(people)["hookId"]
    people.apply("Project", "second", shop.project()["spec"])
    until_hooked(people, "second")
    other = Shop.open(people, hub, shop.token, name="other")
    wanted = until_hooked(people, "other")["hookId"]
    here, there = Repository.of(site, shop, hub.mark()), Repository.of(site, other, hub.mark())

    def moves(name: str) -> None:
        people.patch("Project", name, {"spec": {"source": {"github": {"repository": other.repository}}}})
        until_hooked(people, name, lambda told: told["hookId"] == wanted)

    moves("second")
    here.was_asked()
    moves("shop")
    here.was_asked("GET hook", "DELETE hook")
    there.was_asked()
    assert (here.hooks, [it["id"] for it in there.hooks]) == ([], [wanted])
    assert ("hook.removed", former) in audited(site, people)
    # Whoever goes while GitHub is away from the former one's hooks has nothing to wait for there.
    hub.control("POST", "/faults", {"kind": "drop", "path": f"*/repositories/{shop.repository_id}*"})
    try:
        until_gone(people, "second")
        until_gone(people, "shop")
    finally:
        hub.control("DELETE", "/faults")
    there.was_asked()


def test_what_it_sends_is_taken(site: Site, people: People, hub: Hub, fresh: TokenMaker) -> None:
    shop = Shop.open(people, hub, fresh())
    told = until_hooked(people)
    there = Repository.of(site, shop, hub.mark())
    with site.gateway():
        pushed = shop.delivered()
        revision = shop.ran("Push", 2, pushed.sha)
        sent = hub.control("GET", f"/deliveries/{revision['delivery']}")["deliveries"]
        assert [(it["event"], it["status_code"]) for it in sent] == [("push", 202)]
    there.was_asked()

    # One that nobody took is asked for again, and arrives. GitHub shows an attempt when it has its answer.
    with refusing(site.port):
        lost = shop.push()
        until_tried(hub, shop, 503)
        site.look()
        people.until_condition("shop", "WebhookReady", "False", "WebhookFailing")
        until_tried(hub, shop, 503, 503)
    assert webhook(people, "shop")["state"] == "Failing"
    there.was_asked("GET hook", "GET deliveries", "POST attempt")
    # Nor may it look well where nobody is there to answer.
    site.look()
    until_tried(hub, shop, 503, 503, UNREACHED)
    assert webhook(people, "shop")["state"] == "Failing"
    with site.gateway():
        site.look()
        until_tried(hub, shop, 503, 503, UNREACHED, 202)
        people.until("Project", "shop", lambda it: (it or {})["status"]["push"]["sha"] == lost.sha, "the lost push")
        site.look()
        until_hooked(people, also=lambda now: now["since"] >= told["since"])
    shop.ran(shop.status["revision"]["trigger"], 3, lost.sha)
    assert condition(shop.project(), "Ready")["status"] == "True"


@contextmanager
def refusing(port: int) -> Iterator[None]:
    """Answer 503 where a gateway would."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until_tried(hub: Hub, shop: Shop, *answers: int | str) -> None:
    """Wait until GitHub has noted what each attempt at the newest push was answered with."""

    def tried() -> list[int | str]:
        every = hub.control("GET", "/deliveries?event=push")["deliveries"]
        found = [it for it in every if it["repository_id"] == shop.repository_id]
        return [it["status_code"] or it["status"] for it in found if it["guid"] == found[-1]["guid"]]

    deadline = time.monotonic() + PATIENCE
    while tried() != list(answers):
        assert time.monotonic() < deadline, (tried(), shop.status)
        time.sleep(0.05)


def test_a_token_without_the_right(site: Site, people: People, hub: Hub, fresh: TokenMaker) -> None:
    weak = fresh("bob")
    mark = hub.mark()
    shop = Shop.open(people, hub, weak)
    people.until_condition("shop", "WebhookReady", "False", "HooksForbidden")
    there = Repository.of(site, shop, mark)
    there.was_asked("GET hooks")
    assert (webhook(people, "shop")["via"], condition(shop.project(), "Ready")["status"]) == ("Sweep", "True")
    assert HELD not in shop.project()["metadata"].get("finalizers", [])
    # Neither another run nor a restart asks again with this token.
    shop.apply(workload={"image": "nginx:2"})
    shop.ran("Spec", 2, shop.last)
    there.was_asked()
    site.restart()
    there.was_asked()
    # Another one is tried at once.
    people.secret(GLOBAL, fresh("alice"))
    until_hooked(people)
    there.was_asked("GET hooks", "POST hooks")


def test_a_repository_that_is_full(site: Site, people: People, hub: Hub, fresh: TokenMaker) -> None:
    mark = hub.mark()
    full = [{"url": f"https://ci.example.com/{number}", "events": ["push"]} for number in range(20)]
    shop = Shop.make(people, hub, fresh(), hooks=full)
    found = people.until_condition("shop", "WebhookReady", "False", "HookLimit")
    people.settled("shop")
    there = Repository.of(site, shop, mark)
    there.was_asked("GET hooks", "POST hooks")
    assert (
        "20" in condition(found, "WebhookReady")["message"] or "as many" in condition(found, "WebhookReady")["message"]
    )
    assert len(there.hooks) == 20
    until_gone(people, "shop")
    assert len(there.hooks) == 20


def test_a_github_that_is_slow_about_hooks_delays_no_rollout(
    site: Site, people: People, hub: Hub, fresh: TokenMaker
) -> None:
    mark = hub.mark()
    hub.control("POST", "/faults", {"kind": "latency", "path": "*/hooks", "seconds": 8, "count": 1})
    try:
        shop = Shop.make(people, hub, fresh())
        people.until("Deployment", "shop-default", lambda obj: obj is not None, "a rollout")
        there = Repository.of(site, shop, mark)
        # The journal has what was answered.
        assert there.asked() == []
        until_hooked(people)
    finally:
        hub.control("DELETE", "/faults")
    there.was_asked("GET hooks", "POST hooks")


def test_a_crash_between_the_hook_and_the_status(site: Site, people: People, hub: Hub, fresh: TokenMaker) -> None:
    mark = hub.mark()
    hub.control(
        "POST", "/faults", {"kind": "drop", "methods": ["POST"], "path": "*/hooks", "after_work": True, "count": 1}
    )
    # Nor does it come to the end by trying again before it is killed.
    hub.control("POST", "/faults", {"kind": "drop", "methods": ["PATCH"], "path": "*/hooks/*"})
    try:
        shop = Shop.make(people, hub, fresh())
        there = Repository.of(site, shop, mark)
        wait_for(lambda: "POST hooks" in there.asked())
        site.mooring.kill()
    finally:
        hub.control("DELETE", "/faults")
    assert "hookId" not in webhook(people, "shop")
    (hook,) = there.hooks
    there.mark = hub.mark()
    site.start()
    assert until_hooked(people)["hookId"] == hook["id"]
    there.was_asked("GET hooks", "PATCH hook")
    assert [it["id"] for it in there.hooks] == [hook["id"]]


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(1200):
        if holds():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not come to that")


def test_two_namespaces_have_two_and_each_secret_goes_to_its_github_alone(
    site: Site, people: People, more_people: Callable[..., People], hub: Hub, fresh: TokenMaker
) -> None:
    mark, token = hub.mark(), fresh()
    shop = Shop.open(people, hub, token)
    others = more_people()
    others.secret(GLOBAL, fresh())
    others.apply("GitHubUser", "default", {})
    others.apply("Project", "shop", shop.project()["spec"])
    ids = {until_hooked(each)["hookId"] for each in (people, others)}
    there = Repository.of(site, shop, mark)
    found = {hook["id"]: hook["config"]["url"] for hook in there.hooks}
    assert set(found) == ids
    assert len(set(found.values())) == 2
    assert {it["origin"] for it in there.entries()} == {hub.api_url.removesuffix("/api/v3")}
    keys = keys_of(people.kube)
    secrets = {
        hook_secrets(keys, origin=hub.api_url, repository_id=shop.repository_id, namespace=each.namespace)[0]
        for each in (people, others)
    }
    assert len(secrets) == 2
    texts = [site.mooring.log, json.dumps(site.mooring.audit), site.mooring.ask("/metrics").text]
    texts += [json.dumps(each.list("Project")) + json.dumps(each.list("Secret")) for each in (people, others)]
    assert not any(secret in text for secret in secrets for text in texts)
    # What goes in one namespace stays in the other.
    until_gone(people, "shop")
    assert [hook["id"] for hook in there.hooks] == [until_hooked(others)["hookId"]]


def test_a_namespace_goes_at_once(
    site: Site, more_people: Callable[..., People], kube: Kube, hub: Hub, fresh: TokenMaker
) -> None:
    """Its tokens may be gone before its Projects are: nobody waits for what cannot be done."""
    people = more_people()
    shop = Shop.open(people, hub, fresh())
    until_hooked(people)
    people.delete("Secret", GLOBAL)
    people.until_condition("shop", "TokenResolved", "True", "NoToken")
    until_gone(people, "shop")
    assert [action for action, _ in audited(site, people)] == ["hook.made", "hook.left"]
    assert len(Repository.of(site, shop).hooks) == 1

"""Deliveries to gateways that run as they do in a cluster: what is recorded, and what senders are told."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from mooring.domain.webhooks.keys import AppHook
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.gateway.conftest import SECRET
from tests.cluster.gateway.site import (
    OWN,
    ZERO,
    Site,
    make_installation,
    make_project,
    post,
    push,
    repository_id,
    sha,
    status,
)
from tests.cluster.harness import Hub, Object, People
from tests.cluster.process import Gateway, start_gateway, wait_serving

Pair = tuple[Gateway, Gateway]
KNOWN = {"recorded", "duplicate"}


def until_followed(gateways: Pair, repository: int, secret: str = SECRET, path: str = OWN) -> None:
    """Wait until both gateways know of a Project that was just made: then they record its first push."""
    deadline = time.monotonic() + PATIENCE
    for gateway in gateways:
        while (told := post(gateway.url, push(repository, 1), secret, path=path, delivery="first"))[1] not in KNOWN:
            assert time.monotonic() < deadline, (told, gateway.log[-4000:])
            time.sleep(0.02)


def until_hinted(gateways: Pair, installation: int, secret: str = SECRET, path: str = OWN) -> None:
    """Wait until the gateway that is asked first knows an installation by its id."""
    payload, deadline = {"installation": {"id": installation}}, time.monotonic() + PATIENCE
    while (told := post(gateways[0].url, payload, secret, "installation", path, "first-hint"))[1] not in KNOWN:
        assert time.monotonic() < deadline, (told, gateways[0].log[-4000:])
        time.sleep(0.02)


def followed(gateways: Pair, people: People, site: Site) -> int:
    """Make a Project by the operator's App, whose first push is recorded; return its repository's id."""
    repository = repository_id()
    make_project(people, site, "shop", repository, make_installation(people, "acme", repository))
    until_followed(gateways, repository)
    return repository


def pushed(people: People, name: str = "shop") -> dict[str, Any]:
    """Return what is recorded of a Project's last push."""
    found = people.get("Project", name)
    assert found is not None
    return dict(found["status"].get("push") or {})


def versions(people: People) -> dict[str, str]:
    """Return the version of each of somebody's objects."""
    found: list[Object] = [*people.list("Project"), *people.list("GitHubInstallation")]
    return {f"{obj['kind']} {obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in found}


def answers(hub: Hub, guid: str, count: int) -> list[int]:
    """Return what every attempt to deliver was answered, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = hub.control("GET", f"/deliveries/{guid}")["deliveries"]
        told = [int(one["status_code"]) for one in found if one["status_code"]]
        if len(told) >= count:
            return told
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_a_push_at_github_is_recorded_once(gateways: Pair, site: Site, people: People, hub: Hub, kube: Kube) -> None:
    made = hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": "hooked", "members": {"alice": "admin"}}],
        repositories=[{"owner": "hooked", "name": "shop", "files": {"a": "b"}}],
        apps=[
            {
                "slug": "hooked",
                "owner": "alice",
                "permissions": {"contents": "read", "metadata": "read"},
                "events": ["push"],
                "webhook": {"url": f"{gateways[0].url}/webhooks/github", "secret": SECRET},
            }
        ],
        installations=[{"app": "hooked", "account": "hooked", "repositories": "all"}],
    )
    repository = int(made["repositories"]["hooked/shop"]["id"])
    by = make_installation(people, "acme", int(made["installations"][0]["id"]))
    make_project(people, site, "shop", repository, by)
    until_followed(gateways, repository)

    after = hub.control("POST", "/push", {"repository": "hooked/shop", "user": "alice", "files": {"a": "c"}})["after"]
    found = people.until("Project", "shop", lambda obj: bool(obj and obj["status"]["push"]["sha"] == after), after)
    assert found is not None
    recorded = found["status"]["push"]
    assert (recorded["sha"], recorded["ref"], recorded["sender"]) == (after, "refs/heads/main", "alice")
    assert [line["sha"] for line in found["status"]["deliveries"]] == [after, sha(1)]
    guid = recorded["delivery"]
    assert answers(hub, guid, 1) == [202]

    hub.control("POST", f"/deliveries/{guid}/redeliver")
    hub.control("POST", f"/deliveries/{guid}/replay")
    assert sorted(answers(hub, guid, 3)) == [200, 200, 202]
    again = people.get("Project", "shop")
    assert again is not None
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    managers = {each["manager"] for each in again["metadata"]["managedFields"] if each.get("subresource") == "status"}
    assert "mooring-gateway" in managers


def test_what_is_told_of_each_delivery(gateways: Pair, site: Site, people: People) -> None:
    repository = followed(gateways, people, site)
    url = gateways[0].url
    ahead = push(repository, 3)
    assert post(url, ahead, SECRET, delivery="third") == (202, "recorded")
    before = versions(people)
    assert post(url, ahead, SECRET, delivery="third") == (200, "duplicate")
    assert post(url, ahead, SECRET, delivery="another") == (200, "duplicate")
    assert post(url, push(repository, 2), SECRET) == (200, "superseded")
    for ref in ("refs/heads/other", "refs/tags/main", "refs/tags/v1"):
        assert post(url, push(repository, 4, ref=ref), SECRET) == (200, "ignored")
    assert post(url, push(repository, 4, after=ZERO), SECRET) == (200, "ignored")
    assert post(url, push(repository_id(), 4), SECRET) == (200, "ignored")
    assert post(url, {"zen": "x"}, SECRET, event="ping") == (200, "ping")
    assert post(url, push(repository, 4), "forged")[0] == 401
    assert post(url, push(repository, 4, after="main"), SECRET)[0] == 400
    assert versions(people) == before
    # The other replica saw what this one wrote, or finds it at the conflict.
    assert post(gateways[1].url, ahead, SECRET, delivery="third") == (200, "duplicate")
    assert versions(people) == before
    assert pushed(people)["delivery"] == "third"


def test_an_event_of_an_installation_leaves_a_hint(gateways: Pair, site: Site, people: People) -> None:
    repository = followed(gateways, people, site)
    until_hinted(gateways, repository)
    payload = {"action": "added", "installation": {"id": repository}}
    url = gateways[0].url
    assert post(url, payload, SECRET, "installation_repositories", delivery="d1") == (202, "recorded")
    found = people.get("GitHubInstallation", "acme")
    assert found is not None
    assert found["status"]["installationId"] == repository
    hint = found["status"]["hint"]
    assert (hint["event"], hint["delivery"]) == ("installation_repositories", "d1")
    assert post(url, payload, SECRET, "installation_repositories", delivery="d1") == (200, "duplicate")
    assert post(url, {"installation": {"id": 1}}, SECRET, "installation") == (200, "ignored")
    renamed = {"action": "renamed", "repository": {"id": repository}}
    assert post(url, renamed, SECRET, "repository") == (202, "recorded")


def test_secrets_are_rotated_without_a_restart(gateways: Pair, site: Site, people: People) -> None:
    def until_told(secret: str, expected: int) -> None:
        deadline = time.monotonic() + PATIENCE
        for gateway in gateways:
            while post(gateway.url, {"zen": "x"}, secret, event="ping")[0] != expected:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    repository = followed(gateways, people, site)
    try:
        site.write(AppHook(site.api_url, ("the-next-one", SECRET)))
        until_told("the-next-one", 200)
        for number, secret in enumerate((SECRET, "the-next-one"), 2):
            assert post(gateways[0].url, push(repository, number), secret) == (202, "recorded")
        site.write(AppHook(site.api_url, ("the-next-one",)))
        until_told(SECRET, 401)
        assert post(gateways[0].url, push(repository, 4), "the-next-one") == (202, "recorded")
    finally:
        site.write(AppHook(site.api_url, (SECRET,)))
        until_told(SECRET, 200)


def test_nothing_is_lost_where_many_write(gateways: Pair, site: Site, people: People) -> None:
    """Two replicas record pushes to one Project while somebody else writes its status all the time."""
    repository, most = followed(gateways, people, site), 120
    ending = threading.Event()
    written = itertools.count(1)

    def write() -> int:
        number = 0
        while not ending.is_set():
            number = next(written)
            people.patch("Project", "shop", status(url=f"https://shop-{number}.example.com"), subresource="status")
        return number

    def send(number: int) -> tuple[int, str]:
        # Where the other writer is faster for too long, it is told so, and asked for again as GitHub is.
        for _ in range(10):
            told = post(gateways[number % 2].url, push(repository, number), SECRET, delivery=f"d{number}")
            if told[0] != 503:
                break
        return told

    with ThreadPoolExecutor(9) as pool:
        writing = pool.submit(write)
        told = list(pool.map(send, range(2, most + 1)))
        ending.set()
        last = writing.result()
    assert {status for status, _ in told} <= {200, 202}
    assert {outcome for _, outcome in told} <= {"recorded", "superseded", "duplicate"}
    found = people.get("Project", "shop")
    assert found is not None
    assert found["status"]["push"]["sha"] == sha(most)
    assert found["status"]["url"] == f"https://shop-{last}.example.com"
    assert found["status"]["source"]["repositoryId"] == repository
    assert sum(gateway.metric('mooring_gateway_patches_total{result="conflict"}') for gateway in gateways) > 0


def test_signed_lies_change_nothing_of_others(
    gateways: Pair, site: Site, kube: Kube, people: People, namespace: str
) -> None:
    """B has an App, a hook and Projects; it signs with all of them, and forges the status of its own objects."""
    name = f"{namespace}-b"
    assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    other = People(kube, name)
    repository, own = repository_id(), repository_id()
    a = make_installation(people, "acme", repository, secret="app")
    b = make_installation(other, "acme", repository, secret="app")
    mine = make_project(people, site, "by-app", repository, a)
    make_project(people, site, "by-hook", repository, None)
    make_project(other, site, "own", own, b)
    make_project(other, site, "own-hook", own, None)
    # Copies A's proof, and says that it follows A's repository by A's installation.
    impostor = make_project(other, site, "impostor", own, b)
    other.patch("Project", "impostor", status(source=mine["status"]["source"]), subresource="status")
    borrower = make_project(other, site, "borrower", own, b)
    other.patch("Project", "borrower", {"spec": {"installationRef": {"name": "acme", "namespace": people.namespace}}})
    assert impostor["metadata"]["uid"] != borrower["metadata"]["uid"]
    apps = [AppHook(site.api_url, (secret,), who.namespace, "app") for secret, who in (("a", people), ("b", other))]
    try:
        site.write(AppHook(site.api_url, (SECRET,)), *apps)
        of_a, of_b = site.app_path(a), site.app_path(b)
        hook_of_b, derived = site.hook_path(own, name), site.hook_secret(own, name)
        until_followed(gateways, repository, "a", of_a)
        until_followed(gateways, own, "b", of_b)
        until_followed(gateways, own, derived, hook_of_b)
        until_hinted(gateways, repository, "b", of_b)
        url = gateways[0].url
        as_it_was = versions(people)
        renamed = {"repository": {"id": repository}}
        for path, secret in ((of_b, "b"), (hook_of_b, derived)):
            assert post(url, push(repository, 2), secret, path=path) == (200, "ignored")
            assert post(url, renamed, secret, "repository", path) == (200, "ignored")
        assert post(url, {"installation": {"id": repository}}, "b", "installation", of_b) == (202, "recorded")
        for path in (of_a, site.hook_path(repository, people.namespace), OWN):
            for secret in ("b", derived):
                assert post(url, push(repository, 2), secret, path=path)[0] == 401
        assert versions(people) == as_it_was
        # B's word counts about B's own, and A's about A's.
        assert post(url, push(own, 2), "b", path=of_b) == (202, "recorded")
        assert post(url, push(own, 2), derived, path=hook_of_b) == (202, "recorded")
        assert post(url, push(repository, 2), "a", path=of_a) == (202, "recorded")
        everything = [*people.list("Project"), *other.list("Project")]
        numbers = {obj["metadata"]["name"]: obj["status"].get("push", {}).get("sha") for obj in everything}
        assert numbers == {
            "by-app": sha(2),
            "by-hook": None,
            "own": sha(2),
            "own-hook": sha(2),
            "impostor": None,
            "borrower": None,
        }
    finally:
        site.write(AppHook(site.api_url, (SECRET,)))
        kube.request("DELETE", f"/api/v1/namespaces/{name}")


def as_in_a_pod(kube: Kube, credential: Path) -> dict[str, str]:
    """Return what a container knows of the API server, whose credential comes from the operator."""
    where = urlsplit(kube.server)
    return {
        "KUBERNETES_SERVICE_HOST": where.hostname or "",
        "KUBERNETES_SERVICE_PORT": str(where.port),
        "MOORING_GATEWAY_TOKEN_DIR": str(credential),
    }


def test_before_it_knows_everything_it_ignores_nothing(
    lab: Lab, kube: Kube, kubeconfig: Path, site: Site, people: People, tmp_path: Path
) -> None:
    repository = repository_id()
    make_project(people, site, "shop", repository, make_installation(people, "acme", repository))
    mounted = Site(tmp_path / "webhook", site.api_url)
    mounted.folder.mkdir()
    # An API server that nobody can reach, and keys that are there.
    unreachable = tmp_path / "unreachable"
    unreachable.write_text(kubeconfig.read_text().replace(kube.server, "https://127.0.0.1:9"))
    blind = start_gateway(lab, unreachable, site.folder, tmp_path, "blind")
    # The other way around.
    credential = tmp_path / "credential"
    credential.mkdir()
    early = start_gateway(lab, None, mounted.folder, tmp_path, "early", **as_in_a_pod(kube, credential))
    try:
        for gateway in (blind, early):
            wait_serving(gateway, ready=False)
        assert "no credential" in early.ask("/readyz").text
        assert post(early.url, push(repository, 1), SECRET) == (503, "unavailable")
        access = Access.load(kubeconfig)
        (credential / "ca.crt").write_text(access.ca)
        (credential / "token").write_text(access.token)
        early.until_logged("the caches are filled")
        for gateway in (blind, early):
            for payload in (push(repository, 1), push(repository, 1, ref="refs/tags/x"), push(1, 1)):
                assert post(gateway.url, payload, SECRET) == (503, "unavailable")
        assert "caches are being filled" in blind.ask("/readyz").text
        assert "no keys" in early.ask("/readyz").text
        mounted.write(AppHook(site.api_url, (SECRET,)))
        wait_serving(early)
        assert post(early.url, push(repository, 1), SECRET) == (202, "recorded")
        assert post(early.url, push(1, 1), SECRET) == (200, "ignored")
        assert early.stop() == blind.stop() == 0
    finally:
        for gateway in (blind, early):
            if gateway.process.poll() is None:
                gateway.kill()


def test_it_ends_in_order(lab: Lab, kubeconfig: Path, site: Site, people: People, tmp_path: Path) -> None:
    """What is under way is answered, and stored as it is told; then nobody listens any more."""
    repository = repository_id()
    make_project(people, site, "shop", repository, make_installation(people, "acme", repository))
    gateway = start_gateway(lab, kubeconfig, site.folder, tmp_path, "ending")
    wait_serving(gateway)
    url, told = gateway.url, {}
    enough = threading.Event()

    def send(number: int) -> None:
        try:
            told[number] = post(url, push(repository, number), SECRET)[0]
        except OSError:
            return  # it came too late
        if number > 20:
            enough.set()

    with ThreadPoolExecutor(8) as pool:
        sending = [pool.submit(send, number) for number in range(1, 400)]
        assert enough.wait(PATIENCE)
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 10
        for each in sending:
            each.result()
    assert set(told.values()) <= {200, 202}
    assert 20 < len(told) < 399
    assert pushed(people)["sha"] >= sha(max(told))
    with pytest.raises(ConnectionError):
        post(url, push(repository, 1), SECRET)
    assert '"level":"error"' not in gateway.log

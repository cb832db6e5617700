"""What happens to a repository reaches its Projects by GitHub's own deliveries, and rolls nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator import hooked
from tests.cluster.operator.apps import install, make_account, make_app, put_app, refer
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.hooked import Site, told
from tests.cluster.operator.pushes import GLOBAL, Shop
from tests.cluster.process import Mooring

# From GitHub's request to what a status says of it. A sweep would come much later.
SECONDS = 30.0
EVENTS = ["push", "repository"]
SECRET = "what-signs-the-deliveries-of-this-app"


@pytest.fixture(scope="module")
def site(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run operator and gateway."""
    with hooked.running(lab, kube, hub, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def mooring(site: Site) -> Mooring:
    """Return the operator."""
    return site.operator


@pytest.fixture
def shop(people: People, site: Site, hub: Hub, fresh: TokenMaker) -> Shop:
    """Return a Project whose repository has a hook of its own."""
    token = fresh(scopes=["repo", "admin:repo_hook"])
    shop = Shop.open(people, hub, token)
    site.watch_repository(shop)
    return shop


def happens(it: Shop, what: str, **body: Any) -> None:
    """Do something to a repository, as its owner does."""
    it.hub.control("POST", f"/repositories/{it.repository_id}/{what}", body)


def source(it: Shop, **fields: Any) -> Object:
    """Wait until the status says something of the source."""

    def there(obj: Object | None) -> bool:
        found = ((obj or {}).get("status") or {}).get("source") or {}
        return all(found.get(name) == value for name, value in fields.items())

    found = it.people.until("Project", it.name, there, f"{fields}", seconds=SECONDS)
    assert found is not None
    return found


def until_told(it: Shop, *actions: str) -> Object:
    """Wait for these events; a Project that looks by itself may have known before."""
    found = it.people.until("Project", it.name, lambda obj: told(obj) == list(actions), f"{actions}")
    assert found is not None
    return found


def refused(it: Shop, reason: str) -> Object:
    """Wait until the source is refused."""
    return it.people.until_condition(it.name, "SourceResolved", "False", reason, seconds=SECONDS)


def pods(it: Shop) -> tuple[Any, int]:
    """Return what the pods are made of, and how often the Deployment was written."""
    deployment = it.people.get("Deployment", f"{it.name}-default")
    assert deployment is not None
    return deployment["spec"], deployment["metadata"]["generation"]


def url_of(it: Shop) -> str:
    """Return where the pods fetch the source."""
    spec, _ = pods(it)
    (url,) = [text for text in spec["template"]["spec"]["initContainers"][0]["args"] if text.startswith("--url=")]
    return str(url.removeprefix(f"--url={it.hub.web_url}/").removesuffix(".git"))


def test_a_rename_changes_a_name_and_no_pod(shop: Shop) -> None:
    before, former, mark = pods(shop), shop.repository, shop.hub.mark()
    happens(shop, "rename", name=f"{former.partition('/')[2]}-2")
    source(shop, fullName=f"{former}-2", specName=former, repositoryId=shop.repository_id)
    found = until_told(shop, "renamed")
    line = found["status"]["deliveries"][0]
    assert (line["event"], line["action"], line["sender"]) == ("repository", "renamed", "alice")
    assert "push" not in found["status"]
    assert condition(found, "Ready")["status"] == "True"
    assert (pods(shop), url_of(shop)) == (before, former)
    # A push finds the branch by the repository's id, and new pods fetch it by its present name.
    shop.repository = f"{former}-2"
    pushed = shop.delivered()
    assert shop.ran("Push", 2, pushed.sha)["sha"] == pushed.sha
    assert url_of(shop) == f"{former}-2"
    # One question for one event, however many runs there were; GitHub leads from the former name to the repository.
    asked = [it["path"] for it in shop.hub.journal(mark) if it["path"].endswith(f"/repos/{former}")]
    assert len(asked) == 1
    # Once more: by now the pods have a name that the spec never said.
    before = pods(shop)
    happens(shop, "rename", name=f"{former.partition('/')[2]}-3")
    source(shop, fullName=f"{former}-3")
    assert pods(shop) == before
    assert shop.people.rollouts(shop.name) == 2


def test_a_token_that_nobody_can_judge_leaves_renamed_pods_alone(shop: Shop, hub: Hub, fresh: TokenMaker) -> None:
    """Where it may be sent is told by what runs, which has it for the former name."""
    name = shop.repository
    happens(shop, "rename", name=f"{name.partition('/')[2]}-2")
    source(shop, fullName=f"{name}-2")
    before = pods(shop)
    hub.control("POST", "/faults", {"kind": "status", "status": 503, "path": "*/user"})
    try:
        shop.people.secret(GLOBAL, fresh(scopes=["repo"]))
        shop.people.until_condition(shop.name, "TokenResolved", "Unknown", "GitHubUnavailable", seconds=SECONDS)
        shop.people.until_condition(shop.name, "Ready", "False", "GitHubUnavailable", seconds=SECONDS)
        assert pods(shop) == before
    finally:
        hub.control("DELETE", "/faults")
    # The new one makes new pods, and they fetch by the present name.
    shop.ran("Token", 2, shop.last)
    assert url_of(shop) == f"{name}-2"


def test_another_repository_under_the_former_name_is_refused(shop: Shop, hub: Hub) -> None:
    owner, _, name = shop.repository.partition("/")
    happens(shop, "rename", name=f"{name}-2")
    source(shop, fullName=f"{shop.repository}-2")
    before = pods(shop)
    hub.seed(repositories=[{"owner": owner, "name": name, "private": True, "files": {"src/a": "evil"}}])
    # Nothing told of that: the next event of ours does.
    happens(shop, "edit", description="still ours")
    found = refused(shop, "RepositoryChanged")
    assert condition(found, "Ready")["reason"] == "RepositoryChanged"
    assert found["status"]["source"]["repositoryId"] == shop.repository_id
    assert "proof" not in found["status"]["source"]
    assert (pods(shop), shop.people.rollouts(shop.name)) == (before, 1)
    # A person writes the present name: pods are made that fetch it by that.
    former, shop.repository = shop.repository, f"{shop.repository}-2"
    shop.apply()
    shop.ran("Spec", 2, shop.last)
    assert url_of(shop) == shop.repository != former


def test_visibility_and_what_else_is_said(shop: Shop, hub: Hub) -> None:
    before, push = pods(shop), shop.status.get("push")
    happens(shop, "publicize")
    source(shop, private=False)
    happens(shop, "privatize")
    source(shop, private=True)
    happens(shop, "archive")
    happens(shop, "unarchive")
    actions = ["unarchived", "archived", "privatized", "publicized"]
    found = shop.people.until("Project", shop.name, lambda obj: told(obj) == actions, "all that happened")
    assert found is not None
    assert (pods(shop), found["status"].get("push")) == (before, push)
    assert shop.people.rollouts(shop.name) == 1


def test_a_transfer_is_followed(shop: Shop, hub: Hub) -> None:
    account, before = make_account(hub), pods(shop)
    happens(shop, "transfer", owner=account.login)
    name = shop.repository.partition("/")[2]
    source(shop, fullName=f"{account.login}/{name}", repositoryId=shop.repository_id)
    found = until_told(shop, "transferred")
    assert condition(found, "Ready")["status"] == "True"
    assert (pods(shop), shop.people.rollouts(shop.name)) == (before, 1)
    shop.repository = f"{account.login}/{name}"
    pushed = shop.delivered()
    shop.ran("Push", 2, pushed.sha)


def test_a_repository_that_is_deleted(shop: Shop, hub: Hub) -> None:
    before = pods(shop)
    happens(shop, "delete")
    refused(shop, "RepositoryNotFound")
    until_told(shop, "deleted")
    assert (pods(shop), shop.people.rollouts(shop.name)) == (before, 1)


@pytest.fixture
def covered(people: People, site: Site, hub: Hub) -> Shop:
    """Return a Project whose pushes the App of its installation brings."""
    app, account = make_app(hub, events=EVENTS), make_account(hub, "shop", "open")
    number = install(hub, app, account.login)
    put_app(people, app, webhookSecret=SECRET)
    people.apply("GitHubInstallation", "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    refer(people, "shop", f"{account.login}/shop")
    people.until_condition("shop", "Ready", "True", "Ready")
    repository = account.repositories["shop"]
    shop = Shop(people, hub, f"{account.login}/shop", repository, "", "", installation=number)
    site.watch_app(shop, app, SECRET)
    return shop


def test_an_app_tells_its_installation_and_its_projects(covered: Shop, site: Site, hub: Hub) -> None:
    it, before = covered, pods(covered)
    happens(it, "rename", name="store")
    source(it, fullName=it.repository.replace("/shop", "/store"), specName=it.repository)
    found = until_told(it, "renamed")
    delivery = found["status"]["deliveries"][0]["delivery"]

    def hints(installation: Object | None) -> bool:
        return bool((installation or {})["status"]["hint"]["delivery"] == delivery)

    # Each of the two is written by itself.
    it.people.until("GitHubInstallation", "it", hints, f"delivery {delivery}")
    assert (pods(it), it.people.rollouts("shop")) == (before, 1)
    # Where the credential does not reach, nothing is followed.
    elsewhere = make_account(hub)
    happens(it, "transfer", owner=elsewhere.login)
    lost = {"RepositoryNotCovered", "RepositoryNotFound"}
    it.people.until("Project", "shop", lambda obj: condition(obj or {}, "SourceResolved").get("reason") in lost)
    assert (pods(it), it.people.rollouts("shop")) == (before, 1)


def test_what_happens_to_an_installation(covered: Shop, hub: Hub) -> None:
    """Each is read again as soon as GitHub tells of it: nobody gives a hint here."""
    it, before = covered, pods(covered)

    def does(what: str, **body: Any) -> None:
        hub.control("POST", f"/installations/{it.installation}/{what}", body)

    def settles(status: str, reason: str, project: Callable[[Object], bool], **says: Any) -> None:
        def told(installation: Object | None) -> bool:
            ready, found = condition(installation or {}, "Ready"), (installation or {})["status"]
            is_said = all(found.get(name) == value for name, value in says.items())
            return is_said and (ready["status"], ready["reason"]) == (status, reason)

        it.people.until("Project", "shop", lambda obj: project(condition(obj or {}, "Ready")), reason, seconds=SECONDS)
        it.people.until("GitHubInstallation", "it", told, f"{reason} with {says}", seconds=SECONDS)

    def hinted(event: str) -> None:
        def is_told(obj: Object | None) -> bool:
            return bool((obj or {})["status"]["hint"]["event"] == event)

        it.people.until("GitHubInstallation", "it", is_told, f"the event {event}", seconds=SECONDS)

    def well(ready: Object) -> bool:
        return bool(ready.get("status") == "True")

    def ill(ready: Object) -> bool:
        return bool(ready.get("status") == "False")

    does("suspend")
    settles("False", "InstallationSuspended", ill, phase="Suspended")
    # A Project that looks by itself may learn of it first.
    hinted("installation")
    does("unsuspend")
    settles("True", "Ready", well, phase="Active")
    does("permissions", permissions={"metadata": "read"})
    it.people.until("Project", "shop", lambda obj: ill(condition(obj or {}, "Ready")), "no right", seconds=SECONDS)
    does("permissions", permissions={"contents": "read", "metadata": "read"})
    settles("True", "Ready", well, permissions={"contents": "read", "metadata": "read"})
    does("repositories", selection="selected", add=["shop", "open"])
    does("repositories", remove=["shop"])
    settles("True", "Ready", ill)
    does("repositories", add=["shop"])
    settles("True", "Ready", well)
    hinted("installation_repositories")
    does("delete")
    settles("False", "InstallationDeleted", ill, phase="Deleted")
    assert (pods(it), it.people.rollouts("shop")) == (before, 1)


def test_a_ping_is_answered_and_recorded_nowhere(shop: Shop, site: Site) -> None:

    def answers() -> list[int | None]:
        pings = site.hub.control("GET", "/deliveries?event=ping")["deliveries"]
        return [each["status_code"] for each in pings if each["repository_id"] == shop.repository_id]

    # It is sent beside the answer to whoever made the hook.
    deadline = time.monotonic() + SECONDS
    while 200 not in (found := answers()) and time.monotonic() < deadline:
        time.sleep(0.05)
    # The operator's own hook has an address where nobody listens.
    assert 200 in found
    assert set(found) <= {None, 0, 200}
    assert all(line["event"] != "ping" for line in shop.status["deliveries"])

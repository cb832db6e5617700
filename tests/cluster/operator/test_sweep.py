"""With every webhook lost, each push is deployed within one sweep, once; where nothing happens, little is asked.

No gateway runs here. What one would have recorded is written by the tests, late and twice, or not at all.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import install, make_account, make_app, mints, put_app, refer
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import Pushed, Shop
from tests.cluster.process import Mooring, running_operator
from tests.cluster.token_life import proven_long_ago, until

INTERVAL, PERIOD = "3s", 2.7
# Seconds in which a push has to be deployed: an interval, a run, and a machine that is busy.
PATIENCE = 20.0
REFS = "/info/refs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the operator's home."""
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Mooring]:
    """Run the operator, which sweeps every few seconds."""
    with running_operator(lab, kube, folder, MOORING_SWEEP_INTERVAL=INTERVAL) as running:
        yield running


@pytest.fixture
def shop(people: People, hub: Hub, fresh: TokenMaker) -> Callable[..., Shop]:
    """Return a maker of a Project that a personal token lists."""
    return lambda **more: Shop.open(people, hub, fresh(), **more)


@pytest.fixture
def lent(people: People, hub: Hub, shop: Callable[..., Shop]) -> Callable[..., Shop]:
    """Return a maker of a Project that an installation's token lists."""
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    people.settled("it", kind="GitHubInstallation")
    return lambda **more: shop(installationRef={"name": "it"}, **more)


@pytest.fixture(params=["person", "installation"])
def listed(request: pytest.FixtureRequest) -> Callable[..., Shop]:
    """Return a maker of a Project in either kind of list."""
    maker: Callable[..., Shop] = request.getfixturevalue({"person": "shop", "installation": "lent"}[request.param])
    return maker


def sweeps(mooring: Mooring, *, via: str | None = None) -> float:
    """Return how many sweeps went well, or how many rollouts something told of."""
    metric = 'mooring_sweeps_total{result="ok"}'
    if via is not None:
        metric = f'mooring_push_to_rollout_seconds_count{{via="{via}"}}'
    found = re.search(rf"^{re.escape(metric)} (\S+)", mooring.ask("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def until_swept(mooring: Mooring, times: int) -> None:
    """Wait for so many sweeps more."""
    wanted, deadline = sweeps(mooring) + times, time.monotonic() + PATIENCE
    while sweeps(mooring) < wanted:
        assert time.monotonic() < deadline, mooring.log[-4000:]
        time.sleep(0.1)


def past_second_look(it: Shop) -> Shop:
    """Wait until a branch was read once more for its new proof: from then on only sweeps look."""
    deadline = time.monotonic() + PATIENCE
    while it.asked(0).count("git/ref/heads/main") < 2:
        assert time.monotonic() < deadline, it.asked(0)
        time.sleep(0.1)
    return it


def test_each_push_is_deployed_once_though_no_delivery_comes(
    listed: Callable[..., Shop], mooring: Mooring, hub: Hub
) -> None:
    it = past_second_look(listed())
    before = sweeps(mooring, via="sweep")
    first = it.last
    for number in (2, 3):
        pushed = it.push()
        revision = it.ran("Poll", number, pushed.sha)
        assert revision.get("delivery") is None
        source = it.status["source"]
        assert (source["headSha"], source["decidedSha"]) == (pushed.sha, pushed.sha)
        assert source["readAt"]
    assert sweeps(mooring, via="sweep") == before + 2
    # What was lost comes late, twice, and in the wrong order.
    guid = it.tell(pushed)
    it.handled(guid, 3)
    it.handled(it.tell(pushed), 3)
    it.handled(it.tell(Pushed(pushed.before, first)), 3)
    until_swept(mooring, 3)
    assert it.people.rollouts(it.name) == 3


def test_a_delivery_under_way_and_a_sweep_at_once_are_one_rollout(
    listed: Callable[..., Shop], mooring: Mooring
) -> None:
    it = listed()
    for number in range(2, 7):
        pushed = it.push()
        guid = it.tell(pushed)
        it.people.until("Project", it.name, decided(pushed.sha, guid), f"delivery {guid}", seconds=PATIENCE)
        # Whoever was first: a sweep that fell into the moment before it was recorded is one rollout, too.
        it.people.until("Deployment", f"{it.name}-default", rolled(number), f"rollout {number}")
    until_swept(mooring, 3)
    assert it.people.rollouts(it.name) == 6


def decided(sha: str, guid: str) -> Callable[[Object | None], bool]:
    """Return a check that a commit runs, and that a delivery was decided on."""

    def holds(obj: Object | None) -> bool:
        source = ((obj or {}).get("status") or {}).get("source") or {}
        return (source.get("decidedSha"), source.get("delivery")) == (sha, guid)

    return holds


def rolled(number: int) -> Callable[[Object | None], bool]:
    """Return a check that a Deployment was rolled so often."""
    name = "deployment.kubernetes.io/revision"
    return lambda obj: (obj or {})["metadata"]["annotations"].get(name) == str(number)


def test_a_sweep_cuts_no_burst_short(shop: Callable[..., Shop], mooring: Mooring) -> None:
    it = past_second_look(shop(deploy={"debounce": "8s"}))
    before = sweeps(mooring)
    guid = it.announced()
    last = it.push()
    found = it.ran("Push", 2, last.sha)
    assert found["delivery"] == guid
    assert sweeps(mooring) > before
    # Whole seconds are written down.
    waited = datetime.fromisoformat(found["deployedAt"]) - datetime.fromisoformat(it.status["push"]["receivedAt"])
    assert waited >= timedelta(seconds=7)


def test_paths_and_other_branches_roll_nothing(listed: Callable[..., Shop], mooring: Mooring, hub: Hub) -> None:
    it = past_second_look(listed(source={"include": ["src/**"]}))
    mark = hub.mark()
    it.push({"src/side": "1"}, branch="side", parent=it.last)
    until_swept(mooring, 4)
    # Git's tips told it: the branch itself was not read for that.
    assert [path for path in it.asked(mark) if "heads/main" in path] == []
    skipped = it.push({"docs/a": "1"})
    it.people.until("Project", it.name, lambda obj: (obj or {})["status"]["source"]["decidedSha"] == skipped.sha)
    it.until_told("PushSkipped", skipped.sha[:7], "no path")
    assert it.people.rollouts(it.name) == 1


def test_what_nothing_lists_is_swept_by_git_alone(people: People, hub: Hub, mooring: Mooring) -> None:
    """A public repository of strangers without a token, and a plain URL of one."""
    made = hub.seed(
        users=[{"login": "erin"}],
        repositories=[{"owner": "erin", "name": f"public-{people.namespace}", "files": {"a": "1"}}],
    )
    ((full_name, told),) = made["repositories"].items()
    host = hub.web_url.removeprefix("https://")
    sources: dict[str, dict[str, Any]] = {
        "anonymous": {"github": {"repository": full_name}},
        "plain": {"git": {"url": f"https://{host}/{full_name}.git"}},
    }
    for name, source in sources.items():
        people.apply("Project", name, {"source": source, "workload": {"image": "nginx", "replicas": 1}})
        people.settled(name)
    mark = hub.mark()
    until_swept(mooring, 4)
    entries = [entry for entry in hub.journal(mark) if full_name in entry["path"] or str(told["id"]) in entry["path"]]
    # The first look after a proof is due as well: it reads the branch by its id.
    assert {entry["path"] for entry in entries if REFS not in entry["path"]} <= {
        f"/api/v3/repositories/{told['id']}/git/ref/heads/main"
    }
    pushed = hub.control("POST", "/push", {"repository": full_name, "user": "erin", "files": {"a": "2"}})["after"]
    for name in sources:
        people.until("Project", name, decided(pushed, None), f"{pushed[:7]}", seconds=PATIENCE)  # type: ignore[arg-type]
        people.until("Deployment", f"{name}-default", rolled(2), "rollout 2")


def test_a_rename_is_followed_and_rolls_nothing(listed: Callable[..., Shop], mooring: Mooring, hub: Hub) -> None:
    it = listed()
    template = it.template()
    hub.control("POST", f"/repositories/{it.repository_id}/rename", {"name": f"new-{it.people.namespace}"})
    name = f"acme/new-{it.people.namespace}"
    found = it.people.until("Project", it.name, lambda obj: (obj or {})["status"]["source"]["fullName"] == name)
    assert found is not None
    assert found["status"]["source"]["repositoryId"] == it.repository_id
    hub.control("POST", f"/repositories/{it.repository_id}/publicize")
    it.people.until("Project", it.name, lambda obj: (obj or {})["status"]["source"]["private"] is False)
    until_swept(mooring, 2)
    assert (it.template(), it.people.rollouts(it.name)) == (template, 1)
    assert it.status["observedGeneration"] == 1
    # The next push is found under the new name, and its pods fetch it from there.
    it.repository = name
    pushed = it.push()
    it.people.until("Deployment", f"{it.name}-default", rolled(2), "rollout 2", seconds=PATIENCE)
    deployment = it.people.get("Deployment", f"{it.name}-default")
    assert deployment is not None
    arguments = deployment["spec"]["template"]["spec"]["initContainers"][0]["args"]
    assert [f"--url={hub.web_url}/{name}.git" in arguments, f"--revision={pushed.sha}" in arguments] == [True, True]


def test_what_an_installation_lost_is_told_within_a_sweep(people: People, hub: Hub, mooring: Mooring) -> None:
    account = make_account(hub, "shop", "store")
    app = make_app(hub)
    number = install(hub, app, account.login, repositories=["shop", "store"])
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    people.settled("it", kind="GitHubInstallation")
    for name in ("shop", "store"):
        refer(people, name, f"{account.login}/{name}")
        people.settled(name)
    hub.control("POST", f"/installations/{number}/repositories", {"remove": ["shop"]})
    found = people.until(
        "Project", "shop", lambda it: condition(it or {}, "SourceResolved").get("status") == "False", seconds=PATIENCE
    )
    assert found is not None
    assert condition(found, "SourceResolved")["reason"] in {"RepositoryNotCovered", "RepositoryNotFound"}
    assert "proof" not in found["status"]["source"]
    until_swept(mooring, 2)
    assert condition(people.get("Project", "store") or {}, "SourceResolved")["status"] == "True"


def test_one_credential_s_trouble_delays_no_other(shop: Callable[..., Shop], more_people: Any, hub: Hub) -> None:
    it = shop()
    token = hub.token(f"limited-{it.people.namespace}", "bob")
    others = more_people()
    # It is to be found by its list alone, which fails.
    other = past_second_look(Shop.open(others, hub, token))
    fault = {"kind": "status", "status": 502, "path": "*/user/repos", "credential": f"*limited-{it.people.namespace}"}
    hub.control("POST", "/faults", fault)
    try:
        until(lambda: any(each["hits"] for each in hub.control("GET", "/faults")["faults"]), "a list that fails")
        first, second = it.push(), other.push()
        it.ran("Poll", 2, first.sha)
        assert other.status["source"]["decidedSha"] == second.before
    finally:
        hub.control("DELETE", "/faults")
    other.ran("Poll", 2, second.sha)


@pytest.fixture
def minutes_later(hub: Hub, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Return what lets GitHub's clock pass the minute in which it may not yet show what was pushed."""

    def move() -> None:
        hub.control("POST", "/clock", {"advance": 120})
        request.addfinalizer(lambda: hub.control("POST", "/clock", {"reset": True}))

    return move


def test_a_person_s_idle_list_costs_one_page_and_no_write(
    shop: Callable[..., Shop], hub: Hub, fresh: TokenMaker, minutes_later: Callable[[], None]
) -> None:
    it = shop()
    minutes_later()
    asked, periods = idle(it, hub, "/user/repos", lambda entry: entry["credential"] == fresh.last)
    assert asked.pop("/user/repos") <= periods + 1.5
    # A token is validated every few minutes.
    assert set(asked) <= {"/user"}


def test_an_installation_s_idle_list_costs_one_page_and_no_write(
    lent: Callable[..., Shop], hub: Hub, minutes_later: Callable[[], None]
) -> None:
    mark = hub.mark()
    it = lent()
    minted = {entry["minted"] for entry in mints(hub, mark)}
    minutes_later()
    asked, periods = idle(it, hub, "/installation/repositories", lambda entry: entry["credential"] in minted)
    # Once an interval the installation itself looks at what its tokens reach by now, and counts.
    assert asked.pop("/installation/repositories") <= 3 * periods + 3
    assert asked == {}


def idle(it: Shop, hub: Hub, path: str, concerns: Callable[[Object], bool]) -> tuple[Counter[str], float]:
    """Watch a Project do nothing while its list is read three times.

    Return what GitHub was asked with its credentials, and for how many periods; other Projects are swept meanwhile.
    """

    def asked(since: int) -> Counter[str]:
        paths = (str(entry["path"]).partition("?")[0] for entry in hub.journal(since) if concerns(entry))
        return Counter(found.removeprefix("/api/v3") for found in paths)

    past_second_look(it)
    # A sweep that began before it may still ask for the branch; the second one after it has nothing left to ask.
    looked = hub.mark()
    until(lambda: asked(looked)[path] >= 2, f"two reads of {path}")
    version, mark, began = it.project()["metadata"]["resourceVersion"], hub.mark(), time.monotonic()
    until(lambda: asked(mark)[path] >= 3, f"three reads of {path}")
    assert it.project()["metadata"]["resourceVersion"] == version
    return asked(mark), (time.monotonic() - began) / PERIOD


def test_what_was_pushed_while_nobody_ran_is_deployed_once_after_the_start(
    people: People, hub: Hub, lent: Callable[..., Shop], mooring: Mooring, lab: Lab, kube: Kube, folder: Path
) -> None:
    """The last test of this operator."""
    one = lent(name="lent")
    two = Shop.open(people, hub, one.token, name="listed")
    assert mooring.stop() == 0
    for it in (one, two):
        proven_long_ago(people, it.name)
    pushed = [(it, it.push()) for it in (one, two)]
    (folder / "next").mkdir()
    began = time.monotonic()
    with running_operator(lab, kube, folder / "next") as heir:
        # With the default interval: a few lists begin within seconds.
        for it, push in pushed:
            it.ran("Poll", 2, push.sha)
        print(f"deployed {time.monotonic() - began:.1f} s after the start")  # noqa: T201 - a figure
        assert sweeps(heir, via="sweep") == 2
        assert [it.people.rollouts(it.name) for it, _ in pushed] == [2, 2]

"""A recorded push redeploys once, the newest eligible commit, and says what it was; nothing else redeploys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People
from tests.cluster.operator import pushes
from tests.cluster.operator.apps import install, make_app, put_app, slow
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import Shop
from tests.cluster.process import Mooring
from tests.cluster.token_life import until

Open = Callable[..., Shop]


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Run the operator, with keys."""
    with pushes.running(lab, kube, tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture
def shop(people: People, hub: Hub, fresh: TokenMaker) -> Open:
    """Return a maker of a Project with a repository of its own."""
    return lambda **spec: Shop.open(people, hub, fresh(), **spec)


def counted(mooring: Mooring, via: str) -> float:
    """Return how many rollouts the histogram has that something had told of."""
    metric = f'mooring_push_to_rollout_seconds_count{{via="{via}"}}'
    found = re.search(rf"^{re.escape(metric)} (\S+)", mooring.ask("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_push_redeploys_once_and_says_so_everywhere(shop: Open, mooring: Mooring, hub: Hub) -> None:
    it = shop()
    known = it.followed()
    assert known is not None
    assert (known.repository_id, known.ref) == (it.repository_id, "refs/heads/main")
    before, mark = counted(mooring, "hook"), hub.mark()
    guid = it.announced()
    revision = it.ran("Push", 2, it.last)
    assert (revision["delivery"], revision["shortSha"]) == (guid, it.last[:7])
    status = it.status
    assert status["source"]["decidedSha"] == status["source"]["headSha"] == it.last
    assert (status["source"]["delivery"], status["history"][0]) == (guid, revision)
    template = it.template()
    wanted = {"mooring.dev/revision": it.last, "mooring.dev/delivery": guid, "mooring.dev/trigger": "Push"}
    assert {name: template[name] for name in wanted} == wanted
    it.until_told("RolloutStarted", it.last[:7], guid, "Push")
    (line,) = [line for line in mooring.log.splitlines() if '"rolling out"' in line and guid in line]
    assert it.last in line
    assert '"trigger":"Push"' in line
    assert counted(mooring, "hook") == before + 1
    # One look at the head, one comparison, and nothing else. Looks at what the proof missed, and after a sweep that was
    # shown the push before it was recorded, may fall into it.
    asked = it.asked(mark)
    assert [path for path in asked if "compare" in path] == [f"compare/{revision_before(it)}...{it.last}"]
    assert 1 <= asked.count("git/ref/heads/main") <= 3
    assert len(asked) == 1 + asked.count("git/ref/heads/main")


def revision_before(it: Shop) -> str:
    """Return the commit of the rollout before the newest."""
    return str(it.status["history"][1]["sha"])


def test_a_burst_is_one_rollout_of_the_last_push(shop: Open, hub: Hub) -> None:
    it = shop(deploy={"debounce": "1s"})
    mark, former = hub.mark(), it.last
    with it.unseen():
        told = [it.tell(it.push()) for _ in range(5)]
    assert it.ran("Push", 2, it.last)["delivery"] == told[-1]
    assert it.asked(mark).count(f"compare/{former}...{it.last}") == 1
    # The same push again under its own GUID, and under others: it is decided on, and rolls nothing.
    first = it.status["history"][1]["sha"]
    for delivery in (told[0], None):
        guid = it.tell(pushes.Pushed(it.last, first), delivery=delivery)
        it.handled(guid, 2)
    # An older one that comes late.
    it.handled(it.tell(pushes.Pushed(first, "0" * 40)), 2)


def test_there_and_back_again_rolls_nothing(shop: Open) -> None:
    it = shop(deploy={"debounce": "2s"})
    first = it.last
    with it.unseen():
        it.tell(it.push())
        guid = it.tell(it.back_to(first))
    status = it.handled(guid, 1)
    assert status["source"]["headSha"] == status["source"]["decidedSha"] == first


def test_a_push_that_comes_while_the_branch_is_read_is_a_push(shop: Open, hub: Hub) -> None:
    """The look after a proof is shown its commit before the operator was told of it."""
    it = shop()
    with slow(hub, f"*/repositories/{it.repository_id}/git/ref/*", seconds=2.0) as is_asked:
        until(is_asked, "the second look")
        guid = it.tell(it.push())
    assert it.ran("Push", 2, it.last)["delivery"] == guid


def test_paths_and_words_that_skip(shop: Open) -> None:
    it = shop(source={"include": ["src/**"], "exclude": ["src/**/*.md"]})
    first = it.last
    guid = it.announced({"docs/a": "1", "src/deep/a.md": "1"})
    status = it.handled(guid, 1)
    assert (status["source"]["decidedSha"], status["revision"]["sha"]) == (it.last, first)
    it.until_told("PushSkipped", it.last[:7], "no path", guid)
    # What else changes in the spec keeps the commit that runs.
    it.apply(source={"include": ["src/**", "lib/**"], "exclude": ["src/**/*.md"]}, workload={"image": "nginx:2"})
    assert it.ran("Spec", 2, first)["sha"] == first
    status = it.handled(it.announced({"src/a": "word"}, message="Change\n\n[skip ci]"), 2)
    assert (status["source"]["decidedSha"], status["revision"]["sha"]) == (it.last, first)
    it.until_told("PushSkipped", it.last[:7], "[skip ci]")
    # Compared with what was decided last: what was passed over stays passed over.
    it.handled(it.announced({"docs/a": "2"}), 2)
    guid = it.announced({"lib/a": "1"})
    assert it.ran("Push", 3, it.last)["delivery"] == guid


def test_a_rewound_branch_is_followed(shop: Open) -> None:
    it = shop(source={"include": ["nothing"]})
    first = it.last
    it.apply()
    it.announced()
    it.ran("Push", 2, it.last)
    # Nothing is listed as changed between a commit and its ancestor; yet what runs is not on the branch any more.
    it.apply(source={"include": ["nothing"]})
    with it.unseen():
        it.tell(it.back_to(first))
    it.ran("Push", 3, first)


def test_a_push_that_waits_for_a_word(shop: Open, hub: Hub) -> None:
    it = shop(deploy={"auto": False})
    first = it.last
    guid = it.announced()
    pushed = it.last
    status = it.handled(guid, 1)
    assert {**status["pending"], "since": ""} == {
        "sha": pushed,
        "shortSha": pushed[:7],
        "delivery": guid,
        "reason": "ManualDeploy",
        "since": "",
    }
    assert (status["source"]["decidedSha"], status["source"]["headSha"]) == (first, pushed)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Ready")
    it.until_told("PushWaits", pushed[:7], guid)
    it.apply(deploy={"auto": False}, annotations={"mooring.dev/redeploy": "now"})
    revision = it.ran("Manual", 2, pushed)
    assert revision["delivery"] == guid
    assert it.status.get("pending") is None
    assert it.status["source"]["redeploy"] == "now"
    # Nobody pushed since: the word changes nothing, and is noted. Then a push that its message would skip.
    it.apply(deploy={"auto": False}, annotations={"mooring.dev/redeploy": "again"})
    it.people.until("Project", "shop", lambda p: (p or {})["status"]["source"].get("redeploy") == "again", "noted")
    assert it.people.rollouts("shop") == 2
    it.handled(it.announced(message="[skip ci]"), 2)
    it.apply(deploy={"auto": False}, annotations={"mooring.dev/redeploy": "third"})
    it.ran("Manual", 3, it.last)
    # What still waits when nobody's word is asked for any more is deployed.
    guid = it.announced()
    it.handled(guid, 3)
    it.apply()
    assert it.ran("Push", 4, it.last)["delivery"] == guid


def test_a_push_that_an_app_tells_of(shop: Open, hub: Hub, people: People, mooring: Mooring) -> None:
    """The branch is read with the installation's token; no other credential is asked for anything."""
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    people.settled("it", kind="GitHubInstallation")
    it = shop(installationRef={"name": "it"})
    known = it.followed()
    assert known is not None
    assert known.via.startswith("installation/")
    mark, before = hub.mark(), counted(mooring, "app")
    guid = it.announced()
    assert it.ran("Push", 2, it.last)["delivery"] == guid
    assert counted(mooring, "app") == before + 1
    asked = {
        entry["credential"] for entry in hub.journal(mark) if f"/repositories/{it.repository_id}/" in entry["path"]
    }
    assert len(asked) == 1
    assert not any(credential.startswith("token-") for credential in asked)


def test_a_github_that_lags(shop: Open, hub: Hub) -> None:
    it = shop()
    lag = {"kind": "lag", "repository": it.repository, "count": 3}
    hub.control("POST", "/faults", lag)
    try:
        guid = it.tell(it.push())
        assert it.ran("Push", 2, it.last)["delivery"] == guid
    finally:
        hub.control("DELETE", "/faults")


def test_pinned_and_unpinned(shop: Open) -> None:
    it = shop()
    first = it.last
    it.apply(source={"revision": first})
    it.people.until("Project", "shop", lambda p: (p or {})["status"]["source"].get("pinnedSha") == first, "its pin")
    status = it.handled(it.announced(), 1)
    assert (status["source"]["headSha"], status["source"]["decidedSha"]) == (it.last, first)
    it.apply()
    it.ran("Spec", 2, it.last)


def test_a_branch_that_goes_and_comes_back(shop: Open, people: People) -> None:
    it = shop()
    first = it.last
    side = it.push({"src/side": "1"}, branch="side", parent=first)
    it.apply(source={"branch": "side"})
    it.ran("Spec", 2, side.sha)
    gone = it.push(branch="side", delete=True)
    waits = it.tell(pushes.Pushed("0" * 40, gone.before), ref="refs/heads/side")
    people.until_condition("shop", "SourceResolved", "False", "BranchNotFound")
    assert people.rollouts("shop") == 2
    again = it.push({"src/side": "2"}, branch="side", parent=first)
    guid = it.tell(again, ref="refs/heads/side")
    # The branch is looked at again for the one that waits, too: what it is found to be counts, whoever told of it.
    assert it.ran("Push", 3, again.sha)["delivery"] in {waits, guid}

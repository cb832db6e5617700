"""Another repository, another branch, a commit that stays: what a Project runs, follows and holds then; and its end."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import binaries
from tests import pages
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import (
    clone_secret,
    clone_secrets,
    data_of,
    install,
    make_account,
    make_app,
    mints,
    put_app,
    reaches,
    refer,
)
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import GLOBAL, Shop
from tests.cluster.operator.test_installation_ends import soon
from tests.cluster.operator.test_lifecycle import COLLECTION_SECONDS
from tests.cluster.operator.test_lifecycle_pods import has_rolled, is_ready_after, is_suspended

KIND = "GitHubInstallation"
PAGE = "docs/guide/lifecycle.md"
RUN_HERE = {
    "docs/guide/lifecycle.md": (
        "What runs, and why",
        "Suspend and resume",
        "Restart",
        "Roll back, and stay there",
        "Another branch, another repository",
        "Delete",
    )
}
WORKLOAD = {"image": "nginx", "replicas": 1}
NOWHERE = {**WORKLOAD, "nodeSelector": {"example.com/there-is": "no-such-node"}}


def runs(entries: int, trigger: str, sha: str | None = None) -> Callable[[Object | None], bool]:
    """Tell whether a Project is Ready with its newest spec after its so manieth rollout, and runs that commit."""

    def there(project: Object | None) -> bool:
        status, ready = (project or {}).get("status") or {}, condition(project or {}, "Ready")
        history, found = status.get("history") or [{}], (status.get("revision") or {}).get("sha")
        current = ready.get("observedGeneration") == ((project or {}).get("metadata") or {}).get("generation")
        return (
            current
            and (ready.get("status"), ready.get("reason")) == ("True", "Ready")
            and (len(history), history[0].get("trigger")) == (entries, trigger)
            and sha in {None, found}
        )

    return there


def checkout(people: People, name: str) -> list[str]:
    """Return what the pods of a Project are told to fetch."""
    deployment = people.get("Deployment", f"{name}-default")
    assert deployment is not None
    containers = deployment["spec"]["template"]["spec"].get("initContainers") or [{"args": []}]
    return list(containers[0]["args"])


def test_a_pin_is_told_kept_and_taken_back(people: People, hub: Hub, fresh: TokenMaker) -> None:
    shop = Shop.open(people, hub, fresh())
    first = shop.last
    shop.announced()
    shop.ran("Push", 2, shop.last)
    people.patch("Project", "shop", {"spec": {"source": {"revision": first}}})
    pinned = people.until("Project", "shop", runs(3, "Rollback", first))
    assert pinned is not None
    assert pinned["status"]["source"]["pinnedSha"] == first
    assert f"pinned to {first[:7]}" in condition(pinned, "SourceResolved")["message"]

    # What is pushed meanwhile is noted, told, and rolled out by nothing that happens to the pods.
    shop.handled(shop.announced(), 3)
    last = shop.last
    shop.until_told("PushSkipped", last[:7], "spec.source.revision")
    people.patch("Project", "shop", {"metadata": {"annotations": {"mooring.dev/restart": "once"}}})
    people.until("Project", "shop", runs(4, "Manual", first))

    # A commit of a fork can be fetched by its id through the repository; it is none of its own.
    hub.seed(users=[{"login": "mallory"}])
    fork = {"owner": "mallory", "name": shop.repository.partition("/")[2], "fork_of": shop.repository}
    ((forked, _),) = hub.seed(repositories=[fork])["repositories"].items()
    evil = hub.control("POST", "/push", {"repository": forked, "user": "mallory", "files": {"src/a": "evil"}})["after"]
    people.patch("Project", "shop", {"spec": {"source": {"revision": evil}}})
    refused = people.until_condition("shop", "Stalled", "True", "RevisionNotFound")
    assert (
        f"{evil[:12]} is not reachable from branch main of {shop.repository}" in condition(refused, "Ready")["message"]
    )
    assert f"--revision={first}" in checkout(people, "shop")
    assert people.rollouts("shop") == 4

    # Un-pinned, it goes to the newest at once, and follows again.
    people.patch("Project", "shop", {"spec": {"source": {"revision": None}}})
    free = people.until("Project", "shop", runs(5, "Spec", last))
    assert free is not None
    assert "pinned" not in condition(free, "SourceResolved")["message"]
    assert "pinnedSha" not in free["status"]["source"]
    guid = shop.announced()
    assert shop.ran("Push", 6, shop.last)["delivery"] == guid


def test_another_branch_and_another_repository_by_name(people: People, hub: Hub, fresh: TokenMaker) -> None:
    """Only pushes to what is followed now count, whatever was recorded before."""
    shop = Shop.open(people, hub, fresh(), deploy={"debounce": "1m"})
    side = shop.push({"src/side": "1"}, branch="side", parent=shop.last)
    people.patch("Project", "shop", {"spec": {"source": {"branch": "side"}}})
    people.until("Project", "shop", runs(2, "Spec", side.sha))
    proof = shop.followed()
    assert proof is not None
    assert proof.ref == "refs/heads/side"
    # To the former branch: nobody even looks.
    mark = hub.mark()
    shop.announced(branch="main")

    # A push waits for its quiet time, and the Project goes to another repository.
    waits = shop.announced({"src/side": "2"}, branch="side", ref="refs/heads/side")
    assert [path for path in shop.asked(mark) if "main" in path] == []
    other = Shop.make(people, hub, shop.token, name="other", deploy={"auto": False})
    source = {"github": {"repository": other.repository}, "branch": None}
    people.patch("Project", "shop", {"spec": {"source": source, "deploy": {"debounce": "200ms"}}})
    moved = people.until("Project", "shop", runs(3, "Spec", other.last))
    assert moved is not None
    assert moved["status"]["source"]["delivery"] == waits
    assert "delivery" not in moved["status"]["revision"]
    assert f"--url={hub.web_url}/{other.repository}.git" in checkout(people, "shop")
    proof = shop.followed()
    assert proof is not None
    assert (proof.repository_id, proof.ref) == (other.repository_id, "refs/heads/main")

    # And of the new one every push does.
    shop.repository, shop.repository_id = other.repository, other.repository_id
    guid = shop.announced()
    assert shop.ran("Push", 4, shop.last)["delivery"] == guid
    # Nothing was ever asked of the one repository about a commit of the other.
    assert not any(side.sha in path for path in other.asked(mark))


def test_the_credential_goes_with_the_repository_and_kinds_of_source_change(
    people: People, hub: Hub, fresh: TokenMaker
) -> None:
    app, account, elsewhere = make_app(hub), make_account(hub, "one", "two"), make_account(hub, "three")
    for login in (account.login, elsewhere.login):
        install(hub, app, login)
    put_app(people, app)
    people.apply(KIND, "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    people.apply(KIND, "else", {"account": elsewhere.login, "appSecretRef": {"name": "app"}})
    people.secret(GLOBAL, fresh())

    def follow(repository: str, installation: str) -> None:
        source = {"source": {"github": {"repository": repository}}, "installationRef": {"name": installation}}
        people.apply("Project", "shop", {**source, "workload": WORKLOAD})

    def until(entries: int) -> Object:
        there = runs(entries, "Create" if entries == 1 else "Spec")
        found = people.until("Project", "shop", there, f"rollout {entries}")
        assert found is not None
        return found

    def token(reached: str) -> str:
        name = clone_secret(people, "shop")
        assert name is not None
        held = data_of(people.get("Secret", name))["token"]
        assert reaches(hub, held) == [reached]
        return held

    follow(f"{account.login}/one", "it")
    until(1)
    one, first = token(f"{account.login}/one"), clone_secret(people, "shop")

    # Another repository of the same installation: the same Secret, with a token for that one alone.
    follow(f"{account.login}/two", "it")
    until(2)
    people.until("Secret", str(first), lambda s: s is not None and reaches(hub, data_of(s)["token"]) == [_two(account)])
    two = token(f"{account.login}/two")
    assert two != one

    # Of another installation: another Secret, and the former one is gone.
    follow(f"{elsewhere.login}/three", "else")
    until(3)
    three, third = token(f"{elsewhere.login}/three"), clone_secret(people, "shop")
    assert first != third
    people.until("Secret", str(first), lambda secret: secret is None, "its end")
    soon(lambda: reaches(hub, two) == 401)

    # By a plain URL: no installation's credential is left; then by image alone, without a checkout; and back.
    people.apply("Project", "shop", {"source": {"git": {"url": f"{hub.web_url}/acme/open.git"}}, "workload": WORKLOAD})
    until(4)
    assert f"--url={hub.web_url}/acme/open.git" in checkout(people, "shop")
    assert clone_secret(people, "shop") is None
    people.until("Secret", str(third), lambda secret: secret is None, "its end")
    soon(lambda: reaches(hub, three) == 401)
    people.apply("Project", "shop", {"workload": WORKLOAD})
    alone = until(5)
    assert checkout(people, "shop") == []
    assert "source" not in alone["status"]
    follow(f"{account.login}/one", "it")
    until(6)
    token(f"{account.login}/one")
    assert clone_secrets(people) == [first]


def _two(account: Any) -> str:
    return f"{account.login}/two"


def test_a_plain_url_goes_through_all_of_it(people: People, hub: Hub) -> None:
    """Nobody tells of its pushes: a person's word, or the sweep, has the branch read."""
    name = f"plain-{uuid.uuid4().hex[:8]}"
    ((full_name, told),) = hub.seed(repositories=[{"owner": "acme", "name": name, "files": {"a": "1"}}])[
        "repositories"
    ].items()
    first = told["head"]

    def push(**more: Any) -> str:
        body = {"repository": full_name, "user": "alice", "files": {"a": uuid.uuid4().hex}, **more}
        return str(hub.control("POST", "/push", body)["after"])

    def change(**source: Any) -> None:
        people.patch("Project", "plain", {"spec": {"source": source}})

    people.apply(
        "Project", "plain", {"source": {"git": {"url": f"{hub.web_url}/{full_name}.git"}}, "workload": WORKLOAD}
    )
    people.until("Project", "plain", runs(1, "Create", first))
    second = push()
    people.patch("Project", "plain", {"metadata": {"annotations": {"mooring.dev/redeploy": "now"}}})
    people.until("Project", "plain", runs(2, "Manual", second))
    change(revision=first)
    pinned = people.until("Project", "plain", runs(3, "Rollback", first))
    assert f"pinned to {first[:7]}" in condition(pinned or {}, "SourceResolved")["message"]
    third = push()
    change(revision=None)
    people.until("Project", "plain", runs(4, "Spec", third))
    side = push(branch="side", parent=first)
    change(branch="side")
    people.until("Project", "plain", runs(5, "Spec", side))
    change(branch="absent")
    people.until_condition("plain", "Stalled", "True", "BranchNotFound")
    change(branch=None)
    people.until("Project", "plain", runs(6, "Spec", third))
    assert people.rollouts("plain") == 6


@contextmanager
def away(hub: Hub) -> Iterator[None]:
    """Have GitHub answer nobody until the end of the block."""
    hub.control("POST", "/faults", {"kind": "drop"})
    try:
        yield
    finally:
        hub.control("DELETE", "/faults")


def test_what_rolls_goes_with_all_that_is_its_own_while_github_is_away(
    people: People, hub: Hub, fresh: TokenMaker
) -> None:
    app, account = make_app(hub), make_account(hub, "shop")
    installation = install(hub, app, account.login)
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    refer(people, "shop", f"{account.login}/shop")
    people.until_ready("shop")
    secret = clone_secret(people, "shop")
    assert secret is not None
    token = data_of(people.get("Secret", secret))["token"]

    # In the middle of a rollout that comes to no end.
    people.patch("Project", "shop", {"spec": {"workload": NOWHERE}})
    people.until_condition("shop", "Deployed", "False", "Progressing")
    people.until(
        "Deployment", "shop-default", lambda d: (d or {})["status"].get("unavailableReplicas") == 1, "a new pod"
    )
    mark = hub.mark()
    with away(hub):
        people.delete("Project", "shop")
        people.until("Project", "shop", lambda project: project is None, "its end")
        for kind, name in (("Deployment", "shop-default"), ("Secret", "shop-default-token"), ("Secret", secret)):
            people.until(kind, name, lambda obj: obj is None, "its end", seconds=COLLECTION_SECONDS)
        for name in ("it", "default"):
            kind = "GitHubInstallation" if name == "it" else "GitHubUser"
            assert people.get(kind, name) is not None
    # Nothing was made for it any more, and what was is ended when GitHub is there again.
    soon(lambda: reaches(hub, token) == 401)
    assert mints(hub, mark, installation) == []
    assert people.get("Deployment", "shop-default") is None

    # One of the same name begins anew.
    refer(people, "shop", f"{account.login}/shop")
    (entry,) = people.settled("shop")["status"]["history"]
    assert entry["trigger"] == "Create"


# --- the page about all of it ---


def test_every_command_of_the_page_does_what_it_says(people: People, hub: Hub, fresh: TokenMaker) -> None:
    """In its order, as a person pastes them."""
    shop = Shop.open(people, hub, fresh())
    first = shop.last
    other = Shop.make(people, hub, shop.token, name="other")
    words = {"team-a": people.namespace, "COMMIT": first, "acme/other": other.repository}
    commands = pages.claimed(RUN_HERE, PAGE)
    history = ["Create"]

    def then(trigger: str) -> Callable[[Object | None], bool]:
        history.append(trigger)
        return is_ready_after(*history)

    def run(expected: str) -> str:
        """Run the next command, which is one with these words."""
        command = commands.pop(0)
        assert expected in command
        return shell(people, command, words)

    def until(holds: Callable[[Object | None], bool], what: str) -> None:
        people.until("Project", "shop", holds, what)

    assert first[:7] in run("-o wide")
    assert f"{first} Create" in run(".status.history")
    people.until_event("shop", "RolloutStarted")
    assert "RolloutStarted" in run("kubectl events")
    run('"suspend":true')
    until(is_suspended, "suspended")
    run('"suspend":false')
    until(is_ready_after("Create"), "resumed")
    run("mooring.dev/restart")
    until(then("Manual"), "restarted")
    run("rollout restart")
    people.until("Deployment", "shop-default", has_rolled(3))
    shop.push(message="[skip ci]")
    run("mooring.dev/redeploy")
    until(then("Manual"), "its head")
    run('"revision":"COMMIT"')
    until(then("Rollback"), "rolled back")
    assert f"pinned to {first[:7]}" in condition(shop.project(), "SourceResolved")["message"]
    last = shop.push()
    run('"revision":null')
    until(then("Spec"), "its head again")
    assert shop.status["revision"]["sha"] == last.sha
    shop.push({"src/next": "1"}, branch="next", parent=first)
    run('"branch":"next"')
    until(then("Spec"), "another branch")
    run('"branch":null')
    until(then("Spec"), "the branch from before")
    run('"repository":"acme/other"')
    until(then("Spec"), "another repository")
    assert shop.status["revision"]["sha"] == other.last
    run("kubectl delete")
    until(lambda project: project is None, "its end")
    assert commands == []


def shell(people: People, command: str, words: Mapping[str, str]) -> str:
    """Run a command in a shell; return what it says."""
    for word, ours in words.items():
        command = command.replace(word, ours)
    folder = binaries.find("kubectl").parent
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "KUBECONFIG": people.kube.kubeconfig,
        # What kubectl keeps of the API stays with the cluster that it is about.
        "HOME": str(Path(people.kube.kubeconfig).parent),
    }
    done = subprocess.run(
        ["bash", "-euc", command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout

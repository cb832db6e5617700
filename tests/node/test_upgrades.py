"""The life of a release under workloads that run: whatever is done to Mooring, nothing is done to them.

It is the last of the folder: at its end nothing is installed any more.
"""

from __future__ import annotations

from functools import partial

import pytest

from lab import images
from tests.cluster.harness import Object
from tests.lab.kubernetes.support import until
from tests.node.cluster import PROJECT, held, left, standing
from tests.node.desk import check
from tests.node.install import IMAGE_NAME, PAGE, PATIENCE, SYSTEM, Mooring
from tests.node.shop import APP_SECRET, IMAGE, PORT, SERVE, Shop

RUN_HERE = {"docs/guide/install.md": ("The gateway beside the operator", "Upgrade and way back", "Uninstall")}
ALONE = "image-alone"
OUTPUT = "for-ci"
# What stays: the definitions, by which people's objects live, and the keys from which addresses of webhooks come.
DEFINITIONS = {
    f"customresourcedefinitions/{kind}.mooring.dev" for kind in ("projects", "githubusers", "githubinstallations")
}
KEYS = "secrets/mooring-webhook"
# Several at once, beside the place of the gateway.
MORE = "settings.sweepInterval=5m,settings.logLevel=debug,operator.replicas=2"
ANOTHER = "another"


@pytest.fixture(scope="module")
def team(shop: Shop) -> Shop:
    """One of everything: a source through an installation, an image with a person's token, an output for others."""
    people = shop.people
    people.secret("of-alice", shop.hub.token("alice-upgrades", "alice"))
    people.apply("GitHubUser", "alice", {"tokenSecretRef": {"name": "of-alice"}})
    output = {"secretName": OUTPUT, "format": "Token"}
    people.apply(
        "GitHubInstallation",
        "ci",
        {"account": "acme", "appSecretRef": {"name": APP_SECRET}, "outputs": [output]},
    )
    workload = {"image": IMAGE, "ports": [{"containerPort": PORT}], "command": SERVE, "replicas": 1}
    people.apply("Project", ALONE, {"userRef": {"name": "alice"}, "workload": workload, "expose": {}})
    shop.ready(ALONE)
    people.settled("ci", kind="GitHubInstallation", seconds=PATIENCE)
    assert people.get("Secret", OUTPUT)
    shop.alone()
    return shop


def look(team: Shop, *names: str) -> None:
    """Wait until the operator that works now has been through Projects: it mends what somebody changed by hand."""
    for name in names:
        team.people.patch("Service", f"{name}-default", {"metadata": {"labels": {PROJECT: "strayed"}}})
    for name in names:
        team.people.until("Service", f"{name}-default", partial(_is_labelled, name), "mended", seconds=PATIENCE)
        team.ready(name)


def test_an_upgrade_and_the_way_back_roll_nothing(mooring: Mooring, team: Shop) -> None:
    """Other values and another image, with the gateway in the operator's Pod for a while: it hears of a push."""
    desk, before = mooring.desk, standing(mooring.kube)
    first = mooring.revision
    upgrade, back = desk.commands(PAGE, "Upgrade and way back")
    images.name_again(mooring.node.lab, IMAGE_NAME, f"{IMAGE_NAME.rpartition(':')[0]}:{ANOTHER}")

    desk.follow(PAGE, "The gateway beside the operator")
    desk.type(upgrade, {"image.tag=0.1.0": f"image.tag={ANOTHER},{MORE}"})
    mooring.ready()
    look(team, "shop", ALONE)
    assert "deployments/mooring-gateway" not in left(mooring.kube)
    assert standing(mooring.kube) == before

    sha = team.delivered({"index.html": "told to the sidecar"})
    revision = team.arrived(sha)["status"]["revision"]
    until(lambda: team.page() == "told to the sidecar", "the Service leads to the new pod", PATIENCE)
    told = [entry["status_code"] for entry in team.deliveries() if entry["guid"] == revision.get("delivery")]
    assert (revision["trigger"], told) == ("Push", [202])
    team.alone()
    before = standing(mooring.kube)

    desk.type(back)
    assert mooring.revision == first + 3
    mooring.helm(f"rollback mooring {first}")
    mooring.ready()
    look(team, "shop", ALONE)
    assert standing(mooring.kube) == before
    assert "deployments/mooring-gateway" in left(mooring.kube)


def test_an_uninstall_takes_all_of_mooring_and_nothing_of_people(mooring: Mooring, team: Shop) -> None:
    """What comes next takes everything over; the last one goes with its keys."""
    desk, kube, people = mooring.desk, mooring.kube, team.people
    (uninstall,) = desk.commands(PAGE, "Uninstall")
    before, address = standing(kube), _address(team)
    assert held(kube)
    desk.lay("values.yaml", mooring.helm("get values mooring --output yaml"))

    desk.type(uninstall)
    until(lambda: left(kube) == {*DEFINITIONS, KEYS}, "nothing but the definitions and the keys is left", PATIENCE)
    assert not held(kube)
    assert standing(kube) == before
    assert team.page()
    assert team.page(ALONE)
    assert people.get("Secret", OUTPUT)
    mooring.node.kubectl("delete", "projects.mooring.dev", ALONE, f"--namespace={team.namespace}", "--timeout=30s")
    people.until("Deployment", f"{ALONE}-default", lambda it: it is None, "its workload goes with it", seconds=PATIENCE)
    people.until("Service", f"{ALONE}-default", lambda it: it is None, "its workload goes with it", seconds=PATIENCE)

    before = {name: what for name, what in before.items() if f"/{ALONE}" not in name}
    mooring.helm("install mooring helm/mooring --values values.yaml --set uninstall.removeKeys=true")
    mooring.ready()
    look(team, "shop")
    assert before.items() <= standing(kube).items()
    assert _address(team) == address
    assert held(kube)

    # Nobody leads, so that nothing has to be waited for.
    mooring.node.kubectl("scale", "deployment/mooring-operator", f"--namespace={SYSTEM}", "--replicas=0")
    until(lambda: not mooring.leader, "the Lease is free", PATIENCE)
    desk.type(uninstall)
    until(lambda: left(kube) == DEFINITIONS, "the keys are gone as well", PATIENCE)
    assert not held(kube)
    assert before.items() <= standing(kube).items()


def test_all_that_is_claimed_was_typed(mooring: Mooring, request: pytest.FixtureRequest) -> None:
    check(mooring.desk, RUN_HERE, request)


def _is_labelled(project: str, obj: Object | None) -> bool:
    return obj is not None and obj["metadata"]["labels"].get(PROJECT) == project


def _address(team: Shop) -> str:
    found = team.people.get("GitHubInstallation", "acme")
    assert found
    return str(found["status"]["webhook"]["url"])

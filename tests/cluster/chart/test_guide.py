"""The guide's commands for an administrator, typed on a lab of their own; and what it names is there.

Pods only seem to run here. What is about Pods is typed on a real node, in tests/node.
"""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import Lab
from lab.kubernetes.kubeconfig import Access
from tests import pages
from tests.cluster.chart.rendering import by_name, helm
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.harness import People
from tests.lab.kubernetes.support import until
from tests.node.cluster import left
from tests.node.desk import Desk, check

PAGE = "docs/guide/install.md"
RUN_HERE = {
    "docs/guide/install.md": (
        "With kustomize",
        "Webhooks",
        "For some namespaces only",
        "Metrics and alerts",
        "What stays",
        "If the Job cannot run",
        "Without Helm",
    )
}
GUIDE = (ROOT / PAGE).read_text(encoding="utf-8")
COMMANDS = [one.text for one in pages.commands(PAGE) if one.text.startswith("helm ") and "helm/mooring" in one.text]
TEAM = "team-a"
PATIENCE = 60.0
DEFINITIONS = {
    f"customresourcedefinitions/{kind}.mooring.dev" for kind in ("projects", "githubusers", "githubinstallations")
}
# Kinds of others, which a cluster has to have for what the guide switches on. Nothing of their fields is known here.
KINDS_OF_OTHERS = {
    "HTTPRoute": "gateway.networking.k8s.io",
    "ServiceMonitor": "monitoring.coreos.com",
    "PrometheusRule": "monitoring.coreos.com",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A cluster with nothing of Mooring in it, not even the definitions."""
    lab = Lab.up(tmp_path_factory.mktemp("guide") / "lab", github=False)
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    try:
        yield kube
    finally:
        kube.close()
        lab.down()


@pytest.fixture(scope="module")
def desk(cluster: Kube, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Somebody with the guide, and a namespace of a team."""
    found = Desk(tmp_path_factory.mktemp("typed") / "desk", cluster.kubeconfig, {})
    found.lay("others.yaml", yaml.safe_dump_all(_definition(*one) for one in KINDS_OF_OTHERS.items()))
    found.type(f"kubectl create namespace {TEAM}; kubectl apply -f others.yaml")
    return found


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A chart from before there were disruption budgets, nor values for them."""
    shutil.copytree(ROOT / "helm" / "mooring", tmp_path / "mooring")
    (tmp_path / "mooring" / "templates" / "disruption.yaml").unlink()
    values = tmp_path / "mooring" / "values.yaml"
    known = yaml.safe_load(values.read_text(encoding="utf-8"))
    del known["podDisruptionBudget"]
    values.write_text(yaml.safe_dump(known), encoding="utf-8")
    return tmp_path / "mooring"


def test_each_helm_command_does_what_it_is_for(desk: Desk, cluster: Kube, older: Path) -> None:
    """One after the other, on one release, each on top of those before; the first meets an older chart's release."""
    desk.follow(PAGE, "With Helm", {"helm/mooring": str(older)})
    assert {"deployments/mooring-operator", "deployments/mooring-gateway", *DEFINITIONS} <= left(cluster)

    desk.follow(PAGE, "Webhooks")
    assert {"poddisruptionbudgets/mooring-operator"} <= left(cluster)
    assert {"ingresses/mooring-gateway", "httproutes/mooring-gateway"} <= left(cluster)

    desk.follow(PAGE, "For some namespaces only")
    role = desk.type(f"kubectl get roles -n {TEAM} -o name")
    assert "role.rbac.authorization.k8s.io/mooring-operator" in role
    assert "clusterroles/mooring-operator" not in left(cluster)

    desk.follow(PAGE, "Metrics and alerts")
    assert {"servicemonitors/mooring", "prometheusrules/mooring", "configmaps/mooring-dashboard"} <= left(cluster)
    assert {"ingresses/mooring-gateway", "httproutes/mooring-gateway"} <= left(cluster)


def test_an_uninstall_without_its_job_leaves_objects_that_can_be_let_go_of(desk: Desk, cluster: Kube) -> None:
    people = People(cluster, TEAM)
    held = {"metadata": {"finalizers": ["mooring.dev/hook"]}}
    people.apply("Project", "held", {"workload": {"image": "example.com/any:1"}}, **held)
    uninstall, forget, let_go = desk.commands(PAGE, "If the Job cannot run")
    desk.type(uninstall)
    desk.type(forget)
    until(lambda: left(cluster) == DEFINITIONS, "nothing but the definitions is left", PATIENCE)

    people.delete("Project", "held")
    assert people.get("Project", "held")
    desk.type(let_go, {"NAMESPACE": TEAM, "NAME": "held"})
    assert people.get("Project", "held") is None


def test_kustomize_installs_all_and_takes_all_away(desk: Desk, cluster: Kube) -> None:
    desk.follow(PAGE, "With kustomize")
    assert {"deployments/mooring-operator", "deployments/mooring-gateway", *DEFINITIONS} <= left(cluster)

    desk.follow(PAGE, "Without Helm")
    assert left(cluster) == DEFINITIONS

    # What the guide warns of: the objects go with the definitions.
    desk.follow(PAGE, "What stays")
    assert left(cluster) == set()


def test_all_that_is_claimed_was_typed(desk: Desk, request: pytest.FixtureRequest) -> None:
    check(desk, RUN_HERE, request)


def _definition(kind: str, group: str) -> dict[str, Any]:
    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names['plural']}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": names,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": anything}],
        },
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_the_chart_takes_what_the_guide_sets(command: str) -> None:
    words = shlex.split(command)
    sets = [word for option, word in itertools.pairwise(words) if option == "--set"]
    known = {"--namespace", "--set", "--create-namespace", "--reset-then-reuse-values", "--wait"}
    assert {word for word in words if word.startswith("--")} <= known

    options = [option for one in sets for option in ("--set", one)]
    chart = str(ROOT / "helm" / "mooring")
    found = by_name(helm("template", "mooring", chart, "--namespace", words[words.index("--namespace") + 1], *options))

    # The page names the release's own tag, which is the chart's default.
    older = ("--set", "image.tag=another") if "image.tag" in command else ()
    assert found != by_name(helm("template", "mooring", chart, "--namespace", "mooring-system", *older))


def test_the_guide_names_folders_that_there_are() -> None:
    named = set(re.findall(r"manifests/[a-z/-]*[a-z](?:\.yaml)?", GUIDE))

    assert len(named) > 4
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_values_that_the_guide_speaks_of_are_values() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "mooring" / "values.yaml").read_text(encoding="utf-8"))
    spoken = re.findall(r"`((?:[a-zA-Z]+\.)+[a-zA-Z]+)(?:=[a-z]+)?`", GUIDE)
    ours = [path for path in spoken if path.partition(".")[0] in chart]

    assert len(ours) > 10
    for path in ours:
        found = chart
        for name in path.split("."):
            assert name in found, path
            found = found[name]

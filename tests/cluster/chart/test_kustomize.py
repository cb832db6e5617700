"""The kustomizations are the chart in another form: object by object the same, for the values that they stand for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.cluster.chart.rendering import MANIFESTS, Documents, build, folder_of, render

RELEASE = "Job/mooring-release"
IMAGE = {"image": {"repository": "registry.example.com/mooring", "tag": "0.1.0"}}
# What each overlay stands for.
OVERLAYS: dict[str, dict[str, Any]] = {
    "base": {},
    "overlays/image": IMAGE,
    "overlays/namespaced": {"watchNamespaces": ["team-a"]},
    "overlays/ingress": {
        "gateway": {"url": "https://mooring.example.com"},
        "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "mooring-tls"},
    },
    "overlays/enterprise": {"github": {"apiUrl": "https://ghes.example.com/api/v3", "caConfigMap": "github-ca"}},
    "overlays/monitoring": {"metrics": {name: {"enabled": True} for name in ("serviceMonitor", "alerts", "dashboard")}},
}
# Samples are no part of an installation.
OTHERS = {"crds", "rbac", "monitoring", "release", "samples", "overlays/namespaced/rights"}


def plain(documents: Documents) -> Documents:
    """Leave out what one form has of its own: Helm's annotations, and the order of variables."""
    found = copy.deepcopy(documents)
    for document in found.values():
        annotations = document["metadata"].get("annotations", {})
        for key in [key for key in annotations if key.startswith("helm.sh/")]:
            del annotations[key]
        if not annotations:
            document["metadata"].pop("annotations", None)
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            container["env"].sort(key=lambda variable: variable["name"])
    return found


@pytest.mark.parametrize("folder", OVERLAYS)
def test_it_is_what_the_chart_makes(folder: str) -> None:
    wanted, found = plain(render(OVERLAYS[folder])), plain(build(folder))

    # An uninstall is a kustomization of its own; a namespace is for Helm to make.
    del wanted[RELEASE]
    namespace = found.pop("Namespace/mooring-system")
    assert found.keys() == wanted.keys()
    for name, document in found.items():
        assert document == wanted[name], name
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_release_is_the_hook_of_the_chart() -> None:
    assert plain(build("release")) == {RELEASE: plain(render(IMAGE))[RELEASE]}


def test_every_kustomization_is_held_against_the_chart() -> None:
    found = {folder_of(file.parent) for file in MANIFESTS.rglob("kustomization.yaml")}

    assert found == OVERLAYS.keys() | OTHERS


def test_every_file_is_part_of_a_kustomization() -> None:
    for file in sorted(MANIFESTS.rglob("kustomization.yaml")):
        says = yaml.safe_load(file.read_text(encoding="utf-8"))
        used = set(says.get("resources", ())) | {
            one.partition("=")[2] for each in says.get("configMapGenerator", ()) for one in each["files"]
        }
        there = {other.name for other in file.parent.iterdir() if other.suffix in {".yaml", ".json"}} - {file.name}
        # For some namespaces instead of all; the overlay has copies.
        assert there - used == ({"namespaced.yaml", "gateway-namespaced.yaml"} if file.parent.name == "rbac" else set())

"""The chart's rights, rendered by Helm: for the defaults, exactly what the manifests say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import binaries
from mooring import rbac
from tests.cluster.conftest import ROOT

CHART, SHIPPED = ROOT / "helm" / "mooring", ROOT / "manifests" / "rbac"
BOTH = ("operator.yaml", "gateway.yaml")
EVERYWHERE = (*BOTH, "cluster-wide.yaml", "gateway-cluster-wide.yaml")
IN_ONE = ("namespaced.yaml", "gateway-namespaced.yaml")

Documents = dict[tuple[str, str, str], Any]


@pytest.fixture(scope="module")
def helm() -> Path:
    """Return the helm command, built once."""
    return binaries.find("helm")


def rendered(helm: Path, folder: Path, *options: str, namespace: str = "mooring-system") -> Documents:
    """Render the rights. Helm keeps nothing of its own outside the folder."""
    done = subprocess.run(
        [helm, "template", "mooring", CHART, "--namespace", namespace, "--show-only", "templates/rbac.yaml", *options],
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return by_place([done.stdout])


def by_place(texts: Iterable[str], namespace: str = "") -> Documents:
    """Return documents by kind, namespace and name; `namespace` is where those without one are applied to."""
    found: Documents = {}
    # Helm makes a document of a comment, too.
    for document in (document for text in texts for document in yaml.safe_load_all(text) if document):
        metadata = document["metadata"]
        if namespace:
            metadata["namespace"] = namespace
        place = (document["kind"], metadata.get("namespace", ""), metadata["name"])
        assert place not in found, f"{place} is there twice"
        found[place] = document
    return found


def test_with_the_defaults_it_is_what_the_manifests_say(helm: Path, tmp_path: Path) -> None:
    wanted = by_place((SHIPPED / file).read_text() for file in EVERYWHERE)

    assert rendered(helm, tmp_path) == wanted


def test_for_a_list_of_namespaces_nothing_is_cluster_wide_but_the_policy(helm: Path, tmp_path: Path) -> None:
    found = rendered(helm, tmp_path, "--set", "watchNamespaces={red,blue}")

    wanted = by_place((SHIPPED / file).read_text() for file in BOTH)
    for namespace in ("red", "blue"):
        wanted |= by_place(((SHIPPED / file).read_text() for file in IN_ONE), namespace)
    assert found == wanted
    assert {kind for kind, namespace, _ in found if not namespace} == {
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }


@pytest.mark.parametrize(("operator", "gateway", "namespace"), [("second", "third", "elsewhere"), ("1", "2", "3")])
def test_names_are_the_values(helm: Path, tmp_path: Path, operator: str, gateway: str, namespace: str) -> None:
    accounts = f"serviceAccount.operatorName={operator},serviceAccount.gatewayName={gateway}"

    found = rendered(helm, tmp_path, "--set-string", accounts, namespace=namespace)

    files = rbac.files(namespace="n-namespace", name="n-operator", gateway="n-gateway")
    texts = [files[file] for file in EVERYWHERE]
    # Names may look like numbers: in the chart they stand in quotes.
    for name, value in (("n-operator", operator), ("n-gateway", gateway), ("n-namespace", namespace)):
        texts = [text.replace(f'"{name}"', f'"{value}"').replace(f" {name}\n", f' "{value}"\n') for text in texts]
        texts = [text.replace(f":{name}", f":{value}") for text in texts]
    assert found == by_place(texts)


def test_helm_finds_nothing_wrong_with_it(helm: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [helm, "lint", "--strict", CHART],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout

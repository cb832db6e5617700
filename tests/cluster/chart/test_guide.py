"""What the guide tells people to type is taken by the chart, and the folders that it names are there."""

from __future__ import annotations

import itertools
import re
import shlex

import pytest
import yaml

from tests.cluster.chart.rendering import by_name, helm
from tests.cluster.conftest import ROOT

GUIDE = (ROOT / "docs" / "guide" / "install.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in GUIDE.splitlines() if line.startswith("    helm ") and "helm/mooring" in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_chart_takes_what_the_guide_sets(command: str) -> None:
    words = shlex.split(command)
    sets = [word for option, word in itertools.pairwise(words) if option == "--set"]
    known = {"--namespace", "--set", "--create-namespace", "--reuse-values", "--wait"}
    assert {word for word in words if word.startswith("--")} <= known

    options = [option for one in sets for option in ("--set", one)]
    chart = str(ROOT / "helm" / "mooring")
    found = by_name(helm("template", "mooring", chart, "--namespace", words[words.index("--namespace") + 1], *options))

    assert found != by_name(helm("template", "mooring", chart, "--namespace", "mooring-system"))


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

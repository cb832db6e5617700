"""Alerts and dashboard ask for what there is, and each alert has its section in a runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.monitoring.promql import problems, series
from tests.unit.repository.tree import ROOT

MONITORING = ROOT / "manifests" / "monitoring"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULE["spec"]["groups"] for rule in group["rules"]}
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
# What people do without being called.
UNALARMED = {"rotation.md"}
PARTS = ("**What it means.**", "**Look at**", "**Do.**")
EVERY_ALERT = pytest.mark.parametrize("name", sorted(ALERTS))
EVERY_PANEL = pytest.mark.parametrize("title", sorted(PANELS))


def sections() -> Iterator[tuple[str, str, str]]:
    """Go through the runbooks: page, heading, text."""
    for path in sorted(RUNBOOKS.glob("*.md")):
        for section in path.read_text(encoding="utf-8").split("\n## ")[1:]:
            heading, _, text = section.partition("\n")
            yield path.name, heading, text


SECTIONS = {(page, heading): text for page, heading, text in sections()}


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("mooring_queue_dept > 0", "no metric mooring_queue_dept"),
        ("rate(mooring_reconcile_seconds[5m])", "no metric mooring_reconcile_seconds"),
        ('mooring_objects{namespace="a"}', "mooring_objects has no label namespace"),
        ('mooring_tokens{state="stale"}', "mooring_tokens has no state stale"),
        ('mooring_token_mints_total{result=~"ok|forbidden"}', "mooring_token_mints_total has no result forbidden"),
        ('mooring_objects{kind!="Pod"}', "mooring_objects has no kind Pod"),
        ("sum by (state) (mooring_objects)", "no label state to group by"),
        ("mooring_ready and on (pod) mooring_queue_depth", "no label pod to group by"),
        ("sum without (result) (mooring_objects)", "no label result to group by"),
        ("sum(mooring_ready", "it cannot be parsed"),
    ],
)
def test_a_query_that_asks_for_what_is_not_there_is_found(query: str, problem: str) -> None:
    (found,) = problems(query)
    assert found.startswith(problem)


def test_what_there_is_is_known() -> None:
    assert series()["mooring_reconcile_seconds_bucket"] == {"kind", "le"}
    assert {"mooring_ready", "process_resident_memory_bytes"} <= set(series())
    assert problems('sum by (kind, job) (mooring_tokens{state=~"refused|expiring", job="x"}) > 0') == []


@EVERY_ALERT
def test_an_alert_asks_for_what_there_is(name: str) -> None:
    assert problems(ALERTS[name]["expr"]) == []


@EVERY_ALERT
def test_an_alert_says_how_bad_it_is_and_waits_before_it_wakes_somebody(name: str) -> None:
    alert = ALERTS[name]
    assert name.startswith("Mooring")
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"[1-9]\d*[mhd]", alert["for"])
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert all(text.endswith(".") for part, text in alert["annotations"].items() if part != "runbook")


@EVERY_ALERT
def test_an_alert_has_a_runbook(name: str) -> None:
    path, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")
    assert anchor == name.lower()
    assert (ROOT / path).parent == RUNBOOKS
    text = SECTIONS[path.rpartition("/")[2], name]
    assert [part for part in PARTS if part not in text] == []
    assert re.search(r"^    (?:kubectl|curl|gh) ", text, re.MULTILINE)


def test_every_section_of_a_runbook_belongs_to_an_alert() -> None:
    assert sorted(heading for page, heading in SECTIONS if page not in UNALARMED) == sorted(ALERTS)


def test_runbooks_speak_of_metrics_that_there_are() -> None:
    spoken = {word for text in SECTIONS.values() for word in re.findall(r"\bmooring_\w+", text)}
    assert spoken
    assert spoken <= set(series())


@EVERY_PANEL
def test_a_panel_asks_for_what_there_is(title: str) -> None:
    panel = PANELS[title]
    assert panel["targets"]
    for target in panel["targets"]:
        assert problems(target["expr"]) == []
        assert target["datasource"]["uid"] == "${datasource}"
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert wanted <= frozenset({"instance"}).union(*series().values())


def test_panels_are_told_apart_and_do_not_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(PANELS) == len(DASHBOARD["panels"])
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = json.dumps(DASHBOARD)
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series() if name.startswith("mooring_")}
    assert [name for name in sorted(ours) if name not in shown] == []

"""Metrics: what is counted, under which labels, and that the reference lists exactly that."""

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.names import OwnKind
from mooring.domain.reasons import Reason
from mooring.observability.gateway_metrics import GatewayMetrics
from mooring.observability.metrics import Metrics, Result, result_of
from mooring.services.platform import Via

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
# Registered by other parts on the same registry; their own tests count them.
OF_OTHERS = {"mooring_ready", "mooring_github_requests_total", "mooring_token_mints_total"}


def _names(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every metric of ours with the labels that it has in the exposition."""
    names: dict[str, set[str]] = {}
    for family in registry.collect():
        if family.name.startswith("mooring_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            names[name] = names.get(name, set()) | labels
    return names


def _used() -> Metrics:
    metrics = Metrics(version="1.2.3")
    metrics.reconciled("Project", Result.OK, 0.2)
    metrics.event_dropped()
    metrics.rolled_out(4.2, "sweep")
    metrics.swept(None)
    metrics.watch_sweeps(lambda: 5)
    metrics.delivery_repeated("app")
    metrics.watch_queue(lambda: 7)
    metrics.watch_objects("Project", lambda: 3)
    metrics.watch_tokens("Project", "usable", lambda: 1)
    metrics.watch_hooks("Active", lambda: 2)
    return metrics


def test_what_is_counted() -> None:
    registry = _used().registry

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("mooring_build_info", version="1.2.3") == 1
    assert value("mooring_reconcile_seconds_count", kind="Project") == 1
    assert value("mooring_reconcile_seconds_sum", kind="Project") == pytest.approx(0.2)
    assert value("mooring_reconcile_results_total", kind="Project", result="ok") == 1
    assert value("mooring_push_to_rollout_seconds_sum", via="sweep") == pytest.approx(4.2)
    assert value("mooring_push_to_rollout_seconds_count", via="app") == 0
    bucket = "mooring_push_to_rollout_seconds_bucket"
    buckets = {le: value(bucket, le=le, via="sweep") for le in ("1.0", "4.0", "5.0", "600.0")}
    assert buckets == {"1.0": 0, "4.0": 0, "5.0": 1, "600.0": 1}
    assert value("mooring_deliveries_repeated_total", via="app") == 1
    assert value("mooring_queue_depth") == 7
    assert value("mooring_sweeps_total", result="ok") == 1
    assert value("mooring_sweep_repositories") == 5
    assert value("mooring_objects", kind="Project") == 3
    assert value("mooring_events_dropped_total") == 1
    assert value("process_resident_memory_bytes")


def test_what_was_never_counted_is_seen_as_zero() -> None:
    registry = Metrics().registry

    for via in ("app", "hook"):
        assert registry.get_sample_value("mooring_deliveries_repeated_total", {"via": via}) == 0
    for kind in get_args(OwnKind):
        assert registry.get_sample_value("mooring_reconcile_seconds_count", {"kind": kind}) == 0
        for result in Result:
            labels = {"kind": kind, "result": result.value}
            assert registry.get_sample_value("mooring_reconcile_results_total", labels) == 0
    for via in Via:
        assert registry.get_sample_value("mooring_push_to_rollout_seconds_count", {"via": via.value}) == 0
    for ended in ("ok", "stalled", "waiting", "transient", "defect"):
        assert registry.get_sample_value("mooring_sweeps_total", {"result": ended}) == 0


def test_two_registries_share_nothing() -> None:
    _used()

    assert Metrics().registry.get_sample_value("mooring_events_dropped_total") == 0
    assert not any(family.name.startswith("mooring_") for family in REGISTRY.collect())


def test_the_reference_lists_every_metric_with_its_labels() -> None:
    operators, _, gateways = REFERENCE.read_text(encoding="utf-8").partition("## The gateway's")
    listed = _listed(operators)

    assert {name: labels for name, labels in listed.items() if name not in OF_OTHERS} == _names(_used().registry)
    assert listed.keys() >= OF_OTHERS
    shared = {"mooring_build_info"}
    own = {name: labels for name, labels in _names(GatewayMetrics().registry).items() if name not in shared}
    assert _listed(gateways) == own


def _listed(text: str) -> dict[str, set[str]]:
    rows = re.findall(r"^\| `(mooring_\w+?)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    return {name: set(labels.split(",")) if labels else set() for name, labels in rows}


def test_no_label_says_whose_it_is() -> None:
    labels = set().union(*_names(_used().registry).values())

    assert labels == {"kind", "result", "state", "version", "via"}


@pytest.mark.parametrize("metric", _names(_used().registry))
def test_every_metric_has_a_sentence(metric: str) -> None:
    text = generate_latest(_used().registry).decode()

    assert re.search(rf"^# HELP {metric} \w.*\.$", text, re.MULTILINE)


def test_a_sweep_is_counted_by_what_ended_it() -> None:
    metrics = Metrics()
    for found in (Stalled(Reason.TOKEN_INVALID, ""), Transient(Reason.GITHUB_UNAVAILABLE, ""), ValueError()):
        metrics.swept(found)
    counted = {
        result: metrics.registry.get_sample_value("mooring_sweeps_total", {"result": result})
        for result in ("ok", "stalled", "transient", "defect")
    }
    assert counted == {"ok": 0, "stalled": 1, "transient": 1, "defect": 1}


def test_every_trouble_has_its_result() -> None:
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    assert result_of(Stalled(Reason.CONFLICT, "")) is Result.STALLED
    assert result_of(Waiting(Reason.RATE_LIMITED, "", until=now)) is Result.WAITING
    assert result_of(Transient(Reason.GITHUB_UNAVAILABLE, "")) is Result.TRANSIENT

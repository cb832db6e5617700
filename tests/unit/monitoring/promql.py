"""What a query of Prometheus asks for, held against the metrics and labels that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import get_args

import promql_parser
from prometheus_client import CollectorRegistry, ProcessCollector

from mooring.domain.names import OwnKind
from mooring.github.answers import Result as Answered
from mooring.github.minting import Outcome
from mooring.observability.metrics import Result
from mooring.services.token_states import TokenState
from tests.unit.repository.tree import ROOT

# What Prometheus itself puts on every series that it scrapes.
TARGET_LABELS = frozenset({"instance", "job"})
VALUES: Mapping[tuple[str, str], frozenset[str]] = {
    ("mooring_reconcile_results_total", "result"): frozenset(map(str, Result)),
    ("mooring_github_requests_total", "result"): frozenset(map(str, Answered)),
    ("mooring_token_mints_total", "result"): frozenset(map(str, Outcome)),
    ("mooring_tokens", "state"): frozenset(map(str, TokenState)),
}
KINDS = frozenset(get_args(OwnKind))


@cache
def series() -> dict[str, frozenset[str]]:
    """Return every series with its labels: ours from the reference, which has a test of its own, and the process's."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    found: dict[str, frozenset[str]] = {}
    for name, labels, kind in re.findall(r"^\| `(mooring_\w+?)(?:\{([\w,]+)\})?` \| (\w+) \|", text, re.MULTILINE):
        known = frozenset(labels.split(",")) - {""}
        parts = {"_bucket": known | {"le"}, "_sum": known, "_count": known} if kind == "histogram" else {"": known}
        found |= {f"{name}{ending}": its for ending, its in parts.items()}
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in registry.collect():
        found |= {sample.name: frozenset(sample.labels) for sample in family.samples}
    return found


def problems(query: str) -> list[str]:
    """Say what is wrong with a query."""
    try:
        parsed = promql_parser.parse(query)
    except ValueError as problem:
        return [f"it cannot be parsed: {problem}"]
    nodes: list[promql_parser.Expr] = []
    promql_parser.walk(parsed, pre_visit=nodes.append)
    asked = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    wrong = [problem for selector in asked for problem in _of_selector(selector)]
    known = TARGET_LABELS.union(*(series().get(str(selector.name), frozenset()) for selector in asked))
    for node in nodes:
        wrong += [f"no label {name} to group by" for name in _groups(node) if name not in known]
    return wrong


def _of_selector(selector: promql_parser.VectorSelector) -> Iterator[str]:
    name = str(selector.name)
    if name not in series():
        yield f"no metric {name}"
        return
    for matcher in selector.matchers.matchers:
        if matcher.name not in series()[name] | TARGET_LABELS:
            yield f"{name} has no label {matcher.name}"
        elif matcher.name not in TARGET_LABELS:
            yield from _of_values(name, matcher.name, matcher.value.split("|"))


def _of_values(metric: str, label: str, asked: Iterable[str]) -> Iterator[str]:
    known = KINDS if label == "kind" else VALUES.get((metric, label))
    if known is not None:
        yield from (f"{metric} has no {label} {value}" for value in asked if value not in known)


def _groups(node: promql_parser.Expr) -> list[str]:
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        return list(node.modifier.labels)
    if isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
        return list(node.modifier.matching.labels)
    return []

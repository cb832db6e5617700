"""What the guides say of values, objects and names is what the chart, the kinds and the code have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from mooring.domain import names
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources import KINDS
from tests.unit.docs.chart_page import schema

ROOT = Path(__file__).parents[3]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/guide/*.md")]}
MODELS = {model.info.kind: model for model in KINDS}
VALUES = jsonschema_rs.validator_for(schema())

_FENCED = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SET = re.compile(r"--set '?([^\s']+)")
# Of `a=1,b={x,y}` what stands before an equals sign, outside of braces.
_SET_KEY = re.compile(r"(?:^|,)([A-Za-z.\[\]0-9]+)=(?:\{[^}]*\}|[^,]*)")
_NAMED = re.compile(r"`([a-z][A-Za-z]*(?:\.[A-Za-z]+)+)(?:=[^`]*|: [^`]*)?`")
# Not `projects.mooring.dev/shop`, which is an object.
_OF_OURS = re.compile(r"(?<![.\w])mooring\.dev/([a-z-]+)\b")
# They look like values of the chart.
_NO_VALUES = {"policy.yaml", "github.com"}


def documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Go through the YAML in fences of a page."""
    for block in _FENCED.findall(text):
        yield from yaml.safe_load_all(block)


def embedded(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the chart's values in a document: all of it, or what an Application or a HelmRelease has of them."""
    spec = document.get("spec") or {}
    if document.get("kind") == "HelmRelease":
        return spec["values"]  # type: ignore[no-any-return]
    if document.get("kind") == "Application":
        return spec["source"].get("helm", {}).get("valuesObject")  # type: ignore[no-any-return]
    return None if "kind" in document or "data" in document else document


def value_paths(part: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in part.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from value_paths(inner, f"{prefix}{name}.")


KNOWN = frozenset(value_paths(schema()))


def health_of_argo_cd() -> str:
    customized = next(each for each in documents(PAGES["gitops.md"]) if "data" in each)["data"]
    script = yaml.safe_load(customized["resource.customizations"])[f"{names.GROUP}/*"]["health.lua"]
    return str(script)


def health_of_flux() -> list[dict[str, str]]:
    found = next(each for each in documents(PAGES["gitops.md"]) if each.get("kind") == "Kustomization")
    expressions: list[dict[str, str]] = found["spec"]["healthCheckExprs"]
    return expressions


@pytest.mark.parametrize("page", sorted(PAGES))
def test_yaml_is_what_the_chart_and_the_kinds_take(page: str) -> None:
    for document in documents(PAGES[page]):
        if document.get("apiVersion") == names.API_VERSION:
            MODELS[document["kind"]].model_validate(document)
        elif (found := embedded(document)) is not None:
            assert [error.message for error in VALUES.iter_errors(found)] == []


def test_values_are_found_in_yaml() -> None:
    pages = {page for page, text in PAGES.items() for each in documents(text) if embedded(each) is not None}

    assert {"enterprise.md", "gitops.md", "reverse-proxy.md"} <= pages
    assert not VALUES.is_valid({"gateway": {"address": "https://mooring.example.com"}})


def test_values_that_are_set_are_the_charts() -> None:
    words = [(page, given) for page, text in PAGES.items() for given in _SET.findall(text)]
    keys = {(page, re.sub(r"\[.*", "", key)) for page, given in words for key in _SET_KEY.findall(given)}

    assert len(keys) > 15
    assert {key for key in keys if key[1] not in KNOWN} == set()


def test_values_that_are_named_are_the_charts() -> None:
    tops = {path for path in KNOWN if "." not in path}
    named = {(page, word) for page, text in PAGES.items() for word in _NAMED.findall(text)}
    of_chart = {(page, word) for page, word in named if word.split(".")[0] in tops and word not in _NO_VALUES}

    assert len(of_chart) > 20
    # A page about the policy names its parts as the policy does.
    assert {word for word in of_chart if not {word[1], f"policy.content.{word[1]}"} & KNOWN} == set()


def test_labels_annotations_and_finalizers_are_ours() -> None:
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(f"{names.GROUP}/")}
    told = {(page, f"{names.GROUP}/{word}") for page, text in PAGES.items() for word in _OF_OURS.findall(text)}

    assert len(told) > 5
    assert {each for each in told if each[1] not in ours} == set()


def test_argo_cd_judges_by_conditions_that_there_are() -> None:
    script = health_of_argo_cd()

    assert set(re.findall(r'\.type == "(\w+)"', script)) == {ConditionType.READY.value, ConditionType.STALLED.value}
    assert set(re.findall(r'\.reason == "(\w+)"', script)) == {Reason.SUSPENDED.value}
    # Argo CD knows no other words.
    assert set(re.findall(r'status = "(\w+)"', script)) == {"Progressing", "Degraded", "Suspended", "Healthy"}


def test_flux_judges_every_kind_by_conditions_that_there_are() -> None:
    expressions = health_of_flux()
    first = {key: text for key, text in expressions[0].items() if key != "kind"}

    assert {each["kind"] for each in expressions} == set(MODELS)
    assert all({**each, "kind": ""} == {**first, "kind": ""} for each in expressions)
    assert first["apiVersion"] == names.API_VERSION
    assert f"c.type == '{ConditionType.STALLED.value}' && c.status == 'True'" in first["failed"]
    assert f"c.type == '{ConditionType.READY.value}' && c.status == 'True'" in first["current"]

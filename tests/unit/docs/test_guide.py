"""What the guides tell people to apply is valid, and the words that they explain are those that Mooring says."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.domain import names
from mooring.domain.policy import parse_policy
from mooring.domain.reasons import Reason
from mooring.domain.resources import KINDS
from mooring.domain.resources.github_installation import OutputFormat

ROOT = Path(__file__).parents[3]
GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))
APPLIED = re.compile(r"<<'YAML'\n(.*?)\n *YAML$", re.DOTALL | re.MULTILINE)
MODELS = {model.info.kind: model for model in KINDS}


def applied(text: str) -> Iterator[Any]:
    """Go through the objects that a page pipes into kubectl."""
    for block in APPLIED.findall(text):
        yield from yaml.safe_load_all(textwrap.dedent(block))


def told(text: str) -> set[str]:
    """Return the reasons in the first column of a page's tables: the words in camel case there."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([A-Z][a-z]+(?:[A-Z][A-Za-z]+)+)`", row)}


def objects() -> list[Any]:
    found = [(path.name, body) for path in GUIDES for body in applied(path.read_text(encoding="utf-8"))]
    return [pytest.param(body, id=f"{number}-{page}") for number, (page, body) in enumerate(found)]


def test_the_objects_are_found() -> None:
    assert {entry.values[0]["kind"] for entry in objects()} == {*MODELS, "ConfigMap"}


@pytest.mark.parametrize("body", objects())
def test_what_a_guide_applies_is_valid(body: dict[str, Any]) -> None:
    if body["kind"] == "ConfigMap":
        assert parse_policy(body["data"]["policy.yaml"]).bindings
    else:
        MODELS[body["kind"]].model_validate(body)


@pytest.mark.parametrize("page", ["installations.md", "troubleshooting.md"])
def test_the_reasons_that_are_explained_exist(page: str) -> None:
    text = (ROOT / "docs" / "guide" / page).read_text(encoding="utf-8")
    found = told(text) - {each.value for each in OutputFormat}

    assert len(found) > 15
    assert found - {each.value for each in Reason} == set()


def test_every_format_of_an_output_is_explained() -> None:
    text = (ROOT / "docs" / "guide" / "installations.md").read_text(encoding="utf-8")

    assert [each.value for each in OutputFormat if f"\n| `{each.value}` | " not in text] == []


def test_the_architecture_names_what_stands_beside_a_token() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    spoken_of = (
        names.REQUEST_ANNOTATION,
        names.ISSUED_ANNOTATION,
        names.EXPIRES_ANNOTATION,
        names.REPOSITORIES_ANNOTATION,
        names.FINGERPRINT_ANNOTATION,
        names.TOKENS_FINALIZER,
    )

    assert [name for name in spoken_of if f"`{name}`" not in text] == []

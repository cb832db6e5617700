"""The generated pages of the reference are those of the code, and say something about every field and word."""

from __future__ import annotations

import pytest

from mooring.domain.events import NEVER_TOLD
from mooring.domain.reasons import ConditionType, Happened, Reason
from mooring.rbac import table as rights
from tests.unit.docs.generate import REFERENCE, fields, pages, table

PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_the_one_of_the_code(name: str) -> None:
    found = (REFERENCE / name).read_text(encoding="utf-8")
    assert found == PAGES[name], f"{name} is out of date: run `make generate`"


def test_every_type_and_reason_is_on_its_page() -> None:
    text = PAGES["conditions.md"]
    for word in (*ConditionType, *Reason):
        assert f"| `{word}` | " in text


def test_every_reason_of_an_event_is_on_its_page() -> None:
    text = PAGES["events.md"]
    for word in (*Happened, *(reason for reason in Reason if reason not in NEVER_TOLD)):
        assert f"| `{word}` | {word.sentence} |" in text
    assert "| `Deployed` |" not in text


def test_every_right_is_on_its_page_as_kubectl_spells_it() -> None:
    text = PAGES["rights.md"]
    for grant in (*rights.WATCHED, *rights.CLUSTER, *rights.own(), *rights.GATEWAY):
        for verb, reason in grant.verbs.items():
            assert f" | `{verb}` | {reason}" in text
    assert "| `secrets`: `mooring-webhook` only | `patch` |" in text
    assert "| `projects.mooring.dev/status`, `githubinstallations.mooring.dev/status` | `patch` |" in text
    assert "| `projects.mooring.dev/status` | `push`, `deliveries` |" in text


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"conditions.md", "events.md", "rights.md"}))
def test_every_field_says_what_it_means(name: str) -> None:
    rows = [line.split(" | ") for line in PAGES[name].splitlines() if line.startswith(("| `", "| **`"))]
    assert len(rows) > 10
    assert [row[0] for row in rows if len(row) < 3 or len(row[2].removesuffix(" |")) < 5] == []


def test_fields_of_lists_and_maps_are_found_and_cells_keep_their_columns() -> None:
    leaf = {"type": "string", "description": "a | b"}
    schema = {
        "required": ["entries"],
        "properties": {
            "entries": {"type": "array", "items": {"type": "object", "properties": {"leaf": leaf}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    assert [row[:2] for row in fields(schema)] == [
        ("**`entries[]`**", "list of object"),
        ("`entries[].leaf`", "string"),
        ("`labels.<key>`", "map of string"),
    ]
    assert table(("x",), [("a | b",)]).splitlines()[-1] == "| a \\| b |"

"""What a release shipped still holds: its definitions and values are not narrowed. What is kept of it is no secret."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.fixtures import kept
from tests.fixtures.kept import FOLDER
from tests.fixtures.narrowing import narrowed, narrowed_definition
from tests.unit.repository.tree import ROOT

Schema = dict[str, Any]
DEFINITIONS = [
    (release, path.name) for release in kept.releases("crds") for path in sorted((FOLDER / release / "crds").iterdir())
]
CHART = ROOT / "helm" / "mooring"
TOKEN = re.compile(r"(?:gh[a-z]|github_pat)_([A-Za-z0-9_]+)")


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


# --- the comparison itself ---

NODE: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 63, "minLength": 1, "pattern": "^a", "default": "a"},
        "kind": {"type": "string", "enum": ["One", "Two"]},
        "list": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}},
        "count": {"type": "integer", "maximum": 9, "minimum": 1},
    },
    "required": ["name"],
    "x-kubernetes-validations": [{"rule": "self.name != 'x'"}],
}
Change = Callable[[Schema], Any]


def field(name: str, **more: Any) -> Change:
    return lambda node: node["properties"][name].update(more)


def without(name: str, key: str) -> Change:
    return lambda node: node["properties"][name].pop(key)


NARROWING: dict[str, tuple[Change, str]] = {
    "a field that is gone": (lambda node: node["properties"].pop("kind"), "kind: is gone"),
    "another type": (field("name", type="integer"), "name: type is 'integer', was 'string'"),
    "a lower maximum": (field("name", maxLength=62), "name: maxLength is 62, was 63"),
    "a new maximum": (field("kind", maxLength=62), "kind: maxLength is 62, was nothing"),
    "a higher minimum": (field("name", minLength=2), "name: minLength is 2, was 1"),
    "a new minimum": (field("list", minItems=1), "list: minItems is 1, was nothing"),
    "a number's maximum": (field("count", maximum=8), "count: maximum is 8, was 9"),
    "a number's minimum": (field("count", minimum=2), "count: minimum is 2, was 1"),
    "another pattern": (field("name", pattern="^b"), "name: pattern is '^b', was '^a'"),
    "a value less": (field("kind", enum=["One", "Three"]), "kind: no longer takes Two"),
    "values at all": (field("name", enum=["a"]), "name: takes some values only"),
    "another default": (field("name", default="b"), "name: default is 'b', was 'a'"),
    "no default any more": (without("name", "default"), "name: default is nothing, was 'a'"),
    "one more that is required": (lambda node: node["required"].append("kind"), "the root: requires kind"),
    "one more rule": (
        lambda node: node["x-kubernetes-validations"].append({"rule": "has(self.kind)"}),
        "the root: has the new rule has(self.kind)",
    ),
    "other items": (field("list", items={"type": "integer"}), "list[]: type is 'integer', was 'string'"),
    "other values of a map": (
        field("map", additionalProperties={"type": "string", "maxLength": 4}),
        "map.*: maxLength is 4, was 5",
    ),
    "no values of a map": (field("map", additionalProperties=False), "map.*: is taken no more"),
    "another way to merge": (
        field("list", **{"x-kubernetes-list-type": "atomic"}),
        "list: x-kubernetes-list-type is 'atomic', was 'set'",
    ),
    "an alternative": (field("name", anyOf=[{}]), "name: anyOf is [{}], was nothing"),
}
WIDENING: dict[str, Change] = {
    "nothing": lambda _: None,
    "one more field": lambda node: node["properties"].update(more={"type": "string", "maxLength": 1}),
    "a higher maximum": field("name", maxLength=64),
    "a lower minimum": field("name", minLength=0),
    "no pattern any more": without("name", "pattern"),
    "one more value": field("kind", enum=["One", "Two", "Three"]),
    "any value": without("kind", "enum"),
    "no rule any more": lambda node: node.pop("x-kubernetes-validations"),
    "nothing required": lambda node: node.pop("required"),
    "a word about it": field("name", description="It is the name."),
}


def changed(change: Change) -> Schema:
    node = copy.deepcopy(NODE)
    change(node)
    return node


@pytest.mark.parametrize(("change", "said"), NARROWING.values(), ids=NARROWING)
def test_what_is_taken_away_is_found(change: Change, said: str) -> None:
    assert list(narrowed(NODE, changed(change))) == [said]


@pytest.mark.parametrize("change", WIDENING.values(), ids=WIDENING)
def test_what_is_given_is_fine(change: Change) -> None:
    assert list(narrowed(NODE, changed(change))) == []


# --- definitions ---


@pytest.mark.parametrize(("release", "file"), DEFINITIONS)
def test_today_s_definition_takes_nothing_away(release: str, file: str) -> None:
    before, after = read(FOLDER / release / "crds" / file), read(ROOT / "crds" / file)
    assert list(narrowed_definition(before, after)) == []
    # And would be found out.
    version = after["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    gone = min(spec)
    del spec[gone]
    version["additionalPrinterColumns"].pop(0)
    after["spec"]["names"]["shortNames"] = []
    found = "\n".join(narrowed_definition(before, after))
    assert all(word in found for word in (f"spec.{gone}: is gone", "the column ", "names.shortNames"))
    version["served"] = False
    assert "is served no more" in "\n".join(narrowed_definition(before, after))


def test_every_definition_of_a_release_is_held_against_one_of_today() -> None:
    assert {file for _, file in DEFINITIONS} <= {path.name for path in (ROOT / "crds").iterdir()}
    assert kept.releases("crds") == kept.releases("chart") == [it for it in kept.releases() if it != "before-0.1"]


# --- charts ---


@pytest.mark.parametrize("release", kept.releases("chart"))
def test_today_s_chart_takes_the_values_of_a_release(release: str) -> None:
    chart = FOLDER / release / "chart"
    before, after = (json.loads((it / "values.schema.json").read_text(encoding="utf-8")) for it in (chart, CHART))
    assert list(narrowed(before, after)) == []
    values = read(chart / "values.yaml")
    validator = jsonschema_rs.validator_for(after)
    validator.validate(values)
    with pytest.raises(jsonschema_rs.ValidationError):
        validator.validate({**values, "unheard-of": 1})
    assert read(chart / "Chart.yaml")["version"] == release.removeprefix("v")


@pytest.mark.parametrize("release", kept.releases("chart"))
def test_a_chart_is_kept_with_the_definitions_of_its_release(release: str) -> None:
    texts = [
        {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / release / part).iterdir()}
        for part in ("crds", "chart/files/crds")
    ]
    assert texts[0] == texts[1]


# --- objects ---

STORIES = {
    "by-installation", "by-url", "image-only", "no-token", "of-a-team", "own-token", "pinned", "private-source",
    "public-source", "published", "suspended", "with-history",
}  # fmt: skip


@pytest.mark.parametrize("release", kept.releases("crds"))
def test_each_kind_of_story_is_kept(release: str) -> None:
    found = kept.load(release)
    assert {it["metadata"]["name"] for it in found if it["kind"] == "Project"} >= STORIES
    assert {it["kind"] for it in found} >= {*kept.OWN, *kept.CHILDREN, "Lease"}
    told = {
        entry["reason"]
        for it in found
        if it["kind"] == "Project"
        for entry in it["status"]["conditions"]
        if entry["type"] == "WebhookReady"
    }
    assert told >= {"WebhookElsewhere", "HookDelivers", "HooksForbidden", "SweepOnly"}
    (history,) = (it["status"]["history"] for it in found if it["metadata"]["name"] == "with-history")
    assert [entry["trigger"] for entry in history] == ["Manual", "Spec", "Spec", "Create"]
    assert {it["metadata"]["name"] for it in found if not kept.is_of_a_tenant(it)} >= {"mooring-webhook"}


def secrets(release: str) -> Iterator[str]:
    for obj in kept.load(release):
        for value in obj.get("data", {}).values() if obj["kind"] == "Secret" else ():
            text = base64.b64decode(value).decode()
            yield text
            for auth in re.findall(r'"auth": "([^"]+)"', text):
                yield base64.b64decode(auth).decode()


@pytest.mark.parametrize("release", kept.releases("crds"))
def test_no_token_that_is_kept_could_be_one(release: str) -> None:
    texts = list(secrets(release))
    tokens = [token for text in texts for token in TOKEN.findall(text)]
    assert len(tokens) > 20
    # GitHub's have a checksum in them; what is the same letter all along has none.
    assert [token for token in tokens if len(set(token)) > 1] == []
    assert not any("PRIVATE KEY" in text for text in texts)

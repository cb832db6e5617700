"""The rules that every generated schema keeps."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from mooring import crds
from mooring.domain.resources.tokens import TokenSource
from tests.cluster.kinds.constraints import nodes, place_of, root_schemas
from tests.cluster.kinds.objects import FULL, STATUS

SCHEMAS = root_schemas()
DEFINITIONS = {crd["spec"]["names"]["kind"]: crd for crd in map(yaml.safe_load, crds.files().values())}
FOREIGN_ENUMS = {("TCP", "UDP", "SCTP"), ("HTTP", "HTTPS")}
"""Kubernetes' own words, which stay as Kubernetes writes them."""
RESERVED = {
    "GitHubUser": ["spec.role"],
    "Project": [
        "spec.source.createFrom",
        "spec.environments",
        "status.environments",
        "spec.previews",
        "spec.deploy.approval",
        "status.approved",
        "spec.sync",
        "status.sync",
        "spec.drift",
        "spec.notify",
        "spec.build",
    ],
}

each_kind = pytest.mark.parametrize("kind", list(SCHEMAS))


def _below(kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node of spec and status."""
    return ((place, node) for place, node in nodes(SCHEMAS[kind]) if place.startswith(("spec", "status")))


@each_kind
def test_the_definition_is_small_enough_to_be_applied_and_watched(kind: str) -> None:
    text = yaml.safe_dump(DEFINITIONS[kind])

    assert len(text.encode()) < 200 * 1024
    assert len(json.dumps(DEFINITIONS[kind]).encode()) < 200 * 1024


@each_kind
def test_every_field_has_a_text_that_is_a_sentence(kind: str) -> None:
    fields = {place: node.get("description", "") for place, node in _below(kind) if not place.endswith(("[]", ".*"))}

    assert [place for place, text in fields.items() if not text.endswith((".", "`."))] == []
    assert [place for place, text in fields.items() if len(text) < 15] == []


ONE_OF_SEVERAL = {"spec.installationId", "spec.account", "spec.repository"}
"""Fields of which one is required, so that none has a default."""


@each_kind
def test_every_optional_field_at_the_top_of_the_spec_says_what_happens_without_it(kind: str) -> None:
    spec = SCHEMAS[kind]["properties"]["spec"]
    optional = {
        f"spec.{name}": node for name, node in spec["properties"].items() if name not in spec.get("required", [])
    }

    silent = {place for place, node in optional.items() if "Default: " not in node["description"]}

    assert silent <= ONE_OF_SEVERAL


@each_kind
def test_everything_has_a_maximum(kind: str) -> None:
    unbounded = [place for place, node in _below(kind) if not _bounded(node)]

    assert unbounded == []


def _bounded(node: Mapping[str, Any]) -> bool:
    if node.get("x-kubernetes-int-or-string"):
        return "maxLength" in node
    match node["type"]:
        case "array":
            return "maxItems" in node
        case "object":
            return "properties" in node or "maxProperties" in node
        case "string":
            return "maxLength" in node or "enum" in node
        case kind:
            return kind in {"integer", "boolean"}


@each_kind
def test_every_object_is_typed_to_the_leaves(kind: str) -> None:
    for place, node in _below(kind):
        assert "x-kubernetes-preserve-unknown-fields" not in node, place
        assert "$ref" not in node, place
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), place


@each_kind
def test_every_list_says_who_may_own_what(kind: str) -> None:
    for place, node in _below(kind):
        if node.get("type") != "array":
            continue
        match node.get("x-kubernetes-list-type"):
            case "map":
                item = node["items"]
                for key in node["x-kubernetes-list-map-keys"]:
                    assert key in item.get("required", []) or "default" in item["properties"][key], f"{place}: {key}"
            case "set":
                assert node["items"]["type"] in {"string", "integer"}, place
            case other:
                assert other == "atomic", place


@each_kind
def test_only_the_token_sources_and_foreign_words_are_not_camel_case(kind: str) -> None:
    for place, node in _below(kind):
        words = tuple(node.get("enum", ()))
        if set(words) == set(TokenSource) or words in FOREIGN_ENUMS:
            continue
        assert all(word[0].isupper() and word.isalpha() and not word.isupper() for word in words), f"{place}: {words}"


@each_kind
def test_no_policy_is_a_default_of_the_schema(kind: str) -> None:
    defaults = {place: node["default"] for place, node in _below(kind) if "default" in node}

    assert set(defaults.values()) <= {"github-token", "ca.crt", "TCP"}, defaults


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind, places in RESERVED.items() for place in places])
def test_a_reserved_name_is_not_taken(kind: str, place: str) -> None:
    assert place not in {known for known, _ in nodes(SCHEMAS[kind])}


def test_a_project_can_say_what_waits() -> None:
    assert "status.pending.sha" in {place for place, _ in nodes(SCHEMAS["Project"])}


@each_kind
def test_the_spec_is_required_since_its_rules_hang_on_it(kind: str) -> None:
    assert SCHEMAS[kind]["required"] == ["spec"]


@each_kind
def test_every_rule_has_a_message_of_one_line_that_fits(kind: str) -> None:
    for place, node in nodes(SCHEMAS[kind]):
        for rule in node.get("x-kubernetes-validations", []):
            assert 10 < len(rule["message"]) < 300, place
            assert "\n" not in rule["message"], place


@each_kind
def test_the_full_objects_of_the_tests_set_every_field(kind: str) -> None:
    set_somewhere = {
        place_of(SCHEMAS[kind], path)
        for full in FULL[kind]
        for path in _paths({"spec": full["spec"], "status": STATUS[kind]})
    }

    assert [place for place, _ in _below(kind) if place not in set_somewhere] == []


def _paths(node: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _paths(item, f"{path}[{index}]")
    elif isinstance(node, dict):
        for key, value in node.items():
            if "." not in key:  # a key with a dot cannot be written in a path, and stands beside one that can
                yield from _paths(value, f"{path}.{key}" if path else key)


@each_kind
def test_the_names_are_ours_alone(kind: str) -> None:
    names = DEFINITIONS[kind]["spec"]["names"]
    short = {"GitHubUser": ["ghu"], "GitHubInstallation": ["ghi"], "Project": ["mproj"]}

    assert names["shortNames"] == short[kind]
    assert names["categories"] == ["mooring"]
    assert DEFINITIONS[kind]["spec"]["scope"] == "Namespaced"
    assert DEFINITIONS[kind]["spec"]["versions"][0]["subresources"] == {"status": {}}


@each_kind
def test_every_column_shows_a_field_that_exists(kind: str) -> None:
    places = {place for place, _ in nodes(SCHEMAS[kind])}
    for column in DEFINITIONS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = column["jsonPath"].removeprefix(".")
        if path.startswith("metadata."):
            continue
        assert _alternatives(path.replace('[?(@.type=="Ready")]', "[]")) & places, column["name"]


def _alternatives(path: str) -> set[str]:
    """The paths that a path with choices such as `a['b','c']` stands for."""
    head, *choices = re.split(r"\[('[^]]+)\]", path)
    paths = {head}
    for choice in filter(None, choices):
        paths = {f"{each}.{name}" for each in paths for name in choice.replace("'", "").split(",")}
    return paths


def test_the_columns_of_a_project() -> None:
    columns = DEFINITIONS["Project"]["spec"]["versions"][0]["additionalPrinterColumns"]

    usual = [column["name"].upper() for column in columns if "priority" not in column]
    wide = [column["name"].upper() for column in columns if column.get("priority") == 1]
    assert usual == ["REPOSITORY", "BRANCH", "TOKEN", "REVISION", "READY", "STATUS", "AGE"]
    assert wide == ["DELIVERY", "URL", "INSTALLATION"]

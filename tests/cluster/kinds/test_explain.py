"""`kubectl explain` teaches: the API server publishes our text for every field."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.cluster.kinds.api import Kube
from tests.cluster.kinds.constraints import nodes, root_schemas
from tests.cluster.kinds.objects import API_VERSION, PLURALS

THEIR_OWN = {"apiVersion", "kind", "metadata"}
"""Fields for which the API server puts texts of its own in the place of ours."""
PUBLISHED_WITHIN = 15.0
"""Seconds; the API server collects the documents of new kinds in the background."""


@pytest.fixture(scope="module")
def published(kube: Kube) -> Mapping[str, Any]:
    """The schemas of our group that kubectl would read, by kind."""
    deadline = time.monotonic() + PUBLISHED_WITHIN
    while True:
        found = dict(_by_kind(kube))
        if found.keys() >= PLURALS.keys():
            return found
        assert time.monotonic() < deadline, (
            f"not published within {PUBLISHED_WITHIN} s: {PLURALS.keys() - found.keys()}"
        )
        time.sleep(0.2)  # there is nothing to watch for a document


def _by_kind(kube: Kube) -> Iterator[tuple[str, Any]]:
    _, listed = kube.request("GET", "/openapi/v3")
    if f"apis/{API_VERSION}" not in listed["paths"]:
        return
    _, document = kube.request("GET", f"/openapi/v3/apis/{API_VERSION}")
    for schema in document["components"]["schemas"].values():
        for known in schema.get("x-kubernetes-group-version-kind", []):
            if known["kind"] in PLURALS:
                yield known["kind"], schema


@pytest.mark.parametrize("kind", list(PLURALS))
def test_every_field_has_its_text(published: Mapping[str, Any], kind: str) -> None:
    ours = {place: node.get("description") for place, node in nodes(root_schemas()[kind])}
    theirs = {place: node.get("description") for place, node in nodes(published[kind])}

    fields = [place for place in ours if not place.endswith(("[]", ".*")) and place not in THEIR_OWN]

    assert [place for place in fields if not theirs.get(place)] == []
    assert {place: theirs[place] for place in fields} == {place: ours[place] for place in fields}

"""The API server and the models agree: each rule is written twice, in CEL and in Python, and must mean the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from mooring.domain.resources import KINDS
from tests.cluster.kinds.api import Objects
from tests.cluster.kinds.case import Case
from tests.cluster.kinds.cases import cases
from tests.cluster.kinds.constraints import Constraint, constraints, place_of, root_schemas
from tests.cluster.kinds.objects import REMOVE, Object, patched

MODELS = {model.info.kind: model for model in KINDS}
TEXTS = [
    *(
        "",
        " ",
        "a",
        "A",
        "1",
        "-",
        ".",
        "..",
        "/",
        "//",
        "@",
        "*",
        "a\n",
        "a\nb",
        "\x00",
        "\x7f",
        "é",
        "\uff41",
        "\u2028",
    ),
    *(
        "a-",
        "-a",
        "a.",
        ".a",
        "a/",
        "/a",
        "a/b",
        "a//b",
        "a/b/",
        "a/.",
        "a/..",
        "a/../b",
        "/a/../b",
        "/..",
        "/.",
        "a/*",
    ),
    *("a.b", "a..b", "a.b.c", "a--b", "a_b", "A_B", "_a", "a b", "a:b", "a@b", "a\\b", "a~b", "a=b", "a?b", "a[b]"),
    *("a.lock", "a.lock/b", "a.git", "refs/heads/a", "x@{1}", "main", "read", "write", "Read", "admin\n", "$a", "#a"),
    *("1s", "10m", "601s", "600000ms", "600001ms", "1h", "01s", "999999m", "1 s", "a.b:80", "a.b:0", "a.b:080"),
    *(
        "https://a.b",
        "https://a.b/",
        "https://a.b:8/c",
        "https://a@b/c",
        "https://a.b/c?d",
        "https://a.b/c#d",
        "http://a/b",
    ),
    *("https://a.b/..", "https://a.b/c/../d", "https://a.b//c", "https://-a/b", "HTTPS://a.b/c", "https://a.b/%2e/c"),
    *(
        "metadata.name",
        "metadata.labels['a']",
        "spec.nodeName",
        "status.podIP",
        'metadata.labels["a"]',
        "a.b/c",
        "a.b/c/d",
    ),
    *(
        "0" * 40,
        "a" * 64,
        "A" * 40,
        "g" * 40,
        "a" * 63,
        "a" * 65,
        "x/" + "a" * 63,
        "x/" + "a" * 64,
        "a" * 253,
        "a" * 254,
    ),
]


def _is_text(constraint: Constraint) -> bool:
    node: Any = root_schemas()[constraint.kind]
    for step in constraint.place.replace("[]", ".[]").split("."):
        node = (
            node["items"] if step == "[]" else node["additionalProperties"] if step == "*" else node["properties"][step]
        )
    return constraint.sort != "enum" and (node.get("type") == "string" or "pattern" in node)


def _one_place_for_each_rule() -> Iterator[Any]:
    places: dict[str, tuple[str, str]] = {}
    for constraint in constraints():
        if constraint.place and _is_text(constraint):
            places.setdefault(constraint.answer, (constraint.kind, constraint.place))
    for kind, place in sorted(set(places.values())):
        case = next(each for each in cases() if each.kind == kind and place_of(root_schemas()[kind], each.at) == place)
        yield pytest.param(case, id=f"{kind}-{place}")


def _lighter(place: Case) -> dict[str, Any]:
    """Leaves out what is beside the place, as far as the object stays valid, so that a request takes less."""
    spec = place.base()["spec"]
    beside = [f"spec.{name}" for name in spec] + [f"spec.workload.{name}" for name in spec.get("workload", ())]
    patch: dict[str, Any] = {}
    for path in beside:
        without = {**patch, path: REMOVE}
        if not place.at.startswith(path) and _model_accepts(patched(place.base(), without)):
            patch = without
    return patch


def _model_accepts(body: Object) -> bool:
    try:
        MODELS[body["kind"]].model_validate(body)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("place", list(_one_place_for_each_rule()))
def test_the_api_server_and_the_models_accept_the_same_texts(objects: Objects, place: Case) -> None:
    lighter = patched(place.base(), _lighter(place))
    disagreed = []
    for text in TEXTS:
        tried = patched(lighter, {place.at: text})
        status, body = objects.create(tried, dry_run=True)
        assert status in {201, 422}, body
        if (status == 201) != _model_accepts(tried):
            disagreed.append((text, "accepted" if status == 201 else "refused", "by the API server"))

    assert disagreed == []

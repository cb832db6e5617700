"""What a Project may publish, and who keeps a host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.errors import Stalled
from mooring.domain.policy import IngressPolicy
from mooring.domain.publishing import check_publishing, first_of_host
from mooring.domain.reasons import Reason
from tests.unit.objects import project, raw_project

POLICY = IngressPolicy.model_validate(
    {"hostSuffixes": ["apps.example.com"], "classNames": ["public"], "annotationKeys": ["example.com/size"]}
)
HOST = "shop.apps.example.com"


@pytest.mark.parametrize(
    "expose",
    [
        None,
        {},
        {"host": HOST},
        {"host": HOST, "className": "public", "annotations": {"example.com/size": "1m"}},
    ],
)
def test_what_the_policy_allows_passes(expose: dict[str, Any] | None) -> None:
    check_publishing(project(spec={"expose": expose} if expose is not None else {}), POLICY)


@pytest.mark.parametrize(
    ("expose", "field", "setting"),
    [
        ({"host": "shop.example.org"}, "host", "hostSuffixes"),
        ({"host": "badapps.example.com"}, "host", "hostSuffixes"),
        ({"host": HOST, "className": "internal"}, "className", "classNames"),
        ({"host": HOST, "annotations": {"nginx.org/snippet": "x"}}, "annotations", "annotationKeys"),
    ],
)
def test_what_it_does_not_allow_is_named_with_whom_to_ask(expose: dict[str, Any], field: str, setting: str) -> None:
    with pytest.raises(Stalled) as refused:
        check_publishing(project(spec={"expose": expose}), POLICY)
    assert refused.value.reason is Reason.NOT_ALLOWED
    assert f"spec.expose.{field}" in refused.value.message
    assert f"ingress.{setting}" in refused.value.message


def test_without_a_policy_nothing_is_published() -> None:
    with pytest.raises(Stalled):
        check_publishing(project(spec={"expose": {"host": HOST}}), IngressPolicy())


def claim(name: str, created: str, **metadata: Any) -> dict[str, Any]:
    return raw_project(name, creationTimestamp=created, **metadata)


def test_the_oldest_that_stays_keeps_a_host() -> None:
    old, young = claim("old", "2026-01-01T00:00:00Z"), claim("young", "2026-01-02T00:00:00Z")
    assert first_of_host([young, old]) == "uid-old"
    going = claim("old", "2026-01-01T00:00:00Z", deletionTimestamp="2026-01-03T00:00:00Z")
    assert first_of_host([young, going]) == "uid-young"
    assert first_of_host([going]) is None
    assert first_of_host([]) is None


@given(st.permutations([claim(name, "2026-01-01T00:00:00Z") for name in "abcd"]))
def test_equals_are_told_apart_the_same_way_in_any_order(claims: list[dict[str, Any]]) -> None:
    assert first_of_host(claims) == "uid-a"

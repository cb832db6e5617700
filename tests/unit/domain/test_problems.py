"""A spec that cannot be read becomes one sentence: each field by its path, and no value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mooring.domain.problems import NAMED_PROBLEMS, invalid_spec
from mooring.domain.reasons import Reason
from mooring.domain.resources import KINDS
from tests.unit.objects import raw_project

PLANTED = "ghp_" + "S" * 36
PLACES: list[Any] = [
    PLANTED,
    [PLANTED],
    {"name": PLANTED, "value": [PLANTED]},
    [{"name": PLANTED, "value": [PLANTED]}],
    7,
]


def message(obj: dict[str, Any]) -> str:
    (model,) = [kind for kind in KINDS if kind.info.kind == obj["kind"]]
    with pytest.raises(ValidationError) as refused:
        model.model_validate(obj)
    trouble = invalid_spec(refused.value)
    assert trouble.reason is Reason.INVALID_SPEC
    return trouble.message


def test_the_field_is_named_as_it_is_written() -> None:
    said = message(raw_project(spec={"workload": {"image": "a", "terminationGracePeriodSeconds": "x"}}))
    assert "spec.workload.terminationGracePeriodSeconds: " in said
    assert said.endswith("Correct it and apply it again.")
    assert "\n" not in said


def test_a_rule_over_several_fields_speaks_for_itself() -> None:
    said = message(raw_project(spec={"token": {"source": "project"}}))
    assert "spec.token: " in said
    assert "Value error" not in said


def test_more_than_anybody_reads_is_counted() -> None:
    ports = [{"containerPort": "x"} for _ in range(NAMED_PROBLEMS + 3)]
    said = message(raw_project(spec={"workload": {"image": "a", "ports": ports}}))
    assert said.count("containerPort") == NAMED_PROBLEMS
    assert "; and 3 more" in said


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.info.kind))
def test_no_value_is_repeated_wherever_it_stands(kind: Any) -> None:
    """Put a secret of every shape where it does not belong, into every field of the spec."""
    said: list[str] = []
    fields = [field.alias or name for name, field in kind.model_fields["spec"].annotation.model_fields.items()]
    for field in fields:
        for value in PLACES:
            obj = {**raw_project(), "kind": kind.info.kind, "spec": {field: value}}
            try:
                kind.model_validate(obj)
            except ValidationError as error:
                said.append(invalid_spec(error).message)
    assert len(said) > len(fields)
    assert [line for line in said if PLANTED in line] == []

"""Every rule, enum and pattern of the schemas is touched by an invalid object that the cluster's tests apply.

A case counts for a constraint only where it names the constraint's own place and a part of its own answer; that the API
server really answers so is what `tests/cluster/kinds/test_refused.py` checks.
"""

from collections import Counter

from tests.cluster.kinds.cases import cases, transitions
from tests.cluster.kinds.constraints import Constraint, constraints, place_of, root_schemas

CONSTRAINTS = list(constraints())
SCHEMAS = root_schemas()


def _covered(kind: str, at: str, wants: str) -> list[Constraint]:
    place = place_of(SCHEMAS[kind], at)
    return [each for each in CONSTRAINTS if (each.kind, each.place) == (kind, place) and wants in each.answer]


def test_no_constraint_is_without_a_case() -> None:
    touched = [constraint for case in cases() for constraint in _covered(case.kind, case.at, case.wants)]
    touched += [constraint for each in transitions() for constraint in _covered(each.kind, each.at, each.wants)]

    without = [f"{each.kind} {each.place}: {each.answer}" for each in CONSTRAINTS if each not in set(touched)]

    assert without == []


def test_no_case_counts_for_two_constraints() -> None:
    ambiguous = [case.name for case in cases() if len(_covered(case.kind, case.at, case.wants)) > 1]

    assert ambiguous == []


def test_every_case_has_a_name_of_its_own() -> None:
    names = Counter(case.name for case in cases())

    assert [name for name, count in names.items() if count > 1] == []


def test_there_are_constraints_to_cover() -> None:
    assert len(CONSTRAINTS) > 150
    assert len(cases()) > 400

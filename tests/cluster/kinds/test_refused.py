"""Every invalid object is refused by the real API server, with a message that names the field and what it wants."""

import pytest

from tests.cluster.kinds.api import Objects, refusals
from tests.cluster.kinds.case import Case, Transition
from tests.cluster.kinds.cases import cases, transitions
from tests.cluster.kinds.objects import FULL, PLURALS, an_object, patched

IN_SPEC = [case for case in cases() if not case.in_status]
IN_STATUS = [case for case in cases() if case.in_status]


@pytest.mark.parametrize("case", IN_SPEC, ids=lambda case: case.name)
def test_an_invalid_object_is_refused(objects: Objects, case: Case) -> None:
    status, body = objects.create(case.invalid(), dry_run=True)

    assert status == 422, body
    _assert_says(body, case)


@pytest.fixture(scope="module")
def stored(objects: Objects) -> None:
    """One stored object of each kind, named `stored`."""
    for kind in PLURALS:
        status, body = objects.create(patched(FULL[kind][0], {"metadata.name": "stored"}))
        assert status == 201, body


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("case", IN_STATUS, ids=lambda case: case.name)
def test_an_invalid_status_is_refused(objects: Objects, case: Case) -> None:
    status, body = objects.patch_status(case.kind, "stored", case.invalid()["status"], dry_run=True)

    assert status == 422, body
    _assert_says(body, case)


@pytest.mark.parametrize("transition", transitions(), ids=lambda transition: f"{transition.kind}-{transition.name}")
def test_an_immutable_field_is_neither_changed_nor_removed_nor_added(objects: Objects, transition: Transition) -> None:
    name = f"{transition.kind}-{transition.name}".lower()
    status, stored = objects.create(an_object(transition.kind, transition.before, name))
    assert status == 201, stored

    status, body = objects.replace({**stored, "spec": transition.after})

    assert status == 422, body
    assert any(field == transition.at and transition.wants in message for field, message in refusals(body)), body
    assert objects.read(transition.kind, name)["spec"] == stored["spec"]


@pytest.mark.parametrize("kind", list(PLURALS))
def test_the_spec_as_a_whole_cannot_be_removed_to_get_round_its_rules(objects: Objects, kind: str) -> None:
    status, stored = objects.create(patched(FULL[kind][0], {"metadata.name": "whole"}))
    assert status == 201, stored
    del stored["spec"]

    status, body = objects.replace(stored)

    assert status == 422, body
    assert ("spec", "Required value") in refusals(body)


@pytest.mark.parametrize("kind", list(PLURALS))
def test_an_unchanged_object_can_be_replaced_by_itself(objects: Objects, kind: str) -> None:
    status, stored = objects.create(patched(FULL[kind][0], {"metadata.name": "unchanged"}))
    assert status == 201, stored

    status, body = objects.replace(stored, dry_run=True)

    assert status == 200, body


def _assert_says(body: dict[str, object], case: Case) -> None:
    said = refusals(body)
    assert any(field == case.at and case.wants in message for field, message in said), said

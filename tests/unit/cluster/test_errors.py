"""What each refusal of the API server becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mooring.cluster.connection import Answer, AnswerTooLarge
from mooring.cluster.errors import Asked, no_answer, refusal, wait_seconds, without_value
from mooring.cluster.kinds import RESOURCES
from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.ports import AlreadyExists, Changed

NOW = datetime(2030, 1, 1, tzinfo=UTC)
APPLY = Asked("patch", RESOURCES["Deployment"], "ns", "app")
SECRET = Asked("patch", RESOURCES["Secret"], "ns", "token")


def answer(status: int, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return Answer(status, headers or {}, json.dumps({"kind": "Status", **body}).encode())


def causes(*found: tuple[str, str]) -> dict[str, Any]:
    return {"causes": [{"reason": "FieldValueInvalid", "field": field, "message": text} for field, text in found]}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(409, reason="AlreadyExists"), AlreadyExists),
        (answer(409, reason="Conflict"), Changed),
        (answer(404, reason="NotFound"), Changed),
        (answer(422, details=causes(("metadata.uid", "field is immutable"))), Changed),
        (answer(422, details=causes(("spec.replicas", "Invalid value: -1: must not be negative"))), Stalled),
        (answer(400, message='strict decoding error: unknown field "spec.nope"'), Stalled),
        (answer(413), Stalled),
        (answer(500, message="failed to create typed patch object (ns/app; apps/v1): .spec.nope: x"), Stalled),
        (answer(500, message="etcdserver: request timed out"), Transient),
        (answer(401), Transient),
        (answer(403), Transient),
        (answer(302), Transient),
        (answer(429), Transient),
        (answer(429, {"Retry-After": "7"}), Waiting),
        (answer(503), Transient),
        (Answer(404, {}, b"404 page not found\n"), Transient),
        (Answer(502, {}, b"<html>"), Transient),
        (Answer(500, {}, b"[]"), Transient),
    ],
)
def test_each_refusal_has_its_kind(said: Answer, expected: type[Exception]) -> None:
    error = refusal(APPLY, said, NOW)
    assert type(error) is expected
    assert "Deployment" in str(error) or "deployments" in str(error)


def test_retry_after_is_kept_within_reason() -> None:
    error = refusal(APPLY, answer(429, {"Retry-After": "7"}), NOW)
    assert isinstance(error, Waiting)
    assert error.until == NOW + timedelta(seconds=7)
    assert wait_seconds({"Retry-After": "99999"}) == 300
    assert wait_seconds({"Retry-After": "soon"}) is None
    assert wait_seconds({"Retry-After": "-1"}) is None
    assert wait_seconds({}) is None
    told = refusal(APPLY, answer(429, details={"retryAfterSeconds": 3}), NOW)
    assert isinstance(told, Waiting)
    assert told.until == NOW + timedelta(seconds=3)


def test_a_missing_right_is_named_with_the_verb_that_the_server_names() -> None:
    said = answer(403, message='deployments.apps is forbidden: User "u" cannot create resource "deployments" in …')
    error = refusal(APPLY, said, NOW)
    assert isinstance(error, Transient)
    assert error.reason == Reason.CLUSTER_UNAVAILABLE
    assert "create on deployments of apps in namespace ns" in error.message


def test_an_admission_check_speaks_for_itself_but_not_about_secrets() -> None:
    said = answer(403, message="exceeded quota: \x1b[31mpods=1")
    error = refusal(APPLY, said, NOW)
    assert isinstance(error, Transient)
    assert error.reason == Reason.NOT_ALLOWED
    assert "(exceeded quota: [31mpods=1)" in error.message
    assert "quota:" not in str(refusal(SECRET, said, NOW))


def test_a_namespace_that_goes_is_told() -> None:
    said = answer(403, details={"causes": [{"reason": "NamespaceTerminating"}]})
    assert "being deleted" in str(refusal(APPLY, said, NOW))


def test_rules_are_told_without_values_and_of_secrets_only_the_field() -> None:
    found = causes(("spec.x", 'Invalid value: "planted": must be y'), ("<nil>", "some rules were not checked"))
    assert "spec.x: must be y" in str(refusal(APPLY, answer(422, details=found), NOW))
    assert "planted" not in str(refusal(APPLY, answer(422, details=found), NOW))
    assert "spec.x (FieldValueInvalid)" in str(refusal(SECRET, answer(422, details=found), NOW))
    assert "must be y" not in str(refusal(SECRET, answer(422, details=found), NOW))


def test_not_all_of_many_rules_are_told() -> None:
    found = causes(*((f"spec.f{number}", "Required value") for number in range(50)))
    message = str(refusal(APPLY, answer(422, details=found), NOW))
    assert "spec.f4" in message
    assert "spec.f5" not in message


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('Invalid value: "x: y": must be z', "must be z"),
        ('Invalid value: "a \\" b": must be z', "must be z"),
        ('Invalid value: {"a":"b"}: field is immutable', "field is immutable"),
        ("Invalid value: -1: must be positive", "must be positive"),
        ("Invalid value: v1.Thing{A: planted}: field is immutable", "Invalid value"),
        ('Invalid value: "planted', "Invalid value"),
        ('Invalid value: "string": f in body must be of type integer: "string"', "f in body must be of type integer"),
        ('Duplicate value: "planted"', "Duplicate value"),
        ('Unsupported value: "planted": supported values: "a", "b"', 'supported values: "a", "b"'),
        ("Required value: name it", "Required value: name it"),
        ("Required value", "Required value"),
    ],
)
def test_a_rule_without_the_value_that_it_quotes(message: str, told: str) -> None:
    assert without_value(message) == told


def test_no_answer_tells_how_but_not_what_was_sent() -> None:
    assert "in time" in str(no_answer(SECRET, TimeoutError("planted")))
    assert "more than is accepted" in str(no_answer(SECRET, AnswerTooLarge()))
    error = no_answer(SECRET, OSError("planted"))
    assert "could not be reached (OSError): patch of Secret ns/token" in error.message
    assert "planted" not in error.message

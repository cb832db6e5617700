"""Taking a token out of a Secret: only what may be sent comes out, and the rest is told without its value."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason
from mooring.domain.secret_tokens import token_in
from mooring.domain.token_shape import is_token
from tests.unit.objects import PAT

KEY = "github-token"


def secret(value: bytes | None, key: str = KEY, kind: str | None = "Opaque") -> dict[str, Any]:
    data = {} if value is None else {key: base64.b64encode(value).decode()}
    return {"metadata": {"name": "pat"}, "data": data, **({"type": kind} if kind else {})}


@pytest.mark.parametrize("value", [PAT.encode(), PAT.encode() + b"\n", PAT.encode() + b"\r\n"])
@pytest.mark.parametrize("kind", ["Opaque", None])
def test_a_token_comes_out_without_its_line_end(value: bytes, kind: str | None) -> None:
    assert token_in(secret(value, kind=kind), "pat", KEY, named=True) == PAT


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, Reason.SECRET_NOT_FOUND),
        ({"metadata": {}, "type": "Opaque"}, Reason.SECRET_KEY_MISSING),
        ({"metadata": {}, "type": "Opaque", "data": None}, Reason.SECRET_KEY_MISSING),
        (secret(PAT.encode(), key="other"), Reason.SECRET_KEY_MISSING),
        (secret(b""), Reason.SECRET_KEY_MISSING),
    ],
)
def test_what_is_missing_matters_only_where_somebody_named_it(found: dict[str, Any] | None, reason: Reason) -> None:
    assert token_in(found, "pat", KEY, named=False) is None
    with pytest.raises(Stalled) as trouble:
        token_in(found, "pat", KEY, named=True)
    assert trouble.value.reason is reason
    assert "Secret pat" in trouble.value.message


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (secret(PAT.encode(), kind="kubernetes.io/service-account-token"), Reason.SECRET_TYPE_WRONG),
        (secret(PAT.encode(), kind="kubernetes.io/dockerconfigjson"), Reason.SECRET_TYPE_WRONG),
        (secret(b"hunter2"), Reason.NOT_A_TOKEN),
        (secret(b"\xff\xfe"), Reason.NOT_A_TOKEN),
        (secret(b"eyJhbGciOiJSUzI1NiJ9." + b"a" * 400), Reason.NOT_A_TOKEN),
        ({"metadata": {}, "data": {KEY: "not base64!"}}, Reason.NOT_A_TOKEN),
    ],
)
def test_what_may_not_be_sent_is_refused_whoever_named_it(found: dict[str, Any], reason: Reason, named: bool) -> None:
    with pytest.raises(Stalled) as trouble:
        token_in(found, "pat", KEY, named=named)
    assert trouble.value.reason is reason


@given(st.binary(min_size=1, max_size=120) | st.just(PAT.encode()))
def test_nothing_without_the_shape_of_a_token_comes_out_nor_into_a_message(value: bytes) -> None:
    shown, found = value.decode("latin-1"), None
    try:
        found = token_in(secret(value), "pat", KEY, named=True)
    except Stalled as trouble:
        said = trouble.message
    if found is None:
        assert len(shown) < 8 or shown not in said
    else:
        assert is_token(found)

"""Which values count as GitHub tokens, and what is blotted out of texts."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import token_shape

CLASSIC = "ghp_" + "A1b2" * 9
FINE_GRAINED = "github_pat_" + "A" * 22 + "_" + "b" * 59


def service_account_token() -> str:
    """A JWT as a Kubernetes API server signs it."""
    parts = [
        {"alg": "RS256", "kid": "k"},
        {"sub": "system:serviceaccount:a:b"},
    ]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl" * 20])


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (CLASSIC, "classic"),
        (FINE_GRAINED, "fine-grained"),
        ("gho_" + "a" * 36, "oauth"),
        ("ghu_" + "a" * 36, "app-user"),
        ("ghs_" + "a" * 36, "installation"),
        ("ghs_123_" + service_account_token(), "installation"),
        ("0123456789abcdef" * 2 + "01234567", "legacy"),
    ],
)
def test_tokens_of_every_kind_are_taken(token: str, kind: str) -> None:
    """Every form that GitHub gives out has the shape, and its kind is told by the prefix."""
    assert token_shape.parse(token.encode()) == token
    assert token_shape.kind(token) == kind


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_one_line_end_is_taken_off(end: bytes) -> None:
    """`kubectl --from-file` keeps the line end that an editor adds."""
    assert token_shape.parse(CLASSIC.encode() + end) == CLASSIC


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\n",
        service_account_token().encode(),
        CLASSIC.encode() + b"\n\n",
        b" " + CLASSIC.encode(),
        CLASSIC.encode() + b" ",
        CLASSIC.encode() + b"\r\nX-Injected: 1",
        CLASSIC[:-5].encode() + "é".encode() + b"aaaaa",
        CLASSIC.encode() + b"\x00",
        b"ghp_short",
        b"ghx_" + b"a" * 36,
        b"ghp_" + b"a" * 300,
        b"ghs_" + b"a" * 5000,
        b"a" * 40 + b"g",
        b"ABCDEF0123456789" * 2 + b"ABCDEF01",
        b"password",
    ],
)
def test_other_values_are_no_tokens(value: bytes) -> None:
    """Whatever else is in a Secret is never sent to GitHub; a service account's token least of all."""
    assert token_shape.parse(value) is None


@given(st.binary(max_size=300))
def test_what_is_taken_is_plain(value: bytes) -> None:
    """A taken value is visible ASCII, so that it can't end a header line."""
    token = token_shape.parse(value)
    assert token is None or (token.isascii() and token.isprintable() and " " not in token)


def test_long_values_are_read_in_linear_time() -> None:
    """Shapes are bounded before they are matched, and text is blotted out without backtracking."""
    started = time.process_time()
    assert token_shape.parse(b"ghs_" + b"a." * 5_000_000) is None
    token_shape.redact("ghp_" * 100_000 + "!")
    assert time.process_time() - started < 2


def test_redaction() -> None:
    """Known tokens and lookalikes go; the rest stays."""
    text = f"refused {CLASSIC} and {FINE_GRAINED}, also hunter2, of acme/web at {'a' * 40}"
    redacted = token_shape.redact(text, "hunter2", None)
    assert redacted == f"refused [redacted] and [redacted], also [redacted], of acme/web at {'a' * 40}"

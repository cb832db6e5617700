"""Keys of Apps and what they sign: every form that people store, and nothing else."""

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from mooring.github.app_jwt import AppKey, Malformed
from mooring.github.limits import LIMITS
from tests.unit.github.keys import PKCS1, PKCS8, curve_key, pem, rsa_key

NOW = datetime(2026, 11, 21, 4, 0, 0, 900_000, tzinfo=UTC)
GOOD: dict[str, Callable[[], str]] = {
    "pkcs1": lambda: pem(rsa_key(), PKCS1),
    "pkcs8": lambda: pem(rsa_key(), PKCS8),
    "escaped": lambda: pem(rsa_key()).replace("\n", "\\n"),
    "escaped-windows": lambda: pem(rsa_key(), PKCS8).replace("\n", "\\r\\n"),
    "windows": lambda: pem(rsa_key()).replace("\n", "\r\n"),
    "blanks": lambda: f"\n {pem(rsa_key())} \n",
    "4096-bits": lambda: pem(rsa_key(4096)),
}
BAD: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "words": lambda: "hunter2",
    "curve": lambda: pem(curve_key(), PKCS8),
    "curve-sec1": lambda: pem(curve_key()),
    "short": lambda: pem(rsa_key(1024)),
    "locked": lambda: pem(rsa_key(), phrase="hunter2"),
    "locked-pkcs8": lambda: pem(rsa_key(), PKCS8, "hunter2"),
    "cut": lambda: pem(rsa_key())[:800],
    "damaged": lambda: pem(rsa_key()).replace("M", "N"),
    "prefixed": lambda: "key: " + pem(rsa_key()),
    "not-ascii": lambda: pem(rsa_key()) + "é",
    "long": lambda: pem(rsa_key()) + "\n" * 10 + "x" * 5000,
    "public": lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "certificate": lambda: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_keys(name: str) -> None:
    """Each signs, and the claims are what GitHub wants: a minute back, nine ahead, the App's id as text."""
    signed = AppKey(GOOD[name]()).sign(42, NOW)
    key = rsa_key(4096) if name == "4096-bits" else rsa_key()
    assert jwt.get_unverified_header(signed)["alg"] == "RS256"
    claims = jwt.decode(signed, key.public_key(), algorithms=["RS256"], options={"verify_exp": False})
    at = int(NOW.timestamp())
    assert claims == {"iss": "42", "iat": at - 60, "exp": at + 540}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_key(name: str) -> None:
    """It is refused, and nothing of it is in what is raised."""
    text = BAD[name]()
    with pytest.raises(Malformed) as raised:
        AppKey(text)
    told = "".join(traceback.format_exception(raised.value, chain=True)) + repr(vars(raised.value))
    body = [line for line in text.splitlines() if line and not line.startswith("-")]
    assert not any(line in told for line in body)


def test_a_key_shows_nothing() -> None:
    """Neither as text nor by its attributes."""
    key = AppKey(pem(rsa_key()))
    assert repr(key).startswith("<mooring.github.app_jwt.AppKey object")
    assert not hasattr(key, "__dict__")


def test_what_was_signed_serves_for_seconds_and_for_that_app_alone() -> None:
    key = AppKey(pem(rsa_key()))
    first = key.sign(42, NOW)
    assert key.sign(42, NOW + timedelta(seconds=3)) == first
    assert AppKey(pem(rsa_key())).sign(43, NOW) != first
    assert key.sign(43, NOW) != first
    later = {key.sign(42, NOW + timedelta(seconds=seconds)) for seconds in (5, -1)}
    assert len(later | {first}) == 3
    assert LIMITS.clock_slack > timedelta(seconds=4)

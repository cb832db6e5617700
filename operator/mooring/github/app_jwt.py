"""The key of a GitHub App, and what is signed with it. Pure: the time is an argument.

A JWT is kept for some seconds by the key that signed it, and nowhere else: so none can reach somebody who holds another
key. To sign takes longer than all else that a request does here, and many installations of one App ask at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# What the two forms begin with: PKCS#1, as GitHub gives it, and PKCS#8, into which some tools turn it.
_BEGINNINGS = ("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----")
_LEAST_BITS = 2048
# GitHub's keys have 2,048 bits. To check one of 4,096 takes a third of a second of everybody's time, and twice the bits
# take eight times as long; the text is held to a length first, because its bits are known only after that check.
_MOST_BITS = 4096
_LONGEST = 4096
# GitHub refuses what was issued in its future, and an end more than ten minutes ahead.
_ISSUED_BACK = timedelta(seconds=60)
_ENDS_AHEAD = timedelta(minutes=9)
# Seconds for which one serves: fewer than GitHub's clock may turn out to be away before it is signed anew.
_SERVES = 4


class Malformed(Exception):
    """This is no private key of a GitHub App. It says nothing of what it is instead: that is a secret."""


class AppKey:
    """A key that can sign."""

    __slots__ = ("_key", "_last")

    def __init__(self, pem: str) -> None:
        """Read a PEM text, also one whose line ends were written as backslash and n; raise Malformed."""
        text = pem.strip().replace("\\r", "").replace("\\n", "\n")
        if len(text) > _LONGEST or not text.isascii() or not text.startswith(_BEGINNINGS):
            raise Malformed
        try:
            key = load_pem_private_key(text.encode("ascii"), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Malformed from None
        if not isinstance(key, RSAPrivateKey) or not _LEAST_BITS <= key.key_size <= _MOST_BITS:
            raise Malformed
        self._key = key
        # For which App, since when, and what was signed.
        self._last: tuple[int, datetime, str] | None = None

    def sign(self, app_id: int, now: datetime) -> str:
        """Return a JWT that proves the App for about the next nine minutes by GitHub's clock."""
        if self._last is not None:
            last_id, since, signed = self._last
            if last_id == app_id and 0 <= (now - since).total_seconds() < _SERVES:
                return signed
        claims = {
            "iss": str(app_id),
            "iat": int((now - _ISSUED_BACK).timestamp()),
            "exp": int((now + _ENDS_AHEAD).timestamp()),
        }
        signed = jwt.encode(claims, self._key, algorithm="RS256")
        self._last = app_id, now, signed
        return signed

"""The outer forms of GitHub's tokens: prefixes, lengths and alphabets. What a token may do is in its `Credential`."""

from __future__ import annotations

import base64
import json
import secrets
import string
from datetime import datetime

ALPHABET = string.ascii_letters + string.digits
# Random bytes as long as an RS256 signature: nobody but GitHub can check it, so nothing signs here.
SIGNATURE_BYTES = 256


def classic() -> str:
    """Return a new classic personal access token."""
    return f"ghp_{_random(36)}"


def fine_grained() -> str:
    """Return a new fine-grained personal access token."""
    return f"github_pat_{_random(22)}_{_random(59)}"


def user_to_server() -> str:
    """Return a new token of a person who authorized an App."""
    return f"ghu_{_random(36)}"


def installation() -> str:
    """Return a new installation token in the short form."""
    return f"ghs_{_random(36)}"


def installation_jwt(app_id: int, installation_id: int, expires_at: datetime) -> str:
    """Return a new installation token in the long form: the App's id and a JWT, about 520 characters."""
    header = {"alg": "RS256", "typ": "JWT"}
    claims = {"iss": "github", "iid": installation_id, "exp": int(expires_at.timestamp()), "jti": secrets.token_hex(16)}
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    encoded = [_base64url(part) for part in (*parts, secrets.token_bytes(SIGNATURE_BYTES))]
    return f"ghs_{app_id}_{'.'.join(encoded)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

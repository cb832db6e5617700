"""Takes a token out of a Secret that somebody named, or says what is wrong with it. T10 is kept here.

Only Opaque Secrets whose value has the shape of a GitHub token: so no service account's token, no kubeconfig, no key
can be made to leave the cluster by naming it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from mooring.domain import token_shape
from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason


def token_in(secret: Mapping[str, Any] | None, name: str, key: str, *, named: bool) -> str | None:
    """Return the token; None where the Secret, or the key in it, is missing and nobody named it."""
    if secret is None:
        if not named:
            return None
        raise Stalled(Reason.SECRET_NOT_FOUND, f"Secret {name} does not exist. Create it, or change the reference.")
    if secret.get("type", "Opaque") != "Opaque":
        raise Stalled(
            Reason.SECRET_TYPE_WRONG,
            f"Secret {name} is not of type Opaque, so it is not read. Put the token into an Opaque Secret.",
        )
    encoded = (secret.get("data") or {}).get(key)
    if not encoded:
        if not named:
            return None
        raise Stalled(
            Reason.SECRET_KEY_MISSING, f"Secret {name} has no key {key}, or it is empty. Add it, or name another key."
        )
    return _decode(encoded, name, key)


def _decode(encoded: str, name: str, key: str) -> str:
    wrong = Stalled(
        Reason.NOT_A_TOKEN,
        f"What Secret {name} has under {key} does not look like a GitHub token, so it is not used."
        " Check what was stored.",
    )
    try:
        token = token_shape.parse(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise wrong from None
    if token is None:
        raise wrong
    return token

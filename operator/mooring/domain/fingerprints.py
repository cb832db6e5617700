"""Short digests of tokens: enough to tell that one changed, useless to find it out.

Every digest has a purpose and an object's uid in it, so that equal tokens of two objects look unlike, and a digest made
for one purpose says nothing about another.
"""

from __future__ import annotations

from hashlib import sha256

_FINGERPRINT = "mooring.dev/fingerprint/v1"
_ROLLOUT = "mooring.dev/rollout/v1"
_LENGTH = 16


def fingerprint(uid: str, token: str) -> str:
    """Name a token in status, Events and the audit record, within the object of this uid."""
    return _digest(_FINGERPRINT, uid, token)


def rollout_checksum(project_uid: str, token: str) -> str:
    """Return what stands on the pod template: it changes with the effective token, and then the workload rolls.

    Tokens that Mooring itself renews by the hour don't belong in here: they would roll every workload by the hour.
    """
    return _digest(_ROLLOUT, project_uid, token)


def _digest(*parts: str) -> str:
    # Each part is preceded by its length, so that no two lists of parts read the same.
    framed = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return sha256(framed).hexdigest()[:_LENGTH]

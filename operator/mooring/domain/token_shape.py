"""What a GitHub token looks like: which values may be sent to GitHub at all, and how to blot them out of text.

Shape only: whether a token is alive is GitHub's to say. A Kubernetes service account token (a JWT) never has it.
"""

from __future__ import annotations

import re

# Longest known today: an installation token with a JWT inside, about 520 characters; GitHub promises no length.
MAX_LENGTH = 2048
_KINDS = {
    "ghp_": "classic",
    "github_pat_": "fine-grained",
    "gho_": "oauth",
    "ghu_": "app-user",
    "ghs_": "installation",
}
LEGACY = "legacy"
# One character class with bounds in each alternative: nothing here can backtrack.
_SHAPE = re.compile(
    r"gh[pou]_[A-Za-z0-9_]{36,251}|github_pat_[A-Za-z0-9_]{36,244}|ghs_[A-Za-z0-9_.\-]{36,2044}|[0-9a-f]{40}"
)
# Looser than the shape, because blotting out too much is the lesser harm. Forty hex digits are left: commits look so.
_IN_TEXT = re.compile(r"(?:gh[pousr]_|github_pat_)[A-Za-z0-9_.\-]{10,}")
_BLOT = "[redacted]"


def parse(value: bytes) -> str | None:
    """Return the token that a Secret's value holds, or None where the value is no GitHub token.

    One line end is taken off, because `kubectl create secret --from-file` keeps the one that editors add.
    """
    if len(value) > MAX_LENGTH + 2:
        return None
    value = value.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if is_token(text) else None


def is_token(text: str) -> bool:
    """Tell whether a text is a GitHub token and nothing else."""
    return len(text) <= MAX_LENGTH and _SHAPE.fullmatch(text) is not None


def kind(token: str) -> str:
    """Return what kind of token this is, by its prefix; GitHub may add kinds, so this is an open word."""
    return next((name for prefix, name in _KINDS.items() if token.startswith(prefix)), LEGACY)


def redact(text: str, *known: str | None) -> str:
    """Blot out known tokens, and whatever else looks like one."""
    for token in known:
        if token:
            text = text.replace(token, _BLOT)
    return _IN_TEXT.sub(_BLOT, text)

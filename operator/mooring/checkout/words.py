"""What may leave the process as text: printable, short, and without a secret."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

from mooring.domain import names, token_shape

MAX_LINE = 1000
"""The kubelet shows 4,096 bytes of a termination message; nobody reads a longer line."""
MAX_NAME = 200
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,16}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")
_USERINFO = re.compile(r"://[^\s/@]{1,300}@")


def plain(text: str) -> str:
    """Return the text in one line, without what moves a terminal's cursor or turns its writing around."""
    text = _ESCAPE.sub("", text)
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


def named(text: str) -> str:
    """Return a name that a stranger chose, as it may stand in a sentence."""
    shown = plain(text.encode(errors="surrogateescape").decode(errors="replace"))
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}…"


def basic(token: str) -> str:
    """Return what an Authorization header carries a token in."""
    return b64encode(f"{names.TOKEN_USER}:{token}".encode()).decode()


class Teller:
    """Says lines, each without the secrets that it knows."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._known: set[str] = set()

    def know(self, token: str) -> None:
        """Blot this token out of everything that is said from now on, plain or as git sends it."""
        self._known |= {token, basic(token), basic(token).rstrip("=")}

    def clean(self, text: str) -> str:
        """Return a text as it may be said."""
        # The longest first: one may begin with another.
        text = token_shape.redact(text, *sorted(self._known, key=len, reverse=True))
        text = plain(_USERINFO.sub("://[redacted]@", text))
        # A secret that an escape sequence had cut in two is whole only now.
        text = token_shape.redact(text, *sorted(self._known, key=len, reverse=True))
        return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"

    def clean_lines(self, text: str) -> str:
        """Return each line as it may be said."""
        return "\n".join(self.clean(line) for line in text.splitlines())

    def say(self, text: str) -> None:
        """Say one line."""
        self._write(f"mooring: {self.clean(text)}\n")

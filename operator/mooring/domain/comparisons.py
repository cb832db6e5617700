"""What lies between two commits, and whether a Project has to follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mooring.domain import globs

AHEAD = "ahead"
# In the head commit's message; `spec.deploy.skipTokens` replaces them.
SKIP_TOKENS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip deploy]")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What lies between two commits, as GitHub says."""

    # How the head stands to the base: ahead, behind, identical or diverged.
    relation: str
    # Paths of changed files, former ones of renamed files among them; None where there are too many to list.
    paths: frozenset[str] | None
    # The message of the head commit; None where the head adds no commit.
    message: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pushes matter to a Project."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    skip_tokens: Sequence[str] = SKIP_TOKENS

    @property
    def asks(self) -> bool:
        """Tell whether anything can be skipped at all: else there is nothing to compare."""
        return bool(self.include or self.exclude or self.skip_tokens)


def why_skipped(found: Comparison | None, wanted: Filter) -> str | None:
    """Say why nothing is redeployed; None where something has to be, also where nobody can tell."""
    if found is None:
        return None
    message = found.message or ""
    token = next((token for token in wanted.skip_tokens if token in message), None)
    if token is not None:
        return f"the commit's message has {token}"
    # GitHub lists what the head changed since the two parted. Of a forced push that is not all: what it took back is
    # not listed.
    if found.relation != AHEAD or found.paths is None or not (wanted.include or wanted.exclude):
        return None
    if globs.touches(found.paths, wanted.include, wanted.exclude):
        return None
    return "it changes no path that spec.source includes"

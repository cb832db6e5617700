"""Which token a workload gets: project over global over none. Decided here, and nowhere else.

Reading Secrets and asking GitHub happens before; this only weighs what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import translate
from re import compile as compile_pattern
from typing import Literal

from mooring.domain import origins
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import Reason

Source = Literal["project", "global", "none"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that somebody named, with what is known of it: either it is usable, or there is trouble."""

    # The Secret that it comes from, for people: namespace left out where it is the Project's own.
    origin: str
    token: str | None = None
    kind: str | None = None
    expires_at: datetime | None = None
    # The API URL that the token is bound to: it goes nowhere else.
    api_url: str | None = None
    trouble: Trouble | None = None

    def __repr__(self) -> str:
        """Show everything but the token."""
        state = "usable" if self.token is not None else f"unusable: {self.trouble}"
        return f"Candidate({self.origin!r}, {state})"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The effective token and the reason for it. With trouble there is never a token."""

    source: Source
    reason: Reason
    message: str
    token: str | None = None
    kind: str | None = None
    origin: str | None = None
    expires_at: datetime | None = None
    api_url: str | None = None
    trouble: Trouble | None = None

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"Resolution({self.source!r}, {self.reason.value}, {self.message!r})"

    @property
    def web_origin(self) -> str | None:
        """Return the one origin where git may send the token."""
        return None if self.api_url is None else origins.origin(origins.web_url(self.api_url))

    @property
    def undecided(self) -> bool:
        """Tell whether the answer may still come: what runs is then left as it is."""
        return self.trouble is not None and not isinstance(self.trouble, Stalled)


def get_effective_github_token(
    asked: Source | None, project: Candidate | None, inherited: Candidate | None
) -> Resolution:
    """Climb the ladder.

    `asked` is spec.token.source; `project` is what spec.token.secretRef names, `inherited` what the GitHubUser offers;
    None means that nobody named one. A token that is named and unusable is reported and replaced by nothing: to borrow
    another one silently would run the workload under an identity that nobody asked for.
    """
    if asked == "none":
        return Resolution("none", Reason.OPTED_OUT, "spec.token.source is none: the workload gets no token.")
    if asked == "project" or (asked is None and project is not None):
        return _from_project(project)
    if inherited is not None:
        return _from(inherited, "global", Reason.GLOBAL_TOKEN, "the user's global token")
    if asked == "global":
        trouble = Stalled(
            Reason.GLOBAL_TOKEN_MISSING,
            "spec.token.source is global, but the GitHubUser has no token. Give it one, or change the source.",
        )
        return Resolution("none", trouble.reason, trouble.message, trouble=trouble)
    return Resolution("none", Reason.NO_TOKEN, "Neither the Project nor its GitHubUser has a token.")


def _from_project(project: Candidate | None) -> Resolution:
    if project is None:
        trouble = Stalled(Reason.INVALID_SPEC, "spec.token.secretRef: required where spec.token.source is project.")
        return Resolution("none", trouble.reason, trouble.message, trouble=trouble)
    return _from(project, "project", Reason.PROJECT_TOKEN, "the Project's own token")


def _from(candidate: Candidate, source: Source, reason: Reason, what: str) -> Resolution:
    if candidate.trouble is not None:
        found = candidate.trouble
        return Resolution("none", found.reason, found.message, origin=candidate.origin, trouble=found)
    return Resolution(
        source,
        reason,
        f"The workload gets {what}, from {candidate.origin}.",
        token=candidate.token,
        kind=candidate.kind,
        origin=candidate.origin,
        expires_at=candidate.expires_at,
        api_url=candidate.api_url,
    )


def matches_owner(owner: str, patterns: Sequence[str]) -> bool:
    """Tell whether a repository's owner fits one of a token's owners: exact names or globs, without regard to case."""
    return any(compile_pattern(translate(pattern.casefold())).match(owner.casefold()) for pattern in patterns)

"""GitHubUser: which of its Secrets counts for whom, who wins an identity, and what its status says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mooring.domain import names
from mooring.domain.conditions import Wanted, timestamp, verdict
from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.github_user import GitHubUser
from mooring.domain.tokens import matches_owner

# How long before its end an expiring token is told of: a person needs a working week to replace one.
EXPIRY_NOTICE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """Which Secret holds the token for a repository owner."""

    secret: str
    key: str
    # False where nobody named it: the Secret that people may write or not.
    named: bool
    # The entry of spec.tokens, where it was one.
    entry: str | None = None


def user_id(user: GitHubUser) -> str:
    """Return the identity that the user's Secret is named after."""
    return user.spec.user_id or user.metadata.name


def choose_token(user: GitHubUser, owner: str | None) -> TokenChoice:
    """Pick the first token whose owners match the repository's owner, else the plain one."""
    if owner is not None:
        for entry in user.spec.tokens:
            if matches_owner(owner, entry.owners):
                return TokenChoice(entry.secret_ref.name, entry.secret_ref.key, named=True, entry=entry.name)
    if (ref := user.spec.token_secret_ref) is not None:
        return TokenChoice(ref.name, ref.key, named=True)
    return TokenChoice(names.global_secret(user_id(user)), names.GLOBAL_TOKEN_KEY, named=False)


def copy_is_wanted(user: GitHubUser) -> bool:
    """Tell whether Mooring keeps the well-known Secret as its copy, or leaves it to people as the input."""
    ref = user.spec.token_secret_ref
    return ref is not None and ref.name != names.global_secret(user_id(user)) and not user.spec.suspend


def first_of(users: Iterable[GitHubUser]) -> str | None:
    """Return the name of the one that keeps what several claim: the oldest object."""
    first = min(users, key=lambda u: (str(u.metadata.creation_timestamp or ""), u.metadata.uid or ""), default=None)
    return first.metadata.name if first is not None else None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of the plain token."""

    fingerprint: str
    kind: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    login: str
    github_id: int


@dataclass(frozen=True, slots=True)
class UserObservation:
    """All that a GitHubUser's status is made of."""

    user: GitHubUser
    generation: int
    status: Mapping[str, Any]
    facts: TokenFacts | None
    # The worst trouble of any of its tokens, or of the object itself.
    trouble: Trouble | None
    projects: Mapping[str, int]
    # Whether a grant speaks of labels that Mooring may not read.
    unreadable_grant: bool = False


def is_expiring(expires_at: datetime | None, now: datetime) -> bool:
    """Tell whether it is time to tell people of a token's end."""
    return expires_at is not None and expires_at - now <= EXPIRY_NOTICE


def expiry_trouble(expires_at: datetime | None, origin: str, now: datetime) -> Stalled | None:
    """Say that a token is dead, where GitHub told its end."""
    if expires_at is None or expires_at > now:
        return None
    return Stalled(
        Reason.TOKEN_EXPIRED,
        f"The token in {origin} expired at {timestamp(expires_at)}. Make a new one and replace it.",
    )


def token_condition(observed: UserObservation, now: datetime) -> Wanted:
    """Return TokenResolved for a GitHubUser."""
    facts, trouble = observed.facts, observed.trouble
    if trouble is not None:
        unknown = not isinstance(trouble, Stalled)
        return Wanted(ConditionType.TOKEN_RESOLVED, None if unknown else False, trouble.reason, trouble.message)
    if facts is None:
        return Wanted(ConditionType.TOKEN_RESOLVED, True, Reason.NO_TOKEN, "There is no global token.")
    if facts.expires_at is not None and is_expiring(facts.expires_at, now):
        message = f"The token expires at {timestamp(facts.expires_at)}. Make a new one and replace it before."
        return Wanted(ConditionType.TOKEN_RESOLVED, True, Reason.TOKEN_EXPIRING, message)
    return Wanted(ConditionType.TOKEN_RESOLVED, True, Reason.RESOLVED, f"The token belongs to {facts.login}.")


def conditions(observed: UserObservation, now: datetime) -> list[Wanted]:
    """Return the conditions of a GitHubUser."""
    token = token_condition(observed, now)
    suspended = bool(observed.user.spec.suspend)
    ready, *rest = verdict(observed.trouble, suspended=suspended, progressing=None, ready="The tokens are valid.")
    if ready.status and not suspended and observed.facts is None:
        ready = Wanted(ConditionType.READY, True, Reason.NO_TOKEN, token.message)
    elif ready.status and not suspended and token.reason is Reason.TOKEN_EXPIRING:
        ready = Wanted(ConditionType.READY, True, Reason.TOKEN_EXPIRING, token.message)
    elif ready.status and not suspended and observed.unreadable_grant:
        ready = Wanted(ConditionType.READY, True, Reason.GRANT_UNREADABLE, Reason.GRANT_UNREADABLE.sentence)
    return [ready, token, *rest]


def status_fields(observed: UserObservation, now: datetime) -> dict[str, Any]:
    """Return the fields of the status, None for those that must not be there. Conditions apart."""
    facts = observed.facts
    before = observed.status.get("token") or {}
    keep = facts is None and observed.trouble is not None and not isinstance(observed.trouble, Stalled)
    if keep:
        # GitHub did not answer: what was known is still the best that is known.
        return {"observedGeneration": observed.generation, "projects": dict(observed.projects)}
    return {
        "observedGeneration": observed.generation,
        "tokenSet": facts is not None,
        "login": facts.login if facts else None,
        "githubId": facts.github_id if facts else None,
        "token": _token_status(facts, before, now) if facts else None,
        "projects": dict(observed.projects),
    }


def _token_status(facts: TokenFacts, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    same = before.get("fingerprint") == facts.fingerprint
    return {
        "fingerprint": facts.fingerprint,
        "kind": facts.kind,
        "scopes": list(facts.scopes) or None,
        "expiresAt": timestamp(facts.expires_at) if facts.expires_at else None,
        "updatedAt": before.get("updatedAt") if same and before.get("updatedAt") else timestamp(now),
    }


def next_look(
    now: datetime, *, interval: timedelta, jitter: float, expires_at: datetime | None, trouble: Trouble | None
) -> datetime:
    """Return when a token is looked at again by itself: in an interval, or when its notice or its end comes."""
    moments = [now + interval * (0.9 + 0.2 * jitter)]
    if isinstance(trouble, Waiting):
        moments.append(trouble.until)
    if expires_at is not None:
        moments += [moment for moment in (expires_at - EXPIRY_NOTICE, expires_at) if moment > now]
    return min(moments)

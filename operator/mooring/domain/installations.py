"""GitHubInstallation: what GitHub says of one, which one a spec means, and what its status says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.conditions import Wanted, timestamp, verdict
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.github_installation import (
    GitHubInstallation,
    GitHubInstallationSpec,
    InstallationPhase,
)

# While a token that is due could not be replaced, it is tried again at least this often: an outage may begin when a
# token is two thirds through its hour and last for 15 minutes, and the token after it has to be there in time.
RETRY_AT_MOST = timedelta(seconds=60)

# The schema's bounds: a status that breaks one is refused as a whole, and an old one would stay.
_MOST_PERMISSIONS, _PERMISSION_LENGTH = 64, 256
_MOST_EVENTS = 100
_WORD_LENGTH, _ADDRESS_LENGTH = 128, 1024
_LARGEST_ID, _LARGEST_COUNT = 2**53 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What GitHub says about an App, to its key."""

    id: int
    slug: str


@dataclass(frozen=True, slots=True)
class InstallationFacts:
    """What GitHub says about an installation, to its App."""

    id: int
    app_id: int
    app_slug: str
    account_id: int
    account_login: str
    account_type: str
    avatar_url: str
    # all | selected, in GitHub's words
    selection: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    suspended: bool


@dataclass(frozen=True, slots=True)
class MintedToken:
    """An installation token, and what GitHub says that it may do."""

    token: str = field(repr=False)
    # Both by GitHub's clock.
    issued_at: datetime
    expires_at: datetime
    permissions: Mapping[str, str]
    # None: all that the installation covers.
    repository_ids: frozenset[int] | None


# --- which installation ---


def pick(
    facts: Iterable[InstallationFacts], spec: GitHubInstallationSpec, account_ids: Collection[int]
) -> InstallationFacts | None:
    """Pick the installation that a spec means from all those of a shared App, among the accounts that are bound.

    Nothing is told of any other account: one that exists and is not bound looks like one that does not exist.
    """
    meant = [it for it in facts if it.account_id in account_ids and _is_meant(it, spec)]
    # Where the list was read while the App was installed anew, both may be in it; ids grow.
    return max(meant, key=lambda it: it.id, default=None)


def _is_meant(facts: InstallationFacts, spec: GitHubInstallationSpec) -> bool:
    if spec.installation_id is not None:
        return facts.id == spec.installation_id
    login = spec.account if spec.account is not None else (spec.repository or "").partition("/")[0]
    return facts.account_login.casefold() == login.casefold()


def check_account(pinned_id: int | None, facts: InstallationFacts) -> None:
    """Raise Stalled where another account is behind the installation than the one that was proven first."""
    if pinned_id is not None and facts.account_id != pinned_id:
        raise Stalled(
            Reason.ACCOUNT_CHANGED,
            f"The account {facts.account_login} has the id {facts.account_id}; the one that this object was made for"
            f" has {pinned_id}. No token is made. Delete this object, and make a new one if you mean that account.",
        )


# --- conditions and status ---


@dataclass(frozen=True, slots=True)
class InstallationObservation:
    """All that a GitHubInstallation's status is made of."""

    installation: GitHubInstallation
    generation: int
    status: Mapping[str, Any]
    app: AppFacts | None = None
    # None: GitHub did not say, or nothing was asked.
    facts: InstallationFacts | None = None
    # None: as the facts have it, or unknown.
    phase: InstallationPhase | None = None
    repository_count: int | None = None
    # The end of the newest token, by GitHub's clock.
    token_expires_at: datetime | None = None
    # The worst trouble of the object itself, its outputs and its clones.
    trouble: Trouble | None = None
    webhook_url: str | None = None
    # Whether a grant speaks of labels that Mooring may not read.
    unreadable_grant: bool = False
    # How many Secrets of each sort are to hold a token.
    outputs: int = 0
    clones: int = 0
    # Whether a token is past the moment of its replacement.
    refresh_due: bool = False


_GONE = {
    InstallationPhase.SUSPENDED: Reason.INSTALLATION_SUSPENDED,
    InstallationPhase.DELETED: Reason.INSTALLATION_DELETED,
}
# Unlike the other kinds, nothing is kept: a token that nobody renews would end in somebody's hands.
_SUSPENDED = "spec.suspend is true: no token is made, the outputs and the clone credentials are removed, and revoked."
_PHASES = {reason: phase for phase, reason in _GONE.items()}


def pinned_account(status: Mapping[str, Any]) -> int | None:
    """Return the id of the account that the status remembers."""
    account = status.get("account")
    pinned = account.get("id") if isinstance(account, Mapping) else None
    return pinned if isinstance(pinned, int) and not isinstance(pinned, bool) else None


def conditions(observed: InstallationObservation, now: datetime) -> list[Wanted]:
    """Return the conditions of a GitHubInstallation; `now` by GitHub's clock, like the token's end."""
    trouble, suspended = _told_trouble(observed, now), bool(observed.installation.spec.suspend)
    ready, *rest = verdict(
        trouble, suspended=suspended, progressing=None, ready="The installation works, and every token is fresh."
    )
    if ready.status and suspended:
        ready = Wanted(ConditionType.READY, True, Reason.SUSPENDED, _SUSPENDED)
    elif ready.status and observed.unreadable_grant:
        ready = Wanted(ConditionType.READY, True, Reason.GRANT_UNREADABLE, Reason.GRANT_UNREADABLE.sentence)
    return [ready, _token_condition(observed, trouble), *rest]


def _told_trouble(observed: InstallationObservation, now: datetime) -> Trouble | None:
    """Return the trouble as people are told of it: what GitHub took away, and how long the present token holds."""
    trouble, phase = observed.trouble, _phase(observed)
    if trouble is None and phase in _GONE:
        reason = _GONE[phase]
        return Stalled(reason, reason.sentence)
    end = observed.token_expires_at
    if trouble is None or isinstance(trouble, Stalled) or end is None:
        return trouble
    if end <= now:
        return _retold(trouble, trouble.reason, f"{trouble.message} The last token ended at {timestamp(end)}.")
    reason = Reason.REFRESH_FAILED if observed.refresh_due else trouble.reason
    return _retold(trouble, reason, f"{trouble.message} The present token is good until {timestamp(end)}.")


def _retold(trouble: Trouble, reason: Reason, message: str) -> Trouble:
    if isinstance(trouble, Waiting):
        return Waiting(reason, message, until=trouble.until)
    return Transient(reason, message)


def _token_condition(observed: InstallationObservation, trouble: Trouble | None) -> Wanted:
    kind = ConditionType.TOKEN_RESOLVED
    if trouble is not None:
        return Wanted(kind, False if isinstance(trouble, Stalled) else None, trouble.reason, trouble.message)
    if observed.installation.spec.suspend:
        return Wanted(kind, True, Reason.SUSPENDED, _SUSPENDED)
    if not observed.outputs and not observed.clones:
        return Wanted(kind, True, Reason.NO_TOKEN, "No output and no Project asks for a token.")
    held = f"Outputs with a fresh token: {observed.outputs}; clone Secrets: {observed.clones}."
    return Wanted(kind, True, Reason.TOKENS_FRESH, held)


def _phase(observed: InstallationObservation) -> InstallationPhase | None:
    if observed.phase is not None:
        return observed.phase
    if isinstance(observed.trouble, Stalled) and observed.trouble.reason in _PHASES:
        return _PHASES[observed.trouble.reason]
    if observed.facts is None:
        return None
    return InstallationPhase.SUSPENDED if observed.facts.suspended else InstallationPhase.ACTIVE


def status_fields(observed: InstallationObservation) -> dict[str, Any]:
    """Return the fields of the status, None for those that must not be there. Conditions and the gateway's hint apart.

    Where GitHub did not answer, what was known is still the best that is known. Where it took something away, that
    goes, but the account stays whatever happens: it is what a look-alike is told from.
    """
    end, url = observed.token_expires_at, observed.webhook_url
    always = {
        "observedGeneration": observed.generation,
        "webhook": {"url": url} if url is not None and len(url) <= _ADDRESS_LENGTH else None,
    }
    phase, pinned, facts = _phase(observed), pinned_account(observed.status), observed.facts
    unknown = observed.trouble is not None and not isinstance(observed.trouble, Stalled)
    if facts is None and unknown:
        known = {"phase": phase.value if phase else None, "tokenExpiresAt": timestamp(end) if end else None}
        return {**always, **{name: value for name, value in known.items() if value is not None}}
    if facts is not None and pinned is not None and facts.account_id != pinned:
        # Another account: nothing of it takes the place of what was proven.
        facts = phase = None
    count = observed.repository_count
    fields = {
        **always,
        "phase": phase.value if phase else None,
        "tokenExpiresAt": timestamp(end) if end else None,
        **_identity_fields(observed.app, facts),
        **_grant_fields(facts, observed.status),
    }
    if count is not None or not unknown:
        fields["repositoryCount"] = None if facts is None or count is None else min(count, _LARGEST_COUNT)
    return fields


def _identity_fields(app: AppFacts | None, facts: InstallationFacts | None) -> dict[str, Any]:
    """Return who it is. Without facts what is remembered stays."""
    if facts is None:
        return {"appId": _id(app.id), "appSlug": _word(app.slug)} if app is not None else {}
    return {
        "appId": _id(facts.app_id),
        "appSlug": _word(facts.app_slug),
        "installationId": _id(facts.id),
        "account": {
            "login": _word(facts.account_login),
            "id": _id(facts.account_id),
            "type": _word(facts.account_type),
            "avatarUrl": facts.avatar_url if 0 < len(facts.avatar_url) <= _ADDRESS_LENGTH else None,
        },
    }


def _grant_fields(facts: InstallationFacts | None, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what GitHub grants. A permission that was taken away is named with None: maps are merged key by key."""
    if facts is None:
        return {"repositorySelection": None, "permissions": None, "events": None}
    told = {name: level[:_PERMISSION_LENGTH] for name, level in sorted(facts.permissions.items())[:_MOST_PERMISSIONS]}
    return {
        "repositorySelection": _word(facts.selection),
        "permissions": {**dict.fromkeys(status.get("permissions") or ()), **told},
        "events": sorted({event[:_WORD_LENGTH] for event in facts.events})[:_MOST_EVENTS] or None,
    }


def _id(value: int) -> int | None:
    return value if 0 < value <= _LARGEST_ID else None


def _word(text: str) -> str | None:
    return text[:_WORD_LENGTH] or None


# --- when to look again ---


def next_look(
    now: datetime,
    *,
    interval: timedelta,
    jitter: float,
    refresh_times: Iterable[datetime],
    trouble: Trouble | None,
) -> datetime:
    """Return when an installation is looked at again by itself: in an interval, or when a token is due.

    A token that is due already is tried again soon, but never at once: one whose life makes no sense is always due.
    Not where a person must act, nor before the time that a Waiting names. Jitter is between 0 and 1.
    """
    times = list(refresh_times)
    moments = [now + interval * (0.9 + 0.2 * jitter), *(moment for moment in times if moment > now)]
    if isinstance(trouble, Waiting):
        moments.append(max(trouble.until, now))
    elif isinstance(trouble, Transient) or (trouble is None and len(moments) <= len(times)):
        moments.append(now + RETRY_AT_MOST * (0.5 + 0.5 * jitter))
    return min(moments)

"""A GitHubUser's rules: which Secret counts, who keeps an identity, what the status says, when to look again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.conditions import Wanted
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.github_user import GitHubUser, GitHubUserStatus
from mooring.domain.status import changed_fields
from mooring.domain.users import (
    EXPIRY_NOTICE,
    TokenChoice,
    TokenFacts,
    UserObservation,
    choose_token,
    conditions,
    copy_is_wanted,
    expiry_trouble,
    first_of,
    next_look,
    status_fields,
    user_id,
)
from tests.unit.objects import NOW, user

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ENTRIES = [
    {"name": "exact", "owners": ["acme"], "secretRef": {"name": "exact-pat"}},
    {"name": "glob", "owners": ["acme*"], "secretRef": {"name": "glob-pat", "key": "k"}},
]
GONE = Stalled(Reason.TOKEN_INVALID, "GitHub refuses it.")
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")


def facts(expires_at: datetime | None = None, fingerprint: str = "f" * 16) -> TokenFacts:
    return TokenFacts(fingerprint, "classic", ("repo",), expires_at, "octocat", 7)


def observed(
    found: TokenFacts | None = None,
    trouble: Trouble | None = None,
    status: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
) -> UserObservation:
    counts = {"global": 1, "project": 2, "none": 0}
    return UserObservation(user(spec=spec or {}), 3, status or {}, found, trouble, counts)


def by_type(found: list[Wanted]) -> dict[ConditionType, Wanted]:
    assert len({condition.type for condition in found}) == len(found)
    return {condition.type: condition for condition in found}


# --- which Secret ---


@pytest.mark.parametrize(
    ("owner", "choice"),
    [
        ("acme", TokenChoice("exact-pat", "github-token", named=True, entry="exact")),
        ("ACME", TokenChoice("exact-pat", "github-token", named=True, entry="exact")),
        ("acme-labs", TokenChoice("glob-pat", "k", named=True, entry="glob")),
        ("octo", TokenChoice("user-default-global-secrets", "github-token", named=False)),
        (None, TokenChoice("user-default-global-secrets", "github-token", named=False)),
    ],
)
def test_the_first_entry_for_an_owner_wins_over_the_plain_token(owner: str | None, choice: TokenChoice) -> None:
    assert choose_token(user(spec={"tokens": ENTRIES}), owner) == choice


def test_a_named_plain_token_comes_from_where_it_is_named() -> None:
    named = user(spec={"tokenSecretRef": {"name": "pat", "key": "k"}})
    assert choose_token(named, "acme") == TokenChoice("pat", "k", named=True)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, False),
        ({"tokenSecretRef": {"name": "pat"}}, True),
        ({"tokenSecretRef": {"name": "pat"}, "suspend": True}, False),
        # The well-known Secret itself is an input: it is never a copy of its own.
        ({"tokenSecretRef": {"name": "user-default-global-secrets"}}, False),
        ({"userId": "jane", "tokenSecretRef": {"name": "user-jane-global-secrets"}}, False),
    ],
)
def test_a_copy_is_kept_of_what_is_named_elsewhere(spec: dict[str, Any], wanted: bool) -> None:
    assert copy_is_wanted(user(spec=spec)) is wanted


def test_the_identity_is_the_name_unless_it_is_given() -> None:
    assert user_id(user("jane")) == "jane"
    assert user_id(user("jane", {"userId": "j.doe"})) == "j.doe"


RIVALS = [
    user("young", creationTimestamp="2026-01-02T00:00:00Z"),
    user("old", creationTimestamp="2026-01-01T00:00:00Z"),
    user("as-old", creationTimestamp="2026-01-01T00:00:00Z", uid="z"),
]


@given(st.permutations(RIVALS))
def test_the_oldest_keeps_what_several_claim_in_any_order(rivals: list[GitHubUser]) -> None:
    assert first_of(rivals) == "old"


def test_nobody_claims_nothing() -> None:
    assert first_of([]) is None


# --- conditions and status ---


@pytest.mark.parametrize(
    ("found", "ready", "token"),
    [
        (observed(), (True, Reason.NO_TOKEN), (True, Reason.NO_TOKEN)),
        (observed(facts()), (True, Reason.READY), (True, Reason.RESOLVED)),
        (observed(facts(NOW + 30 * DAY)), (True, Reason.READY), (True, Reason.RESOLVED)),
        (observed(facts(NOW + EXPIRY_NOTICE)), (True, Reason.TOKEN_EXPIRING), (True, Reason.TOKEN_EXPIRING)),
        (observed(facts(), spec={"suspend": True}), (True, Reason.SUSPENDED), (True, Reason.RESOLVED)),
        (observed(spec={"suspend": True}), (True, Reason.SUSPENDED), (True, Reason.NO_TOKEN)),
        (observed(None, GONE), (False, Reason.TOKEN_INVALID), (False, Reason.TOKEN_INVALID)),
        (observed(None, GONE, spec={"suspend": True}), (False, Reason.TOKEN_INVALID), (False, Reason.TOKEN_INVALID)),
        (observed(None, AWAY), (False, Reason.GITHUB_UNAVAILABLE), (None, Reason.GITHUB_UNAVAILABLE)),
        # The plain token is fine, another one is not.
        (observed(facts(), GONE), (False, Reason.TOKEN_INVALID), (False, Reason.TOKEN_INVALID)),
    ],
)
def test_conditions(found: UserObservation, ready: tuple[bool, Reason], token: tuple[bool | None, Reason]) -> None:
    told = by_type(conditions(found, NOW))
    assert (told[ConditionType.READY].status, told[ConditionType.READY].reason) == ready
    assert (told[ConditionType.TOKEN_RESOLVED].status, told[ConditionType.TOKEN_RESOLVED].reason) == token
    assert told[ConditionType.STALLED].status is (found.trouble is GONE)
    assert told[ConditionType.RECONCILING].status is (found.trouble is AWAY)


def test_what_is_known_stays_while_github_does_not_answer_and_goes_with_the_token() -> None:
    status = dict(status_fields(observed(facts(NOW + DAY)), NOW))
    away = status_fields(observed(None, AWAY, status=status), NOW + HOUR)
    assert changed_fields(status, away) == {}
    gone = changed_fields(status, status_fields(observed(None, GONE, status=status), NOW + HOUR))
    assert gone == {"tokenSet": False, "login": None, "githubId": None, "token": None}


def test_the_same_token_keeps_its_time_and_another_one_gets_a_new_one() -> None:
    status = status_fields(observed(facts()), NOW)
    assert status_fields(observed(facts(), status=status), NOW + HOUR) == status
    replaced = status_fields(observed(facts(fingerprint="0" * 16), status=status), NOW + HOUR)
    assert replaced["token"]["updatedAt"] == "2026-03-01T13:00:00Z"


@pytest.mark.parametrize("found", [observed(), observed(facts(NOW)), observed(None, GONE), observed(None, AWAY)])
def test_the_status_is_one_that_the_schema_knows(found: UserObservation) -> None:
    fields = status_fields(found, NOW)
    known = {field.alias or name for name, field in GitHubUserStatus.model_fields.items()}
    assert set(fields) <= known
    GitHubUserStatus.model_validate(fields)


def test_a_dead_token_is_told_from_the_moment_of_its_end() -> None:
    assert expiry_trouble(None, "Secret pat", NOW) is None
    assert expiry_trouble(NOW + timedelta(seconds=1), "Secret pat", NOW) is None
    dead = expiry_trouble(NOW, "Secret pat", NOW)
    assert dead is not None
    assert dead.reason is Reason.TOKEN_EXPIRED
    assert "Secret pat" in dead.message


# --- when to look again ---


@given(
    minutes=st.integers(1, 24 * 60),
    jitter=st.floats(0, 1),
    life=st.none() | st.integers(-20 * 24 * 60, 20 * 24 * 60),
    pause=st.none() | st.integers(1, 100),
)
def test_the_next_look_is_ahead_and_no_moment_is_missed(
    minutes: int, jitter: float, life: int | None, pause: int | None
) -> None:
    interval = timedelta(minutes=minutes)
    expires_at = NOW + timedelta(minutes=life) if life is not None else None
    until = NOW + timedelta(minutes=pause) if pause is not None else None
    trouble = Waiting(Reason.RATE_LIMITED, "m", until=until) if until is not None else None
    at = next_look(NOW, interval=interval, jitter=jitter, expires_at=expires_at, trouble=trouble)
    assert NOW < at <= NOW + interval * 1.1
    moments = [until, expires_at, expires_at - EXPIRY_NOTICE if expires_at else None]
    assert all(at <= moment for moment in moments if moment is not None and moment > NOW)

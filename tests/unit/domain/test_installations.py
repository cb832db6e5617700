"""A GitHubInstallation's rules: which one a spec means, what its status says and keeps, when to look again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.conditions import Wanted
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.installations import (
    RETRY_AT_MOST,
    AppFacts,
    InstallationFacts,
    InstallationObservation,
    check_account,
    conditions,
    next_look,
    pick,
    pinned_account,
    status_fields,
)
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.github_installation import (
    GitHubInstallation,
    GitHubInstallationStatus,
    InstallationPhase,
)
from mooring.domain.status import changed_fields, without_nothing
from tests.unit.objects import NOW, raw

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
END = NOW + 20 * MINUTE
SHOWN_END = "2026-03-01T12:20:00Z"
APP = AppFacts(1, "mooring")
HOOK = "https://hooks.example.com/webhooks/github/abc"
REFUSED = Stalled(Reason.APP_REFUSED, "GitHub refuses the key.")
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
LIMITED = Waiting(Reason.RATE_LIMITED, "The limit is reached.", until=NOW + MINUTE)


def installation(**spec: Any) -> GitHubInstallation:
    return GitHubInstallation.model_validate(raw("GitHubInstallation", "acme", spec or {"account": "acme"}))


def facts(**changes: Any) -> InstallationFacts:
    found = InstallationFacts(
        id=5, app_id=1, app_slug="mooring", account_id=7, account_login="Acme", account_type="Organization",
        avatar_url="https://avatars.example.com/7", selection="selected",
        permissions={"contents": "read", "metadata": "read"}, events=("push", "installation"), suspended=False,
    )  # fmt: skip
    return replace(found, **changes)


def observed(**changes: Any) -> InstallationObservation:
    whole: dict[str, Any] = {
        "installation": installation(),
        "generation": 3,
        "status": {},
        "app": APP,
        "facts": facts(),
        "repository_count": 12,
        "token_expires_at": END,
        "webhook_url": HOOK,
        "outputs": 1,
        "clones": 2,
    }
    return InstallationObservation(**{**whole, **changes})


def stored(found: InstallationObservation) -> dict[str, Any]:
    """Return the status as the API server then keeps it."""
    merged = dict(found.status)
    for name, value in status_fields(found).items():
        if isinstance(value, dict):
            old = merged.get(name)
            value = without_nothing({**(old if isinstance(old, dict) else {}), **value})  # noqa: PLW2901
        merged[name] = value
    return without_nothing(merged)


STATUS = stored(observed())


# --- which installation ---

HERE, OTHER = facts(), facts(id=6, account_id=8, account_login="other")


@pytest.mark.parametrize(
    ("spec", "bound", "found"),
    [
        ({"account": "ACME"}, {7, 8}, HERE),
        ({"installationId": 6}, {7, 8}, OTHER),
        ({"repository": "aCme/api"}, {7}, HERE),
        ({"account": "other"}, {7}, None),
        ({"installationId": 6}, {7}, None),
        ({"repository": "other/api"}, {7}, None),
        ({"account": "acme-labs"}, {7, 8}, None),
        ({"installationId": 7}, {7, 8}, None),
        ({"account": "acme"}, set(), None),
    ],
)
def test_an_installation_is_picked_among_the_bound_accounts_only(
    spec: dict[str, Any], bound: set[int], found: InstallationFacts | None
) -> None:
    assert pick([OTHER, HERE], installation(**spec).spec, bound) == found


def test_of_two_on_one_account_the_newer_one_is_there() -> None:
    old, new = facts(id=2**53 - 2), facts(id=2**53 - 1)
    for order in ([old, new], [new, old]):
        assert pick(order, installation().spec, {7}) == new


def test_another_account_behind_the_same_login_stalls() -> None:
    check_account(None, facts())
    check_account(7, facts(account_login="renamed"))
    with pytest.raises(Stalled) as caught:
        check_account(7, facts(account_id=7 + 2**40))
    assert caught.value.reason is Reason.ACCOUNT_CHANGED


@pytest.mark.parametrize(
    "status", [{}, {"account": None}, {"account": {}}, {"account": {"id": True}}, {"account": "7"}]
)
def test_nothing_is_pinned_by_a_status_without_an_account(status: dict[str, Any]) -> None:
    assert pinned_account(status) is None
    assert pinned_account({"account": {"id": 7}}) == 7


# --- conditions ---


def by_type(found: Iterable[Wanted]) -> dict[ConditionType, Wanted]:
    listed = list(found)
    assert {condition.type for condition in listed} == {
        ConditionType.READY, ConditionType.TOKEN_RESOLVED, ConditionType.RECONCILING, ConditionType.STALLED,
    }  # fmt: skip
    assert len(listed) == 4
    return {condition.type: condition for condition in listed}


SUSPENDED = installation(account="acme", suspend=True)
GONE, PAUSED = InstallationPhase.DELETED, InstallationPhase.SUSPENDED


@pytest.mark.parametrize(
    ("changes", "ready", "token", "stalled"),
    [
        ({}, (True, Reason.READY), (True, Reason.TOKENS_FRESH), False),
        ({"outputs": 0, "clones": 0}, (True, Reason.READY), (True, Reason.NO_TOKEN), False),
        ({"outputs": 0}, (True, Reason.READY), (True, Reason.TOKENS_FRESH), False),
        ({"unreadable_grant": True}, (True, Reason.GRANT_UNREADABLE), (True, Reason.TOKENS_FRESH), False),
        ({"installation": SUSPENDED}, (True, Reason.SUSPENDED), (True, Reason.SUSPENDED), False),
        ({"installation": SUSPENDED, "unreadable_grant": True}, (True, Reason.SUSPENDED),
         (True, Reason.SUSPENDED), False),
        ({"installation": SUSPENDED, "trouble": REFUSED}, (False, Reason.APP_REFUSED),
         (False, Reason.APP_REFUSED), True),
        ({"trouble": REFUSED}, (False, Reason.APP_REFUSED), (False, Reason.APP_REFUSED), True),
        ({"facts": facts(suspended=True)}, (False, Reason.INSTALLATION_SUSPENDED),
         (False, Reason.INSTALLATION_SUSPENDED), True),
        ({"phase": PAUSED}, (False, Reason.INSTALLATION_SUSPENDED), (False, Reason.INSTALLATION_SUSPENDED), True),
        ({"phase": GONE, "facts": None}, (False, Reason.INSTALLATION_DELETED),
         (False, Reason.INSTALLATION_DELETED), True),
        ({"trouble": AWAY}, (False, Reason.GITHUB_UNAVAILABLE), (None, Reason.GITHUB_UNAVAILABLE), False),
        ({"trouble": LIMITED}, (False, Reason.RATE_LIMITED), (None, Reason.RATE_LIMITED), False),
        ({"trouble": AWAY, "refresh_due": True}, (False, Reason.REFRESH_FAILED), (None, Reason.REFRESH_FAILED), False),
        ({"trouble": LIMITED, "refresh_due": True}, (False, Reason.REFRESH_FAILED),
         (None, Reason.REFRESH_FAILED), False),
        # The old one is not good any more: that is another case.
        ({"trouble": AWAY, "refresh_due": True, "token_expires_at": NOW}, (False, Reason.GITHUB_UNAVAILABLE),
         (None, Reason.GITHUB_UNAVAILABLE), False),
    ],
)  # fmt: skip
def test_conditions(
    changes: dict[str, Any], ready: tuple[bool, Reason], token: tuple[bool | None, Reason], stalled: bool
) -> None:
    told = by_type(conditions(observed(**changes), NOW))
    assert (told[ConditionType.READY].status, told[ConditionType.READY].reason) == ready
    assert (told[ConditionType.TOKEN_RESOLVED].status, told[ConditionType.TOKEN_RESOLVED].reason) == token
    assert told[ConditionType.STALLED].status is stalled
    assert told[ConditionType.RECONCILING].status is (token[0] is None)


@pytest.mark.parametrize("trouble", [AWAY, LIMITED])
@pytest.mark.parametrize("due", [True, False])
def test_people_are_told_how_long_the_present_token_holds(trouble: Trouble, due: bool) -> None:
    told = by_type(conditions(observed(trouble=trouble, refresh_due=due), NOW))
    assert told[ConditionType.READY].message == f"{trouble.message} The present token is good until {SHOWN_END}."
    told = by_type(conditions(observed(trouble=trouble, refresh_due=due), END))
    assert told[ConditionType.READY].message == f"{trouble.message} The last token ended at {SHOWN_END}."
    told = by_type(conditions(observed(trouble=trouble, token_expires_at=None), NOW))
    assert told[ConditionType.READY].message == trouble.message


def test_a_quiet_hour_changes_no_condition() -> None:
    # Only status.tokenExpiresAt moves when a token is replaced.
    later = observed(token_expires_at=END + HOUR)
    assert conditions(observed(), NOW) == conditions(later, NOW + HOUR)


# --- status ---


def test_the_status_says_all_that_is_known() -> None:
    assert status_fields(observed()) == {
        "observedGeneration": 3,
        "phase": "Active",
        "installationId": 5,
        "appId": 1,
        "appSlug": "mooring",
        "account": {
            "login": "Acme",
            "id": 7,
            "type": "Organization",
            "avatarUrl": "https://avatars.example.com/7",
        },
        "repositorySelection": "selected",
        "repositoryCount": 12,
        "permissions": {"contents": "read", "metadata": "read"},
        "events": ["installation", "push"],
        "tokenExpiresAt": SHOWN_END,
        "webhook": {"url": HOOK},
    }


def test_every_field_but_the_gateway_s_and_the_conditions_is_written() -> None:
    known = {field.alias or name for name, field in GitHubInstallationStatus.model_fields.items()}
    assert set(status_fields(observed())) == known - {"hint", "conditions"}
    nothing = observed(facts=None, app=None, repository_count=None, token_expires_at=None, webhook_url=None)
    assert set(status_fields(nothing)) <= known - {"hint", "conditions"}


def test_the_same_again_writes_nothing() -> None:
    reordered = facts(events=("installation", "push"), permissions={"metadata": "read", "contents": "read"})
    assert changed_fields(STATUS, status_fields(observed(status=STATUS, facts=reordered))) == {}


@pytest.mark.parametrize("trouble", [AWAY, LIMITED])
def test_what_is_known_stays_while_github_does_not_answer(trouble: Trouble) -> None:
    silent = {"facts": None, "app": None, "repository_count": None, "trouble": trouble, "status": STATUS}
    assert changed_fields(STATUS, status_fields(observed(**silent))) == {}
    assert changed_fields(STATUS, status_fields(observed(**silent, token_expires_at=None))) == {}
    # It answered, and only the count is missing.
    assert changed_fields(STATUS, status_fields(observed(**{**silent, "facts": facts(), "app": APP}))) == {}


@pytest.mark.parametrize(
    ("trouble", "phase"),
    [
        (REFUSED, None),
        (Stalled(Reason.APP_NOT_BOUND, "m"), None),
        (Stalled(Reason.INSTALLATION_DELETED, "m"), "Deleted"),
        (Stalled(Reason.INSTALLATION_SUSPENDED, "m"), "Suspended"),
    ],
)
def test_what_was_taken_away_goes_and_the_account_stays(trouble: Stalled, phase: str | None) -> None:
    lost = observed(status=STATUS, facts=None, app=None, repository_count=None, token_expires_at=None, trouble=trouble)
    kept = {name: STATUS[name] for name in ("installationId", "appId", "appSlug", "account", "webhook")}
    assert stored(lost) == without_nothing({**kept, "observedGeneration": 3, "phase": phase})


def test_an_account_that_took_the_name_never_takes_the_place_of_the_one_that_was_proven() -> None:
    impostor = facts(account_id=99, id=77, permissions={"contents": "write"})
    trouble = Stalled(Reason.ACCOUNT_CHANGED, "m")
    status = STATUS
    # Also not by way of a run in between that found nothing.
    for found in (None, impostor, None, impostor):
        status = stored(observed(status=status, facts=found, trouble=trouble, repository_count=None))
        assert status["account"]["id"] == 7
        assert status["installationId"] == 5
        assert "permissions" not in status
        assert "phase" not in status
        with pytest.raises(Stalled):
            check_account(pinned_account(status), impostor)


def test_a_permission_that_was_taken_away_leaves_the_status() -> None:
    fewer = observed(status=STATUS, facts=facts(permissions={"metadata": "read", "issues": "read"}))
    assert changed_fields(STATUS, status_fields(fewer)) == {"permissions": {"contents": None, "issues": "read"}}


def test_the_webhook_s_address_goes_where_there_is_none() -> None:
    assert changed_fields(STATUS, status_fields(observed(status=STATUS, webhook_url=None))) == {"webhook": None}


HUGE = facts(
    id=2**63 - 1,
    app_slug="s" * 500,
    account_login="l" * 500,
    account_type="t" * 500,
    avatar_url="https://x.example.com/" + "a" * 2000,
    selection="a" * 500,
    permissions={f"p{number:03}": "r" * 500 for number in range(200)},
    events=tuple(f"e{number:03}" + "e" * 500 for number in range(200)),
)


@pytest.mark.parametrize("found", [facts(), HUGE, facts(app_slug="", avatar_url="", events=(), permissions={}), None])
@pytest.mark.parametrize("trouble", [None, REFUSED, AWAY])
def test_the_status_is_one_that_the_schema_takes(found: InstallationFacts | None, trouble: Trouble | None) -> None:
    whole = observed(facts=found, trouble=trouble, repository_count=2**40, webhook_url="https://" + "w" * 2000)
    GitHubInstallationStatus.model_validate(stored(whole))


def test_a_bound_cuts_no_more_than_it_must() -> None:
    fields = status_fields(observed(facts=HUGE))
    assert len(fields["permissions"]) == 64
    assert [event[:4] for event in fields["events"]] == [f"e{number:03}" for number in range(100)]
    assert fields["account"]["avatarUrl"] is None
    assert status_fields(observed(facts=facts(id=2**53 - 1)))["installationId"] == 2**53 - 1


# --- when to look again ---


@given(
    minutes=st.integers(2, 24 * 60),
    jitter=st.floats(0, 1),
    lives=st.lists(st.integers(-60, 120), max_size=4),
    trouble=st.sampled_from([None, AWAY, LIMITED, REFUSED]),
)
def test_the_next_look_is_ahead_and_no_refresh_is_missed(
    minutes: int, jitter: float, lives: list[int], trouble: Trouble | None
) -> None:
    interval = timedelta(minutes=minutes)
    times = [NOW + timedelta(minutes=life) for life in lives]
    at = next_look(NOW, interval=interval, jitter=jitter, refresh_times=iter(times), trouble=trouble)
    assert NOW < at <= NOW + interval * 1.1
    assert all(at <= moment for moment in times if moment > NOW)


def look(times: list[datetime], trouble: Trouble | None, jitter: float = 1.0) -> timedelta:
    return next_look(NOW, interval=10 * MINUTE, jitter=jitter, refresh_times=times, trouble=trouble) - NOW


def test_what_is_overdue_is_tried_soon_and_never_at_once() -> None:
    late = [NOW - HOUR, NOW, NOW + 5 * MINUTE]
    assert look(late, None) == look(late, AWAY) == look([], AWAY) == RETRY_AT_MOST
    assert look(late, AWAY, 0.0) == RETRY_AT_MOST / 2
    # A person must act, or GitHub named a time: to try again before that is of no use.
    assert look(late, REFUSED) == 5 * MINUTE
    assert look(late[:2], REFUSED) == 11 * MINUTE
    assert look(late, Waiting(Reason.RATE_LIMITED, "m", until=NOW + 3 * MINUTE)) == 3 * MINUTE
    assert look([], None, 0.0) == 9 * MINUTE

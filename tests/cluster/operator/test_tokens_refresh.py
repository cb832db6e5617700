"""Tokens are replaced by their real end, in time and once (C3); they survive outages, and end with their owner (C4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from mooring.domain.conditions import timestamp
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.process import Mooring
from tests.cluster.token_life import (
    EARLIEST,
    INSTALLATION,
    LATEST,
    OUTPUT,
    PROJECT,
    Holder,
    advance,
    asked_for,
    at,
    fault,
    is_live,
    life,
    lifetime,
    moved_clock,
    once_each,
    revoked,
    time_there,
    until,
)

# Seconds: long enough for a window that is wider than what a replacement takes.
SHORT_LIFE = 30
# What a replacement itself may take, on a busy machine.
TAKES = 5.0
# Seconds that a deletion may wait for a GitHub that is away, and what it may take beside.
PATIENCE_FOR_GITHUB = 30.0
TAKES_TO_END = 15.0
MINUTE = 60.0
# The longest outage that is promised to leave no trace.
OUTAGE = 15 * MINUTE
TROUBLES: dict[str, dict[str, Any]] = {
    "unavailable": {"kind": "status", "status": 503},
    "secondary-limit": {"kind": "secondary-limit", "status": 403, "retry_after": 3},
}


@dataclass
class Going:
    """An installation that is being deleted while GitHub does not answer to its tokens."""

    holder: Holder
    since: datetime
    secrets: tuple[str, ...]


@pytest.fixture(scope="module", autouse=True)
def going(kube: Kube, hub: Hub, mooring: Mooring) -> Iterator[Going]:
    """Begin a deletion that takes half a minute, while other tests run."""
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
    assert status == 201, body
    mark = hub.mark()
    holder = Holder.begin(People(kube, "going"), hub)
    secrets = (OUTPUT, holder.clone_name())
    with ExitStack() as faults:
        for entry in holder.mints(mark):
            faults.enter_context(fault(hub, kind="drop", credential=entry["minted"], methods=["DELETE"]))
        holder.people.delete(INSTALLATION, "acme")
        yield Going(holder, datetime.now(UTC), secrets)
    kube.request("DELETE", "/api/v1/namespaces/going")


def test_a_token_is_replaced_in_its_window_once_and_rolls_nothing(people: People, hub: Hub) -> None:
    with moved_clock(hub):
        lifetime(hub, SHORT_LIFE)
        since = hub.mark()
        holder = Holder.begin(people, hub)
        names = (OUTPUT, holder.clone_name())
        first = {name: people.get("Secret", name) for name in names}
        tokens = {name: holder.token(name) for name in names}
        for name in names:
            renewed = holder.until_replaced(name, tokens[name])
            issued, ends = life(first[name] or {})
            share = (life(renewed)[0] - issued).total_seconds() / (ends - issued).total_seconds()
            # What a Secret remembers is in whole seconds: one may be missing at either end.
            assert EARLIEST - 1 / SHORT_LIFE <= share <= LATEST + (TAKES + 1) / SHORT_LIFE, name
        # A clone may be running on the old one, which ends by itself.
        assert all(is_live(hub, token) for token in tokens.values())
        check_windows(holder, since)
        assert people.rollouts(PROJECT) == 1


def check_windows(holder: Holder, since: int) -> None:
    """See that of each sort of token none was made before the window of the one before it."""
    mints = holder.mints(since)
    counts = asked_for(mints)
    # What was asked for: to read with, the output, the clone credential.
    assert len(counts) == 3
    for sort in counts:
        moments = [at(entry) for entry in mints if sort in asked_for([entry])]
        gaps = [(later - before).total_seconds() for before, later in pairwise(moments)]
        assert all(gap >= EARLIEST * SHORT_LIFE - 1 for gap in gaps), (sort, gaps)


def test_a_hint_finds_by_githubs_clock_that_tokens_are_due(people: People, hub: Hub) -> None:
    holder = Holder.begin(people, hub)
    names = (OUTPUT, holder.clone_name())
    tokens = {name: holder.token(name) for name in names}
    since = hub.mark()
    holder.hint()
    holder.until_read(since)
    assert holder.mints(since) == []
    with moved_clock(hub, 45 * 60):
        holder.hint()
        for name in names:
            holder.until_replaced(name, tokens[name])
        holder.until_ready("True", "Ready")
        once_each(holder.mints(since))
        assert all(is_live(hub, token) for token in tokens.values())
    assert people.rollouts(PROJECT) == 1


# --- outages ---


def away(hub: Hub, holder: Holder, kind: str, **more: Any) -> Any:
    """Have GitHub go wrong for whoever asks with the App's key."""
    return fault(hub, **TROUBLES[kind], credential=f"app-{holder.app_id}", **more)


def until_told(holder: Holder, *, reasons: set[str]) -> str:
    """Wait until the installation is not Ready; return what it says."""

    def told(found: dict[str, Any] | None) -> bool:
        ready = condition(found or {}, "Ready")
        return ready.get("status") == "False" and ready.get("reason") in reasons

    found = holder.people.until(INSTALLATION, "acme", told, f"Ready=False with one of {reasons}")
    return str(condition(found or {}, "Ready")["message"])


def refused(hub: Hub, since: int, holder: Holder) -> list[dict[str, Any]]:
    """Return what the App was refused after a mark."""
    return [e for e in hub.journal(since) if e["credential"] == f"app-{holder.app_id}" and e["status"] >= 400]


def begin(people: People, hub: Hub) -> tuple[Holder, dict[str, str]]:
    """Make an installation with an output and a clone credential; return the tokens by the names of their Secrets."""
    holder = Holder.begin(people, hub)
    return holder, {name: holder.token(name) for name in (OUTPUT, holder.clone_name())}


def first_end(holder: Holder) -> datetime:
    """Return when the first token ends."""
    return min(life(secret)[1] for secret in holder.secrets())


def renewed(holder: Holder, before: dict[str, str]) -> None:
    """See that all tokens are replaced, in time, and that nothing was rolled for it."""
    ends = {name: life(holder.until_replaced(name, token))[1] for name, token in before.items()}
    holder.until_ready("True", "Ready")
    assert min(ends.values()) > time_there(holder.hub)
    assert holder.people.rollouts(PROJECT) == 1


def test_an_outage_when_tokens_are_due(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    ends = first_end(holder)
    with moved_clock(hub, 41 * MINUTE):
        with away(hub, holder, "unavailable"):
            holder.hint()
            message = until_told(holder, reasons={"RefreshFailed"})
            assert f"good until {timestamp(ends)}" in message
            # The last minute of the outage: nothing was given up before its time.
            advance(hub, OUTAGE)
            since = hub.mark()
            holder.hint()
            until(lambda: bool(refused(hub, since, holder)), "another look")
            assert {name: holder.token(name) for name in before} == before
            assert all(is_live(hub, token) for token in before.values())
        assert time_there(hub) < ends
        # By itself within a minute, which another test waits for.
        holder.hint()
        renewed(holder, before)


def test_an_outage_that_begins_before_tokens_are_due(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    ends = first_end(holder)
    with moved_clock(hub, 25 * MINUTE):
        with away(hub, holder, "unavailable"):
            holder.hint()
            message = until_told(holder, reasons={"GitHubUnavailable"})
            assert f"good until {timestamp(ends)}" in message
            # Nobody says anything: it looks again by itself, and finds that there is less and less time.
            advance(hub, OUTAGE)
            assert f"good until {timestamp(ends)}" in until_told(holder, reasons={"RefreshFailed"})
            assert {name: holder.token(name) for name in before} == before
        holder.hint()
        renewed(holder, before)


def test_an_outage_after_tokens_were_replaced_passes_by_itself(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    with moved_clock(hub, 5 * MINUTE):
        with away(hub, holder, "unavailable"):
            holder.hint()
            until_told(holder, reasons={"GitHubUnavailable"})
        holder.until_ready("True", "Ready")
    assert {name: holder.token(name) for name in before} == before


def test_a_limit_of_githubs_is_waited_for(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    ends = first_end(holder)
    with moved_clock(hub, 41 * MINUTE):
        since = hub.mark()
        with away(hub, holder, "secondary-limit"):
            holder.hint()
            assert f"good until {timestamp(ends)}" in until_told(holder, reasons={"RefreshFailed"})
        renewed(holder, before)
        # GitHub named a time, and was left alone until then.
        assert len(refused(hub, since, holder)) <= 2, refused(hub, since, holder)


def test_requests_that_are_cut_or_slow_make_no_second_token(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    with moved_clock(hub, 41 * MINUTE):
        since = hub.mark()
        mint = "*/access_tokens"
        with fault(hub, kind="drop", path=mint), fault(hub, kind="latency", seconds=0.5, path=mint):
            holder.hint()
            until_told(holder, reasons={"RefreshFailed"})
            assert holder.mints(since) == []
        with fault(hub, kind="latency", seconds=0.5, path=mint):
            holder.hint()
            renewed(holder, before)
        assert set(asked_for(holder.mints(since)).values()) == {1}


def test_a_token_that_ended_all_the_same_is_taken_away(people: People, hub: Hub) -> None:
    holder, before = begin(people, hub)
    with moved_clock(hub, 61 * MINUTE):
        with away(hub, holder, "unavailable"):
            holder.hint()
            for name in before:
                people.until("Secret", name, lambda secret: secret is None, "its end")
            assert "good until" not in until_told(holder, reasons={"GitHubUnavailable"})
        holder.until_ready("True", "Ready")
        renewed(holder, before)


# --- the end ---


def test_a_deletion_ends_all_tokens_those_that_only_read_too(people: People, hub: Hub) -> None:
    since = hub.mark()
    holder = Holder.begin(people, hub)
    clone = holder.clone_name()
    tokens = [holder.token(name) for name in (OUTPUT, clone)]
    made = {entry["minted"] for entry in holder.mints(since)}
    assert len(made) == 3
    people.delete(INSTALLATION, "acme")
    people.until(INSTALLATION, "acme", lambda obj: obj is None, "its end", seconds=10)
    assert [people.get("Secret", name) for name in (OUTPUT, clone)] == [None, None]
    assert not any(is_live(hub, token) for token in tokens)
    assert made <= revoked(hub, since)


def test_with_github_away_copies_go_at_once_and_the_object_in_half_a_minute(going: Going, mooring: Mooring) -> None:
    people = going.holder.people
    assert [people.get("Secret", name) for name in going.secrets] == [None, None]
    people.until(INSTALLATION, "acme", lambda obj: obj is None, "its end", seconds=PATIENCE_FOR_GITHUB + TAKES_TO_END)
    told = [
        record
        for record in mooring.audit
        if record["action"] == "token.not_revoked" and record["object"]["namespace"] == people.namespace
    ]
    assert len(told) == 3
    assert {record["reason"] for record in told} == {"GitHubUnavailable"}
    # Not given up before its time, and not much later.
    after = [(datetime.fromisoformat(record["ts"]) - going.since).total_seconds() for record in told]
    assert PATIENCE_FOR_GITHUB - 2 <= min(after) <= max(after) <= PATIENCE_FOR_GITHUB + TAKES_TO_END

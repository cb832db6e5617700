"""What follows from a push: when its branch is read, and what the head leads to.

A recorded push is a hint to look, no more: the head is what GitHub shows to the Project's own credential, and a push
is done with when `status.source.delivery` names it. That is written together with what was decided, in one write; so
whatever was not written is decided again, and comes to the same.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from mooring.domain import names
from mooring.domain.comparisons import AHEAD, SKIP_TOKENS, Comparison, Filter, why_skipped
from mooring.domain.conditions import timestamp
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import Trigger
from mooring.domain.revisions import SHORT_SHA

# Quiet time after the last push; `spec.deploy.debounce` replaces it.
DEBOUNCE = timedelta(seconds=3)
# A burst that does not end is cut after so many times that.
MOST_DEBOUNCES = 5
# How long GitHub may show a branch as it was before a push, and the first pause before it is read again.
PATIENCE = timedelta(seconds=60)
FIRST_PAUSE = timedelta(seconds=1)
# How long after a new proof the branch is read once more: of a push in between, no gateway knew whom it concerns.
SECOND_LOOK = timedelta(seconds=5)
# And once again when every gateway knows it: one may take a watch that says nothing for current for 150 s, and has a
# new key within two minutes.
LAST_LOOK = timedelta(seconds=180)
# What a pending commit waits for: the annotation that deploys it.
MANUAL_DEPLOY = "ManualDeploy"
# Why a push to the branch of a pinned commit rolls nothing out.
PINNED = "spec.source.revision pins another commit"
# Characters of the annotation that are told apart.
WORD_LENGTH = 512
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Push:
    """A push as the gateway recorded it."""

    delivery: str
    ref: str
    sha: str
    before: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A commit that waits for somebody's word."""

    sha: str
    delivery: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class State:
    """What is stored, as far as it is decided by."""

    head: str
    decided: str
    # The commit that the Project is to run where its spec pins none.
    deployed: str
    delivery: str | None = None
    redeploy: str | None = None
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the spec says of pushes."""

    auto: bool = True
    pinned: bool = False
    debounce: timedelta = DEBOUNCE
    filter: Filter = field(default_factory=Filter)
    # The annotation that asks for a redeploy.
    redeploy: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """What is remembered of pushes that were not decided on yet; after a restart it begins anew."""

    delivery: str
    first: datetime
    last: datetime
    # How often GitHub showed the branch as it was before.
    lags: int = 0
    until: datetime | None = None
    # When GitHub first showed the branch after the push: how it lags can only be told from then on.
    shown: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadHead:
    """A question: the commit at the tip of the branch."""


@dataclass(frozen=True, slots=True)
class Compare:
    """A question: what lies between two commits; None where that cannot be said."""

    base: str
    head: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to store, in one write with the revision where there is a new one."""

    state: State
    # What led to a new revision with the commit `state.deployed`; None: there is none.
    trigger: Trigger | None = None
    delivery: str | None = None
    # Why a commit was passed over.
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a look came to."""

    wait: Wait | None = None
    again: datetime | None = None
    verdict: Verdict | None = None


Course = Generator[ReadHead | Compare, Any, Step]


class _Cause(Enum):
    ANNOTATION = auto()
    PUSH = auto()
    # A commit waited for somebody's word, which is not asked for any more.
    RELEASED = auto()
    SECOND_LOOK = auto()


def wish_of(project: Project) -> Wish:
    """Read what the spec says; what it does not say is the operator's to choose."""
    spec, deploy = project.spec.source, project.spec.deploy
    tokens = deploy.skip_tokens if deploy is not None else None
    asked = (project.metadata.annotations or {}).get(names.REDEPLOY_ANNOTATION)
    return Wish(
        auto=deploy is None or deploy.auto is not False,
        pinned=spec is not None and spec.revision is not None,
        debounce=_duration(deploy.debounce) if deploy is not None and deploy.debounce is not None else DEBOUNCE,
        filter=Filter(
            include=spec.include if spec is not None else (),
            exclude=spec.exclude if spec is not None else (),
            skip_tokens=SKIP_TOKENS if tokens is None else tokens,
        ),
        # An annotation may be longer than what a status takes; its beginning will differ.
        redeploy=asked[:WORD_LENGTH] if asked else None,
    )


def _duration(text: str) -> timedelta:
    digits = text.rstrip("ms")
    return (
        int(digits)
        * {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1)}[text[len(digits) :]]
    )


def pending_of(status: Mapping[str, Any]) -> Pending | None:
    """Read status.pending."""
    stored = status.get("pending") or {}
    try:
        return Pending(stored["sha"], stored.get("delivery"), datetime.fromisoformat(stored["since"]))
    except (KeyError, ValueError):
        return None


def pending_field(pending: Pending | None) -> dict[str, Any] | None:
    """Return status.pending."""
    if pending is None:
        return None
    return {
        "sha": pending.sha,
        "shortSha": pending.sha[:SHORT_SHA],
        "delivery": pending.delivery,
        "reason": MANUAL_DEPLOY,
        "since": timestamp(pending.since),
    }


def unhandled(status: Mapping[str, Any], branch: str) -> Push | None:
    """Return the newest push to a branch, where it was not decided on yet."""
    stored, source = status.get("push") or {}, status.get("source") or {}
    delivery = stored.get("delivery")
    if not delivery or delivery == source.get("delivery") or stored.get("ref") != f"refs/heads/{branch}":
        return None
    return Push(delivery, stored["ref"], str(stored.get("sha") or ""), str(stored.get("before") or ""))


# --- when ---


def noticed(wait: Wait | None, push: Push, now: datetime, *, handled: str | None) -> Wait:
    """Take note of the newest push; a burst begins with the first one after what was decided on."""
    if wait is None or wait.delivery == handled:
        return Wait(push.delivery, now, now)
    return wait if wait.delivery == push.delivery else Wait(push.delivery, wait.first, now)


def due_at(wait: Wait, debounce: timedelta) -> datetime:
    """Return when the branch is read: after quiet time, at most five times that in all, and after a pause for a lag."""
    quiet = min(wait.last + debounce, wait.first + MOST_DEBOUNCES * debounce)
    return quiet if wait.until is None else max(quiet, wait.until)


def after_lag(wait: Wait, now: datetime) -> Wait | None:
    """Return when to read again what lags: after 1, 2, 4, 8, ... s; None where GitHub has had its time.

    That begins with its first answer: what it shows first after an outage may lag as well.
    """
    shown = wait.shown or now
    end = shown + PATIENCE
    if now >= end:
        return None
    until = min(now + FIRST_PAUSE * 2 ** min(wait.lags, 16), end)
    return replace(wait, lags=wait.lags + 1, until=until, shown=shown)


def _cause(state: State, wish: Wish, wait: Wait | None, look_again: datetime | None, now: datetime) -> _Cause | None:
    if wish.redeploy not in (None, state.redeploy):
        return _Cause.ANNOTATION
    if wait is not None and due_at(wait, wish.debounce) <= now:
        return _Cause.PUSH
    if state.pending is not None and wish.auto and not wish.pinned:
        return _Cause.RELEASED
    return _Cause.SECOND_LOOK if look_again is not None and look_again <= now else None


# --- what ---


def course(
    state: State, wish: Wish, push: Push | None, wait: Wait | None, *, look_again: datetime | None, now: datetime
) -> Course:
    """Decide on what is not decided yet, asking what has to be known; nothing is asked before it is due."""
    wait = noticed(wait, push, now, handled=state.delivery) if push is not None else None
    cause = _cause(state, wish, wait, look_again, now)
    if cause is None:
        # The annotation was taken away: the same word may be used again. And a commit that is pinned waits for nobody.
        redeploy = state.redeploy if wish.redeploy is not None else None
        tidy = replace(state, redeploy=redeploy, pending=None if wish.pinned else state.pending)
        return Step(wait, _next(wait, wish, look_again), Verdict(tidy) if tidy != state else None)
    head: str = yield ReadHead()
    if cause is _Cause.PUSH and push is not None and wait is not None:
        later = after_lag(wait, now)
        if later is not None and (yield from _lags(push, head)):
            return Step(later, _next(later, wish, look_again))
    elif push is not None and push.sha != head:
        # What is asked for otherwise is no reason to believe that GitHub shows this push already.
        push = None
    verdict = _settled(state, wish, head, push, is_asked_for=cause is _Cause.ANNOTATION, now=now)
    if verdict is None:
        found: Comparison | None = (yield Compare(state.decided, head)) if wish.filter.asks else None
        verdict = _followed(state, wish, head, push, why_skipped(found, wish.filter))
    # What is decided on is remembered until that is stored: if somebody else was faster, the burst goes on.
    rest = look_again if look_again is not None and look_again > now else None
    return Step(wait, _next(wait if push is None else None, wish, rest), verdict)


def _next(wait: Wait | None, wish: Wish, look_again: datetime | None) -> datetime | None:
    times = [look_again, due_at(wait, wish.debounce) if wait is not None else None]
    return min((at for at in times if at is not None), default=None)


def _lags(push: Push, head: str) -> Generator[Compare, Comparison | None, bool]:
    """Tell whether GitHub may still show the branch as it was before the push."""
    if head == push.sha or not _is_commit(push.sha):
        return False
    if head == push.before:
        return True
    found = yield Compare(head, push.sha)
    # Beside each other, the branch was moved by force, and either may be the newer one. If it is the head, its own push
    # is on its way and says so.
    if found is None or found.relation in {AHEAD, _DIVERGED}:
        return True
    if not _is_commit(push.before):
        return False
    # The head has moved on; or the push took the branch back, from somewhere that GitHub does not show either.
    earlier = yield Compare(head, push.before)
    return earlier is not None and earlier.relation in {AHEAD, _DIVERGED}


def _is_commit(sha: str) -> bool:
    return _SHA.fullmatch(sha) is not None and bool(sha.strip("0"))


def _noted(state: State, wish: Wish, head: str, push: Push | None) -> State:
    """Return what is stored of a head that was read, whatever it leads to."""
    delivery = push.delivery if push is not None else state.delivery
    return replace(state, head=head, delivery=delivery, redeploy=wish.redeploy, pending=None)


def _settled(
    state: State, wish: Wish, head: str, push: Push | None, *, is_asked_for: bool, now: datetime
) -> Verdict | None:
    """Decide where it does not matter what lies between the last decision and the head; None where it does."""
    noted = _noted(state, wish, head, push)
    if wish.pinned:
        is_news = push is not None and head not in {state.deployed, state.head}
        return Verdict(noted, skipped=PINNED if is_news else None)
    if head == state.deployed:
        return Verdict(replace(noted, decided=head))
    if is_asked_for:
        return _deployed(noted, Trigger.MANUAL, _announced(state, head, push))
    if head == state.decided:
        return Verdict(noted)
    if wish.auto:
        return None
    since = state.pending.since if state.pending is not None and state.pending.sha == head else now
    return Verdict(replace(noted, pending=Pending(head, _announced(state, head, push), since)))


def _followed(state: State, wish: Wish, head: str, push: Push | None, skipped: str | None) -> Verdict:
    noted = _noted(state, wish, head, push)
    if skipped is not None:
        return Verdict(replace(noted, decided=head), skipped=skipped)
    delivery = _announced(state, head, push)
    return _deployed(noted, Trigger.PUSH if delivery is not None else Trigger.POLL, delivery)


def _deployed(noted: State, trigger: Trigger, delivery: str | None) -> Verdict:
    return Verdict(replace(noted, decided=noted.head, deployed=noted.head), trigger, delivery)


def _announced(state: State, head: str, push: Push | None) -> str | None:
    """Return the delivery that told of a head: the push that is decided on, or the one of a commit that waited."""
    if push is not None:
        return push.delivery
    return state.pending.delivery if state.pending is not None and state.pending.sha == head else None

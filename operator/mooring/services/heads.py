"""Heads of branches: read when a push, a person or a new proof asks for it, and only then.

What is waited for is kept in memory: after a restart the wait begins anew, and what was not decided on is still to be
found in the status, like the time of a new proof.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mooring.domain import redeploys
from mooring.domain.comparisons import Comparison
from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import ConditionType
from mooring.domain.redeploys import Compare, Pending, ReadHead, State, Step, Verdict, Wait
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import Trigger
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.sources import AtHand, Sources
from mooring.services.store import Key, key_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a branch, and what follows from it."""

    # As it is stored, and as it is to be stored together with a new revision where `verdict` has a trigger.
    before: SourceFacts
    facts: SourceFacts
    pending: Pending | None
    verdict: Verdict | None = None
    again: datetime | None = None
    # Why the branch could not be read; it is tried again, and nobody else has to know of it yet.
    delay: Trouble | None = None
    # When the branch was read, by GitHub's clock; None: it was not.
    read_at: datetime | None = None
    # Whether a sweep found what no delivery had told of, and when it was pushed, where that is known.
    missed: bool = False
    pushed_at: datetime | None = None

    @property
    def rolls(self) -> bool:
        """Tell whether another commit is to be deployed."""
        return self.verdict is not None and self.verdict.trigger is not None


class Heads:
    """Looks at branches."""

    def __init__(self, platform: Platform, sources: Sources, spread: Callable[[], float] = random.random) -> None:
        self._platform = platform
        self._sources = sources
        # Spreads what would else come for many Projects at once.
        self._spread = spread
        # Projects that this process has looked at.
        self._met: set[Key] = set()
        self._waits: dict[Key, Wait] = {}
        # When branches are read once more after a proof, the soonest first.
        self._looks: dict[Key, tuple[datetime, ...]] = {}
        # Since when branches are to be read because of a sweep, and when what it found was pushed.
        self._swept: dict[Key, tuple[datetime, datetime | None]] = {}
        # What a look led to, and when it was: it is over when that is stored.
        self._led: dict[Key, tuple[datetime, State]] = {}
        # What these were planned for: who finds the same proof again and again plans nothing again.
        self._planned: dict[Key, tuple[object, ...]] = {}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._waits.pop(key, None)
        self._looks.pop(key, None)
        self._swept.pop(key, None)
        self._led.pop(key, None)
        self._planned.pop(key, None)
        self._met.discard(key)

    def look_now(self, key: Key, pushed_at: datetime | None) -> None:
        """Have the next run read the branch; it stays due until what comes of it is stored."""
        self._swept[key] = self._platform.clock.now(), pushed_at

    async def look(self, project: Project, obj: Object, facts: SourceFacts, at_hand: AtHand) -> Look:
        """Decide on what nobody has decided on yet; raises Trouble that a person should know of."""
        key, now = key_of(obj), self._platform.clock.now()
        status: Mapping[str, Any] = obj.get("status") or {}
        state = _state(facts, status)
        push = redeploys.unhandled({**status, "source": facts.status()}, facts.branch) if facts.repository_id else None
        self._finish(key, status)
        self._expect(key, obj, facts, now)
        # A push that waits has the branch read when its burst is over, and that settles what else was to be looked at.
        swept = self._swept.get(key) if push is None else None
        planned = self._looks.get(key, ())[:1] if push is None else ()
        looks = (*planned, *((swept[0],) if swept is not None else ()))
        course = redeploys.course(
            state,
            redeploys.wish_of(project),
            push,
            self._waits.get(key),
            look_again=min(looks, default=None),
            now=now,
        )
        if push is not None:
            # Whatever comes now, the burst has begun.
            self._waits[key] = redeploys.noticed(self._waits.get(key), push, now, handled=state.delivery)
        try:
            step, read_at = await self._take(course, project, facts, at_hand, self._waits.get(key))
        except Trouble as trouble:
            if isinstance(trouble, Stalled) or self._lasts(key, now):
                raise
            return Look(facts, facts, state.pending, delay=trouble)
        self._keep(key, step, now, is_read=read_at is not None)
        self._finish(key, status)
        again = min((at for at in (step.again, self._next_look(key, now)) if at is not None), default=None)
        if step.verdict is None:
            return Look(facts, facts, state.pending, again=again, read_at=read_at)
        decided = step.verdict.state
        found = replace(
            facts,
            head_sha=decided.head,
            decided_sha=decided.decided,
            deployed_sha=decided.deployed,
            delivery=decided.delivery,
            redeploy=decided.redeploy,
            # Written together with a decision, never by itself.
            read_at=timestamp(read_at) if read_at is not None and decided != state else facts.read_at,
        )
        look = Look(facts, found, decided.pending, step.verdict, again, read_at=read_at)
        if swept is None or decided.head == state.head or step.verdict.trigger not in {None, Trigger.POLL}:
            return look
        return replace(look, missed=True, pushed_at=swept[1])

    def _expect(self, key: Key, obj: Object, facts: SourceFacts, now: datetime) -> None:
        """Plan another look after a proof that no gateway knows yet, or that none believed for a while.

        A spec that was changed and changed back leaves the proof as it was; but while it said something else, pushes
        were told that nobody follows them.
        """
        is_new = key not in self._met
        self._met.add(key)
        if facts.proof is None:
            return
        if not facts.fresh:
            if is_new:
                self._expect_after_a_restart(key, facts, now)
            return
        status: Mapping[str, Any] = obj.get("status") or {}
        conditions = status.get("conditions") or ()
        found: Mapping[str, Any] = next((c for c in conditions if c["type"] == ConditionType.SOURCE_RESOLVED), {})
        cause = (obj["metadata"].get("generation"), facts.proof, found.get("lastTransitionTime"))
        if self._planned.get(key) == cause:
            return
        self._planned[key] = cause
        soon, last = now + redeploys.SECOND_LOOK, now + redeploys.LAST_LOOK
        if facts.proof == (status.get("source") or {}).get("proof"):
            # Every gateway knows it, or will when one that was planned for is there.
            self._looks[key] = (soon, *(at for at in self._looks.get(key, ())[-1:] if at > soon))
        else:
            self._looks[key] = (soon, last)

    def _expect_after_a_restart(self, key: Key, facts: SourceFacts, now: datetime) -> None:
        """Plan anew what another process had planned; nothing where every gateway has known the proof for long."""
        try:
            since = now - datetime.fromisoformat(facts.proven_at or "")
        except (ValueError, TypeError):
            return  # it is from an earlier version, or from somebody else
        if timedelta(0) <= since < redeploys.LAST_LOOK:
            soon = now + redeploys.SECOND_LOOK * (1 + self._spread())
            last = now - since + redeploys.LAST_LOOK + redeploys.SECOND_LOOK * self._spread()
            self._looks[key] = tuple(sorted((soon, last)))

    def _next_look(self, key: Key, now: datetime) -> datetime | None:
        return next((at for at in self._looks.get(key, ()) if at > now), None)

    def _lasts(self, key: Key, now: datetime) -> bool:
        """Tell whether a push has waited for so long that a person should know why."""
        wait = self._waits.get(key)
        return wait is not None and now - wait.first >= redeploys.PATIENCE

    def _keep(self, key: Key, step: Step, now: datetime, *, is_read: bool) -> None:
        if step.wait is None:
            self._waits.pop(key, None)
        else:
            self._waits[key] = step.wait
        due = key in self._swept or any(at <= now for at in self._looks.get(key, ()))
        if step.verdict is not None and is_read and due:
            self._led[key] = now, step.verdict.state

    def _finish(self, key: Key, status: Mapping[str, Any]) -> None:
        """Drop looks whose verdict is stored. If its write failed, or was left, the branch is read again."""
        at, state = self._led.get(key, (None, None))
        if at is None or state is None or not _is_stored(state, status):
            return
        del self._led[key]
        if key in self._swept and self._swept[key][0] <= at:
            del self._swept[key]
        if left := tuple(look for look in self._looks.get(key, ()) if look > at):
            self._looks[key] = left
        else:
            self._looks.pop(key, None)

    async def _take(
        self, course: redeploys.Course, project: Project, facts: SourceFacts, at_hand: AtHand, wait: Wait | None
    ) -> tuple[Step, datetime | None]:
        """Answer what is asked on the way; return also when the branch was read."""
        answer: str | Comparison | None = None
        read_at: datetime | None = None
        while True:
            try:
                question = course.send(answer)
            except StopIteration as done:
                return done.value, read_at
            if isinstance(question, ReadHead):
                began = self._platform.clock.now()
                answer = await self._sources.head(project, facts, at_hand)
                read_at = self._sources.time_at(project, began)
            else:
                answer = await self._compare(project, facts, at_hand, question, wait)

    async def _compare(
        self, project: Project, facts: SourceFacts, at_hand: AtHand, asked: Compare, wait: Wait | None
    ) -> Comparison | None:
        try:
            return await self._sources.compare(project, facts, at_hand, asked.base, asked.head)
        except Transient as trouble:
            # GitHub shows the head and cannot compare: some differences are too large for it, and will be tomorrow.
            if wait is None or self._platform.clock.now() - wait.first < redeploys.PATIENCE:
                raise
            log.warning(
                "the comparison is left out: %s",
                trouble.message,
                extra={
                    "object": {
                        "kind": "Project",
                        "namespace": project.metadata.namespace,
                        "name": project.metadata.name,
                    }
                },
            )
            return None


def _state(facts: SourceFacts, status: Mapping[str, Any]) -> State:
    source = status.get("source") or {}
    same = (source.get("repositoryId"), source.get("branch")) == (facts.repository_id, facts.branch)
    return State(
        head=facts.head_sha,
        decided=facts.decided_sha,
        deployed=facts.deployed_sha or facts.decided_sha,
        delivery=facts.delivery,
        redeploy=facts.redeploy,
        pending=redeploys.pending_of(status) if same else None,
    )


def _is_stored(state: State, status: Mapping[str, Any]) -> bool:
    """Tell whether a status says what a look led to."""
    source = status.get("source") or {}
    stored = (source.get("headSha"), source.get("decidedSha"), source.get("delivery"), source.get("redeploy"))
    wanted = (state.head, state.decided, state.delivery, state.redeploy)
    return stored == wanted and redeploys.pending_of(status) == state.pending

"""Heads of branches: read when a push, a person or a new proof asks for it, and only then.

What is waited for is kept in memory: after a restart the wait begins anew, and what was not decided on is still to be
found in the status.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mooring.domain import redeploys
from mooring.domain.comparisons import Comparison
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.projects import SourceFacts
from mooring.domain.redeploys import Compare, Pending, ReadHead, State, Step, Verdict, Wait
from mooring.domain.resources.project import Project
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

    @property
    def rolls(self) -> bool:
        """Tell whether another commit is to be deployed."""
        return self.verdict is not None and self.verdict.trigger is not None


class Heads:
    """Looks at branches."""

    def __init__(self, platform: Platform, sources: Sources) -> None:
        self._platform = platform
        self._sources = sources
        self._waits: dict[Key, Wait] = {}
        # When branches are read once more after a new proof.
        self._looks: dict[Key, datetime] = {}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._waits.pop(key, None)
        self._looks.pop(key, None)

    async def look(self, project: Project, obj: Object, facts: SourceFacts, at_hand: AtHand) -> Look:
        """Decide on what nobody has decided on yet; raises Trouble that a person should know of."""
        key, now = key_of(obj), self._platform.clock.now()
        status: Mapping[str, Any] = obj.get("status") or {}
        state = _state(facts, status)
        push = redeploys.unhandled({**status, "source": facts.status()}, facts.branch) if facts.repository_id else None
        self._expect(key, facts, status, now)
        course = redeploys.course(
            state,
            redeploys.wish_of(project),
            push,
            self._waits.get(key),
            look_again=self._looks.get(key),
            now=now,
        )
        if push is not None:
            # Whatever comes now, the burst has begun.
            self._waits[key] = redeploys.noticed(self._waits.get(key), push, now, handled=state.delivery)
        try:
            step = await self._take(course, project, facts, at_hand, self._waits.get(key))
        except Trouble as trouble:
            if isinstance(trouble, Stalled) or self._lasts(key, now):
                raise
            return Look(facts, facts, state.pending, delay=trouble)
        self._keep(key, step, now)
        if step.verdict is None:
            return Look(facts, facts, state.pending, again=step.again)
        decided = step.verdict.state
        found = replace(
            facts,
            head_sha=decided.head,
            decided_sha=decided.decided,
            deployed_sha=decided.deployed,
            delivery=decided.delivery,
            redeploy=decided.redeploy,
        )
        return Look(facts, found, decided.pending, step.verdict, step.again)

    def _expect(self, key: Key, facts: SourceFacts, status: Mapping[str, Any], now: datetime) -> None:
        """Plan another look after a proof that no gateway knows yet."""
        known = (status.get("source") or {}).get("proof")
        if facts.fresh and facts.proof is not None and facts.proof != known:
            self._looks[key] = now + redeploys.SECOND_LOOK

    def _lasts(self, key: Key, now: datetime) -> bool:
        """Tell whether a push has waited for so long that a person should know why."""
        wait = self._waits.get(key)
        return wait is not None and now - wait.first >= redeploys.PATIENCE

    def _keep(self, key: Key, step: Step, now: datetime) -> None:
        if step.wait is None:
            self._waits.pop(key, None)
        else:
            self._waits[key] = step.wait
        if step.verdict is not None and (at := self._looks.get(key)) is not None and at <= now:
            del self._looks[key]

    async def _take(
        self, course: redeploys.Course, project: Project, facts: SourceFacts, at_hand: AtHand, wait: Wait | None
    ) -> Step:
        """Answer what is asked on the way."""
        answer: str | Comparison | None = None
        while True:
            try:
                question = course.send(answer)
            except StopIteration as done:
                step: Step = done.value
                return step
            if isinstance(question, ReadHead):
                answer = await self._sources.head(project, facts, at_hand)
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

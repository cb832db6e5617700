"""Asks after the pods of a rollout that takes long: a Deployment does not say why they do not become available."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.domain import pods as rules
from mooring.domain.errors import Trouble
from mooring.domain.rollouts import Rollout, RolloutState, explained, is_seen
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.store import Key


@dataclass(slots=True)
class _Course:
    """A rollout that is under way, and what was seen of it."""

    # Which one it is: another generation of the Deployment begins anew.
    generation: int
    due: datetime
    looks: int = 0
    why: str | None = None


class Pods:
    """Pods of Projects, while they are new."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._courses: dict[Key, _Course] = {}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._courses.pop(key, None)

    async def explain(
        self, key: Key, deployment: Object, judged: Rollout, secrets: Sequence[str]
    ) -> tuple[Rollout, datetime | None]:
        """Add why a rollout is not complete, and say when to look again; not before it has had its time."""
        if judged.state is RolloutState.COMPLETE or not judged.desired or not is_seen(deployment):
            self.forget(key)
            return judged, None
        now = self._platform.clock.now()
        generation = int(deployment["metadata"].get("generation", 0))
        course = self._courses.get(key)
        if course is None or course.generation != generation:
            course = self._courses[key] = _Course(generation, now + rules.PATIENCE)
        if course.due <= now or (judged.state is RolloutState.FAILED and not course.looks):
            await self._look(key, course, secrets)
            course.looks += 1
            course.due = now + rules.pause(course.looks)
        return explained(judged, course.why), course.due

    async def _look(self, key: Key, course: _Course, secrets: Sequence[str]) -> None:
        try:
            found = await self._platform.cluster.pods(key.namespace, key.name)
        except Trouble:
            return  # what was seen before may still hold; the next look tells
        course.why = rules.why(found, secrets)

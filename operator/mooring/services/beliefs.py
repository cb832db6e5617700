"""What is believed of the revision that a status tells of: T9 says that a status authorizes nothing by itself.

What runs is the better witness, since the Deployment is the operator's own. Only between the storing of a revision and
its rollout do the two differ; who finds them so after a restart asks GitHub. So whoever may write a status, or restores
one, has nothing deployed by that but what GitHub shows as the branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydantic import TypeAdapter

from mooring.domain import revisions
from mooring.domain.projects import SourceFacts
from mooring.domain.resources.project_status import RevisionStatus
from mooring.domain.revisions import Belief
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.seen import Seen
from mooring.services.sources import Sources
from mooring.services.store import Key, key_of

_HISTORY = TypeAdapter(list[RevisionStatus])


class Beliefs:
    """Holds stored revisions against what runs."""

    def __init__(self, platform: Platform, sources: Sources) -> None:
        self._platform = platform
        self._sources = sources
        # What this process stored itself, saw running, or had confirmed by GitHub, as a hash of uid and commit: small,
        # and nobody can make another one that equals it.
        self._own: dict[Key, int] = {}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._own.pop(key, None)

    def stored(self, obj: Object, revision: RevisionStatus) -> None:
        """Remember a revision that this process has just stored."""
        if revision.sha is not None:
            self._own[key_of(obj)] = hash((obj["metadata"]["uid"], revision.sha))

    async def settle(self, seen: Seen, deployment: Object | None, is_edited: Callable[[RevisionStatus], bool]) -> None:
        """Find the revision that counts, and what the source says of it; raises Trouble where GitHub has to say.

        `is_edited` tells whether the Deployment was applied for a revision, and changed by somebody since.
        """
        seen.history = _HISTORY.validate_python(seen.status.get("history") or [])
        found = revisions.recover(deployment) if deployment is not None else None
        if found is not None:
            found = revisions.as_remembered(found, seen.history)
        if not seen.status.get("revision"):
            seen.stored = found
            self._as_it_runs(seen, deployment, found)
            return
        stored = RevisionStatus.model_validate(seen.status["revision"])
        if not seen.has_source or stored.sha is None:
            seen.stored = stored
            return
        key, mine = key_of(seen.obj), hash((seen.project.metadata.uid, stored.sha))
        own = self._own.get(key) == mine
        present = self._platform.checkout_image
        ours = revisions.with_an_image_of_ours(stored, found, present)
        agrees = found is not None and found.sha == stored.sha
        if agrees:
            self._own[key] = mine
        edited = not (ours == stored and (agrees or own)) and is_edited(stored)
        belief = revisions.belief(stored, seen.history, found, own=own, edited=edited)
        if belief is Belief.STORED:
            seen.stored = stored if edited else ours
        elif seen.source is None:
            # Nobody can be asked: nothing is rolled for it.
            seen.stored = None
        elif belief is Belief.RUNNING and found is not None:
            self._follow(seen, found)
        elif await self._confirms(seen, seen.source, stored.sha, running=found):
            self._own[key] = mine
            seen.stored = ours
        elif found is not None and found.sha is not None and _same_spec(seen, deployment):
            self._follow(seen, found)
        else:
            head = await self._sources.head(seen.project, seen.source, seen.at_hand)
            seen.stored = found or stored
            seen.source = replace(seen.source, head_sha=head, decided_sha=head, deployed_sha=head)

    async def _confirms(self, seen: Seen, source: SourceFacts, sha: str, *, running: RevisionStatus | None) -> bool:
        """Ask GitHub for a revision that does not run yet. Where nothing runs, one of the branch's history will do."""
        if source.pin is not None:
            return sha == source.pin and self._sources.has_proven_pin(seen.project, source)
        if await self._sources.head(seen.project, source, seen.at_hand) == sha:
            return True
        return running is None and await self._sources.is_on_the_branch(seen.project, source, seen.at_hand, sha)

    def _follow(self, seen: Seen, found: RevisionStatus) -> None:
        """Go on from what runs; pushes are decided on anew."""
        seen.stored = found
        if seen.source is not None and found.sha is not None:
            seen.source = replace(seen.source, decided_sha=found.sha, deployed_sha=found.sha, delivery=None)

    def _as_it_runs(self, seen: Seen, deployment: Object | None, found: RevisionStatus | None) -> None:
        """Where the status was lost, go on from the commit that runs for this very spec: that alone rolls nothing."""
        source = seen.source
        if source is None or source.pin is not None or found is None or found.sha is None:
            return
        if _same_spec(seen, deployment):
            seen.source = replace(source, decided_sha=found.sha, deployed_sha=found.sha)


def _same_spec(seen: Seen, deployment: Object | None) -> bool:
    return deployment is not None and revisions.running(deployment).generation == str(seen.generation)

"""Carries out the steps of a plan on a Project's children, and keeps the audit record of its token's Secret."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from mooring.domain import names
from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.fingerprints import fingerprint
from mooring.domain.names import Kind
from mooring.domain.plans import Action, Plan, Step
from mooring.domain.projects import token_of
from mooring.domain.reasons import Reason
from mooring.domain.repairs import KEPT_OBJECTS, Repairs
from mooring.domain.resources.project import Project
from mooring.ports import AlreadyExists, Changed, Object
from mooring.services.platform import Platform
from mooring.services.recent import Place
from mooring.services.secrets import write_secret

_AUDITED = {
    Action.CREATE: "token.given",
    Action.APPLY: "token.replaced",
    Action.REPAIR: "token.replaced",
    Action.DELETE: "token.withdrawn",
}
# How long after it was made a Project may still not have been rolled out for the first time.
NEW_FOR = timedelta(hours=1)


class Children:
    """Writes to Secrets, Deployments, Services and Ingresses."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._repairs = Repairs()
        # Fingerprints of the tokens that were last written: the same one again is a repair, another one is news.
        self._given: OrderedDict[str, str | None] = OrderedDict()
        # Places where something was in the way of a first write: they are looked at, whatever the watches show.
        self._taken: OrderedDict[Place, None] = OrderedDict()

    async def read(self, project: Project, names_by_kind: Mapping[Kind, str]) -> dict[Kind, Object | None]:
        """Return what is there under the names of the children, read where it is not known as it is now."""
        is_new, namespace = self._is_new(project), str(project.metadata.namespace)
        found: dict[Kind, Object | None] = {}
        unknown: list[tuple[Kind, str, str]] = []
        for kind, name in names_by_kind.items():
            place = (kind, namespace, name)
            found[kind] = self._platform.recent.get(place)
            if found[kind] is None and not (is_new and self._is_free(place)):
                unknown.append(place)
        # Of most, all is known: then nothing is waited for.
        if unknown:
            read = await asyncio.gather(*(self._read(place) for place in unknown))
            found |= {kind: child for (kind, _, _), child in zip(unknown, read, strict=True)}
        return found

    def _is_new(self, project: Project) -> bool:
        """Tell whether a Project has not been rolled out yet: one that is older may have lost its status (D9)."""
        created, status = project.metadata.creation_timestamp, project.status
        has_run = status is not None and status.revision is not None
        return not has_run and created is not None and self._platform.clock.now() - created < NEW_FOR

    def _is_free(self, place: tuple[Kind, str, str]) -> bool:
        """Tell that no watch and no write has shown a child.

        Of a new Project, it is not there yet then, or not ours: the first write tells.
        """
        platform = self._platform
        return not (place in platform.seen_children or place in platform.own_writes or place in self._taken)

    async def _read(self, place: tuple[Kind, str, str]) -> Object | None:
        found = await self._platform.cluster.read(*place)
        if found is not None and _is_watched(found):
            self._platform.recent.keep(found)
        return found

    async def carry_out(self, project: Project, plan: Plan, facts: Mapping[str, str | None]) -> dict[Kind, Object]:
        """Write in order; return what was written. Raise what is in the way, after everything else is done."""
        written: dict[Kind, Object] = {}
        left: set[Kind] = set(plan.foreign)
        trouble: Trouble | None = _foreign(plan.foreign, project)
        for step in plan.steps:
            if step.kind == "Deployment" and "Secret" in left:
                # Its pods would take their token from a Secret that has another one, or is not there.
                left.add(step.kind)
                continue
            try:
                self._hold_back(project, step)
                stored = await self._fresh(project, step)
                self._note_repair(project, step)
            except AlreadyExists:
                self._look_again(step)
                trouble = trouble or _foreign([step.kind], project)
                left.add(step.kind)
                continue
            except Trouble as found:
                if not _is_for_people(found):
                    raise
                trouble = trouble or found
                left.add(step.kind)
                continue
            if stored is not None:
                self._platform.wrote(stored)
                written[step.kind] = stored
            self._record(project, step, facts)
        if trouble is not None:
            raise ChildTrouble(trouble, written, left)
        return written

    def _look_again(self, step: Step) -> None:
        """Raise Changed where nobody has looked yet at what is in the way, so that the next run does."""
        metadata = step.manifest["metadata"]
        place = (step.kind, metadata["namespace"], metadata["name"])
        if place not in self._taken:
            self._taken[place] = None
            while len(self._taken) > KEPT_OBJECTS:
                self._taken.popitem(last=False)
            raise Changed(f"something is in the way at {step.kind} {metadata['namespace']}/{metadata['name']}")

    async def _fresh(self, project: Project, step: Step) -> Object | None:
        """Write; where what was known turns out to be old, forget it, so that the next run reads it anew."""
        try:
            return await self._write(project, step)
        except Changed:
            metadata = step.manifest["metadata"]
            self._platform.recent.gone((step.kind, metadata["namespace"], metadata["name"]))
            raise

    async def _write(self, project: Project, step: Step) -> Object | None:
        cluster, namespace = self._platform.cluster, str(project.metadata.namespace)
        if step.action is Action.CREATE:
            return await cluster.create(dict(step.manifest))
        live = dict(step.live or {})
        if step.action is Action.DELETE:
            metadata = live["metadata"]
            await cluster.delete(
                step.kind,
                namespace,
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
            self._platform.recent.gone((step.kind, namespace, metadata["name"]))
            return None
        if step.kind == "Secret":
            return await write_secret(cluster, dict(step.manifest), live)
        return await cluster.apply(dict(step.manifest), uid=live["metadata"]["uid"])

    def _hold_back(self, project: Project, step: Step) -> None:
        """Leave an object alone for a while where somebody else keeps changing or removing it."""
        if self._is_repair(project, step):
            until = self._repairs.not_before((project.metadata.uid, step.kind), self._platform.clock.now())
            if until is not None:
                raise _contested(step, until)

    def _note_repair(self, project: Project, step: Step) -> None:
        """Count what was written: a write that the API server refused is no sign of another writer."""
        key = (project.metadata.uid, step.kind)
        if step.action is Action.DELETE:
            self._repairs.forget(key)
        elif self._is_repair(project, step):
            self._repairs.note(key, self._platform.clock.now())

    def _is_repair(self, project: Project, step: Step) -> bool:
        """Tell whether the wish is an old one. A Secret carries no mark of it, since a hash helps to guess a secret."""
        if step.action is Action.CREATE:
            metadata = step.manifest["metadata"]
            return (step.kind, metadata["namespace"], metadata["name"]) in self._platform.own_writes
        if step.kind == "Secret" and step.action is Action.REPAIR:
            return self._given.get(str(project.metadata.uid)) == _fingerprint(project, step)
        return step.action is Action.REPAIR

    def _record(self, project: Project, step: Step, facts: Mapping[str, str | None]) -> None:
        if step.kind != "Secret":
            return
        uid = str(project.metadata.uid)
        mark = _fingerprint(project, step)
        self._given[uid] = mark if step.action is not Action.DELETE else None
        self._given.move_to_end(uid)
        while len(self._given) > KEPT_OBJECTS:
            self._given.popitem(last=False)
        self._platform.audit.record(
            _AUDITED[step.action],
            kind="Project",
            namespace=str(project.metadata.namespace),
            name=project.metadata.name,
            secret=step.manifest["metadata"]["name"],
            fingerprint=mark,
            **facts,
        )


def _fingerprint(project: Project, step: Step) -> str | None:
    token = token_of(step.manifest)
    return fingerprint(str(project.metadata.uid), token) if token else None


class ChildTrouble(Exception):
    """Something is in the way of a child; `left` are those that are not as they should be, the others were written."""

    def __init__(self, trouble: Trouble, written: Mapping[Kind, Object], left: Iterable[Kind]) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
        self.written = dict(written)
        self.left = frozenset(left)


def _is_watched(child: Object) -> bool:
    """Tell whether watches speak of an object: what goes unseen must not be remembered."""
    labels = child["metadata"].get("labels") or {}
    return labels.get(names.MANAGED_BY) == names.MANAGER and names.PROJECT_LABEL in labels


def _is_for_people(trouble: Trouble) -> bool:
    """Tell whether a Project's status speaks of it: not of a hiccup of the API server, which all would meet."""
    return isinstance(trouble, Stalled | Waiting) or trouble.reason is not Reason.CLUSTER_UNAVAILABLE


def _foreign(kinds: Iterable[Kind], project: Project) -> Stalled | None:
    names = ", ".join(kinds)
    if not names:
        return None
    return Stalled(
        Reason.CONFLICT,
        f"In the way of Project {project.metadata.name}: a {names} of the name that it needs, which Mooring did not"
        " make. It is left alone. Delete or rename it, or give the Project another name.",
    )


def _contested(step: Step, until: datetime) -> Waiting:
    where = f" ({', '.join(step.paths[:3])})" if step.paths else ""
    return Waiting(
        Reason.CONTESTED,
        f"Somebody keeps changing the {step.kind}{where}. Find the other writer; Mooring repairs it again later.",
        until=until,
    )

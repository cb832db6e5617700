"""What a run for a Project begins with: its token, its source, and what the policy says of the rest."""

from __future__ import annotations

from mooring.domain import names
from mooring.domain import projects as rules
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.publishing import check_publishing, first_of_host
from mooring.domain.reasons import Reason
from mooring.domain.resources.project import Project
from mooring.ports import Object
from mooring.services.doubts import Doubts
from mooring.services.installations import Installations
from mooring.services.platform import Platform
from mooring.services.seen import Seen
from mooring.services.sources import Sources, installation_key
from mooring.services.store import Key, key_of
from mooring.services.tokens import Tokens


class Observer:
    """Looks at what a Project asks for, and asks whoever knows."""

    def __init__(self, platform: Platform, tokens: Tokens, sources: Sources, installations: Installations) -> None:
        self._platform = platform
        self._tokens = tokens
        self._sources = sources
        self._installations = installations
        self._doubts = Doubts(platform.clock)

    def prove_again(self, key: Key) -> None:
        """Have the next run ask GitHub which repository is meant, whatever the status says (T9)."""
        self._doubts.cast(key)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._doubts.forget(key)

    def stored(self, seen: Seen) -> None:
        """Take note that the status says what was seen: before that, what was asked is asked again.

        A source in trouble is asked for again in any case.
        """
        if seen.doubts and seen.source_delay is None:
            self._doubts.settle(key_of(seen.obj), seen.doubts)

    async def observe(self, obj: Object, project: Project) -> Seen:
        """Gather it; what is in the way is part of what was seen."""
        seen = Seen(obj, project, await self._tokens.resolve(obj, project))
        try:
            found = await self._source(seen)
            seen.clone_secret = await self._clone_secret(seen, found)
            seen.source = found
        except Trouble as trouble:
            seen.source_trouble = trouble
        try:
            self._check_publishing(project)
            seen.service_account = await self._service_account(project)
        except Trouble as trouble:
            seen.trouble = trouble
        return seen

    async def _source(self, seen: Seen) -> rules.SourceFacts | None:
        """Return what the Project follows, proven anew where something happened to the repository since."""
        project, obj = seen.project, seen.obj
        seen.doubts = self._doubts.about(obj)
        try:
            return await self._sources.find(project, obj, seen.at_hand, anew=bool(seen.doubts))
        except Stalled:
            raise
        except Trouble as trouble:
            known = self._sources.known(project, obj) if seen.doubts else None
            if known is None:
                raise
            # What happened is asked after again. Until then nothing says that it is not as it was.
            seen.source_delay = trouble
            return known

    async def _clone_secret(self, seen: Seen, found: rules.SourceFacts | None) -> str | None:
        """Return the Secret with the installation's credential for the source; None where none is used."""
        if found is None or found.repository_id is None or not rules.spec_uses_installation(seen.project):
            return None
        return await self._installations.clone_secret(
            installation_key(seen.project),
            key_of(seen.obj),
            found.repository_id,
            found.full_name,
            proven=found.fresh,
        )

    def _check_publishing(self, project: Project) -> None:
        check_publishing(project, self._platform.policy.ingress)
        host = project.spec.expose.host if project.spec.expose is not None else None
        if host is None:
            return
        store = self._platform.store
        rivals = [obj for key in store.referring_to("Host", "", host) if (obj := store.outline(key)) is not None]
        if first_of_host(rivals) not in {None, project.metadata.uid}:
            raise Stalled(
                Reason.HOST_CONFLICT,
                f"spec.expose.host: {host} belongs to another Project that had it first. Choose another host.",
            )

    async def _service_account(self, project: Project) -> str | None:
        """Return the account that the Project names, where the account itself allows it."""
        name = project.spec.workload.service_account_name
        if name is None:
            return None
        account = await self._platform.cluster.read("ServiceAccount", str(project.metadata.namespace), name)
        annotations = ((account or {}).get("metadata") or {}).get("annotations") or {}
        if annotations.get(names.ALLOW_PROJECTS_ANNOTATION) == "true":
            return name
        raise Stalled(
            Reason.NOT_ALLOWED,
            f"spec.workload.serviceAccountName: {name} is not there, or does not allow Projects. Its owner may"
            f" annotate it with {names.ALLOW_PROJECTS_ANNOTATION}=true.",
        )

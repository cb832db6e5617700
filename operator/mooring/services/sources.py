"""Finds out, once, which repository and which commit a Project means.

After that only when its spec changes, or when something happened to the repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mooring.domain.comparisons import Comparison
from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.redeploys import wish_of
from mooring.domain.resources.project import Project, SourceSpec
from mooring.domain.webhooks.keys import Pinned
from mooring.ports import Object, Origin, RepositoryFacts
from mooring.services import proofs
from mooring.services.installations import Installations
from mooring.services.platform import Platform
from mooring.services.store import Key

GITHUB, GIT = "GitHub", "Git"


@dataclass(frozen=True, slots=True)
class AtHand:
    """The effective token of a Project, as far as it may fetch the source."""

    token: str | None = field(default=None, repr=False)
    # The API that it is bound to: it is sent nowhere else.
    api: str | None = None
    # Why it is not known yet. To ask without it would get the answer of a stranger.
    undecided: Trouble | None = None


class Sources:
    """Repositories of Projects."""

    def __init__(self, platform: Platform, installations: Installations) -> None:
        self._platform = platform
        self._installations = installations

    async def find(self, project: Project, obj: Object, at_hand: AtHand, *, anew: bool = False) -> SourceFacts | None:
        """Return what the Project follows (None: it has no source).

        GitHub is asked only where the status does not say yet, or where it is to be proven anew.
        """
        spec = project.spec.source
        if spec is None or (spec.github is None and spec.git is None):
            return None
        if project.spec.installation_ref is not None and spec.github is None:
            raise Stalled(
                Reason.INVALID_SPEC,
                "spec.installationRef: an installation covers repositories by name. Write the source as"
                " spec.source.github, or leave installationRef out.",
            )
        if not anew and (known := self.known(project, obj)) is not None:
            return known
        if spec.github is not None:
            return await self._github(project, spec, obj, await self._reading(project, at_hand))
        return await self._git(project, spec, obj, at_hand)

    async def head(self, project: Project, facts: SourceFacts, at_hand: AtHand) -> str:
        """Return the commit at the tip of the branch, as it is now."""
        namespace = str(project.metadata.namespace)
        if facts.repository_id is not None:
            origin, token = await self._reading(project, at_hand)
            return await self._platform.github.head(
                origin, token, facts.repository_id, facts.branch, namespace=namespace
            )
        _, head = await self._remote_head(project, facts.url, facts.branch, at_hand)
        return head

    def time_at(self, project: Project, then: datetime) -> datetime:
        """Return the time at a moment of ours, by the clock of the GitHub that a source is at, where it is at one."""
        by_id = project.spec.source is not None and project.spec.source.github is not None
        return self._platform.time_at(self._origin(project) if by_id else None, then)

    async def compare(
        self, project: Project, facts: SourceFacts, at_hand: AtHand, base: str, head: str
    ) -> Comparison | None:
        """Compare two commits; None where that cannot be said."""
        if facts.repository_id is None:
            return None
        origin, token = await self._reading(project, at_hand)
        return await self._platform.github.compare(
            origin, token, facts.repository_id, base, head, namespace=str(project.metadata.namespace)
        )

    async def is_on_the_branch(self, project: Project, facts: SourceFacts, at_hand: AtHand, sha: str) -> bool:
        """Tell whether a commit is in the history of the branch's tip; of a plain git URL nobody can tell."""
        if facts.repository_id is None:
            return False
        origin, token = await self._reading(project, at_hand)
        return await self._platform.github.on_a_branch(
            origin,
            token,
            facts.repository_id,
            sha,
            branch=facts.branch,
            namespace=str(project.metadata.namespace),
        )

    async def _reading(self, project: Project, at_hand: AtHand) -> tuple[Origin, str | None]:
        """Return where a repository at GitHub is asked for, and with what: the Project's own credential."""
        source, origin = project.spec.source, self._origin(project)
        assert source is not None and source.github is not None  # noqa: S101, PT018 - the callers looked
        if project.spec.installation_ref is not None:
            return await self._installations.reader(
                installation_key(project), str(project.metadata.namespace), source.github.repository
            )
        if at_hand.undecided is not None:
            raise at_hand.undecided
        return origin, at_hand.token if at_hand.api == origin.api_url else None

    def _origin(self, project: Project) -> Origin:
        """Return the GitHub that a source is at: the one it names, else its installation's, else the operator's own."""
        github, ref = project.spec.source.github if project.spec.source is not None else None, None
        host = github.host if github is not None else None
        if (ref := project.spec.installation_ref) is None:
            return self._platform.origin_of_host(host)
        namespace = str(project.metadata.namespace)
        lender = self._installations.origin(installation_key(project), namespace)
        if host is not None and self._platform.origin_of_host(host).api_url != lender.api_url:
            raise Stalled(
                Reason.INVALID_SPEC,
                f"spec.source.github.host: GitHubInstallation {ref.name} is of another GitHub. Correct one of the two.",
            )
        return lender

    def fetches(self, project: Project, token_api: str | None) -> bool:
        """Tell whether a token that is bound to an API may be sent to where the source is."""
        spec = project.spec.source
        if spec is None or token_api is None:
            return False
        if spec.github is not None:
            return self._origin(project).api_url == token_api
        return spec.git is not None and self._platform.serves(token_api, spec.git.url)

    def known(self, project: Project, obj: Object) -> SourceFacts | None:
        """Read the facts back from the status, where they were found for this very spec, and are ours; else None."""
        status: Mapping[str, Any] = obj.get("status") or {}
        source: Mapping[str, Any] = status.get("source") or {}
        found = next((c for c in status.get("conditions") or () if c["type"] == ConditionType.SOURCE_RESOLVED), None)
        current = (
            found is not None
            and found["status"] == "True"
            and found["reason"] == Reason.RESOLVED.value
            and found.get("observedGeneration") == project.metadata.generation
        )
        if not current or not all(source.get(field) for field in ("fullName", "branch", "decidedSha")):
            return None
        running = (status.get("revision") or {}).get("sha")
        if not running or not proofs.is_proven(self._platform, obj):
            return None
        known = self.remembered(project, source, running)
        return known if known is not None and self.has_proven_pin(project, known) else None

    def has_proven_pin(self, project: Project, facts: SourceFacts) -> bool:
        """Tell whether the commit that a Project pins, if any, is known to be one of its branch.

        Whoever may write the status may say that it is; so this is signed like the rest. Of a plain git URL nobody can
        tell, and nothing is asked.
        """
        if facts.pin is None or facts.repository_id is None or facts.fresh:
            return True
        return proofs.pins(self._platform, self._pinned(project, facts.repository_id, facts.pin), facts.pin_proof)

    def _pinned(self, project: Project, repository_id: int, pin: str) -> Pinned:
        return Pinned(str(project.metadata.uid), self._origin(project).api_url, repository_id, pin)

    def remembered(self, project: Project, source: Mapping[str, Any], running: str | None = None) -> SourceFacts | None:
        """Read the facts back from a status; None where they are about another source than the spec's."""
        spec = project.spec.source
        if spec is None or source.get("provider") != (GITHUB if spec.github is not None else GIT):
            return None
        if spec.git is not None and source["fullName"] != _git_name(self._platform.git_url(spec.git.url)):
            return None
        return SourceFacts(
            provider=str(source.get("provider")),
            full_name=source["fullName"],
            spec_name=source.get("specName"),
            url=self._clone_url(project, source["fullName"]),
            branch=source["branch"],
            decided_sha=source["decidedSha"],
            head_sha=source.get("headSha") or source["decidedSha"],
            repository_id=source.get("repositoryId"),
            node_id=source.get("nodeId"),
            private=source.get("private"),
            deployed_sha=running,
            pin=spec.revision,
            delivery=source.get("delivery"),
            redeploy=source.get("redeploy"),
            proof=source.get("proof"),
            pin_proof=source.get("pinProof"),
            proven_at=source.get("provenAt"),
            read_at=source.get("readAt"),
        )

    def _clone_url(self, project: Project, full_name: str) -> str:
        spec = project.spec.source
        if spec is not None and spec.git is not None:
            return self._platform.git_url(spec.git.url)
        return f"{self._origin(project).web_url}/{full_name}.git"

    async def _github(
        self, project: Project, spec: SourceSpec, obj: Object, reading: tuple[Origin, str | None]
    ) -> SourceFacts:
        assert spec.github is not None  # noqa: S101 - the caller looked
        namespace = str(project.metadata.namespace)
        origin, usable = reading
        found = await self._platform.github.repository(origin, usable, spec.github.repository, namespace=namespace)
        status: Mapping[str, Any] = obj.get("status") or {}
        before: Mapping[str, Any] = status.get("source") or {}
        _check_identity(spec, before, found)
        branch = spec.branch or found.default_branch
        same = before.get("repositoryId") == found.id and before.get("branch") == branch
        decided, running = _still_decided(status, spec.revision) if same else (None, None)
        began, read_at = self._platform.clock.now(), before.get("readAt")
        head = decided
        if head is None:
            head = await self._platform.github.head(origin, usable, found.id, branch, namespace=namespace)
            read_at = timestamp(self._platform.time_at(origin, began))
        pin_proof = None
        if spec.revision is not None:
            pin_proof = proofs.pin_proof_of(self._platform, self._pinned(project, found.id, spec.revision))
            await self._check_pin(origin, usable, found, pin=spec.revision, branch=branch, namespace=namespace)
        proof = proofs.proof_of(self._platform, obj, repository_id=found.id, branch=branch)
        return SourceFacts(
            provider=GITHUB,
            full_name=found.full_name,
            spec_name=spec.github.repository,
            url=f"{origin.web_url}/{found.full_name}.git",
            branch=branch,
            decided_sha=head,
            head_sha=(before.get("headSha") or head) if decided else head,
            repository_id=found.id,
            node_id=found.node_id,
            private=found.private,
            deployed_sha=running or head,
            pin=spec.revision,
            delivery=_handled(status, found.id),
            redeploy=self._redeploy(project, obj),
            proof=proof,
            pin_proof=pin_proof,
            proven_at=self._proven_at(obj, proof),
            read_at=read_at,
            fresh=True,
        )

    def _proven_at(self, obj: Object, proof: str | None) -> str | None:
        """Return since when a proof stands: a later moment only for another one, or for another spec."""
        status: Mapping[str, Any] = obj.get("status") or {}
        before: Mapping[str, Any] = status.get("source") or {}
        if proof is None:
            return None
        is_same = before.get("proof") == proof and status.get("observedGeneration") == obj["metadata"].get("generation")
        at: str | None = before.get("provenAt") if is_same else None
        return at or timestamp(self._platform.clock.now())

    def _redeploy(self, project: Project, obj: Object) -> str | None:
        """Return the annotation that was acted on; one that was there before the source was ever proven asks nothing.

        Else an upgrade, or a status that was lost, would deploy what somebody asked for long ago.
        """
        before: Mapping[str, Any] = (obj.get("status") or {}).get("source") or {}
        if before.get("decidedSha") and proofs.is_proven(self._platform, obj):
            return before.get("redeploy")
        return wish_of(project).redeploy

    async def _check_pin(
        self, origin: Origin, token: str | None, found: RepositoryFacts, *, pin: str, branch: str, namespace: str
    ) -> None:
        reachable = await self._platform.github.on_a_branch(
            origin, token, found.id, pin, branch=branch, namespace=namespace
        )
        if not reachable:
            raise Stalled(
                Reason.REVISION_NOT_FOUND,
                f"spec.source.revision: {pin[:12]} is not reachable from branch {branch} of {found.full_name}."
                " Name a commit of that branch, or leave revision out.",
            )

    async def _git(self, project: Project, spec: SourceSpec, obj: Object, at_hand: AtHand) -> SourceFacts:
        assert spec.git is not None  # noqa: S101 - the caller looked
        url = self._platform.git_url(spec.git.url)
        branch, head = await self._remote_head(project, url, spec.branch, at_hand)
        name = _git_name(url)
        status: Mapping[str, Any] = obj.get("status") or {}
        before: Mapping[str, Any] = status.get("source") or {}
        same = before.get("fullName") == name and before.get("branch") == branch
        decided, running = _still_decided(status, spec.revision) if same else (None, None)
        return SourceFacts(
            provider=GIT,
            full_name=name,
            url=url,
            branch=branch,
            decided_sha=decided or head,
            head_sha=head,
            deployed_sha=running or head,
            pin=spec.revision,
            redeploy=self._redeploy(project, obj),
        )

    async def _remote_head(self, project: Project, url: str, branch: str | None, at_hand: AtHand) -> tuple[str, str]:
        if at_hand.undecided is not None:
            raise at_hand.undecided
        usable = at_hand.token if self.fetches(project, at_hand.api) else None
        return await self._platform.github.remote_head(url, usable, branch, namespace=str(project.metadata.namespace))


def installation_key(project: Project) -> Key:
    """Return the GitHubInstallation that a Project names."""
    ref = project.spec.installation_ref
    assert ref is not None  # noqa: S101 - the caller looked
    return Key("GitHubInstallation", ref.namespace or str(project.metadata.namespace), ref.name)


def _git_name(url: str) -> str:
    return url.removeprefix("https://").removesuffix(".git")


def _check_identity(spec: SourceSpec, before: Mapping[str, Any], found: RepositoryFacts) -> None:
    """Refuse another repository under the name of the one that was meant: its present one, or the one in the spec."""
    assert spec.github is not None  # noqa: S101 - the caller looked
    asserted = spec.github.repository_id
    names = {str(before.get(field) or "").casefold() for field in ("fullName", "specName")}
    same_name = spec.github.repository.casefold() in names
    remembered = before.get("repositoryId") if same_name else None
    expected = asserted or remembered
    if expected is not None and expected != found.id:
        raise Stalled(
            Reason.REPOSITORY_CHANGED,
            f"{spec.github.repository} is repository {found.id} now, but {expected} is meant."
            " Correct spec.source.github.repository, or its repositoryId.",
        )


def _handled(status: Mapping[str, Any], repository_id: int) -> str | None:
    """Return the delivery that is done with. Of another repository's pushes all are: its branch was not read for them.

    Else the first rollout of the new one might be said to come from a push to the former.
    """
    before: Mapping[str, Any] = status.get("source") or {}
    handled: str | None = before.get("delivery")
    if before and before.get("repositoryId") != repository_id:
        return (status.get("push") or {}).get("delivery") or handled
    return handled


def _still_decided(status: Mapping[str, Any], pin: str | None) -> tuple[str | None, str | None]:
    """Return what was decided on and what runs, of a source that is still followed; a new image is no push.

    Nothing where the head has to be read: no revision was stored yet, or what runs was pinned until now.
    """
    before: Mapping[str, Any] = status.get("source") or {}
    decided, running = before.get("decidedSha"), (status.get("revision") or {}).get("sha")
    if not decided or not running:
        return None, None
    # Earlier versions did not note that a commit was pinned; and none of them passed a commit over.
    noted = any(before.get(field) is not None for field in ("delivery", "proof", "provenAt"))
    was_pinned = before.get("pinnedSha") is not None or (not noted and running != decided)
    return (None, None) if pin is None and was_pinned else (str(decided), str(running))

"""Finds out, once, which repository and which commit a Project means; after that only when its spec changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.project import Project, SourceSpec
from mooring.ports import Origin, RepositoryFacts
from mooring.services.installations import Installations
from mooring.services.platform import Platform
from mooring.services.store import Key

GITHUB, GIT = "GitHub", "Git"


class Sources:
    """Repositories of Projects."""

    def __init__(self, platform: Platform, installations: Installations) -> None:
        self._platform = platform
        self._installations = installations

    async def find(
        self,
        project: Project,
        status: Mapping[str, Any],
        *,
        token: str | None,
        token_api: str | None,
        undecided: Trouble | None = None,
    ) -> SourceFacts | None:
        """Return what the Project follows (None: it has no source), asking only where the status does not say yet.

        `token_api` is the API that the token is bound to: it is sent nowhere else. `undecided` says why the token is
        not known yet: to ask without it would get the answer of a stranger.
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
        if (known := self._known(project, status)) is not None:
            return known
        if spec.github is not None and project.spec.installation_ref is not None:
            return await self._covered(project, spec, status)
        if undecided is not None:
            raise undecided
        if spec.github is not None:
            origin = self._origin(project)
            return await self._github(project, spec, status, (origin, token if token_api == origin.api_url else None))
        return await self._git(project, spec, status, token, token_api)

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

    async def _covered(self, project: Project, spec: SourceSpec, status: Mapping[str, Any]) -> SourceFacts:
        """Find a repository with the installation that the Project names."""
        assert spec.github is not None  # noqa: S101 - the caller looked
        self._origin(project)
        reading = await self._installations.reader(
            installation_key(project), str(project.metadata.namespace), spec.github.repository
        )
        return await self._github(project, spec, status, reading)

    def fetches(self, project: Project, token_api: str | None) -> bool:
        """Tell whether a token that is bound to an API may be sent to where the source is."""
        spec = project.spec.source
        if spec is None or token_api is None:
            return False
        if spec.github is not None:
            return self._origin(project).api_url == token_api
        return spec.git is not None and self._platform.serves(token_api, spec.git.url)

    def _known(self, project: Project, status: Mapping[str, Any]) -> SourceFacts | None:
        """Read the facts back from the status, where they were found for this very spec."""
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
        return self.remembered(project, source)

    def remembered(self, project: Project, source: Mapping[str, Any]) -> SourceFacts | None:
        """Read the facts back from a status; None where they are about another source than the spec's."""
        spec = project.spec.source
        if spec is None or source.get("provider") != (GITHUB if spec.github is not None else GIT):
            return None
        if spec.git is not None and source["fullName"] != _git_name(self._platform.git_url(spec.git.url)):
            return None
        return SourceFacts(
            provider=str(source.get("provider")),
            full_name=source["fullName"],
            url=self._clone_url(project, source["fullName"]),
            branch=source["branch"],
            decided_sha=source["decidedSha"],
            head_sha=source.get("headSha") or source["decidedSha"],
            repository_id=source.get("repositoryId"),
            node_id=source.get("nodeId"),
            private=source.get("private"),
            pin=spec.revision,
        )

    def _clone_url(self, project: Project, full_name: str) -> str:
        spec = project.spec.source
        if spec is not None and spec.git is not None:
            return self._platform.git_url(spec.git.url)
        return f"{self._origin(project).web_url}/{full_name}.git"

    async def _github(
        self, project: Project, spec: SourceSpec, status: Mapping[str, Any], reading: tuple[Origin, str | None]
    ) -> SourceFacts:
        assert spec.github is not None  # noqa: S101 - the caller looked
        namespace = str(project.metadata.namespace)
        origin, usable = reading
        found = await self._platform.github.repository(origin, usable, spec.github.repository, namespace=namespace)
        before: Mapping[str, Any] = status.get("source") or {}
        _check_identity(spec, before, found)
        branch = spec.branch or found.default_branch
        decided = _still_decided(before, status.get("revision") or {}, found.id, branch, spec.revision)
        head = decided or await self._platform.github.head(origin, usable, found.id, branch, namespace=namespace)
        if spec.revision is not None:
            await self._check_pin(origin, usable, found, pin=spec.revision, branch=branch, namespace=namespace)
        return SourceFacts(
            provider=GITHUB,
            full_name=found.full_name,
            url=f"{origin.web_url}/{found.full_name}.git",
            branch=branch,
            decided_sha=head,
            head_sha=(before.get("headSha") or head) if decided else head,
            repository_id=found.id,
            node_id=found.node_id,
            private=found.private,
            pin=spec.revision,
            fresh=True,
        )

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

    async def _git(
        self, project: Project, spec: SourceSpec, status: Mapping[str, Any], token: str | None, token_api: str | None
    ) -> SourceFacts:
        assert spec.git is not None  # noqa: S101 - the caller looked
        url = self._platform.git_url(spec.git.url)
        usable = token if self.fetches(project, token_api) else None
        branch, head = await self._platform.github.remote_head(
            url, usable, spec.branch, namespace=str(project.metadata.namespace)
        )
        name = _git_name(url)
        before: Mapping[str, Any] = status.get("source") or {}
        same = before.get("fullName") == name
        decided = before.get("decidedSha") if same and before.get("branch") == branch else None
        return SourceFacts(
            provider=GIT,
            full_name=name,
            url=url,
            branch=branch,
            decided_sha=decided or head,
            head_sha=head,
            pin=spec.revision,
        )


def installation_key(project: Project) -> Key:
    """Return the GitHubInstallation that a Project names."""
    ref = project.spec.installation_ref
    assert ref is not None  # noqa: S101 - the caller looked
    return Key("GitHubInstallation", ref.namespace or str(project.metadata.namespace), ref.name)


def _git_name(url: str) -> str:
    return url.removeprefix("https://").removesuffix(".git")


def _check_identity(spec: SourceSpec, before: Mapping[str, Any], found: RepositoryFacts) -> None:
    """Refuse another repository under the name of the one that was meant."""
    assert spec.github is not None  # noqa: S101 - the caller looked
    asserted = spec.github.repository_id
    same_name = str(before.get("fullName") or "").casefold() == spec.github.repository.casefold()
    remembered = before.get("repositoryId") if same_name else None
    expected = asserted or remembered
    if expected is not None and expected != found.id:
        raise Stalled(
            Reason.REPOSITORY_CHANGED,
            f"{spec.github.repository} is repository {found.id} now, but {expected} is meant."
            " Correct spec.source.github.repository, or its repositoryId.",
        )


def _still_decided(
    before: Mapping[str, Any], revision: Mapping[str, Any], repository_id: int, branch: str, pin: str | None
) -> str | None:
    """Return the commit that was decided on, where the spec still follows the same branch; a new image is no push."""
    decided = before.get("decidedSha")
    same = before.get("repositoryId") == repository_id and before.get("branch") == branch
    unpinned = pin is None and decided is not None and revision.get("sha") not in (None, decided)
    return str(decided) if decided and same and not unpinned else None

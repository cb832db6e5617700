"""Which token a Project gets: gathers the candidates that the ladder may need, and climbs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mooring.domain.errors import Trouble
from mooring.domain.resources.project import Project
from mooring.domain.resources.tokens import TokenSource
from mooring.domain.secret_tokens import token_in
from mooring.domain.tokens import Candidate, Resolution, get_effective_github_token
from mooring.domain.users import expiry_trouble
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.store import Key, user_reference
from mooring.services.users import Users


class Tokens:
    """Tokens of Projects."""

    def __init__(self, platform: Platform, users: Users, ask_user: Callable[[Key, float], None]) -> None:
        self._platform = platform
        self._users = users
        self._ask_user = ask_user

    async def resolve(self, obj: Object, project: Project) -> Resolution:
        """Gather the candidates that the ladder may need, and climb it."""
        spec = project.spec.token
        source = spec.source if spec is not None else None
        own = spec.secret_ref if spec is not None else None
        candidate = inherited = None
        if own is not None and source in {None, TokenSource.PROJECT}:
            candidate = await self._own_token(project, own.name, own.key)
        elif source in {None, TokenSource.GLOBAL}:
            reference = user_reference(obj)
            user = Key("GitHubUser", reference.namespace, reference.name)
            await self._look_for_user(obj, user)
            inherited = await self._users.candidate(
                user,
                owner=_owner(project),
                consumer=str(project.metadata.namespace),
                explicit=project.spec.user_ref is not None,
            )
        return get_effective_github_token(source.value if source is not None else None, candidate, inherited)

    async def _look_for_user(self, obj: Object, user: Key) -> None:
        """Ask for a user of this namespace that no watch has shown, before a Project rolls out for the first time.

        Each kind has a watch of its own: of two objects that were applied together, the Project may be seen first. It
        would begin without the token, and roll once more a moment later.
        """
        first = not (obj.get("status") or {}).get("revision")
        if not first or user.namespace != obj["metadata"]["namespace"] or user in self._platform.store:
            return
        found = await self._platform.cluster.read_own(*user)
        if found is not None and self._platform.store.put(found):
            self._ask_user(user, 0.0)

    async def _own_token(self, project: Project, name: str, key: str) -> Candidate:
        namespace, shown = str(project.metadata.namespace), f"Secret {name}"
        github = project.spec.source.github if project.spec.source is not None else None
        try:
            token = token_in(await self._platform.secrets.get(namespace, name), name, key, named=True)
            origin = self._platform.origin_of_host(github.host if github is not None else None)
            identity = await self._platform.github.identify(origin, str(token), namespace=namespace)
        except Trouble as trouble:
            return Candidate(shown, trouble=trouble)
        found = Candidate(
            shown, token=token, kind=identity.kind, expires_at=identity.expires_at, api_url=origin.api_url
        )
        expired = expiry_trouble(identity.expires_at, shown, self._platform.clock.now())
        return found if expired is None else replace(found, token=None, trouble=expired)


def _owner(project: Project) -> str | None:
    source = project.spec.source
    return source.github.repository.split("/")[0] if source is not None and source.github is not None else None

"""Finds out what brings the pushes of each Project, and keeps the repository's hook where that is what brings them.

Nothing here changes whether a Project is Ready: without a webhook the sweep finds pushes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from mooring.domain import carriers as rules
from mooring.domain.carriers import Carrier
from mooring.domain.conditions import Wanted
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.problems import invalid_spec
from mooring.domain.projects import spec_uses_installation
from mooring.domain.reasons import Happened, Reason
from mooring.domain.resources.project import Project
from mooring.domain.tokens import Resolution
from mooring.domain.webhooks.following import proven_facts
from mooring.domain.webhooks.hooking import Place, noted_in
from mooring.ports import Object
from mooring.services import hook_holds
from mooring.services.hook_books import Access, Standing
from mooring.services.installations import REVOKE_AGAIN, Installations
from mooring.services.platform import Platform
from mooring.services.repository_hooks import RepositoryHooks
from mooring.services.seen import Seen
from mooring.services.sources import installation_key
from mooring.services.store import key_of
from mooring.services.tokens import Tokens
from mooring.services.work import Again

# How long a deleted Project waits for GitHub to remove its hook.
RELEASE_WITHIN = timedelta(seconds=30)
# Projects that were let go of late.
KEPT_ENDED = 1024


@dataclass(frozen=True, slots=True)
class Carried:
    """What the status says of a Project's pushes."""

    # The Project, as it is now.
    obj: Object = field(repr=False)
    condition: Wanted | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    again: datetime | None = None


class Carriers:
    """What brings pushes, for all Projects."""

    def __init__(
        self, platform: Platform, tokens: Tokens, installations: Installations, hooks: RepositoryHooks
    ) -> None:
        self._platform = platform
        self._tokens = tokens
        self._installations = installations
        self._hooks = hooks
        # Uids of Projects that were let go: until a watch says that they are gone, they seem to be held.
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def carry(self, seen: Seen) -> Carried:
        """See to it that pushes come, as far as that is in our hands, and return what the status says of it."""
        as_it_was = Carried(seen.obj, rules.condition_in(seen.status))
        if self._platform.webhook_keys is None or (seen.has_source and seen.source is None):
            return as_it_was
        place = self._place(seen)
        if (old := self._to_leave(seen, place)) is not None and (again := await self._leave(seen, old)) is not None:
            return Carried(seen.obj, as_it_was.condition, {}, again)
        if not seen.has_source:
            return Carried(await self._unheld(seen.obj), None, {"webhook": None})
        if place is None:
            return await self._without_hook(seen, as_it_was)
        access = self._access(seen.resolution, place.api_url)
        if isinstance(access, Trouble) and not isinstance(access, Stalled):
            return as_it_was
        standing = await self._hooks.keep(seen.obj, place, access)
        return self._told(standing.obj, seen, _by_hook(place, standing), standing.again)

    def _told(self, obj: Object, seen: Seen, carrier: Carrier, again: datetime | None = None) -> Carried:
        told = rules.field(carrier, seen.status, self._platform.clock.now())
        return Carried(obj, rules.condition(carrier), {"webhook": told}, again)

    def _place(self, seen: Seen) -> Place | None:
        """Return the hook that a Project needs; None where none can tell of its pushes."""
        source, github = seen.source, seen.project.spec.source.github if seen.project.spec.source else None
        if source is None or source.repository_id is None or github is None or self._platform.public_base_url is None:
            return None
        if seen.project.spec.installation_ref is not None:
            return None
        origin = self._platform.origin_of_host(github.host)
        return Place(str(seen.project.metadata.namespace), origin.api_url, source.repository_id)

    async def _without_hook(self, seen: Seen, as_it_was: Carried) -> Carried:
        """Return what brings pushes where no hook of the repository can."""
        has_address, source = self._platform.public_base_url is not None, seen.source
        if spec_uses_installation(seen.project):
            try:
                before = as_it_was.condition.reason if as_it_was.condition is not None else None
                trouble = await self._installations.webhook_trouble(installation_key(seen.project), before)
            except Trouble:
                return as_it_was
            carrier = rules.by_app(trouble if has_address else Reason.NO_PUBLIC_URL)
        elif has_address or source is None or source.repository_id is None:
            carrier = rules.by_sweep(Reason.SWEEP_ONLY)
        else:
            # One from before stays: it is put right when there is an address again.
            told = noted_in(seen.obj["metadata"]["namespace"], seen.status)
            if told is not None:
                return self._told(seen.obj, seen, rules.by_sweep(Reason.NO_PUBLIC_URL, told))
            carrier = rules.by_sweep(Reason.NO_PUBLIC_URL)
        return self._told(await self._unheld(seen.obj), seen, carrier)

    def _access(self, resolution: Resolution, api_url: str) -> Access | Trouble:
        """Return the effective token, where it is for that GitHub: it goes to no other."""
        if resolution.undecided and resolution.trouble is not None:
            return resolution.trouble
        if resolution.token is None or resolution.api_url != api_url:
            return _FORBIDDEN if resolution.trouble is None else _no_token(resolution.trouble)
        return Access(self._platform.origin(api_url), resolution.token)

    # --- hooks that are needed no more ---

    def _to_leave(self, seen: Seen, place: Place | None) -> Place | None:
        """Return the hook that a Project had, where that is another one than it needs."""
        told = noted_in(seen.obj["metadata"]["namespace"], seen.status)
        used = self._hooks.used_by(key_of(seen.obj))
        if told is not None and told[0] != place:
            # Without an address for GitHub there is no better one either: what is there may be good again.
            keeps = self._platform.public_base_url is None and self._would_need(seen, told[0])
            return None if keeps else told[0]
        return used if used is not None and used != place else None

    def _would_need(self, seen: Seen, place: Place) -> bool:
        source = seen.source
        return (
            seen.project.spec.installation_ref is None
            and source is not None
            and source.repository_id == place.repository_id
        )

    async def _leave(self, seen: Seen, place: Place) -> datetime | None:
        """Let go of a hook; return when to try again, None where that is done with."""

        async def find() -> Access | Trouble:
            return self._access(seen.resolution, place.api_url)

        trouble = await self._hooks.release(seen.obj, place, find)
        if trouble is None:
            return None
        again = self._hooks.again_after(seen.obj, place, trouble)
        if again is None:
            self._give_up(seen.obj, place, trouble)
        return again

    def _give_up(self, obj: Object, place: Place, trouble: Trouble) -> None:
        """Leave a hook at GitHub, and say so."""
        left = self._hooks.leave(obj, place, trouble)
        if left is None:
            return
        message = (
            f"Webhook {left} of the repository with the id {place.repository_id} at {place.api_url} stays there:"
            f" {trouble.message} Whoever administers the repository can remove it."
        )
        self._platform.herald.tell(obj, warning=True, reason=Happened.HOOK_LEFT.value, message=message)

    async def _unheld(self, obj: Object) -> Object:
        """Take the finalizer from a Project that has no hook any more."""
        return await hook_holds.let_go(self._platform, obj) or obj

    # --- deletion ---

    async def end(self, obj: Object) -> Again | None:
        """Remove the hook of a Project that is being deleted, and let it go; GitHub may be away for half a minute."""
        uid = str(obj["metadata"]["uid"])
        if not hook_holds.is_held(obj) or uid in self._ended:
            return None
        place, now = self._place_of(obj), self._platform.clock.now()
        if place is not None:
            trouble = await self._release(obj, place)
            if trouble is not None and not isinstance(trouble, Stalled) and now - _deletion(obj) < RELEASE_WITHIN:
                return Again(now + REVOKE_AGAIN)
            if trouble is not None:
                self._give_up(obj, place, trouble)
        await hook_holds.let_go(self._platform, obj)
        self._ended[uid] = None
        while len(self._ended) > KEPT_ENDED:
            self._ended.popitem(last=False)
        return None

    async def _release(self, obj: Object, place: Place) -> Trouble | None:
        async def find() -> Access | Trouble:
            return await self._token_of(obj, place.api_url)

        return await self._hooks.release(obj, place, find)

    async def _token_of(self, obj: Object, api_url: str) -> Access | Trouble:
        try:
            resolution = await self._tokens.resolve(obj, Project.model_validate(obj))
            return self._access(resolution, api_url)
        except ValidationError as error:
            return invalid_spec(error)
        except Trouble as trouble:
            return trouble

    def _place_of(self, obj: Object) -> Place | None:
        """Return the hook of a Project that goes: as its status says, or as its source asks for one."""
        status: Mapping[str, Any] = obj.get("status") or {}
        told = noted_in(obj["metadata"]["namespace"], status)
        if told is not None:
            return told[0]
        repository_id, keys = (status.get("source") or {}).get("repositoryId"), self._platform.webhook_keys
        if not isinstance(repository_id, int) or keys is None or (obj.get("spec") or {}).get("installationRef"):
            return None
        facts = proven_facts(
            obj, None, keys, default_api=self._platform.api_url, repository_id=repository_id, branch=""
        )
        return Place(obj["metadata"]["namespace"], facts.origin, repository_id) if facts is not None else None


def _by_hook(place: Place, standing: Standing) -> Carrier:
    if standing.hook is not None:
        return rules.by_hook(place, standing.hook, standing.failing)
    return rules.by_sweep(standing.trouble if standing.trouble is not None else Reason.SWEEP_ONLY)


_FORBIDDEN = Stalled(
    Reason.HOOKS_FORBIDDEN,
    "There is no token here that may manage the repository's webhooks. Give the Project one that has the right; until"
    " then the sweep finds pushes.",
)


def _no_token(trouble: Trouble) -> Stalled:
    return Stalled(trouble.reason, trouble.message)


def _deletion(obj: Object) -> datetime:
    return datetime.strptime(obj["metadata"]["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

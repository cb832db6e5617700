"""What is known of an installation at this moment, and for whom: asked of GitHub once for all who need it.

Held to what it was found for: another spec, another policy, another key of the App or a hint of the gateway's make it
be asked anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.errors import Stalled
from mooring.domain.policy import Binding
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.ports import App, AppFacts, InstallationFacts, Object, Origin
from mooring.services.apps import Apps, Lent
from mooring.services.platform import Platform
from mooring.services.store import Key, key_of

# What GitHub said shortly before a hint counts for so long at most.
LOOKS_AFTER_HINT = (timedelta(seconds=3), timedelta(seconds=35))


@dataclass(frozen=True, slots=True)
class Found:
    """An installation that its namespace may use, as GitHub showed it."""

    installation: GitHubInstallation
    lent: Lent
    app_facts: AppFacts
    facts: InstallationFacts
    binding: Binding | None
    read_at: datetime
    # What the gateway said last when this was asked.
    hint: str | None = None

    @property
    def key(self) -> Key:
        """Return the key of the object."""
        metadata = self.installation.metadata
        return Key("GitHubInstallation", str(metadata.namespace), metadata.name)

    @property
    def uid(self) -> str:
        """Return the uid of the object."""
        return str(self.installation.metadata.uid)

    @property
    def app(self) -> App:
        """Return the App."""
        return self.lent.app


@dataclass(frozen=True, slots=True)
class _Held:
    """What an answer was found for."""

    uid: str
    generation: int
    source: str
    ca: str | None = field(repr=False)
    # What the administrator lends this namespace. None: the App is its own, and no word of the administrator's matters.
    bindings: str | None
    hint: str | None


class Lending:
    """Installations as they are now."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._apps = Apps(platform)
        self._known: dict[Key, tuple[_Held, Found]] = {}
        # The hints after which nothing was found, and how often it was looked again.
        self._missed: dict[Key, tuple[str | None, int]] = {}
        self._under_way: dict[tuple[Key, _Held], asyncio.Task[Found]] = {}

    async def find(self, obj: Object, installation: GitHubInstallation) -> Found:
        """Return an installation, not older than a sweep. T1 is checked anew at every call, without a request."""
        key = key_of(obj)
        lent = await self._apps.of(installation)
        held = _Held(
            uid=str(installation.metadata.uid),
            generation=int(installation.metadata.generation or 0),
            source=lent.app.source,
            ca=lent.app.origin.ca,
            bindings=_words(lent.bindings) if lent.bindings is not None else None,
            hint=_hint(obj),
        )
        known = self._known.get(key)
        if known is not None and known[0] == held and not self.is_old(known[1]):
            return known[1]
        task = self._under_way.get((key, held))
        if task is None:
            task = asyncio.create_task(self._ask(obj, installation, lent), name=f"ask about {key}")
            self._under_way[key, held] = task
            task.add_done_callback(lambda done: self._landed(key, held, done))
        return await asyncio.shield(task)

    async def origin(self, installation: GitHubInstallation) -> Origin:
        """Return where an installation answers, and what is trusted there."""
        return await self._apps.origin(installation)

    def is_old(self, found: Found) -> bool:
        """Tell whether it is time to ask again."""
        return self._platform.clock.now() - found.read_at >= 0.85 * self._platform.sweep_interval

    def last(self, key: Key) -> Found | None:
        """Return what was last known, however old: what must be undone was made with it."""
        known = self._known.get(key)
        return known[1] if known is not None else None

    def look_again(self, obj: Object) -> timedelta | None:
        """Say when to look again for what was not found though a hint of GitHub's told of something.

        That there is no such installation is remembered for a moment, and the list of a shared App for longer: what the
        hint spoke of may be newer than either. None once both are over, and where there was no hint.
        """
        key, hint = key_of(obj), _hint(obj)
        seen, looks = self._missed.get(key, (None, 0))
        looks = looks if seen == hint else 0
        if hint is None or looks == len(LOOKS_AFTER_HINT):
            return None
        self._missed[key] = hint, looks + 1
        return LOOKS_AFTER_HINT[looks]

    def forget(self, key: Key) -> None:
        """Have it asked anew at the next use."""
        self._known.pop(key, None)
        self._missed.pop(key, None)

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, obj: Object, installation: GitHubInstallation, lent: Lent) -> Found:
        platform, namespace = self._platform, str(installation.metadata.namespace)
        status: Mapping[str, Any] = obj.get("status") or {}
        app_facts = await platform.github.app(lent.app, namespace=namespace)
        facts, binding = await self._apps.find(installation, lent, status)
        return Found(installation, lent, app_facts, facts, binding, platform.clock.now(), _hint(obj))

    def _landed(self, key: Key, held: _Held, task: asyncio.Task[Found]) -> None:
        self._under_way.pop((key, held), None)
        if not task.cancelled() and task.exception() is None:
            self._known[key] = (held, task.result())


def usable(found: Found) -> Found:
    """Return what may give tokens; raise Stalled where GitHub has suspended it."""
    if found.facts.suspended:
        raise Stalled(
            Reason.INSTALLATION_SUSPENDED,
            f"The installation of {found.facts.app_slug} on {found.facts.account_login} is suspended at GitHub: it"
            " gives no tokens. The owner of the account can resume it in its settings.",
        )
    return found


def _words(bindings: Iterable[Binding]) -> str:
    """Tell one set of bindings from another; with a ceiling of permissions they are no keys themselves."""
    return "\n".join(binding.model_dump_json() for binding in bindings)


def _hint(obj: Object) -> str | None:
    """Return what tells one hint of the gateway's from the next."""
    hint = (obj.get("status") or {}).get("hint") or {}
    return f"{hint.get('delivery')} {hint.get('receivedAt')}" if hint else None

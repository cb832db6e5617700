"""Tells what the gateway may know of a GitHubInstallation's own App: its webhook secrets, once GitHub took its key.

A Secret that names somebody else's App proves nothing, so its webhook secret counts for nothing either (T6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.domain.app_secrets import app_source, webhook_secrets_in
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.domain.webhooks.events import PUSH
from mooring.domain.webhooks.hooking import PATH
from mooring.domain.webhooks.keys import AppHook, app_path_id
from mooring.services.lending import Found
from mooring.services.platform import Platform
from mooring.services.store import Key
from mooring.services.webhook_secret import WebhookSecret


class AppHooks:
    """Webhooks of Apps, as far as single GitHubInstallations are concerned."""

    def __init__(self, platform: Platform, shared: WebhookSecret) -> None:
        self._platform = platform
        self._shared = shared

    async def learn(self, installation: GitHubInstallation, found: Found | None, trouble: Trouble | None) -> None:
        """Take what a look at an installation showed. While GitHub gives no answer, what was known stays."""
        key, ref = _key(installation), installation.spec.app_secret_ref
        if ref is None or (found is None and isinstance(trouble, Stalled)):
            self.refuse(key)
        elif found is not None:
            await self._learn(key, ref.name, found)

    async def _learn(self, key: Key, name: str, found: Found) -> None:
        try:
            secret = await self._platform.secrets.get(key.namespace, name)
            values = webhook_secrets_in(secret, name)
            if secret is None or app_source(secret) != found.app.source:
                return  # changed since GitHub was asked: its event leads to the next look
        except Stalled:
            self.refuse(key)
        except Trouble:
            return
        else:
            app = AppHook(found.app.origin.api_url, values, key.namespace, name) if values else None
            self._shared.tell(key, app)

    def refuse(self, key: Key) -> None:
        """Take nothing that comes for an installation's own App."""
        self._shared.tell(key, None)

    def forget(self, key: Key) -> None:
        """Forget an installation that is gone."""
        self._shared.forget(key)

    async def takes(self, installation: GitHubInstallation) -> bool:
        """Tell whether deliveries of an installation's App can be verified: its webhook secret is known."""
        ref = installation.spec.app_secret_ref
        if ref is not None:
            return self._shared.has(_key(installation), ref.name)
        platform = self._platform
        try:
            secret = await platform.secrets.get(platform.namespace, platform.app_secret)
            return secret is not None and bool(webhook_secrets_in(secret, platform.app_secret))
        except Stalled:
            return False

    async def trouble(
        self, installation: GitHubInstallation, status: Mapping[str, Any], *, elsewhere: bool
    ) -> Reason | None:
        """Return why an App's webhook brings no pushes; `elsewhere`: it goes to somebody else, as far as is known."""
        if not await self.takes(installation):
            return Reason.WEBHOOK_SECRET_MISSING
        if status.get("installationId") and PUSH not in (status.get("events") or ()):
            return Reason.EVENTS_MISSING
        return Reason.WEBHOOK_ELSEWHERE if elsewhere else None

    def url(self, installation: GitHubInstallation) -> str | None:
        """Return what to enter at GitHub; None where no webhook of the App would be taken."""
        base, keys = self._platform.public_base_url, self._platform.webhook_keys
        key, ref = _key(installation), installation.spec.app_secret_ref
        if base is None or ref is None:
            return None if base is None else base + PATH
        if keys is None or not self._shared.has(key, ref.name):
            return None
        try:
            origin = self._platform.origin(installation.spec.api_url).api_url
        except Stalled:
            return None
        uid = str(installation.metadata.uid)
        return f"{base}{PATH}/{app_path_id(keys, origin=origin, installation_uid=uid, namespace=key.namespace)}"


def _key(installation: GitHubInstallation) -> Key:
    metadata = installation.metadata
    return Key("GitHubInstallation", str(metadata.namespace), metadata.name)

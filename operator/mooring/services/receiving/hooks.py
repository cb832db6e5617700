"""The addresses that webhooks come to: whose each is, what signs its deliveries, and what they may speak of.

Secrets and keys are in one file, which the operator writes and kubelet mounts. It is read again when it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from mooring.domain import names, origins
from mooring.domain.webhooks.keys import BadDocument, Document, hook_secrets, parse, via_hook
from mooring.ports import Hook
from mooring.services.receiving.followers import Followers
from mooring.services.receiving.installations import App

log = logging.getLogger(__name__)

# How often the file is looked at. Kubelet swaps a link, so there is nothing that could be followed in the file itself.
LOOK_SECONDS = 1.0
# No Secret is larger.
LARGEST_FILE = 2 * 1024 * 1024

# What tells one version of the file from another.
_Version = tuple[int, int, int, int]


class Hooks:
    """The addresses, from the file and from the objects that were seen."""

    def __init__(self, folder: Path, followers: Followers, *, default_api: str) -> None:
        self._file = folder / names.WEBHOOK_KEY
        self._followers = followers
        self._default_api = origins.api_url(default_api)
        self._document: Document | None = None
        self._apps: Mapping[App, tuple[bytes, ...]] = {}
        # As they were asked for last.
        self._of_apps: dict[App, Hook] = {}
        self._version: _Version | None = None
        self._complained = ""

    async def serve(self) -> None:
        """Look at the file again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the file where it has changed. What cannot be read changes nothing, and is told once."""
        try:
            found = self._file.stat()
            version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if version == self._version:
                return
            document = parse(self._content())
        except (OSError, BadDocument) as problem:
            self._complain(problem.strerror or type(problem).__name__ if isinstance(problem, OSError) else str(problem))
            return
        self._version, self._complained = version, ""
        self._take(document)

    def missing(self) -> str | None:
        """Say what is missing before any address is known."""
        return None if self._document is not None else f"there are no keys in {self._file} yet"

    def hook(self, path_id: str | None) -> Hook | None:
        """Return the hook of an address (None: the operator's own App); None where there is none."""
        if self._document is None:
            return None
        if path_id is None:
            return self._of_app(App(self._default_api))
        app = self._followers.installations.at(path_id)
        return self._of_app(app) if app is not None else self._of_repository(path_id, self._document)

    def _of_app(self, app: App) -> Hook | None:
        secrets = self._apps.get(app)
        if secrets is None:
            return None
        vias, made = self._followers.installations.vias(app), self._of_apps.get(app)
        if made is None or made.vias is not vias:
            name = f"App of Secret {app.namespace}/{app.secret}" if app.secret else "operator's App"
            made = self._of_apps[app] = Hook(name, app.origin, secrets, vias, app.namespace)
        return made

    def _of_repository(self, path_id: str, document: Document) -> Hook | None:
        via = via_hook(path_id)
        found = self._followers.of_via(via)
        if found is None:
            return None
        place, followed = found
        # All Projects of one hook share what its address is made of.
        secrets = hook_secrets(
            document.keys, origin=followed.origin, repository_id=followed.repository_id, namespace=place.namespace
        )
        name = f"hook of repository {followed.repository_id} in {place.namespace}"
        return Hook(
            name, followed.origin, tuple(secret.encode() for secret in secrets), frozenset({via}), place.namespace
        )

    def _content(self) -> bytes:
        with self._file.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise BadDocument("it is larger than any Secret; delete the Secret, and the operator makes it anew")
        return content

    def _take(self, document: Document) -> None:
        before = self._document
        self._apps = {
            App(app.origin, app.namespace or "", app.secret or ""): tuple(secret.encode() for secret in app.secrets)
            for app in document.apps
        }
        self._of_apps.clear()
        self._followers.use(document.keys)
        self._document = document
        if before != document:
            log.info("the keys and secrets of webhooks were read: %d Apps", len(self._apps))

    def _complain(self, what: str) -> None:
        if what == self._complained:
            return
        self._complained = what
        then = "those from before stay" if self._document is not None else "nothing is taken until it can be"
        log.error("the keys and secrets of webhooks cannot be read from %s: %s; %s", self._file, what, then)

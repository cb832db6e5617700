"""Keeps the gateway beside this process supplied with a short-lived credential of its own, and nothing else (T4).

The folder stands in the gateway's container where every client looks for a service account's files, so nothing there
has to know where they come from. Each Pod needs one, whoever leads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from mooring.domain import names
from mooring.domain.errors import Trouble
from mooring.ports import Clock, Identities
from mooring.services.election import Wait, wait
from mooring.settings import Problem, Settings, SettingsError

log = logging.getLogger(__name__)

# What is asked for, in seconds. The answer says how long it really is.
LIFE = 3600
# A clock that is wrong must lead neither to a storm of requests nor to a credential that has ended.
SHORTEST = 60.0
# Delay after the first failure, and its ceiling, in seconds; doubled each time, then spread by jitter.
FIRST_DELAY, LAST_DELAY = 1.0, 60.0
# Seconds between two looks at the clock: a machine may have been stopped in between.
LOOK = 30.0
# The gateway may run as another user of the Pod's group; nobody writes but by replacing.
MODE = 0o440


class GatewayIdentity:
    """The files `token`, `ca.crt` and `namespace` of a folder."""

    def __init__(
        self,
        identities: Identities,
        clock: Clock,
        folder: Path,
        namespace: str,
        *,
        account: str = names.GATEWAY_ACCOUNT,
        waiting: Wait = wait,
    ) -> None:
        self._identities = identities
        self._clock = clock
        self._folder = folder
        self._namespace = namespace
        self._account = account
        self._wait = waiting
        self._failures = 0
        self._said: str | None = None

    async def prepare(self) -> None:
        """Write what needs no API server, so that a folder that cannot be used is told at once; raise OSError."""
        self._write({"ca.crt": await self._identities.authorities(), "namespace": self._namespace})

    async def keep(self) -> None:
        """Keep the credential fresh until cancelled."""
        while True:
            due = await self._renew()
            while (left := (due - self._clock.now()).total_seconds()) > 0:
                await self._wait(asyncio.Event(), min(left, LOOK))

    async def _renew(self) -> datetime:
        """Replace the credential; return when to do so again."""
        asked = self._clock.now()
        try:
            issued = await self._identities.issue(self._account, LIFE)
            authorities = await self._identities.authorities()
            # The token comes last: whoever sees it finds the rest.
            self._write({"ca.crt": authorities, "namespace": self._namespace, "token": issued.token})
        except Trouble as trouble:
            return self._later(trouble.message)
        except OSError as problem:
            return self._later(f"Its folder cannot be written to: {problem.strerror}.")
        except Exception as problem:
            # The edge of the loop: a defect here must not leave the gateway without a credential for good.
            log.debug("no credential for the gateway", exc_info=True)
            return self._later(f"{type(problem).__name__}.")
        if self._said is not None:
            log.info("the gateway's credential is renewed again")
        self._failures, self._said = 0, None
        life = (issued.expires_at - asked).total_seconds()
        return asked + timedelta(seconds=min(max(life, SHORTEST), LIFE) * 2 / 3)

    def _later(self, what: str) -> datetime:
        if what != self._said:
            log.warning("the gateway's credential could not be renewed, and is tried again: %s", what)
        self._said = what
        ceiling = min(FIRST_DELAY * 2 ** min(self._failures, 16), LAST_DELAY)
        self._failures += 1
        return self._clock.now() + timedelta(seconds=ceiling * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            _replace(self._folder / name, text.encode())


async def gateway_identity(settings: Settings, identities: Identities, clock: Clock) -> GatewayIdentity | None:
    """Return what keeps the credential of the gateway in the same Pod, if any; raise SettingsError where it cannot."""
    folder = settings.gateway_token_dir
    if folder is None:
        return None
    gateway = GatewayIdentity(identities, clock, folder, settings.namespace, account=settings.gateway_account)
    try:
        await gateway.prepare()
    except OSError as problem:
        sentence = f"names a folder that cannot be written to ({problem.strerror}); mount a volume in memory there"
        raise SettingsError([Problem("MOORING_GATEWAY_TOKEN_DIR", sentence)]) from None
    return gateway


def _replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another at once: whoever reads finds the old or the new one, never a part."""
    beside = path.with_name(f".{path.name}.new")
    # One that a crash left behind could not be opened for writing.
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, MODE)  # whatever the umask says
        file.write(content)
    beside.replace(path)

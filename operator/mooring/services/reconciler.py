"""One run for one object: the service of its kind, timed, and told in one log line where it came to something."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

from mooring.domain.errors import Trouble
from mooring.domain.leadership import NotLeading
from mooring.domain.names import OwnKind
from mooring.ports import Changed
from mooring.services.store import Key
from mooring.services.work import Again

log = logging.getLogger(__name__)


class Service(Protocol):
    """What a kind's service offers."""

    async def reconcile(self, key: Key) -> Again | None:
        """Make an object what its spec asks; raise Trouble where it is to be tried again."""
        ...


# Object, what ended the run (None: it went through), seconds.
Observer = Callable[[Key, Exception | None, float], None]


class Reconciler:
    """The services by kind, as the work queue calls them."""

    def __init__(
        self, services: Mapping[OwnKind, Service], observe: Observer, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """Take what each run is told to, and what says whether this process leads."""
        self._services = services
        self._observe = observe
        self._leads = leads

    async def __call__(self, key: Hashable) -> Again | None:
        """Run."""
        if not isinstance(key, Key) or key.kind not in self._services:
            return None
        started = time.perf_counter()
        found: Exception | None = None
        try:
            return await self._services[key.kind].reconcile(key)
        except Trouble as trouble:
            found = trouble
            # Whose Lease has ended says so once, and not for each object, whatever was under way then.
            is_over = isinstance(trouble, NotLeading) or not self._leads()
            log.log(
                logging.DEBUG if is_over else logging.WARNING,
                "not done: %s",
                trouble.message,
                extra={"object": key._asdict(), "reason": trouble.reason.value},
            )
            raise
        except Changed as moved:
            found = moved
            log.debug("observed again: it changed meanwhile", extra={"object": key._asdict()})
            raise
        except Exception as error:
            found = error
            raise
        finally:
            self._observe(key, found, time.perf_counter() - started)

"""Mooring whose sweeps come when they are told to: on SIGUSR1 each repository's hook is looked at, once.

Run in place of `python -m mooring`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from typing import Any

from mooring import wiring
from mooring.__main__ import main
from mooring.domain import sweeping
from mooring.services.repository_hooks import RepositoryHooks


class Looking(RepositoryHooks):
    """Takes a signal for the sweep's word."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._look_at_all)

    def _look_at_all(self) -> None:
        looked: set[tuple[object, ...]] = set()
        for key in self._platform.store:
            told = ((self._platform.store.get(key) or {}).get("status") or {}).get("webhook") or {}
            hook = (key.namespace, told.get("apiUrl"), told.get("hookId"))
            if told.get("hookId") and hook not in looked:
                looked.add(hook)
                self.look(key)


if __name__ == "__main__":
    setattr(wiring, RepositoryHooks.__name__, Looking)
    sweeping.GATHERING = timedelta(days=1)
    sys.exit(main())

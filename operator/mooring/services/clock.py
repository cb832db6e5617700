"""The machine's time, for those who ask `ports.Clock`."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

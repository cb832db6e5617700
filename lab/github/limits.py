"""GitHub's rate limits: what they are, and who has used how much. No HTTP here: `rest.middlewares` applies them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WINDOW = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
# An installation on an account with many repositories or people gets more, up to a ceiling.
FREE_UNITS = 20
PER_UNIT = 50
INSTALLATION_CEILING = 12_500
# A read costs one point of the secondary limit, anything that changes something five.
READ_POINTS = 1
WRITE_POINTS = 5
# Past this many remembered windows, those that are over are let go.
KEPT_WINDOWS = 10_000


@dataclass(slots=True)
class Limits:
    """GitHub's published limits; the control API may change them while the server runs."""

    anonymous: int = 60
    authenticated: int = 5_000
    concurrent: int = 100
    # Of one caller, for one path.
    points_per_minute: int = 900
    exhausted_status: Literal[403, 429] = 403
    secondary_status: Literal[403, 429] = 403
    secondary_retry_after: int = 60
    # Repositories times permissions of a token that names only the latter, where an App is on selected repositories.
    # GitHub has such a limit and does not publish it, so there is none unless a test sets it.
    token_complexity: int | None = None


@dataclass(slots=True)
class Window:
    """What one caller has used of an hour's requests."""

    limit: int
    reset_at: datetime
    used: int = 0

    @property
    def remaining(self) -> int:
        """Return how many requests are left."""
        return max(0, self.limit - self.used)

    def spend(self) -> bool:
        """Take one request, or tell that none is left."""
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def refund(self) -> None:
        """Give back the request of an answer that costs nothing."""
        self.used = max(0, self.used - 1)


def scaled(base: int, *, repositories: int, people: int) -> int:
    """Return the hourly limit of an installation of a given size."""
    units = max(0, repositories - FREE_UNITS) + max(0, people - FREE_UNITS)
    return max(base, min(INSTALLATION_CEILING, base + PER_UNIT * units))


class Quotas:
    """The limits and the use of them."""

    def __init__(self) -> None:
        self.limits = Limits()
        self._windows: dict[str, Window] = {}
        self._minutes: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._running: Counter[str] = Counter()

    def reset(self) -> None:
        """Return to GitHub's limits, with nothing used. Requests under way still count."""
        self.limits = Limits()
        self.forget_use()

    def forget_use(self) -> None:
        """Start every window afresh, for instance after the limits were changed."""
        self._windows.clear()
        self._minutes.clear()

    def known(self, caller: str, now: datetime) -> Window | None:
        """Return a caller's window while it lasts."""
        window = self._windows.get(caller)
        return window if window is not None and now < window.reset_at else None

    def open(self, caller: str, limit: int, now: datetime) -> Window:
        """Start an hour for a caller."""
        if len(self._windows) >= KEPT_WINDOWS:
            self._windows = {name: w for name, w in self._windows.items() if now < w.reset_at}
        self._windows[caller] = Window(limit, now + WINDOW)
        return self._windows[caller]

    def exhaust(self, caller: str, now: datetime) -> None:
        """Leave a caller nothing until its window ends."""
        window = self.known(caller, now) or self.open(caller, self.limits.authenticated, now)
        window.used = window.limit

    def enter(self, caller: str) -> bool:
        """Count a request under way, or refuse it when too many are."""
        if self._running[caller] >= self.limits.concurrent:
            return False
        self._running[caller] += 1
        return True

    def leave(self, caller: str) -> None:
        """Count a request as answered."""
        self._running[caller] -= 1
        if self._running[caller] <= 0:
            del self._running[caller]

    def charge(self, caller: str, endpoint: str, points: int, now: datetime) -> bool:
        """Take points of the secondary limit, or tell that this minute's are used up."""
        if len(self._minutes) >= KEPT_WINDOWS:
            self._minutes = {key: m for key, m in self._minutes.items() if now < m[0] + MINUTE}
        started, spent = self._minutes.get((caller, endpoint), (now, 0))
        if now >= started + MINUTE:
            started, spent = now, 0
        if spent + points > self.limits.points_per_minute:
            return False
        self._minutes[caller, endpoint] = (started, spent + points)
        return True

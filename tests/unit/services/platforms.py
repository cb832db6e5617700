"""A Platform without a world around it: whoever asks the cluster or GitHub in these tests fails."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Never

from mooring.domain.origins import AllowedHosts
from mooring.domain.policy import Policy
from mooring.services.platform import Platform
from mooring.services.recent import Recent
from mooring.services.secrets import Secrets
from mooring.services.store import Store
from tests.unit.objects import NOW


class Nothing:
    """Stands where a test has no port: to use it is an error."""

    def __getattr__(self, name: str) -> Never:
        raise AssertionError(f"{name} was asked for, in a test that has no world")


class StoppedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return the time of all these tests."""
        return NOW


def platform(**changes: Any) -> Platform:
    """Return a Platform with an empty store."""
    nothing: Any = Nothing()
    given: dict[str, Any] = {
        "cluster": nothing,
        "github": nothing,
        "webhooks": nothing,
        "audit": nothing,
        "clock": StoppedClock(),
        "store": Store(),
        "secrets": Secrets(nothing),
        "herald": nothing,
        "recent": Recent(),
        "api_url": "https://api.github.com",
        "sweep_interval": timedelta(minutes=10),
        "checkout_image": "registry.example.com/mooring:1.0.0",
        "policy": Policy(),
        "allowed_hosts": AllowedHosts.of(()),
        "namespace": "mooring-system",
        "app_secret": "mooring-github-app",
    }
    return Platform(**{**given, **changes})

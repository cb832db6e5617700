"""What tests of sweeps share: a GitHub that lists, a git that shows tips, and Projects that follow."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.errors import Trouble
from mooring.domain.origins import AllowedHosts
from mooring.domain.sweeping import Listed
from mooring.ports import Object, Origin
from mooring.services.store import Key
from mooring.services.sweep_groups import By, Followed, Group, mark_of
from mooring.services.sweeps import Doubt, Sweeps
from mooring.services.work import Again
from tests.unit.objects import NOW, PAT, raw_project
from tests.unit.services.followed import API, A, MovableClock
from tests.unit.services.platforms import platform

TEAM = "team-a"
LENT = "ghs_" + "c" * 36
ORIGIN = Origin(API, "https://github.com")
CLONES = Group(TEAM, By.INSTALLATION, "mooring-clone-01234567-0")
PERSON = Group(TEAM, By.PERSON, mark_of(TEAM, PAT), API)
LONG_AGO, JUST_NOW = NOW - timedelta(days=1), NOW - timedelta(seconds=5)


@dataclass
class Listing:
    """A GitHub that lists repositories, and git beside it; it notes what it was asked."""

    clock: MovableClock
    shown: dict[int, Listed] = field(default_factory=dict)
    tips: dict[str, str] = field(default_factory=dict)
    # Raised by lists, and by git for a URL, for as long as it stands here.
    trouble: Trouble | None = None
    troubles: dict[str, Trouble] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def time_at(self, origin: Origin) -> datetime:
        """Tell the time."""
        return self.clock.at + timedelta(seconds=7)

    async def listed(self, origin: Origin, token: str, *, namespace: str) -> Mapping[int, Listed]:
        """List what an installation's token reaches."""
        return self._list("installation", origin, token, namespace)

    async def listed_to_person(
        self, origin: Origin, token: str, wanted: frozenset[int], *, namespace: str
    ) -> Mapping[int, Listed]:
        """List what a person's token reaches."""
        return self._list(f"person {sorted(wanted)}", origin, token, namespace)

    def _list(self, what: str, origin: Origin, token: str, namespace: str) -> Mapping[int, Listed]:
        assert (origin.api_url, namespace) == (API, TEAM)
        self.asked.append(what)
        self.tokens.add(token)
        if self.trouble is not None:
            raise self.trouble
        return dict(self.shown)

    async def remote_head(self, url: str, token: str | None, branch: str | None, *, namespace: str) -> tuple[str, str]:
        """Show the tip of a branch."""
        assert (branch, namespace) == ("main", TEAM)
        self.asked.append(url)
        self.tokens.add(token)
        self.clock.move(1)
        if url in self.troubles:
            raise self.troubles[url]
        return "main", self.tips.get(url, A)


@dataclass
class Secrets:
    """A cluster with the Projects' own Secrets."""

    tokens: dict[str, str] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)

    async def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """Read one."""
        assert (kind, namespace) == ("Secret", TEAM)
        self.reads.append(name)
        token = self.tokens.get(name.removesuffix("-default-token"))
        return {"data": {"token": base64.b64encode(token.encode()).decode()}} if token is not None else None


@dataclass
class Lender:
    """An installation with clone Secrets."""

    token: str | None = LENT

    async def clone_token(self, project: Object, secret: str) -> tuple[Origin, str] | None:
        """Give what is in one."""
        assert secret == CLONES.name
        return (ORIGIN, self.token) if self.token is not None else None


class Bench:
    """Sweeps, and what they ask of others."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.github = Listing(self.clock)
        self.cluster, self.lender = Secrets(), Lender()
        given: dict[str, Any] = {"github": self.github, "clock": self.clock, "cluster": self.cluster}
        self.platform = platform(allowed_hosts=AllowedHosts.of((), api=API), **given)
        self.planned: dict[Group, float] = {}
        self.doubts: list[tuple[str, Doubt]] = []
        self.ended: list[Exception | None] = []
        self.hooks: list[str] = []
        self.sweeps = Sweeps(
            self.platform,
            self.lender,
            plan=self.planned.__setitem__,
            doubt=lambda key, doubt: self.doubts.append((key.name, doubt)),
            count=self.ended.append,
            look_at_hook=lambda key: self.hooks.append(key.name),
        )

    def follow(self, number: int, group: Group = CLONES, *, shown: datetime | None = LONG_AGO, **more: Any) -> Key:
        """Have a Project follow repository `acme/r<number>`, which lists show as last pushed to then."""
        name = f"r{number}"
        self.platform.store.put(raw_project(name, uid=f"uid-{name}"))
        missed = more.pop("missed", False)
        fields: dict[str, Any] = {
            "group": group,
            "url": f"https://github.com/acme/{name}.git",
            "branch": "main",
            "head": A,
            "full_name": f"acme/{name}",
            "repository_id": number,
            "private": True,
            "pinned": False,
            "mark": None,
            "read_at": NOW - timedelta(hours=1),
            **more,
        }
        if shown is not None:
            self.github.shown[number] = Listed(f"acme/{name}", True, shown)
        key = Key("Project", TEAM, name)
        self.sweeps.follow(key, Followed(**fields), missed=missed)
        return key

    async def run(self, group: Group = CLONES) -> Again | None:
        """Sweep, when all who follow are together."""
        self.clock.move(2)
        return await self.sweeps.run(group)

    async def again(self, group: Group = CLONES) -> Again:
        """Sweep when it is time to."""
        found = await self.run(group)
        assert found is not None
        self.clock.at = found.at
        return found

"""A Project whose source was proven, and a GitHub that shows one repository: to test what follows from its head."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.comparisons import Comparison
from mooring.domain.errors import Trouble
from mooring.domain.origins import AllowedHosts
from mooring.domain.resources.project import Project
from mooring.domain.webhooks.keys import KEY_BYTES, Keys
from mooring.ports import Object, Origin, RepositoryFacts
from mooring.services import proofs
from mooring.services.platform import Platform
from mooring.services.sources import AtHand, Sources
from tests.unit.objects import CREATED, NOW, PAT, raw_project
from tests.unit.services.platforms import Nothing, platform

A, B, C = "a" * 40, "b" * 40, "c" * 40
KEYS = Keys(b"i" * KEY_BYTES, (b"p" * KEY_BYTES,), {1: b"h" * KEY_BYTES})
API = "https://api.github.com"
REPOSITORY = 7
AT_HAND = AtHand(PAT, API)


@dataclass
class MovableClock:
    """A clock that tests move."""

    at: datetime = NOW

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass
class OneRepository:
    """A GitHub with one repository, which notes what it was asked."""

    tip: str = A
    default_branch: str = "main"
    id: int = REPOSITORY
    on_branch: frozenset[str] = frozenset()
    comparisons: dict[tuple[str, str], Comparison | None] = field(default_factory=dict)
    # Raised by the next questions of a name, for as long as it stands here.
    troubles: dict[str, Trouble] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    # What it was asked with.
    tokens: set[str | None] = field(default_factory=set)
    # How its clock is ahead of ours, and how long it takes to tell a head.
    clock: MovableClock = field(default_factory=MovableClock)
    ahead: timedelta = timedelta()
    takes: float = 0.0

    def time_at(self, origin: Origin) -> datetime:
        """Tell the time."""
        assert origin.api_url == API
        return self.clock.at + self.ahead

    def _ask(self, question: str, token: str | None, origin: Origin, namespace: str) -> None:
        assert (origin.api_url, namespace) == (API, "team-a")
        self.asked.append(question)
        self.tokens.add(token)
        if question in self.troubles:
            raise self.troubles[question]

    async def repository(self, origin: Origin, token: str | None, full_name: str, *, namespace: str) -> RepositoryFacts:
        """Tell of the repository."""
        self._ask("repository", token, origin, namespace)
        return RepositoryFacts(self.id, "R_7", full_name, private=True, default_branch=self.default_branch)

    async def head(self, origin: Origin, token: str | None, repository_id: int, branch: str, *, namespace: str) -> str:
        """Tell the head."""
        assert repository_id == self.id
        self._ask("head", token, origin, namespace)
        self.clock.move(self.takes)
        return self.tip

    async def compare(
        self, origin: Origin, token: str | None, repository_id: int, base: str, head: str, *, namespace: str
    ) -> Comparison | None:
        """Compare."""
        assert repository_id == self.id
        self._ask("compare", token, origin, namespace)
        return self.comparisons.get((base, head))

    async def on_a_branch(
        self, origin: Origin, token: str | None, repository_id: int, sha: str, *, branch: str, namespace: str
    ) -> bool:
        """Tell whether a commit is part of the branch."""
        assert (repository_id, branch) == (self.id, "main")
        self._ask("on_a_branch", token, origin, namespace)
        return sha in self.on_branch


@dataclass
class World:
    """All that these tests need."""

    github: OneRepository = field(default_factory=OneRepository)
    clock: MovableClock = field(default_factory=MovableClock)
    keys: Keys | None = KEYS

    def __post_init__(self) -> None:
        """Put it together."""
        self.github.clock = self.clock
        given: dict[str, Any] = {"github": self.github, "clock": self.clock, "webhook_keys": self.keys}
        self.platform: Platform = platform(allowed_hosts=AllowedHosts.of((), api=API), **given)
        nobody: Any = Nothing()
        self.sources = Sources(self.platform, nobody)

    def project(self, **changes: Any) -> Object:
        """Return a Project that runs A, the head of main, as the operator stored it."""
        spec = {"source": {"github": {"repository": "acme/shop"}, **changes.pop("follow", {})}}
        obj = raw_project(spec={**spec, **changes.pop("spec", {})}, **changes.pop("metadata", {}))
        proof = proofs.proof_of(self.platform, obj, repository_id=REPOSITORY, branch="main")
        resolved: dict[str, Any] = {
            "type": "SourceResolved",
            "status": "True",
            "reason": "Resolved",
            "message": "Found.",
        }
        resolved |= {"observedGeneration": 1, "lastTransitionTime": CREATED}
        obj["status"] = {
            "conditions": [resolved],
            "source": {
                "provider": "GitHub",
                "repositoryId": REPOSITORY,
                "fullName": "acme/shop",
                "branch": "main",
                "headSha": A,
                "decidedSha": A,
                **({"proof": proof} if proof is not None else {}),
            },
            "revision": {"sha": A, "shortSha": A[:7], "trigger": "Create", "checkoutImage": "img:1"},
        }
        for name, fields in changes.items():
            obj["status"][name] = {**(obj["status"].get(name) or {}), **fields} if isinstance(fields, dict) else fields
        return obj


def parsed(obj: Object) -> Project:
    """Return it as the services see it."""
    return Project.model_validate(obj)

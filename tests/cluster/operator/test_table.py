"""Project over global over none: every cell of the table, and every way from one cell to another by one factor.

A namespace stands for a state of the global token, a Project in it for a source. So one change of a state moves a whole
column at once, and all columns move side by side.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from tests.cluster.harness import Hub, Object, People, condition, is_observed, rollouts_of, token_reference
from tests.cluster.operator.conftest import TokenMaker

GLOBAL = "user-default-global-secrets"
OWN = {"name": "own"}
# No pods: what they would get stands in the template and its Secret, and a rollout is a new revision all the same.
WORKLOAD = {"image": "nginx", "replicas": 0}
# Never empty: the API server makes null of a spec whose last applied field is taken away, and refuses it.
SPEC = {"displayName": "Alice"}
# Seconds that an expiring token lives: long enough for all Projects to have got it.
LIFE = 15


class Shared(Enum):
    """States of the global token."""

    SET = "set"
    # The Secret that the GitHubUser names is not there.
    MISSING = "missing"
    # Nobody names a Secret, and the well-known one is not there.
    REMOVED = "removed"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Own(Enum):
    """States of the Secret that a Project names."""

    SET = "set"
    MISSING = "missing"
    REVOKED = "revoked"


# What the spec says, by the name of a source. CEL refuses a secretRef beside global and none, and none beside project.
SOURCES: dict[str, dict[str, Any]] = {
    "unset": {},
    "unset-own": {"token": {"secretRef": OWN}},
    "project": {"token": {"source": "project", "secretRef": OWN}},
    "global": {"token": {"source": "global"}},
    "none": {"token": {"source": "none"}},
}


@dataclass(frozen=True)
class Wish:
    """What one cell must come to."""

    token: str | None
    source: str
    reason: str
    ready: bool = True


@dataclass
class Column:
    """A namespace: the state of its global token, and its Projects."""

    people: People
    fresh: TokenMaker
    dead: str
    state: Shared = Shared.SET
    shared: str | None = None
    own_state: Own = Own.SET
    own: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str | None] = field(default_factory=dict)
    rollouts: dict[str, int] = field(default_factory=dict)
    alive_reason: str = "GlobalToken"
    dead_reason: str = "TokenInvalid"

    def enter(self, state: Shared, token: str | None = None) -> None:
        """Bring the global token into a state; the GitHubUser sees one change."""
        self.state = state
        self.shared = (token or self.fresh()) if state is Shared.SET else None
        if state is Shared.MISSING:
            self.people.apply("GitHubUser", "default", {**SPEC, "tokenSecretRef": {"name": "absent"}})
            return
        value = {Shared.SET: self.shared, Shared.REMOVED: None}.get(state, token or self.dead)
        self.people.secret(GLOBAL, value)
        self.people.apply("GitHubUser", "default", SPEC)

    def enter_own(self, state: Own) -> None:
        """Bring the Projects' own Secret into a state."""
        self.own_state = state
        self.own = self.fresh("bob") if state is Own.SET else None
        self.people.secret("own", self.dead if state is Own.REVOKED else self.own)

    def begin(self, state: Shared, token: str | None = None, sources: Iterable[str] = SOURCES) -> None:
        """Make the GitHubUser, the Projects' own Secret, and a Project for every source."""
        self.enter_own(Own.SET)
        self.enter(state, token)
        for source in sources:
            self.put(source, source)

    def put(self, name: str, source: str) -> None:
        """Give a Project a source."""
        self.sources[name] = source
        self.people.apply("Project", name, {**SOURCES[source], "workload": WORKLOAD})

    def wish(self, source: str) -> Wish:
        """Return what the ladder says."""
        if source == "none":
            return Wish(None, "none", "OptedOut")
        if source in {"unset-own", "project"}:
            if self.own is not None:
                return Wish(self.own, "project", "ProjectToken")
            reason = {Own.MISSING: "SecretNotFound", Own.REVOKED: "TokenInvalid"}[self.own_state]
            return Wish(None, "none", reason, ready=False)
        if self.shared is not None:
            return Wish(self.shared, "global", self.alive_reason)
        if self.state is Shared.REMOVED:
            asked = source == "global"
            return Wish(None, "none", "GlobalTokenMissing" if asked else "NoToken", ready=not asked)
        reason = "SecretNotFound" if self.state is Shared.MISSING else self.dead_reason
        return Wish(None, "none", reason, ready=False)

    def check(self) -> None:
        """Wait until every Project has what it should; one with another token rolled once, all others not at all."""
        wishes = {name: self.wish(source) for name, source in self.sources.items()}
        for name, wish in wishes.items():
            if name not in self.rollouts or self.tokens[name] != wish.token:
                self.rollouts[name] = self.rollouts.get(name, 0) + 1
            self.tokens[name] = wish.token
        self.people.until_every(
            "Deployment", {f"{name}-default": _has_rolled(times) for name, times in self.rollouts.items()}
        )
        self.people.until_every("Project", {name: _says(wish) for name, wish in wishes.items()})
        deployments = {d["metadata"]["name"].removesuffix("-default"): d for d in self.people.list("Deployment")}
        secrets = {s["metadata"]["name"]: s for s in self.people.list("Secret")}
        assert {name: rollouts_of(deployment) for name, deployment in deployments.items()} == self.rollouts
        given = {name: _token(deployment, secrets) for name, deployment in deployments.items()}
        assert given == self.tokens, self.people.namespace
        managed = {name.removesuffix("-default-token") for name in secrets if name.endswith("-default-token")}
        assert managed == {name for name, token in self.tokens.items() if token is not None}


def _has_rolled(times: int) -> Callable[[Object | None], bool]:
    return lambda deployment: is_observed(deployment) and rollouts_of(deployment) >= times


def _says(wish: Wish) -> Callable[[Object | None], bool]:
    wanted = (
        wish.source,
        ("True" if wish.ready else "False", wish.reason),
        ("True", "Ready") if wish.ready else ("False", wish.reason),
        "False" if wish.ready else "True",
    )

    def says(project: Object | None) -> bool:
        if project is None:
            return False
        token, ready, stalled = (condition(project, kind) for kind in ("TokenResolved", "Ready", "Stalled"))
        current = all(c.get("observedGeneration") == project["metadata"]["generation"] for c in (token, ready, stalled))
        said = (
            (project["status"].get("token") or {}).get("source") if current else None,
            (token.get("status"), token.get("reason")),
            (ready.get("status"), ready.get("reason")),
            stalled.get("status"),
        )
        return said == wanted

    return says


def _token(deployment: Object, secrets: dict[str, Object]) -> str | None:
    ref = token_reference(deployment)
    return base64.b64decode(secrets[ref["name"]]["data"][ref["key"]]).decode() if ref is not None else None


@pytest.fixture
def columns(more_people: Callable[..., People], fresh: TokenMaker, hub: Hub) -> Iterator[list[Column]]:
    dead = fresh()
    hub.control("POST", f"/tokens/{fresh.last}/revoke")
    made = [Column(more_people(), fresh, dead) for _ in Shared]
    yield made
    assert dead not in _printed(made)


def _printed(columns: Iterable[Column]) -> str:
    return str([[column.people.list(kind) for kind in ("Project", "GitHubUser", "Event")] for column in columns])


def test_every_cell(columns: list[Column], fresh: TokenMaker) -> None:
    """Five states of the global token times five sources times three states of the Project's own Secret."""
    by_state = dict(zip(Shared, columns, strict=True))
    # One that is alive when it is given, and whose end comes by itself: first of all, since its time runs.
    expiring = by_state.pop(Shared.EXPIRED)
    expiring.alive_reason = "TokenExpiring"
    expiring.begin(Shared.SET, fresh(expires_in=LIFE))
    expiring.check()
    for state, column in by_state.items():
        column.begin(state)
    for column in by_state.values():
        column.check()
    expiring.people.until_condition("default", "TokenResolved", "False", "TokenExpired", kind="GitHubUser")
    expiring.state, expiring.shared, expiring.dead_reason = Shared.EXPIRED, None, "TokenExpired"
    expiring.check()
    for own in (Own.SET, Own.MISSING):
        for column in columns:
            column.enter_own(own)
        for column in columns:
            column.check()


def test_the_global_token_goes_from_every_state_to_every_other(columns: list[Column]) -> None:
    """In turn k each column goes k states further, so four turns make all twenty ways; the fifth is a rotation."""
    states = list(Shared)
    for column, state in zip(columns, states, strict=True):
        column.begin(state)
    for column in columns:
        column.check()
    for step in (1, 2, 3, 4, 5):
        for column in columns:
            column.enter(states[(states.index(column.state) + step) % len(states)])
        for column in columns:
            column.check()


def test_a_project_goes_from_every_source_to_every_other(columns: list[Column]) -> None:
    """The same with sources: each column has a Project for every source, and all of them move."""
    names = list(SOURCES)
    for column, state in zip(columns, Shared, strict=True):
        column.begin(state)
    for column in columns:
        column.check()
    for step in (1, 2, 3, 4):
        for column, name in itertools.product(columns, names):
            column.put(name, names[(names.index(column.sources[name]) + step) % len(names)])
        for column in columns:
            column.check()


def test_the_own_secret_goes_from_every_state_to_every_other(columns: list[Column]) -> None:
    for column, state in zip(columns, Shared, strict=True):
        column.begin(state, sources=("unset-own", "project", "unset"))
    for column in columns:
        column.check()
    for own in (Own.SET, Own.MISSING, Own.REVOKED, Own.SET, Own.REVOKED, Own.MISSING, Own.SET):
        for column in columns:
            column.enter_own(own)
        for column in columns:
            column.check()

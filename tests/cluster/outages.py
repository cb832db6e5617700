"""Outages: what the API server and GitHub may have, and a namespace in which everything happens while they have it.

In each namespace a Project is made, a personal token is rotated, an installation's tokens come to the time at which
they are replaced, and a Project and an installation are deleted: all during the outage. What must come of it is the
same after any outage.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.cluster.cutting import CHANGES, CuttingProxy, Stream
from tests.cluster.harness import Hub, Object, People, condition, rollouts_of, token_reference
from tests.cluster.operator.apps import (
    Account,
    LabApp,
    data_of,
    install,
    make_account,
    make_app,
    output,
    put_app,
    refer,
)
from tests.cluster.token_life import EXPIRES, asked_for, fault, is_live, life, minted

KEPT, DOOMED = "kept", "doomed"
MANAGED = "app.kubernetes.io/managed-by"
_numbers = itertools.count(1)

# --- the API server in trouble ---

REASONS = {
    401: "Unauthorized",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def refusal(status: int) -> dict[str, Any]:
    """Return what the API server says when it refuses."""
    return {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "reason": REASONS[status]}


def expired() -> bytes:
    """Return the event with which a watch tells that its version is too old."""
    return json.dumps({"type": "ERROR", "object": refusal(410)}).encode() + b"\n"


@dataclass(frozen=True)
class ApiTrouble:
    """What the API server has. Requests are met one by one; watches that are open already when it begins."""

    # Requests without an answer.
    gone: bool = False
    # Seconds that each answer takes longer.
    seconds: float = 0.0
    # The answer to all requests, or to changes alone.
    status: int | None = None
    changes_only: bool = False
    retry_after: int | None = None
    # Answered by something before the API server that does not speak its language.
    page: bool = False
    # Each watch ends so soon, in words where they are given.
    watch_ends: Callable[[Stream], None] | None = None
    # The watches that were open when it began stay open, and nothing comes any more, also when all is well again.
    silent: bool = False

    def begin(self, proxy: CuttingProxy) -> None:
        """Let it begin."""
        proxy.trouble = self
        if self.gone or self.status in {401, 503}:
            proxy.each_stream(cut)
        if self.watch_ends is not None:
            proxy.each_stream(self.watch_ends)
        if self.silent:
            proxy.each_stream(silence)

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a request, or let it pass (None)."""
        await asyncio.sleep(self.seconds)
        if self.gone:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if self.watch_ends is not None and "watch" in request.query:
            return web.Response(body=expired() if self.watch_ends is expire else b"", content_type="application/json")
        if self.status is None or (self.changes_only and request.method not in CHANGES):
            return None
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        if self.page:
            return web.Response(status=self.status, text="<html>no backend</html>", content_type="text/html")
        return web.json_response(refusal(self.status), status=self.status, headers=headers)


def cut(stream: Stream) -> None:
    """Break a watch's connection."""
    stream.transport.abort()


def silence(stream: Stream) -> None:
    """Keep a watch open and say nothing any more."""
    stream.silent = True


def expire(stream: Stream) -> None:
    """End a watch because its version is too old."""
    stream.last.put_nowait(expired())


API_TROUBLES = {
    "gone": ApiTrouble(gone=True),
    "slow": ApiTrouble(seconds=2.0),
    "conflicts": ApiTrouble(status=409, changes_only=True),
    "expired": ApiTrouble(watch_ends=expire),
    "too-busy": ApiTrouble(status=429, retry_after=1),
    "failing": ApiTrouble(status=500),
    "refusing": ApiTrouble(status=401),
    "no-backend": ApiTrouble(status=503, page=True),
    "watches-cut": ApiTrouble(watch_ends=cut),
    "watches-silent": ApiTrouble(silent=True),
}

# --- GitHub in trouble ---

GITHUB_TROUBLES: dict[str, dict[str, Any]] = {
    "github-gone": {"kind": "drop"},
    "github-slow": {"kind": "latency", "seconds": 3.0},
    "github-failing": {"kind": "status", "status": 503},
    "github-limits": {"kind": "secondary-limit", "status": 403, "retry_after": 5},
    "github-truncates": {"kind": "truncate"},
    "github-redirects": {"kind": "redirect", "location": "set by the test"},
}


@contextmanager
def github_trouble(hub: Hub, life: Life, trouble: Mapping[str, Any]) -> Iterator[None]:
    """Have GitHub go wrong for one namespace: its App, its people's tokens, its account and its installations."""
    ours = (
        {"credential": f"app-{life.app.app_id}"},
        {"credential": f"{life.name}-*"},
        {"path": f"*/{life.account.login}/*"},
    )
    with ExitStack() as stack:
        for which in ours:
            stack.enter_context(fault(hub, **trouble, **which))
        yield


# --- what happens meanwhile ---


@dataclass
class Life:
    """A namespace, with all that it has at GitHub."""

    name: str
    people: People
    hub: Hub
    account: Account
    app: LabApp
    number: int
    tokens: dict[str, str]
    # Tokens of installations by the names of their Secrets, as they were before.
    before: dict[str, str] = field(default_factory=dict)
    mark: int = 0

    @classmethod
    def make(cls, name: str, people: People, hub: Hub) -> Life:
        """Make everything at GitHub, and nothing yet in the cluster."""
        account = make_account(hub, "shop", "tool")
        app = make_app(hub)
        unique = f"{name}-{next(_numbers)}"
        tokens = {role: hub.token(f"{unique}-{role}", "alice") for role in ("first", "second", "own")}
        return cls(unique, people, hub, account, app, install(hub, app, account.login), tokens)

    def begin(self) -> None:
        """Make what there is before: a user, Projects, and two installations."""
        people, login = self.people, self.account.login
        people.secret("global", self.tokens["first"])
        people.secret("own", self.tokens["own"])
        people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}})
        put_app(people, self.app)
        people.until_condition("default", "Ready", "True", "Ready", kind="GitHubUser")
        for name in ("rotated", "leaving"):
            people.apply("Project", name, {"workload": {"image": "nginx"}})
        for name, secret, repository in ((KEPT, "ci", "shop"), (DOOMED, "old", "tool")):
            wanted = output(secret, repositories=[f"{login}/{repository}"], permissions={"contents": "read"})
            people.apply(
                "GitHubInstallation",
                name,
                {"account": login, "appSecretRef": {"name": "app"}, "outputs": [wanted]},
            )
        refer(people, "fetching", f"{login}/shop", KEPT, token={"source": "none"})

    def until_begun(self) -> None:
        """Wait until all of it works."""
        for name in ("rotated", "leaving", "fetching"):
            self.people.until_condition(name, "Ready", "True", "Ready")
        for name in (KEPT, DOOMED):
            self.people.until_condition(name, "Ready", "True", "Ready", kind="GitHubInstallation")
        for name in ("rotated", "leaving", "fetching"):
            self.people.until("Deployment", f"{name}-default", lambda found: rollouts_of(found) == 1, "a rollout")

    def note(self) -> None:
        """Remember which tokens there are, and what was asked of GitHub until now."""
        self.before = {name: data_of(secret)["token"] for name, secret in self._issued().items()}
        assert len(self.before) == 3, sorted(self.before)
        self.mark = self.hub.mark()

    def refresh_times(self) -> tuple[float, float]:
        """Return the seconds until all tokens are due, and until the first ends."""
        now = time.time()
        lives = [life(secret) for secret in self._issued().values()]
        due = max(issued + (ends - issued) * 2 / 3 for issued, ends in lives)
        return due.timestamp() - now, min(ends for _, ends in lives).timestamp() - now

    def strike(self) -> None:
        """Do what people do, all at once."""
        people = self.people
        people.secret("global", self.tokens["second"])
        people.apply(
            "Project",
            "new",
            {
                "token": {"secretRef": {"name": "own"}},
                "source": {"github": {"repository": f"{self.account.login}/shop"}},
                "workload": {"image": "nginx"},
            },
        )
        people.delete("Project", "leaving")
        people.delete("GitHubInstallation", DOOMED)

    def left(self) -> list[str]:
        """Return what is not yet as it must be in the end."""
        found = {kind: self._all(kind) for kind in ("Project", "GitHubInstallation", "Deployment", "Secret")}
        return [*self._left_of_projects(found), *self._left_of_tokens(found["Secret"]), *_unready(found)]

    def _left_of_projects(self, found: Mapping[str, Mapping[str, Object]]) -> Iterator[str]:
        wanted = {"rotated": (2, "second"), "new": (1, "own"), "fetching": (1, None)}
        if found["Project"].keys() != wanted.keys():
            yield f"Projects {sorted(found['Project'])}"
        # What belonged to the Project that left is removed by Kubernetes itself, at its leisure.
        if found["Deployment"].keys() - {"leaving-default"} != {f"{name}-default" for name in wanted}:
            yield f"Deployments {sorted(found['Deployment'])}"
        for name, (rollouts, role) in wanted.items():
            deployment = found["Deployment"].get(f"{name}-default")
            reference = token_reference(deployment)
            secret = found["Secret"].get(reference["name"]) if reference is not None else None
            token = data_of(secret)["token"] if secret is not None else None
            if token != (self.tokens[role] if role is not None else None):
                yield f"{name} has not the {role} token"
            elif rollouts_of(deployment) != rollouts:
                yield f"{name} was rolled {rollouts_of(deployment)} times, not {rollouts}"

    def _left_of_tokens(self, secrets: Mapping[str, Object]) -> Iterator[str]:
        kept = {name: token for name, token in self.before.items() if name != "old"}
        present = {name: secret for name, secret in secrets.items() if has_token_of_installation(secret)}
        if present.keys() != kept.keys():
            yield f"Secrets with installation tokens: {sorted(present)}, not {sorted(kept)}"
        for name, token in kept.items():
            if name in present and data_of(present[name])["token"] == token:
                yield f"{name} has the token from before"

    def check(self, *, revoked: bool = True, lost_answers: bool = False) -> None:
        """See what can be seen once everything is done: nothing twice, and nothing that lives on."""
        present = self._issued()
        assert all(is_live(self.hub, data_of(secret)["token"]) for secret in present.values())
        # An outage that outlasts the time for it lets a token end by itself.
        if revoked:
            assert not is_live(self.hub, self.before["old"])
        twice = {
            asked: count for asked, count in asked_for(minted(self.hub, self.mark, self.number)).items() if count > 1
        }
        assert not twice or lost_answers, twice

    def secrets(self) -> dict[str, str]:
        """Return all that may be told nowhere."""
        key = "".join(self.app.private_key.splitlines()[1:-1])
        issued = {f"now {name}": data_of(secret)["token"] for name, secret in self._issued().items()}
        return {**self.tokens, **{f"before {name}": token for name, token in self.before.items()}, **issued, "key": key}

    def _issued(self) -> dict[str, Object]:
        return {name: secret for name, secret in self._all("Secret").items() if has_token_of_installation(secret)}

    def _all(self, kind: str) -> dict[str, Object]:
        return {obj["metadata"]["name"]: obj for obj in self.people.list(kind)}


def has_token_of_installation(secret: Object) -> bool:
    """Tell the Secrets that Mooring keeps for installations."""
    return EXPIRES in (secret["metadata"].get("annotations") or {})


def _unready(found: Mapping[str, Mapping[str, Object]]) -> Iterator[str]:
    for kind in ("Project", "GitHubInstallation"):
        for name, obj in found[kind].items():
            ready = condition(obj, "Ready")
            if ready.get("status") != "True" or ready.get("observedGeneration") != obj["metadata"]["generation"]:
                yield f"{kind} {name} is not Ready ({ready.get('reason')})"
    if DOOMED in found["GitHubInstallation"]:
        yield f"GitHubInstallation {DOOMED} is still there"

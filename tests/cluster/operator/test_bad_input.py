"""Whatever people get wrong becomes a condition with its reason and the next step, troubles nobody else, and passes.

All of it stands in one namespace at once, beside a Project that has nothing wrong with it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab import Lab
from mooring.domain.reasons import Reason
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import Mooring, policy, running_operator

WORKLOAD = {"image": "nginx", "replicas": 0}
EXPOSED = {**WORKLOAD, "ports": [{"containerPort": 8080}]}
SUFFIX = "bad.example.com"
# So long nobody does anything, in seconds: what retries does it in this time or is bounded well enough.
QUIET = 3.0
# Seconds after which a revoked token or a missing repository is looked at again, not sooner.
SWEEP = 4
# What is mended at GitHub, which tells nobody.
AT_GITHUB = {Reason.REPOSITORY_NOT_FOUND, Reason.BRANCH_NOT_FOUND, Reason.REPOSITORY_EMPTY}
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0.c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """Return a port on which nobody listens: it is taken, so that nobody else gets it, but refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def mooring(
    lab: Lab, kube: Kube, hub: Hub, closed_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mooring]:
    """Run the operator with a short sweep, under a policy that lists a host that refuses."""
    folder = tmp_path_factory.mktemp("bad-input")
    rules = {"allowedHosts": [f"localhost:{closed_port}"], "ingress": {"hostSuffixes": [SUFFIX]}}
    with policy(kube, rules), running_operator(lab, kube, folder, MOORING_SWEEP_INTERVAL=f"{SWEEP}s") as running:
        yield running


@dataclass(frozen=True)
class Case:
    """Something wrong: what is applied, what is said of it, and how it is mended."""

    reason: Reason
    # Words of the next step.
    hint: str
    spec: dict[str, Any]
    mend: Callable[[], Any]
    type: str = "Ready"
    kind: str = "Project"
    # Whether it may pass by itself, so that nobody has to do anything.
    passing: bool = False
    # Why it is Ready once it is mended.
    mended: str = "Ready"


def token(secret: str, key: str = "github-token") -> dict[str, Any]:
    """Return the spec of a Project with a token of its own."""
    return {"token": {"secretRef": {"name": secret, "key": key}}, "workload": WORKLOAD}


def source(**fields: Any) -> dict[str, Any]:
    """Return the spec of a Project that follows something."""
    return {"source": fields, "workload": WORKLOAD}


def github(repository: str, **fields: Any) -> dict[str, Any]:
    """Return the spec of a Project that follows a repository at GitHub."""
    return source(github={"repository": repository}, **fields)


@dataclass
class Trouble:
    """Makes the cases, and what they need."""

    people: People
    hub: Hub
    fresh: TokenMaker
    closed_port: int
    stack: ExitStack
    dead: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make what is there before."""
        people, hub = self.people, self.hub
        self.dead = self.fresh()
        hub.control("POST", f"/tokens/{self.fresh.last}/revoke")
        hub.seed(
            users=[{"login": login} for login in ("dora", "emil", "fred", "gina")],
            organizations=[{"login": "bad", "members": {"dora": "admin", "emil": "member"}}],
            repositories=[
                {"owner": "bad", "name": "shop", "private": True, "files": {"a": "1"}},
                {"owner": "bad", "name": "void"},
            ],
        )
        hub.seed(repositories=[{"owner": "dora", "name": "fork", "private": True, "fork_of": "bad/shop"}])
        forked = hub.control(
            "POST", "/push", {"repository": "dora/fork", "user": "dora", "branch": "main", "files": {"b": "2"}}
        )
        self.names["fork"] = forked["after"]
        people.secret("user-default-global-secrets", self.fresh("dora"))
        people.apply("GitHubUser", "default", {})
        people.secret("no-key", self.fresh(), key="other")
        people.secret("wrong-type", self.fresh(), kind="example.com/token")
        people.secret("no-token", "hunter2")
        people.secret("jwt", JWT)
        people.secret("revoked", self.dead)
        people.secret("wrong-login", self.fresh("fred"))
        people.create("ServiceAccount", {"metadata": {"name": "robot"}})
        account = {"kubernetes.io/service-account.name": "robot"}
        body = {"metadata": {"name": "robot-token", "annotations": account}}
        people.create("Secret", {**body, "type": "kubernetes.io/service-account-token"})
        people.until("Secret", "robot-token", lambda s: bool((s or {}).get("data", {}).get("token")), "its token")
        people.apply("Project", "first", {"expose": {"host": f"same.{SUFFIX}"}, "workload": EXPOSED})
        people.settled("first")

    def cases(self) -> dict[str, Case]:
        """Return all of them by the name of the object."""
        people, fresh, hub = self.people, self.fresh, self.hub
        refusing = f"https://localhost:{self.closed_port}"
        shop = github("bad/shop")

        def put(name: str, value: str) -> Callable[[], None]:
            return lambda: people.secret(name, value)

        def change(name: str, spec: dict[str, Any], kind: str = "Project") -> Callable[[], Any]:
            return lambda: people.apply(kind, name, spec)

        def replace_wrong_type() -> None:
            people.delete("Secret", "wrong-type")
            people.secret("wrong-type", fresh())

        def push(**fields: Any) -> Callable[[], Any]:
            return lambda: hub.control("POST", "/push", {"user": "dora", "files": {"c": "3"}, **fields})

        def allow() -> None:
            rules = {
                "allowedHosts": [f"localhost:{self.closed_port}"],
                "ingress": {"hostSuffixes": [SUFFIX, "evil.example.com"], "classNames": ["fancy"]},
            }
            self.stack.enter_context(policy(people.kube, rules))

        def make_user() -> None:
            people.secret("user-nobody-global-secrets", fresh("emil"))
            people.apply("GitHubUser", "nobody", {})

        opted_in = {"metadata": {"annotations": {"mooring.dev/allow-projects": "true"}}}
        tokens = {
            "secret": Case(Reason.SECRET_NOT_FOUND, "Create it", token("absent"), put("absent", fresh())),
            "key": Case(Reason.SECRET_KEY_MISSING, "Add it", token("no-key"), put("no-key", fresh())),
            "type": Case(Reason.SECRET_TYPE_WRONG, "Opaque Secret", token("wrong-type"), replace_wrong_type),
            "value": Case(Reason.NOT_A_TOKEN, "Check what", token("no-token"), put("no-token", fresh())),
            "jwt": Case(Reason.NOT_A_TOKEN, "Check what", token("jwt"), put("jwt", fresh())),
            "account": Case(
                Reason.SECRET_TYPE_WRONG,
                "Opaque Secret",
                token("robot-token", "token"),
                change("account", token("jwt")),
            ),
            "revoked": Case(Reason.TOKEN_INVALID, "Make a new one", token("revoked"), put("revoked", fresh())),
            "user": Case(
                Reason.USER_NOT_FOUND,
                "Correct spec.userRef",
                {"userRef": {"name": "nobody"}, "workload": WORKLOAD},
                make_user,
            ),
            "login": Case(
                Reason.WRONG_IDENTITY,
                "Replace the token",
                {"userRef": {"name": "wrong-login"}, "workload": WORKLOAD},
                lambda: None,  # with the GitHubUser of this name
            ),
        }
        sources = {
            "refusing": Case(
                Reason.GITHUB_UNAVAILABLE,
                "asked again",
                source(git={"url": f"{refusing}/bad/shop.git"}),
                change("refusing", shop),
                passing=True,
            ),
            "host": Case(
                Reason.HOST_NOT_ALLOWED,
                "allowedHosts",
                source(git={"url": "https://git.example.com/bad/shop.git"}),
                change("host", shop),
            ),
            "enterprise": Case(
                Reason.HOST_NOT_ALLOWED,
                "allowedHosts",
                source(github={"repository": "bad/shop", "host": "ghes.example.com"}),
                change("enterprise", shop),
            ),
            "repository": Case(
                Reason.REPOSITORY_NOT_FOUND,
                "Check the name",
                github("bad/later"),
                lambda: hub.seed(repositories=[{"owner": "bad", "name": "later", "files": {"a": "1"}}]),
            ),
            "branch": Case(
                Reason.BRANCH_NOT_FOUND,
                "Create it",
                github("bad/shop", branch="later"),
                push(repository="bad/shop", branch="later"),
            ),
            "empty": Case(
                Reason.REPOSITORY_EMPTY, "Push one", github("bad/void"), push(repository="bad/void", branch="main")
            ),
            "fork": Case(
                Reason.REVISION_NOT_FOUND,
                "Name a commit",
                github("bad/shop", revision=self.names["fork"]),
                change("fork", shop),
            ),
            "unknown": Case(
                Reason.REVISION_NOT_FOUND,
                "Name a commit",
                github("bad/shop", revision="f" * 40),
                change("unknown", shop),
            ),
        }
        others = {
            "robot": Case(
                Reason.NOT_ALLOWED,
                "annotate it",
                {"workload": {**WORKLOAD, "serviceAccountName": "robot"}},
                lambda: people.patch("ServiceAccount", "robot", opted_in),
            ),
            "suffix": Case(
                Reason.NOT_ALLOWED,
                "ingress.hostSuffixes",
                {"expose": {"host": "shop.evil.example.com"}, "workload": EXPOSED},
                allow,
            ),
            "class": Case(
                Reason.NOT_ALLOWED,
                "ingress.classNames",
                {"expose": {"host": f"class.{SUFFIX}", "className": "fancy"}, "workload": EXPOSED},
                lambda: None,  # with the suffix
            ),
            "second": Case(
                Reason.HOST_CONFLICT,
                "Choose another host",
                {"expose": {"host": f"same.{SUFFIX}"}, "workload": EXPOSED},
                lambda: people.delete("Project", "first"),
            ),
            "udp": Case(
                Reason.INVALID_SPEC,
                "add one to workload.ports",
                {
                    "expose": {"host": f"udp.{SUFFIX}"},
                    "workload": {**WORKLOAD, "ports": [{"containerPort": 53, "protocol": "UDP"}]},
                },
                change("udp", {"expose": {"host": f"udp.{SUFFIX}"}, "workload": EXPOSED}),
            ),
        }
        users = {
            "wrong-login": Case(
                Reason.WRONG_IDENTITY,
                "correct spec.login",
                {"login": "gina", "tokenSecretRef": {"name": "wrong-login"}},
                put("wrong-login", fresh("gina")),
                kind="GitHubUser",
            ),
            "far": Case(
                Reason.HOST_NOT_ALLOWED,
                "allowedHosts",
                {"apiUrl": "https://ghes.example.com/api/v3", "tokenSecretRef": {"name": "far"}},
                change("far", {"tokenSecretRef": {"name": "far"}}, "GitHubUser"),
                kind="GitHubUser",
            ),
            "silent": Case(
                Reason.GITHUB_UNAVAILABLE,
                "asked again",
                {"apiUrl": refusing, "tokenSecretRef": {"name": "silent"}},
                change("silent", {"displayName": "Silent"}, "GitHubUser"),
                kind="GitHubUser",
                passing=True,
                mended="NoToken",
            ),
        }
        people.secret("far", fresh("fred"))
        people.secret("silent", fresh("bob"))
        return {
            **_of("TokenResolved", tokens),
            **_of("SourceResolved", sources),
            **others,
            **_of("TokenResolved", users),
        }


def _of(type_: str, cases: dict[str, Case]) -> dict[str, Case]:
    return {name: Case(**{**vars(case), "type": type_}) for name, case in cases.items()}


def _is_told(case: Case) -> Callable[[Object | None], bool]:
    """Tell whether the status says what is wrong, and whether a person is needed."""

    def told(obj: Object | None) -> bool:
        if obj is None:
            return False
        said = [(c.get("status"), c.get("reason")) for c in (condition(obj, kind) for kind in ("Ready", case.type))]
        own = "Unknown" if case.passing and case.type != "Ready" else "False"
        stalled = condition(obj, "Stalled").get("status")
        is_said = said == [("False", case.reason), (own, case.reason)]
        return is_said and stalled == ("False" if case.passing else "True")

    return told


def _is_mended(case: Case) -> Callable[[Object | None], bool]:
    return lambda obj: (
        (ready := condition(obj or {}, "Ready")).get("status") == "True" and ready.get("reason") == case.mended
    )


def test_bad_input(people: People, hub: Hub, fresh: TokenMaker, closed_port: int, kube: Kube) -> None:
    with ExitStack() as stack:
        trouble = Trouble(people, hub, fresh, closed_port, stack)
        trouble.prepare()
        cases = trouble.cases()
        began = hub.mark()
        for name, case in cases.items():
            people.apply(case.kind, name, case.spec)
        people.apply("Project", "good", github("acme/open"))
        applied = time.monotonic()
        people.settled("good", seconds=5)
        delay = time.monotonic() - applied
        by_kind = {
            kind: {name: case for name, case in cases.items() if case.kind == kind}
            for kind in ("Project", "GitHubUser")
        }
        for kind, some in by_kind.items():
            told = people.until_every(kind, {name: _is_told(case) for name, case in some.items()})
            for name, case in some.items():
                message = condition(told[name], case.type)["message"]
                assert case.hint in message, (name, message)
                assert "Traceback" not in message
        assert delay < 3, delay
        # Events are posted one after the other behind the work: those of all cases come before that of another one.
        people.apply("Project", "last", token("of-the-last"))
        people.until_event("last", Reason.SECRET_NOT_FOUND.value)
        told_at_last = (name for name, case in by_kind["Project"].items() if case.type == "TokenResolved")
        people.until_every("Project", dict.fromkeys(("last", *told_at_last), _has_pods))

        _is_quiet(people, hub, cases)
        asked = hub.journal(began)
        assert JWT not in str(asked)

        for name, case in cases.items():
            if case.type == "SourceResolved" and not case.passing:
                # What never ran has no workload, and no Secret either.
                assert people.get("Deployment", f"{name}-default") is None, name
        for case in cases.values():
            if case.reason not in AT_GITHUB:
                case.mend()
        for kind, some in by_kind.items():
            mended = {name: _is_mended(case) for name, case in some.items() if case.reason not in AT_GITHUB}
            people.until_every(kind, mended)
        # Last what no watch tells of, so that nothing else can be what made the operator look again.
        left = {name: case for name, case in cases.items() if case.reason in AT_GITHUB}
        for case in left.values():
            case.mend()
        people.until_every("Project", {name: _is_mended(case) for name, case in left.items()}, seconds=3 * SWEEP)


def _has_pods(project: Object | None) -> bool:
    return condition(project or {}, "Deployed").get("status") == "True"


def _is_quiet(people: People, hub: Hub, cases: dict[str, Case]) -> None:
    """Nobody does anything for a while, so nothing is written, and hardly anything asked."""
    before = {kind: _versions(people, kind) for kind in ("Project", "GitHubUser", "Deployment", "Secret")}
    events, mark = len(people.list("Event")), hub.mark()
    time.sleep(QUIET)  # the time in which something could happen is what is measured
    after = {kind: _versions(people, kind) for kind in before}
    changed = {
        (kind, name)
        for kind, versions in after.items()
        for name, version in versions.items()
        if before[kind].get(name) != version
    }
    assert changed <= {("GitHubUser", "default"), ("GitHubUser", "nobody"), ("GitHubUser", "wrong-login")}, changed
    assert len(people.list("Event")) - events <= 3
    assert len(hub.journal(mark)) <= 2 * len(cases)


def _versions(people: People, kind: str) -> dict[str, str]:
    return {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in people.list(kind)}

"""T13: a token that is withdrawn leaves the pods, also those of a Project that has another trouble at the time."""

from __future__ import annotations

from tests.cluster.harness import People, condition
from tests.cluster.operator.conftest import TokenMaker

GLOBAL = "user-default-global-secrets"
WORKLOAD = {"image": "nginx", "ports": [{"containerPort": 8080}]}
# Withdrawn within this many seconds.
SECONDS = 10.0


def test_a_refused_host_or_account_does_not_keep_a_withdrawn_token(people: People, fresh: TokenMaker) -> None:
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    for name in ("host", "account"):
        people.apply("Project", name, {"workload": WORKLOAD})
        people.settled(name)
        assert people.workload_token(name) is not None
    people.apply("Project", "host", {"workload": WORKLOAD, "expose": {"host": "stolen.example.org"}})
    people.apply("Project", "account", {"workload": {**WORKLOAD, "serviceAccountName": "powerful"}})
    for name in ("host", "account"):
        people.until_condition(name, "Ready", "False", "NotAllowed")
    # Neither of them rolled onto something that was refused, nor lost what it had.
    assert people.get("Ingress", "host-default") is None
    accounts = [
        (people.get("Deployment", f"{name}-default") or {})["spec"]["template"]["spec"]["serviceAccountName"]
        for name in ("host", "account")
    ]
    assert accounts == ["default", "default"]
    assert people.workload_token("host") is not None

    people.patch("GitHubUser", "default", {"spec": {"suspend": True}})
    for name in ("host", "account"):
        people.until(
            "Deployment",
            f"{name}-default",
            lambda found: found is not None and "GITHUB_TOKEN" not in str(found["spec"]["template"]),
            "no token",
            seconds=SECONDS,
        )
        people.until("Secret", f"{name}-default-token", lambda secret: secret is None, "its end", seconds=SECONDS)
        stalled = people.until_condition(name, "TokenResolved", "False", "UserSuspended")
        assert condition(stalled, "Stalled")["status"] == "True"

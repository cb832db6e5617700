"""The story of the README: a global token, a Project that inherits it, one that overrides it, one that opts out."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.harness import People, condition
from tests.cluster.operator.conftest import TokenMaker

GLOBAL = "user-default-global-secrets"
WORKLOAD = {"image": "nginx"}
SHOP = {"github": {"repository": "acme/shop"}}
OPEN = {"github": {"repository": "acme/open"}}


def test_inherit_override_and_opt_out(people: People, fresh: TokenMaker) -> None:
    everyone, own = fresh(), fresh("bob")
    people.secret(GLOBAL, everyone)
    people.secret("own", own)
    people.apply("GitHubUser", "default", {})
    people.apply("Project", "inherits", {"source": SHOP, "workload": WORKLOAD})
    people.apply(
        "Project",
        "overrides",
        {
            "source": {"github": {"repository": "acme/open"}},
            "token": {"secretRef": {"name": "own"}},
            "workload": WORKLOAD,
        },
    )
    people.apply("Project", "optsout", {"token": {"source": "none"}, "workload": WORKLOAD})
    found = {name: people.settled(name) for name in ("inherits", "overrides", "optsout")}
    assert all(condition(project, "Ready")["status"] == "True" for project in found.values())
    assert {name: people.workload_token(name) for name in found} == {
        "inherits": everyone,
        "overrides": own,
        "optsout": None,
    }
    assert {name: project["status"]["token"]["source"] for name, project in found.items()} == {
        "inherits": "global",
        "overrides": "project",
        "optsout": "none",
    }
    user = people.until(
        "GitHubUser",
        "default",
        lambda user: ((user or {}).get("status") or {}).get("projects") == {"global": 1, "project": 1, "none": 1},
        "counts of 1, 1 and 1",
    )
    assert user is not None
    assert user["status"]["login"] == "alice"
    assert user["status"]["tokenSet"] is True

    # The global token is rotated: whoever inherits it follows, nobody else rolls.
    rotated = fresh()
    people.secret(GLOBAL, rotated)
    people.until(
        "Project", "inherits", lambda p: p is not None and p["status"]["revision"]["trigger"] == "Token", "a Token roll"
    )
    people.settled("inherits")
    assert people.workload_token("inherits") == rotated
    assert {name: people.rollouts(name) for name in found} == {"inherits": 2, "overrides": 1, "optsout": 1}

    # It is removed: what inherits it falls to none, and rolls once more.
    people.secret(GLOBAL, None)
    people.until_condition("inherits", "TokenResolved", "True", "NoToken")
    people.settled("inherits")
    assert people.workload_token("inherits") is None
    people.until("Secret", "inherits-default-token", lambda secret: secret is None, "its end")


def test_what_is_applied_together_rolls_once(more_people: Callable[[], People], fresh: TokenMaker) -> None:
    """Each kind has a watch of its own, so a Project may be seen before the user and the Secret that it needs."""
    token, everybody = fresh(), [more_people() for _ in range(10)]
    for people in everybody:
        people.secret(GLOBAL, token)
        people.apply("GitHubUser", "default", {})
        people.apply("Project", "shop", {"workload": WORKLOAD})
    for people in everybody:
        people.settled("shop")
        assert people.workload_token("shop") == token
        assert people.rollouts("shop") == 1

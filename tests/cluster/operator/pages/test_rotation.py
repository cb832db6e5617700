"""The runbook of secrets: each is changed as it says, and nothing rolls or is made that it does not speak of."""

from __future__ import annotations

import json

from tests.cluster.gateway.site import post
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import Account, install, make_app, mints, output, put_app, refer, signed_by
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place, decoded, until
from tests.cluster.operator.pushes import GLOBAL
from tests.cluster.operator.webhooks import url_of
from tests.cluster.reading import Desk, Reader

PAGE = "docs/runbooks/rotation.md"
RUN_HERE = {
    "docs/runbooks/rotation.md": (
        "Runbook: change every secret",
        "A global token",
        "A Project's token",
        "An App's private key",
        "An App's webhook secret",
    )
}
KIND, SECRET = "GitHubInstallation", "acme-github-app"
WORKLOAD = {"image": "nginx", "replicas": 1}
PROJECTS = ("shop", "inherits", "cloned")


def rolled(people: People) -> dict[str, int]:
    """Count the rollouts of all Projects."""
    return {name: people.rollouts(name) for name in PROJECTS}


def test_the_page(place: Place, desk: Desk, people: People, hub: Hub, acme: Account, fresh: TokenMaker) -> None:
    app = make_app(hub, permissions={"contents": "read", "metadata": "read"})
    number = install(hub, app, acme.login)
    put_app(people, app, SECRET, webhookSecret="the-present-one", webhookSecretPrevious="the-one-before")
    wishes = [output("ci", repositories=[f"{acme.login}/shop"])]
    people.apply(KIND, "acme", {"account": acme.login, "appSecretRef": {"name": SECRET}, "outputs": wishes})
    people.secret(GLOBAL, fresh())
    people.secret("shop-token", fresh("bob"))
    people.apply("GitHubUser", "default", {})
    people.apply("Project", "shop", {"token": {"secretRef": {"name": "shop-token"}}, "workload": WORKLOAD})
    people.apply("Project", "inherits", {"workload": WORKLOAD})
    refer(people, "cloned", f"{acme.login}/api", "acme", token={"source": "none"})
    for name in PROJECTS:
        people.until_ready(name)
    people.settled("acme", kind=KIND)

    with place.reader(desk, RUN_HERE, PAGE, {"team-a": people.namespace}) as reader:
        given = [json.loads(line) for line in reader.types("token").splitlines()]
        assert people.namespace in {line["object"]["namespace"] for line in given}

        new = fresh()
        before = fingerprint_of(people.get("GitHubUser", "default"))
        reader.types(f"create secret generic {GLOBAL}", stdin=f"{new}\n")
        people.until("Project", "inherits", lambda it: newest(it) == "Token", "a rollout by the token")
        people.until("GitHubUser", "default", lambda it: fingerprint_of(it) != before, "the new token's fingerprint")
        login, fingerprint, _ = reader.types("{.status.login}").split()
        assert (login, fingerprint != before) == ("alice", True)
        people.settled("inherits")
        assert reader.types("get projects").count(" True ") == 3
        assert rolled(people) == {"shop": 1, "inherits": 2, "cloned": 1}
        assert people.workload_token("inherits") == new

        own = fresh("bob", expires_in=30 * 24 * 3600)
        reader.types("create secret generic shop-token", stdin=f"{own}\n")
        people.until("Project", "shop", lambda it: newest(it) == "Token", "a rollout by the token")
        people.settled("shop")
        expires, trigger = reader.types("{.status.token.expiresAt}").split()
        assert (expires[:2], trigger) == ("20", "Token")
        assert rolled(people) == {"shop": 2, "inherits": 2, "cloned": 1}

        mark, held = hub.mark(), decoded(people, "ci")
        key = hub.control("POST", f"/apps/{app.slug}/keys", {})["private_key"]
        (desk.folder / "new.private-key.pem").write_text(key)
        reader.types("create secret generic any --from-file=privateKey")
        # The other keys of the Secret stay.
        kept = {"webhookSecret": "the-present-one", "webhookSecretPrevious": "the-one-before"}
        assert decoded(people, SECRET) == {**app.data(), "privateKey": key, **kept}
        until(lambda: signed_by(hub, mark, app) != [], "the new key is proven")
        people.until_ready("acme", kind=KIND)
        assert f"{people.namespace} " in reader.types("get githubinstallations")
        assert decoded(people, "ci") == held
        assert [asked for asked in mints(hub, mark, number) if "repository_ids" in asked["asked"]] == []

        the_former_webhook_secret_goes(place, reader, people, acme)
        assert rolled(people) == {"shop": 2, "inherits": 2, "cloned": 1}


def the_former_webhook_secret_goes(place: Place, reader: Reader, people: People, acme: Account) -> None:
    """See deliveries in the log, signed with the former secret as well, and take that away."""
    path = str(url_of(people.get(KIND, "acme"))).removeprefix(place.gateway.url)

    def answer(secret: str) -> int:
        place.mount()
        probe = {"action": "edited", "repository": {"id": acme.repositories["api"]}}
        return post(place.gateway.url, probe, secret, "repository", path)[0]

    until(lambda: answer("the-one-before") in {200, 202}, "the former one is good")
    received = [json.loads(line) for line in reader.types('"delivery.received"').splitlines()]
    assert {line["action"] for line in received} == {"delivery.received"}
    reader.types('"webhookSecretPrevious":null')
    until(lambda: answer("the-one-before") == 401, "the former one is good no more")
    assert answer("the-present-one") in {200, 202}


def fingerprint_of(user: Object | None) -> str | None:
    """Return what a GitHubUser says of its token."""
    return (((user or {}).get("status") or {}).get("token") or {}).get("fingerprint")


def newest(project: Object | None) -> str:
    """Return what led to a Project's newest rollout, once it is Ready."""
    history = ((project or {}).get("status") or {}).get("history") or [{}]
    return str(history[0].get("trigger"))

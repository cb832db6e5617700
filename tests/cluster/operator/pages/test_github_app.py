"""The pages about an App and its webhook: exactly what they say to enter is enough, and each part of it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.conftest import ROOT
from tests.cluster.gateway.site import OWN, post
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import Account, LabApp, install, make_app, put_app, put_secret
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place, decoded, until
from tests.cluster.operator.pushes import GLOBAL
from tests.cluster.operator.webhooks import url_of
from tests.cluster.reading import Desk
from tests.cluster.token_life import fault

APP, HOOKS = "docs/guide/github-app.md", "docs/guide/webhooks.md"
RUN_HERE = {
    "docs/guide/github-app.md": (
        "What to enter",
        "The Secret",
        "The address and the installation",
        "See that it works",
    ),
    "docs/guide/webhooks.md": (
        "The operator's App",
        "An App of your own",
        "Without an App: a webhook of the repository",
        "Another webhook secret",
        "What redeploys, and what does not",
    ),
}
KIND, SECRET = "GitHubInstallation", "acme-github-app"
ROW = re.compile(r"^\| \*(\w+)\*(?:: read-only)? \|", re.MULTILINE)
WORKLOAD = {"image": "nginx", "replicas": 1}


def told_in(section: str) -> list[str]:
    """Return what the first column of a section's table says to choose, as GitHub's API spells it."""
    text = (ROOT / APP).read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [word.lower() for word in ROW.findall(text)]


PERMISSIONS = dict.fromkeys(told_in("Permissions"), "read")
EVENTS = told_in("Events")


@pytest.fixture(autouse=True)
def clean(place: Place) -> Iterator[None]:
    """Take away what the pages make beside the namespace."""
    yield
    place.system.delete("Secret", "mooring-github-app")


def entered(place: Place, hub: Hub, app: LabApp, url: str, secret: str, repository_id: int) -> None:
    """Enter an address at GitHub, once the gateway knows it: two minutes at most, says the page."""
    path = url.removeprefix(place.gateway.url)
    probe = {"action": "edited", "repository": {"id": repository_id}}

    def is_known() -> bool:
        place.mount()
        return post(place.gateway.url, probe, secret, "repository", path)[0] in {200, 202}

    until(is_known, "the gateway knows the address")
    hub.control("POST", f"/apps/{app.slug}/webhook", {"url": place.gateway.url + path, "secret": secret})


def follow(people: People, name: str, installation: str, repository: str) -> None:
    """Apply a Project as the page about installations shows it."""
    source = {"github": {"repository": repository}}
    spec = {"installationRef": {"name": installation}, "source": source, "token": {"source": "none"}}
    people.apply("Project", name, {**spec, "deploy": {"debounce": "200ms"}, "workload": WORKLOAD})


def has_webhook(reason: str) -> Callable[[Object | None], bool]:
    """Tell whether a Project says this of its webhook."""
    return lambda project: condition(project or {}, "WebhookReady").get("reason") == reason


def test_an_app_with_exactly_what_the_page_says(
    place: Place, desk: Desk, people: People, hub: Hub, acme: Account
) -> None:
    assert (PERMISSIONS, EVENTS) == ({"contents": "read", "metadata": "read"}, ["push", "repository"])
    app = make_app(hub, permissions=PERMISSIONS, events=EVENTS)
    install(hub, app, acme.login)
    (desk.folder / "acme-mooring.private-key.pem").write_text(app.private_key)
    words = {"team-a": people.namespace, "acme": acme.login, "123456": str(app.app_id)}
    repository = f"{acme.login}/shop"
    with place.reader(desk, RUN_HERE, APP, words) as reader:
        assert re.fullmatch(r"[0-9a-f]{64}\n", reader.types("openssl rand -hex 32"))
        reader.types("> webhook-secret")
        reader.types("create secret generic acme-github-app")
        secret = (desk.folder / "webhook-secret").read_text().removesuffix("\n")
        reader.types("kind: GitHubInstallation")
        assert "condition met" in reader.types("kubectl wait")
        people.until(KIND, acme.login, lambda it: url_of(it) is not None, "an address")
        url = reader.types(".status.webhook.url")
        entered(place, hub, app, url, secret, acme.repositories["shop"])

        follow(people, "shop", acme.login, repository)
        people.until_ready("shop")
        # Nobody who looks by himself comes before the delivery.
        with fault(hub, kind="lag", repository=repository):
            hub.control("POST", "/push", {"repository": repository, "user": "alice", "files": {"a.txt": "new"}})
            people.until("Project", "shop", lambda it: "push" in (it or {})["status"], "the record of the push")
        people.until("Project", "shop", lambda it: trigger_of(it) == "Push", "a rollout by the push")
        (delivery,) = (one for one in of_app(hub, app) if one["event"] == "push")
        assert delivery["status_code"] == 202
        assert f"shop      Push      {delivery['guid']}" in reader.types("DELIVERY")
        people.until("Project", "shop", has_webhook("AppDelivers"), "AppDelivers")
        assert "shop      AppDelivers" in reader.types("WEBHOOK")

    # What GitHub tells of the repository itself comes as well.
    hub.control("POST", f"/repositories/{acme.repositories['api']}/rename", {"name": "renamed"})
    assert "repository" in {one["event"] for one in of_app(hub, app)}


def of_app(hub: Hub, app: LabApp) -> list[Object]:
    """Return what GitHub sent, or tried to send, to an App."""
    return [one for one in hub.control("GET", "/deliveries")["deliveries"] if one["app_id"] == app.app_id]


def trigger_of(project: Object | None) -> str | None:
    """Return what led to what a Project runs."""
    return (((project or {}).get("status") or {}).get("revision") or {}).get("trigger")


def test_each_part_that_is_left_out_is_missed(place: Place, people: People, hub: Hub, acme: Account) -> None:
    without: dict[str, dict[str, Any]] = {
        "contents": {"permissions": {"metadata": "read"}, "events": EVENTS},
        "push": {"permissions": PERMISSIONS, "events": ["repository"]},
        "repository": {"permissions": PERMISSIONS, "events": ["push"]},
    }
    apps: dict[str, LabApp] = {}
    for name, more in without.items():
        app = apps[name] = make_app(hub, **more)
        install(hub, app, acme.login)
        put_app(people, app, name, webhookSecret=f"a-webhook-secret-without-{name}")
        people.apply(KIND, name, {"account": acme.login, "appSecretRef": {"name": name}})
        follow(people, name, name, f"{acme.login}/shop")
    refused = people.until("Project", "contents", is_refused, "a word about the permission")
    assert condition(refused or {}, "Ready")["reason"] == "PermissionMissing"
    people.until("Project", "push", has_webhook("EventsMissing"), "EventsMissing")
    people.until_ready("push")
    found = people.until(KIND, "repository", lambda it: url_of(it) is not None, "an address")
    secret = "a-webhook-secret-without-repository"
    entered(place, hub, apps["repository"], str(url_of(found)), secret, acme.repositories["shop"])
    hub.control("POST", f"/repositories/{acme.repositories['site']}/rename", {"name": "other"})
    assert "repository" not in {one["event"] for one in of_app(hub, apps["repository"])}


def is_refused(project: Object | None) -> bool:
    """Tell whether a Project waits for somebody."""
    return condition(project or {}, "Stalled").get("status") == "True"


def test_webhooks(place: Place, desk: Desk, people: People, hub: Hub, acme: Account, fresh: TokenMaker) -> None:
    app, own = make_app(hub, events=EVENTS), make_app(hub, events=EVENTS)
    install(hub, app, acme.login)
    put_app(people, app, SECRET, webhookSecret="the-first-webhook-secret")
    put_secret(place.system, "mooring-github-app", own.data())
    people.apply(KIND, "acme", {"account": acme.login, "appSecretRef": {"name": SECRET}})
    repository_id = acme.repositories["shop"]
    with place.reader(desk, RUN_HERE, HOOKS, {"team-a": people.namespace}) as reader:
        assert re.fullmatch(r"[0-9a-f]{64}\n", reader.types("openssl rand -hex 32"))
        reader.types("> webhook-secret")
        reader.types("patch secret mooring-github-app")
        kept = decoded(place.system, "mooring-github-app")
        assert kept == own.data(webhookSecret=(desk.folder / "webhook-secret").read_text().strip())
        until_answered(place, kept["webhookSecret"], 200)

        people.until(KIND, "acme", lambda it: url_of(it) is not None, "an address")
        url = reader.types(".status.webhook.url")
        assert re.fullmatch(rf"{place.gateway.url}/webhooks/github/[a-z2-7]{{32}}", url)

        people.secret(GLOBAL, fresh())
        people.apply("GitHubUser", "default", {})
        source = {"github": {"repository": f"{acme.login}/api"}}
        people.apply("Project", "shop", {"source": source, "deploy": {"auto": False}, "workload": WORKLOAD})
        people.until("Project", "shop", lambda it: "hookId" in webhook_of(it), "a webhook")
        assert '"via":"Repository"' in reader.types("jsonpath='{.status.webhook}'")

        entered(place, hub, app, url, "the-first-webhook-secret", repository_id)
        reader.types("> next")
        reader.types("webhookSecretNext")
        following = (desk.folder / "next").read_text().strip()
        entered(place, hub, app, url, following, repository_id)
        # Both are good, so none is refused while one takes the other's place.
        probe = {"action": "edited", "repository": {"id": repository_id}}
        assert (
            post(
                place.gateway.url, probe, "the-first-webhook-secret", "repository", url.removeprefix(place.gateway.url)
            )[0]
            < 300
        )
        reader.types('"webhookSecretNext": null')
        assert decoded(people, SECRET) == app.data(webhookSecret=following)
        until_answered(place, "the-first-webhook-secret", 401, url.removeprefix(place.gateway.url))
        assert post(place.gateway.url, probe, following, "repository", url.removeprefix(place.gateway.url))[0] < 300

        body = {"repository": f"{acme.login}/api", "user": "alice", "files": {"a.txt": "new"}}
        pushed = hub.control("POST", "/push", body)["after"]
        reader.types("mooring.dev/redeploy")
        people.until("Project", "shop", lambda it: trigger_of(it) == "Manual", "a rollout by hand")
        assert pushed[:7] in reader.types("-o wide")


def webhook_of(project: Object | None) -> dict[str, object]:
    """Return what a Project says of its webhook."""
    return ((project or {}).get("status") or {}).get("webhook") or {}


def until_answered(place: Place, secret: str, status: int, path: str = OWN) -> None:
    """Wait until the gateway answers like this to what a secret signs: two minutes at most, say the pages."""

    def is_it() -> bool:
        place.mount()
        return post(place.gateway.url, {"zen": "x"}, secret, "ping", path)[0] == status

    until(is_it, f"{status} for a ping")

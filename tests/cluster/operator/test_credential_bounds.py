"""Each credential goes to its own origin: beside a second GitHub, a sink, redirects, and proxies in the environment.

The lab's authority counts as a public one here, so that no credential is saved by a certificate that nobody trusts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.github import sinks
from lab.github.sinks import Sink
from tests.cluster import trusting
from tests.cluster.bounds import caught, fetching, host_of, plant, refs_of, second_github, tagged
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import data_of, install, make_app, mints, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import Mooring, policy, running_operator

IMAGE = {"image": "nginx"}
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def second(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Run another GitHub, where people and repositories have the same names."""
    with second_github(tmp_path_factory.mktemp("second"), hub) as second:
        second.seed(
            users=[{"login": "alice"}],
            organizations=[{"login": "acme", "members": {"alice": "admin"}}],
            repositories=[
                {"owner": "acme", "name": "shop", "private": True, "files": {"index.html": "second"}},
                {"owner": "acme", "name": "open", "files": {"index.html": "second"}},
            ],
        )
        yield second
        assert second.violations() == []


@pytest.fixture(scope="module")
def sink(hub: Hub) -> Iterator[Sink]:
    """Run a sink that answers over HTTPS, on a host that the administrator has listed."""
    with sinks.running(Path(hub.ca_file).parent) as sink:
        yield sink


@pytest.fixture(scope="module")
def other_sink(hub: Hub) -> Iterator[Sink]:
    """Run another one on the list, which no Project of an earlier test follows."""
    with sinks.running(Path(hub.ca_file).parent) as sink:
        yield sink


@pytest.fixture(scope="module")
def proxy(hub: Hub) -> Iterator[Sink]:
    """Run a sink that the operator's environment names as its proxy."""
    with sinks.running(Path(hub.ca_file).parent) as sink:
        yield sink


def proxies(proxy: Sink) -> dict[str, str]:
    """Return the environment that leads there."""
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return dict.fromkeys(names, proxy.url(scheme="http"))


@pytest.fixture(scope="module")
def mooring(
    lab: Lab,
    kube: Kube,
    hub: Hub,
    second: Hub,
    sink: Sink,
    other_sink: Sink,
    proxy: Sink,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mooring]:
    """Run an operator with both GitHubs and the sinks on its list, and with a proxy that it must not ask."""
    environment = {**proxies(proxy), trusting.VARIABLE: hub.ca_file, "MOORING_SWEEP_INTERVAL": "8h"}
    folder = tmp_path_factory.mktemp("bounds")
    with (
        policy(kube, {"allowedHosts": [host_of(second), sink.host, other_sink.host]}),
        running_operator(lab, kube, folder, module=trusting.__name__, **environment) as running,
    ):
        yield running


@dataclass
class Site:
    """Somebody with a token and an installation at each GitHub."""

    people: People
    hubs: dict[str, Hub]
    tokens: dict[str, str]
    # Where the journals stood.
    since: dict[str, int]

    def nothing_strayed(self) -> None:
        """Hold that no GitHub saw a credential that is not its own, or is for something else."""
        for name, hub in self.hubs.items():
            assert hub.strays(self.since[name]) == []


@pytest.fixture
def site(people: People, hub: Hub, second: Hub, fresh: TokenMaker) -> Site:
    """Give somebody a GitHubUser and a GitHubInstallation at each GitHub, by the same names there."""
    hubs = {"first": hub, "second": second}
    since = {name: each.mark() for name, each in hubs.items()}
    tokens = {"first": fresh("alice"), "second": second.token("token-of-the-second", "alice")}
    for name, each in hubs.items():
        app = make_app(each)
        install(each, app)
        put_app(people, app, f"app-{name}")
        people.secret(f"pat-{name}", tokens[name])
        api = {} if each is hub else {"apiUrl": each.api_url}
        user = {"tokenSecretRef": {"name": f"pat-{name}"}, **api}
        people.apply("GitHubUser", name, user)
        lender = {"account": "acme", "appSecretRef": {"name": f"app-{name}"}, **api}
        people.apply("GitHubInstallation", name, lender)
    return Site(people, hubs, tokens, since)


def test_the_sinks_catch_what_is_planted(
    sink: Sink, proxy: Sink, hub: Hub, second: Hub, fresh: TokenMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever minds the environment is caught by the proxy; and each GitHub notices a credential of the other's."""
    token = fresh()
    plant(proxy, monkeypatch, proxies(proxy), hub, token)
    assert proxy.spoken == ["http/tls/http"]
    assert caught(proxy, hub) == {fresh.last}
    assert caught(proxy, second) == set()
    proxy.forget()
    since = second.mark()
    plant(sink, monkeypatch, {}, second, token)
    assert [use["credential"] for use in second.strays(since)] == ["unknown"]


def test_two_githubs_with_the_same_names(site: Site, proxy: Sink) -> None:
    """Every user, installation and place of a source, with every other: what fits works, and nothing else leaks."""
    people = site.people
    for kind, name in product(("GitHubUser", "GitHubInstallation"), site.hubs):
        people.until_condition(name, "Ready", "True", "Ready", kind=kind)
    # Where it is fetched from, whether it works, and whether its pods get a credential.
    wanted: dict[str, tuple[str, bool, bool]] = {}
    for (at, hub), user, lender in product(site.hubs.items(), site.hubs, (None, *site.hubs)):
        source: dict[str, Any] = {"github": {"repository": "acme/shop", "host": host_of(hub)}}
        more = {"installationRef": {"name": lender}} if lender else {}
        project(people, f"{at}-{user}-{lender or 'none'}", source, userRef={"name": user}, **more)
        # Where there is an installation, it alone fetches.
        wanted[f"{at}-{user}-{lender or 'none'}"] = (at, at == (lender or user), True)
    for (at, hub), whose in product(site.hubs.items(), site.hubs):
        by_url, theirs = {"git": {"url": f"{hub.web_url}/acme/shop.git"}}, {"name": whose}
        project(people, f"url-{at}-{whose}", by_url, userRef=theirs)
        wanted[f"url-{at}-{whose}"] = (at, at == whose, True)
        # What everybody may read works anyway, and is fetched without the other's token.
        public: dict[str, Any] = {"github": {"repository": "acme/open", "host": host_of(hub)}}
        project(people, f"open-{at}-{whose}", public, userRef=theirs)
        wanted[f"open-{at}-{whose}"] = (at, True, at == whose)
    for at, hub in site.hubs.items():
        # A Project's own token is for the GitHub that its source names, whose else.
        named: dict[str, Any] = {"github": {"repository": "acme/shop", "host": host_of(hub)}}
        project(people, f"own-{at}", named, token={"secretRef": {"name": f"pat-{at}"}})
        wanted[f"own-{at}"] = (at, True, True)
    for name, (at, works, credited) in wanted.items():
        found = people.until_ready(name, seconds=60) if works else people.settled(name, seconds=60)
        assert (condition(found, "Ready")["status"] == "True") is works, (name, found["status"])
        told = fetching(people, name)
        if told is None or told.token is None:
            assert not (works and credited), name
            continue
        # Also where the Project does not work: no pod is told to take a credential elsewhere.
        assert told.url.startswith(f"{site.hubs[at].web_url}/"), name
        owners = {hub for hub, each in site.hubs.items() if tagged(each, told.token)}
        assert owners == {at}, name
        assert told.origin is not None
        assert told.url.startswith(f"{told.origin}/"), name
    site.nothing_strayed()
    assert proxy.spoken == []


@pytest.mark.parametrize(("source", "moves"), [("shop", False), ("open", False), ("shop", True)])
def test_a_token_that_moves_says_so_to_the_pods_before(site: Site, source: str, moves: bool) -> None:
    """They mount the same Secret, by the former origin's URL: whether new ones cannot be made, need no token, or nobody
    can say what they would fetch."""
    people, name = site.people, f"moves-{source}"
    here: dict[str, Any] = {"github": {"repository": f"acme/{source}", "host": host_of(site.hubs["first"])}}
    project(people, name, here, userRef={"name": "first"})
    people.until_condition(name, "Ready", "True", "Ready")
    if moves:
        gone = {"github": None, "git": {"url": f"{site.hubs['second'].web_url}/acme/gone.git"}}
        people.patch("Project", name, {"spec": {"source": gone}})
        people.until_condition(name, "SourceResolved", "False", "RepositoryNotFound")
    for user in ("second", "first", "second"):
        people.patch("Project", name, {"spec": {"userRef": {"name": user}}})
        secret = people.until("Secret", f"{name}-default-token", has(site.tokens[user]))
        assert data_of(secret)["origin"] == site.hubs[user].web_url


def has(token: str) -> Callable[[Any], bool]:
    return lambda secret: secret is not None and data_of(secret).get("token") == token


def project(people: People, name: str, source: dict[str, Any], **more: Any) -> None:
    people.apply("Project", name, {"source": source, "workload": IMAGE, **more})


def test_a_plain_url_elsewhere_gets_no_credential(site: Site, sink: Sink, proxy: Sink, hub: Hub) -> None:
    """It is asked without any, though it invites to log in; nor do its pods get one."""
    people, sources = site.people, {"git": {"url": sink.url("/acme/shop.git")}}
    sink.forget()
    project(people, "invited", {"git": {"url": sink.url("/acme/closed.git")}}, userRef={"name": "first"})
    people.until_condition("invited", "SourceResolved", "False", "RepositoryNotFound")
    assert set(sink.spoken) == {"tls/http"}
    sink.answer = lambda _: refs_of("main", SHA)
    project(people, "global", sources, userRef={"name": "second"}, token={"source": "global"})
    project(people, "own", sources, token={"secretRef": {"name": "pat-first"}})
    for name in ("global", "own"):
        people.until_condition(name, "Ready", "True", "Ready")
        found = fetching(people, name)
        assert found is not None
        assert (found.url, found.token) == (sink.url("/acme/shop.git"), None)
        # The workload has it all the same: where that takes it is its own affair.
        assert people.workload_token(name) == site.tokens["second" if name == "global" else "first"]
    assert caught(sink, *site.hubs.values()) == set()
    site.nothing_strayed()
    assert proxy.spoken == []


def test_redirects_of_the_api(people: People, other_sink: Sink, proxy: Sink, hub: Hub, fresh: TokenMaker) -> None:
    """What a person's token, an App's key and an installation's token ask is sent elsewhere: they do not go along."""
    sink, names = other_sink, []
    for place in ("user", "named", "by-url"):
        people.secret(place, fresh("alice"))
        names.append(fresh.last)
    app, other = make_app(hub), make_app(hub)
    for each, name in ((app, "app"), (other, "other")):
        put_app(people, each, name)
    number = install(hub, app)
    install(hub, other)
    strikes = [
        ("/api/v3/user", names[0], sink.url("/api/v3/user"), 302),
        ("/api/v3/repos/acme/shop", names[1], sink.url("/api/v3/repos/acme/shop", scheme="http"), 301),
        ("/acme/shop.git/info/refs", names[2], f"//{sink.host}/acme/shop.git/info/refs?service=git-upload-pack", 308),
        (f"*/installations/{number}/access_tokens", f"app-{app.app_id}", sink.url("/api/v3/x"), 307),
        ("/api/v3/app", f"app-{other.app_id}", f"https://{host_of(hub)}@{sink.host}/api/v3/app", 302),
    ]
    for path, credential, location, status in strikes:
        spec = {"kind": "redirect", "path": path, "credential": credential, "location": location, "status": status}
        hub.control("POST", "/faults", spec)
    people.apply("GitHubUser", "sent", {"tokenSecretRef": {"name": "user"}})
    for name, source in (
        ("named", {"github": {"repository": "acme/shop"}}),
        ("by-url", {"git": {"url": f"{hub.web_url}/acme/shop.git"}}),
    ):
        project(people, name, source, token={"secretRef": {"name": name}})
    outputs = [{"secretName": "ci", "format": "Token"}]
    people.apply("GitHubInstallation", "sent", {"account": "acme", "appSecretRef": {"name": "app"}, "outputs": outputs})
    people.apply("GitHubInstallation", "other", {"account": "acme", "appSecretRef": {"name": "other"}})
    kinds = (("GitHubUser", "sent"), ("Project", "named"), ("Project", "by-url"))
    for kind, name in (*kinds, ("GitHubInstallation", "sent"), ("GitHubInstallation", "other")):
        people.until(kind, name, lambda obj: condition(obj or {}, "Ready").get("status") == "False", "trouble")
    assert people.get("Secret", "ci") is None
    hits = {fault["path"]: fault["hits"] for fault in hub.control("GET", "/faults")["faults"]}
    hub.control("DELETE", "/faults")
    assert all(hits.values()), hits
    assert sink.spoken == []
    assert proxy.spoken == []
    assert mints(hub, 0, number)

"""An App at another GitHub than the operator's own: its URL, its certificates, and nothing of it for anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import LabApp, data_of, install, make_app, put_app
from tests.cluster.process import Mooring, policy, running_operator


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Run an operator whose own GitHub is github.com; the lab's is an Enterprise Server that the policy lists."""
    host = hub.web_url.removeprefix("https://")
    own = {"MOORING_GITHUB_API_URL": "https://api.github.com", "MOORING_GITHUB_CA_FILE": ""}
    with (
        policy(kube, {"allowedHosts": [host]}),
        running_operator(lab, kube, tmp_path_factory.mktemp("enterprise"), **own) as running,
    ):
        yield running


def ca_of(people: People, hub: Hub) -> None:
    """Put the lab's certificates into a ConfigMap."""
    people.create("ConfigMap", {"metadata": {"name": "ghes"}, "data": {"ca.crt": Path(hub.ca_file).read_text()}})


def test_a_project_of_an_enterprise_server(people: People, hub: Hub) -> None:
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    ca_of(people, hub)
    spec = {
        "account": "acme",
        "appSecretRef": {"name": "app"},
        "apiUrl": hub.api_url,
        "caBundle": {"configMapRef": {"name": "ghes"}},
        "outputs": [{"secretName": "git", "format": "GitCredentials"}],
    }
    people.apply("GitHubInstallation", "acme", spec)
    people.until_ready("acme", kind="GitHubInstallation")
    assert hub.web_url.removeprefix("https://") in data_of(people.get("Secret", "git"))[".git-credentials"]
    people.apply(
        "Project",
        "shop",
        {
            # The host is the installation's, without a word.
            "source": {"github": {"repository": "acme/shop"}},
            "installationRef": {"name": "acme"},
            "workload": {"image": "nginx"},
        },
    )
    people.until_ready("shop")
    deployment = people.get("Deployment", "shop-default")
    assert deployment is not None
    arguments = deployment["spec"]["template"]["spec"]["initContainers"][0]["args"]
    assert f"--url={hub.web_url}/acme/shop.git" in arguments


def asked_by(hub: Hub, app: LabApp, since: int) -> list[str]:
    """Return what GitHub was asked with an App's key, or without any; the Apps of other tests are looked at, too."""
    names = {f"app-{app.app_id}", "anonymous", "unknown"}
    return [entry["path"] for entry in hub.journal(since) if entry["credential"] in names]


def test_certificates_that_are_not_named_are_not_trusted(people: People, hub: Hub) -> None:
    # Also after another namespace named them for the very same host.
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    since = hub.mark()
    spec = {"account": "acme", "appSecretRef": {"name": "app"}, "apiUrl": hub.api_url}
    people.apply("GitHubInstallation", "acme", spec)

    def is_told(it: Object | None) -> bool:
        ready = condition(it or {}, "Ready")
        return ready.get("reason") == "GitHubUnavailable" and "certificate" in ready["message"]

    # On a busy machine the first try may come to nothing at all.
    people.until("GitHubInstallation", "acme", is_told, "a word about the certificate")
    assert asked_by(hub, app, since) == []


def test_a_host_that_the_administrator_has_not_listed(people: People, hub: Hub) -> None:
    app = make_app(hub)
    put_app(people, app)
    since = hub.mark()
    spec = {"account": "acme", "appSecretRef": {"name": "app"}, "apiUrl": "https://ghes.example.com/api/v3"}
    people.apply("GitHubInstallation", "acme", spec)
    found = people.until_condition("acme", "Ready", "False", "HostNotAllowed", kind="GitHubInstallation")
    assert "ghes.example.com" in condition(found, "Ready")["message"]
    assert asked_by(hub, app, since) == []


def test_a_bundle_that_is_none(people: People, hub: Hub) -> None:
    put_app(people, make_app(hub))
    people.create("ConfigMap", {"metadata": {"name": "ghes"}, "data": {"ca.crt": "not a certificate"}})
    spec = {
        "account": "acme",
        "appSecretRef": {"name": "app"},
        "apiUrl": hub.api_url,
        "caBundle": {"configMapRef": {"name": "ghes"}},
    }
    people.apply("GitHubInstallation", "acme", spec)
    found = people.until_condition("acme", "Ready", "False", "CaMalformed", kind="GitHubInstallation")
    assert "ConfigMap ghes" in condition(found, "Ready")["message"]

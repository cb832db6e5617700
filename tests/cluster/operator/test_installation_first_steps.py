"""A GitHubInstallation and a Project that uses it: what a newcomer does, from the first apply to the end."""

from __future__ import annotations

from tests.cluster.harness import Hub, People
from tests.cluster.operator.apps import clone_secret, data_of, install, make_app, mints, put_app, reaches


def test_an_output_and_a_private_repository(people: People, hub: Hub) -> None:
    app = make_app(hub)
    number = install(hub, app)
    put_app(people, app)
    since = hub.mark()
    output = {"secretName": "ci", "format": "Token", "repositories": ["acme/shop"], "permissions": {"contents": "read"}}
    people.apply(
        "GitHubInstallation", "acme", {"account": "acme", "appSecretRef": {"name": "app"}, "outputs": [output]}
    )
    found = people.until_ready("acme", kind="GitHubInstallation")
    assert found["status"]["installationId"] == number
    token = data_of(people.get("Secret", "ci"))["token"]
    assert reaches(hub, token) == ["acme/shop"]

    people.apply(
        "Project",
        "shop",
        {
            "source": {"github": {"repository": "acme/shop"}},
            "installationRef": {"name": "acme"},
            "workload": {"image": "nginx"},
        },
    )
    people.until_ready("shop")
    secret = str(clone_secret(people, "shop"))
    assert secret.startswith("mooring-clone-")
    assert data_of(people.get("Secret", secret))["token"].startswith("ghs_")
    # The token that only reads, the output's, and the clone credential.
    assert len(mints(hub, since, number)) == 3
    assert people.rollouts("shop") == 1

    people.delete("GitHubInstallation", "acme")
    people.until("GitHubInstallation", "acme", lambda obj: obj is None)
    assert people.get("Secret", "ci") is None
    assert people.get("Secret", secret) is None
    assert reaches(hub, token) == 401

"""A GitHub with an authority of its own: who fetches from there is told whom to trust, also without a credential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mooring.domain import names, origins
from tests.cluster.bounds import fetching
from tests.cluster.harness import Hub, People
from tests.cluster.operator.apps import data_of, install, make_app, put_app, refer
from tests.cluster.operator.conftest import TokenMaker

WORKLOAD = {"image": "nginx"}
VOLUME = "mooring-checkout-authorities"


def template(people: People, project: str) -> dict[str, Any]:
    """Return the pod template of a Project that has settled."""
    people.settled(project)
    deployment = people.get("Deployment", f"{project}-default")
    assert deployment is not None
    found: dict[str, Any] = deployment["spec"]["template"]
    return found


def volume(found: dict[str, Any]) -> dict[str, Any]:
    """Return where its checkout has certificates from."""
    (container,) = found["spec"]["initContainers"]
    assert "--ca-file=/run/mooring/authorities/ca.crt" in container["args"]
    assert VOLUME in {mount["name"] for mount in container["volumeMounts"]}
    (only,) = [it for it in found["spec"]["volumes"] if it["name"] == VOLUME]
    return dict(only)


def test_each_checkout_is_told_whom_to_trust(people: People, hub: Hub, fresh: TokenMaker) -> None:
    authorities = Path(hub.ca_file).read_text()
    people.secret("own", fresh())
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    own = {"source": {"github": {"repository": "acme/shop"}}, "token": {"secretRef": {"name": "own"}}}
    people.apply("Project", "own", {**own, "workload": WORKLOAD})
    refer(people, "lent", "acme/shop")
    plain = {"source": {"git": {"url": f"{hub.web_url}/acme/open.git"}}, "workload": WORKLOAD}
    people.apply("Project", "plain", {**plain, "token": {"source": "none"}})
    people.apply("Project", "image", {"workload": WORKLOAD, "token": {"source": "none"}})

    for project in ("own", "lent"):
        secret = volume(template(people, project))["secret"]
        assert secret["optional"] is True
        data = data_of(people.get("Secret", secret["secretName"]))
        assert set(data) == {"token", "ca.crt", "origin"}
        assert data["ca.crt"] == authorities
        # What the pods compare: where the token may go is where they fetch from.
        assert data["origin"] == origins.origin(hub.web_url)
        told = fetching(people, project)
        assert told is not None
        assert told.url.startswith(f"{data['origin']}/")
        assert told.origin == data["origin"]
        assert told.token == data["token"]
    found = template(people, "plain")
    (item,) = volume(found)["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.AUTHORITIES_ANNOTATION}']"
    assert found["metadata"]["annotations"][names.AUTHORITIES_ANNOTATION] == authorities
    assert people.get("Secret", "plain-default-token") is None
    assert not template(people, "image")["spec"].get("volumes")
    assert {name: people.rollouts(name) for name in ("own", "lent", "plain", "image")} == dict.fromkeys(
        ("own", "lent", "plain", "image"), 1
    )

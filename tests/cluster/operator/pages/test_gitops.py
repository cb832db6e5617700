"""The page about GitOps: objects are applied as such tools do, again and again, and neither side undoes the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import Account, install, make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place
from tests.cluster.operator.pushes import GLOBAL
from tests.cluster.operator.test_lifecycle_pods import marks
from tests.cluster.reading import Desk

PAGE = "docs/guide/gitops.md"
RUN_HERE = {"docs/guide/gitops.md": ("Pins and stops", "Without either")}
NEEDED = ("Namespace", "Secret")


def files(folder: Path, people: People, acme: Account, token: str) -> None:
    """Write a folder as a team keeps it in git: the three kinds, with all that the operator fills in beside them."""
    objects: list[dict[str, Any]] = [
        {"kind": "GitHubUser", "metadata": {"name": "default"}, "spec": {"displayName": "Team A"}},
        {
            "kind": "GitHubInstallation",
            "metadata": {"name": "acme"},
            "spec": {"account": acme.login, "appSecretRef": {"name": "acme-github-app"}},
        },
        {
            "kind": "Project",
            "metadata": {"name": "shop", "labels": {"team": "a"}},
            "spec": {
                "source": {"github": {"repository": f"{acme.login}/shop"}},
                "installationRef": {"name": "acme"},
                "workload": {"image": "nginx", "replicas": 1, "ports": [{"name": "http", "containerPort": 8080}]},
                "expose": {},
            },
        },
    ]
    folder.mkdir()
    for body in objects:
        text = yaml.safe_dump({"apiVersion": "mooring.dev/v1alpha1", **body})
        (folder / f"{body['kind']}.yaml").write_text(text)
    people.secret(GLOBAL, token)


def test_the_page(place: Place, desk: Desk, people: People, hub: Hub, acme: Account, fresh: TokenMaker) -> None:
    app = make_app(hub, permissions={"contents": "read", "metadata": "read"})
    install(hub, app, acme.login)
    put_app(people, app, "acme-github-app")
    files(desk.folder / "projects", people, acme, fresh())
    words = {"team-a": people.namespace}
    there = f"-n {people.namespace} -f projects"
    with place.reader(desk, RUN_HERE, PAGE, words) as reader:
        people.apply("Project", "shop", {"workload": {"image": "nginx", "replicas": 1}})
        people.settled("shop")
        reader.types("--field-manager=flux-client-side-apply")
        people.until(
            "Deployment", "shop-default", lambda _: "mooring.dev/restart" in marks(people, "shop"), "a restart"
        )
        stamp = marks(people, "shop")["mooring.dev/restart"]

        assert reader.types("apply --server-side").count("serverside-applied") == 3
        assert "condition met" in reader.types("kubectl wait")

    # Both are done, and there is nothing left for a tool to change: not at this moment, and not after it applied again.
    for name, kind in (("shop", "Project"), ("acme", "GitHubInstallation"), ("default", "GitHubUser")):
        people.until_ready(name, kind=kind)
    # The count of a user's Projects is told some seconds after them.
    people.until("GitHubUser", "default", lambda it: counted(it) == 1, "the count of its Project")
    before = generations(people)
    assert desk.run(f"kubectl diff --server-side {there}").stdout == ""
    assert desk.run(f"kubectl apply --server-side {there}").returncode == 0
    # As Argo CD does with ServerSideApply: by its own name, and by force.
    forced = desk.run(f"kubectl apply --server-side --force-conflicts --field-manager=argocd-controller {there}")
    assert forced.returncode == 0, forced.stderr
    assert generations(people) == before
    assert marks(people, "shop")["mooring.dev/restart"] == stamp
    assert finalizers(people) == {"mooring.dev/tokens"}
    # Nothing that Mooring made carries what such a tool prunes by.
    for kind in ("Deployment", "Service", "Secret"):
        made = [obj for obj in people.list(kind) if (obj["metadata"].get("labels") or {}).get("mooring.dev/project")]
        assert made, kind
        for obj in made:
            assert "team" not in obj["metadata"]["labels"]
            assert "argocd.argoproj.io/tracking-id" not in (obj["metadata"].get("annotations") or {})
            assert obj["metadata"]["ownerReferences"][0]["controller"] is True


def counted(user: Object | None) -> int:
    """Return how many Projects a GitHubUser says that it has."""
    counts: dict[str, int] = ((user or {}).get("status") or {}).get("projects") or {}
    return sum(counts.values())


def generations(people: People) -> dict[str, int]:
    """Return how often each spec, and the Deployment, were changed."""
    found = {kind: people.get(kind, name) for kind, name in OBJECTS.items()}
    return {kind: int((obj or {})["metadata"]["generation"]) for kind, obj in found.items()}


OBJECTS = {"Project": "shop", "GitHubInstallation": "acme", "GitHubUser": "default", "Deployment": "shop-default"}


def finalizers(people: People) -> set[str]:
    """Return what holds people's objects."""
    found: list[Object | None] = [people.get(kind, name) for kind, name in OBJECTS.items() if kind != "Deployment"]
    return {name for obj in found for name in ((obj or {})["metadata"].get("finalizers") or [])}

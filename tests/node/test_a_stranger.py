"""Somebody with a cluster and the guide, who types what stands there: from an empty cluster to the first Project."""

from __future__ import annotations

from lab import images
from tests.cluster.harness import People
from tests.lab.kubernetes.support import until
from tests.node.install import IMAGE_NAME, PATIENCE, Mooring
from tests.node.shop import IMAGE

PAGE = "docs/guide/first-project.md"
RUN_HERE = {
    "README.md": ("Install it",),
    "docs/guide/first-project.md": ("A global token", "A Project", "A rotation"),
}
TEAM = "team-a"
# What the page runs comes from a registry; the node has one with the same program in it.
PYTHON = "docker.io/library/python:3.13-slim"


def test_the_install_says_the_next_step(mooring: Mooring) -> None:
    assert "docs/guide/first-project.md" in mooring.notes
    assert "Pushes are found within 10m" in mooring.notes
    assert IMAGE_NAME in mooring.node.kubectl("get", "pods", "--all-namespaces", "--output=yaml")


def test_the_first_five_minutes(mooring: Mooring) -> None:
    """Every word of the page, with a token that may do what the page asks for and nothing else."""
    mooring.hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": "acme", "members": {"alice": "admin"}}],
        repositories=[{"owner": "acme", "name": "shop", "private": True, "files": {"index.html": "my first page"}}],
    )
    images.name_again(mooring.node.lab, IMAGE, PYTHON)
    token, another = _token(mooring, "first"), _token(mooring, "second")

    user = mooring.desk.follow(PAGE, "A global token", TOKEN=token)
    assert "alice" in _row(user, "LOGIN")
    project = mooring.desk.follow(PAGE, "A Project")
    assert {"acme/shop", "main", "global", "True"} <= set(_row(project, "REPOSITORY").split())
    assert "my first page" in project
    assert not [text for text in (*user, *project) if token in text]

    mooring.desk.follow(PAGE, "A rotation", NEW_TOKEN=another)
    look = mooring.desk.commands(PAGE, "A rotation")[-1]
    until(lambda: "trigger: Token" in mooring.desk.type(look), "the history shows the rotation", PATIENCE)
    people = People(mooring.kube, TEAM)
    until(lambda: people.rollouts("shop") == 2, "it rolls once", PATIENCE)
    assert people.workload_token("shop") == another
    # The README's install is the guide's, which was typed for this cluster.
    assert mooring.desk.untyped(RUN_HERE) == []


def _row(said: list[str], heading: str) -> str:
    """What a table says below its heading."""
    (table,) = [text for text in said if heading in text.partition("\n")[0]]
    return table.splitlines()[1]


def _token(mooring: Mooring, name: str) -> str:
    asked = {"name": name, "kind": "fine-grained", "user": "alice", "owner": "acme"}
    made = mooring.hub.seed(tokens=[{**asked, "permissions": {"contents": "read"}}])
    return str(made["tokens"][name]["value"])

"""The whole story on somebody's own cluster: install, run, change, mend, delete, uninstall. No GitHub is asked."""

from __future__ import annotations

from typing import Any

from tests.kind.stranger import PATIENCE, Stranger
from tests.lab.kubernetes.support import until

TEAM = "story"
SERVE = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((os.environ["WORD"] + " " + os.environ.get("GITHUB_TOKEN", "no token")).encode())

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def saying(image: str, word: str) -> dict[str, Any]:
    """Return a Project whose page says a word, in the one image that the cluster surely has."""
    workload = {
        "image": image,
        "command": ["/opt/mooring/bin/python", "-c", SERVE],
        "env": [{"name": "WORD", "value": word}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "runAsUser": 65532,
        "terminationGracePeriodSeconds": 1,
    }
    return {"workload": workload, "expose": {}}


def test_from_an_empty_cluster_and_back(stranger: Stranger, image: str) -> None:
    with stranger.explained():
        stranger.install()
        stranger.namespace(TEAM)
        run(stranger, image)
        change(stranger, image)
        mend(stranger)
        delete(stranger)
        uninstall(stranger)


def run(stranger: Stranger, image: str) -> None:
    """A user without a token, and two Projects, become ready; their pods serve."""
    stranger.apply("GitHubUser", TEAM, "default", {"displayName": "A team"})
    stranger.wait("githubusers.mooring.dev/default", TEAM, "condition=Ready")
    for name in ("shop", "spare"):
        stranger.apply("Project", TEAM, name, saying(image, "one"))
    for name in ("shop", "spare"):
        stranger.wait(f"projects.mooring.dev/{name}", TEAM, "condition=Ready")
        serves(stranger, name, "one")


def change(stranger: Stranger, image: str) -> None:
    """Another word is one rollout of that Project, and none of the other."""
    spared = stranger.pods(TEAM, "spare")
    stranger.apply("Project", TEAM, "shop", saying(image, "two"))
    serves(stranger, "shop", "two")
    until(lambda: triggers(stranger) == ["Spec", "Create"], "the history has one more", PATIENCE)
    stranger.wait("projects.mooring.dev/shop", TEAM, "condition=Ready")

    assert triggers(stranger) == ["Spec", "Create"]
    assert stranger.pods(TEAM, "spare") == spared


def triggers(stranger: Stranger) -> list[str]:
    history = stranger.get("projects.mooring.dev/shop", TEAM)["status"]["history"]
    return [entry["trigger"] for entry in history]


def mend(stranger: Stranger) -> None:
    """What somebody deletes comes back, with the rights that the chart gives and no others."""
    before = stranger.get("service/shop-default", TEAM)["metadata"]["uid"]
    stranger.kubectl("delete", "service/shop-default", f"--namespace={TEAM}")
    serves(stranger, "shop", "two")
    assert stranger.get("service/shop-default", TEAM)["metadata"]["uid"] != before


def delete(stranger: Stranger) -> None:
    """A Project goes with what belongs to it."""
    stranger.kubectl("delete", "projects.mooring.dev/spare", f"--namespace={TEAM}", f"--timeout={PATIENCE}s")
    for what in ("deployment/spare-default", "service/spare-default"):
        stranger.wait(what, TEAM, "delete")


def uninstall(stranger: Stranger) -> None:
    """Mooring goes; workloads and people's objects stay, and nothing holds them when they are to go."""
    running = stranger.pods(TEAM, "shop")
    stranger.helm("uninstall", "mooring")
    until(lambda: stranger.left() == "", "nothing of the chart is left", PATIENCE)

    assert stranger.get("projects.mooring.dev/shop", TEAM)["spec"]["workload"]["env"][0]["value"] == "two"
    assert stranger.pods(TEAM, "shop") == running
    serves(stranger, "shop", "two")
    stranger.kubectl("delete", "namespace", TEAM, f"--timeout={PATIENCE}s")


def serves(stranger: Stranger, project: str, word: str) -> None:
    """Wait until a Project's page says the word, and that its workload has no token."""
    service = f"{project}-default:http"
    until(lambda: stranger.page(TEAM, service) == f"{word} no token", f"{project} says {word}", PATIENCE)

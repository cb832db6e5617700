"""A team with a private repository and a Project that serves it: what the tests of the whole story play with."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.harness import Object, condition
from tests.cluster.token_life import fault
from tests.lab.kubernetes.support import until
from tests.node.install import PATIENCE, Mooring, page

APP = "ship"
APP_SECRET = "acme-app"
WEBHOOK_SECRET = "of-the-webhook-of-acme"
INSTALLATION = {"account": "acme", "appSecretRef": {"name": APP_SECRET}}
PORT = 8080
SERVE = ["python3", "-m", "http.server", str(PORT)]
IMAGE = "mooring.dev/tests/node:1"
# A program as a team would write it: it takes a moment to start; told to end it takes nobody new, and still answers
# whoever is there.
SERVER = """
import http.server, signal, threading, time

ending = threading.Event()

class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def end_headers(self):
        if ending.is_set():
            self.close_connection = True
            self.send_header("Connection", "close")
        super().end_headers()

def end(*_):
    ending.set()
    threading.Thread(target=server.shutdown).start()

time.sleep(0.5)
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
signal.signal(signal.SIGTERM, end)
print("serving", flush=True)
server.serve_forever()
server.server_close()
time.sleep(1)
"""
WORKLOAD: dict[str, Any] = {
    "image": IMAGE,
    "command": ["python3", "-u", "server.py"],
    "ports": [{"containerPort": PORT}],
    "replicas": 1,
    "terminationGracePeriodSeconds": 10,
}


class Shop:
    """The Project `shop` in a namespace of its own, the repository acme/<namespace>, and who pushes to it."""

    def __init__(self, mooring: Mooring, namespace: str, folder: Path) -> None:
        self.mooring, self.node, self.hub = mooring, mooring.node, mooring.hub
        self.namespace = namespace
        self.repository = f"acme/{namespace}"
        self.people = mooring.tenant(namespace)
        self._work = folder / namespace
        self._app = self._on_github()
        self._token = self.hub.token(f"alice-{namespace}", "alice")

    def _on_github(self) -> Mapping[str, Any]:
        slug = f"{APP}-{self.namespace}"
        made = self.hub.seed(
            users=[{"login": "alice"}],
            organizations=[{"login": "acme", "members": {"alice": "admin"}}],
            repositories=[
                {
                    "owner": "acme",
                    "name": self.namespace,
                    "private": True,
                    "files": {"index.html": "one", "server.py": SERVER},
                }
            ],
            apps=[
                {
                    "slug": slug,
                    "owner": "acme",
                    "permissions": {"contents": "read", "metadata": "read"},
                    "events": ["push"],
                }
            ],
            installations=[{"app": slug, "account": "acme", "repositories": [self.namespace]}],
        )
        app: Mapping[str, Any] = made["apps"][slug]
        return app

    # What the team does

    def connect(self) -> None:
        """Hand over the App's key; the App's webhook goes to the gateway."""
        name = "acme"
        values = {
            "appId": str(self._app["id"]),
            "privateKey": str(self._app["private_key"]),
            "webhookSecret": WEBHOOK_SECRET,
        }
        given = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": APP_SECRET}, "stringData": values}
        self.people.create("Secret", given)
        self.people.apply("GitHubInstallation", name, INSTALLATION)
        found = self.people.until(
            "GitHubInstallation", name, lambda it: bool(_at(it, "status", "webhook", "url")), "a URL", seconds=PATIENCE
        )
        path = "/" + _at(found, "status", "webhook", "url").split("/", 3)[3]
        url = self.mooring.gateway + path
        slug = f"{APP}-{self.namespace}"
        self.hub.control("POST", f"/apps/{slug}/webhook", {"url": url, "secret": WEBHOOK_SECRET})
        until(lambda: _known(url), "the gateway knows the App", PATIENCE)

    def deploy(self, name: str = "shop", installation: str = "acme", branch: str = "main") -> Object:
        """Apply a Project that serves a branch of the repository; return it when it is Ready."""
        self.people.apply(
            "Project",
            name,
            {
                "installationRef": {"name": installation},
                "source": {"github": {"repository": self.repository}, "branch": branch},
                "token": {"source": "none"},
                "deploy": {"debounce": "1s"},
                "workload": WORKLOAD,
                "expose": {},
            },
        )
        return self.ready(name)

    def push(self, files: Mapping[str, str], links: Mapping[str, str] | None = None, branch: str = "main") -> str:
        """Commit and push with git itself; return the commit."""
        if not self._work.exists():
            address = f"{self.mooring.env['LAB_GITHUB_GIT_URL']}/{self.repository}.git"
            self._git(self._work.parent, "clone", "--quiet", address, str(self._work))
        self._git(self._work, "checkout", "--quiet", *(() if branch == "main" else ("-B",)), branch)
        for name, text in files.items():
            (self._work / name).write_text(text)
        for name, target in (links or {}).items():
            (self._work / name).symlink_to(target)
        self._git(self._work, "add", "--all")
        self._git(self._work, "commit", "--quiet", "--message", "Change it")
        self._git(self._work, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self._git(self._work, "rev-parse", "HEAD").strip()

    def delivered(self, files: Mapping[str, str]) -> str:
        """Push, and wait until the gateway has recorded it, which nobody who looks by himself comes before."""
        with fault(self.hub, kind="lag", repository=self.repository):
            sha = self.push(files)
            self.people.until("Project", "shop", lambda it: _at(it, "status", "push", "sha") == sha, f"{sha[:7]}")
        return sha

    def _git(self, where: Path, *arguments: str) -> str:
        people = {f"GIT_{who}_{what}": "alice@example.com" for who in ("AUTHOR", "COMMITTER") for what in _SAID}
        helper = "!f() { echo username=x-access-token; echo password=$ALICE; }; f"
        done = subprocess.run(
            ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", *arguments],
            cwd=where,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(where),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_SSL_CAINFO": self.mooring.env["MOORING_GITHUB_CA_FILE"],
                "ALICE": self._token,
                **people,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # What there is

    def ready(self, name: str = "shop") -> Object:
        found = self.people.settled(name, seconds=PATIENCE)
        assert condition(found, "Ready")["status"] == "True", found["status"]["conditions"]
        return found

    def arrived(self, sha: str, name: str = "shop") -> Object:
        """Wait until a commit is what runs, and nothing else."""

        def there(it: Object | None) -> bool:
            return _at(it, "status", "revision", "sha") == sha and condition(it or {}, "Ready").get("status") == "True"

        found = self.people.until("Project", name, there, f"{sha[:7]} runs", seconds=PATIENCE)
        assert found is not None
        return found

    def pods(self, name: str = "shop") -> list[Object]:
        return [pod for pod in self.people.list("Pod") if pod["metadata"]["labels"].get("mooring.dev/project") == name]

    def alone(self, name: str = "shop") -> Object:
        """Wait until there is one pod; return it."""
        until(lambda: len(self.pods(name)) == 1, "the other pods are gone", PATIENCE)
        return self.pods(name)[0]

    def address(self, name: str = "shop") -> str:
        return self.node.kubectl(
            "get", "service", f"{name}-default", f"--namespace={self.namespace}", "--output=jsonpath={.spec.clusterIP}"
        )

    def answers(self, name: str = "shop") -> str:
        """What the Service answers, whatever it is: a pod may be ready before every rule leads to it."""
        return page(self.address(name), PORT)[1]

    def page(self, name: str = "shop") -> str:
        """The page as the Service answers with it."""
        status, text = page(self.address(name), PORT)
        assert status == 200, text
        return text

    def run(self, pod: Object, *command: str) -> str:
        """Run something in a pod's workload."""
        name = pod["metadata"]["name"]
        return self.node.kubectl("exec", f"--namespace={self.namespace}", name, "--container=workload", "--", *command)

    def logs(self, pod: Object) -> str:
        name = pod["metadata"]["name"]
        return self.node.kubectl("logs", f"--namespace={self.namespace}", name, "--all-containers", "--tail=-1")

    def fetches(self, pod: Object, since: int) -> list[dict[str, Any]]:
        """The packs that a pod has fetched of the repository, as GitHub saw it."""
        found = self.hub.journal(since)
        address, path = pod["status"]["podIP"], f"/{self.repository}.git/git-upload-pack"
        return [it for it in found if it["remote"] == address and it["path"] == path and it["status"] == 200]

    def tokens(self) -> set[str]:
        """Every token that Mooring keeps in the namespace for a checkout."""
        kept = [one for one in self.people.list("Secret") if one["metadata"]["name"].startswith("mooring-clone-")]
        return {base64.b64decode(one["data"]["token"]).decode() for one in kept}

    def deliveries(self) -> list[dict[str, Any]]:
        found = self.hub.control("GET", "/deliveries?event=push")["deliveries"]
        return [entry for entry in found if entry["status"] != "pending"]


_SAID = ("NAME", "EMAIL")


def _known(url: str) -> bool:
    """Whether the gateway knows the App by now: only then does it judge what it gets."""
    try:
        return httpx.post(url, json={}, timeout=10, trust_env=False).status_code in {400, 401}
    except httpx.HTTPError:
        return False


def _at(obj: Object | None, *path: str) -> Any:
    found: Any = obj
    for name in path:
        found = (found or {}).get(name)
    return found or ""

"""The part of the story about pushes: a signed webhook becomes exactly one redeploy, and nothing else does."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.demo.stage import SYSTEM, Stage, start_gateway
from lab.errors import LabError

KEPT, DOCUMENT = "mooring-webhook", "webhooks.json"
ANSWERED_SECONDS = 20.0
PORT = 8080
BEFORE, AFTER = "Serving", "Serving, and better"
PROGRAM = f"""\
import http.server


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>TEXT</h1>\\n")


http.server.ThreadingHTTPServer(("", {PORT}), Page).serve_forever()
"""


@dataclass(frozen=True)
class Pushes:
    """Somebody who works on a repository that a Project follows, and GitHub's list of deliveries."""

    stage: Stage
    namespace: str
    project: str
    installation: str
    repository: str
    # A token of somebody who may push.
    token: str

    def connect(self, slug: str, app: Mapping[str, Any], app_secret: str) -> None:
        """Give the App a webhook, and start the gateway that receives it."""
        stage = self.stage
        stage.chapter(
            "Pushes arrive",
            "A webhook needs a secret that GitHub signs with, and an address: Mooring has one for each App.",
            "The gateway that receives it is a process of its own, with rights to next to nothing.",
        )
        secret = secrets.token_hex(20)
        values = {"appId": str(app["id"]), "privateKey": str(app["private_key"]), "webhookSecret": secret}
        stage.secret(self.namespace, app_secret, values, shown="as before, and a webhookSecret")
        look = ("get", f"githubinstallations.mooring.dev/{self.installation}", "-n", self.namespace, "-o")
        url = "jsonpath={.status.webhook.url}"
        stage.until("the installation says where its webhook goes", lambda: stage.ask(*look, url) != "")
        stage.kubectl(*look, url + '{"\\n"}')
        stage.until("the operator has told the gateway of the App", self._mounted)
        start_gateway(stage, self._mount.parent)
        stage.github(f"/apps/{slug}/webhook", {"url": stage.ask(*look, url), "secret": secret})
        print("(address and secret are entered in the App's settings at GitHub)")

    @property
    def _mount(self) -> Path:
        return self.stage.folder / "webhooks" / DOCUMENT

    def _mounted(self) -> bool:
        """Play the kubelet: put what the operator wrote for the gateway where that reads it."""
        found = self.stage.ask("get", "secrets", "-n", SYSTEM, f"--field-selector=metadata.name={KEPT}", "-o", "json")
        items = json.loads(found)["items"]
        content = self.stage.decoded(items[0]["data"][DOCUMENT]) if items else ""
        if f'"{self.namespace}"' not in content:
            return False
        self._mount.parent.mkdir(mode=0o700, exist_ok=True)
        self._mount.write_text(content)
        return True

    # What people do

    def push(self) -> None:
        """Push, and watch the new revision roll out; then nothing that is sent a second time does anything."""
        stage = self.stage
        stage.chapter("A push becomes one redeploy")
        work = stage.folder / "work"
        shutil.rmtree(work, ignore_errors=True)  # an earlier demo's
        address = f"{stage.lab.env['LAB_GITHUB_GIT_URL']}/{self.repository}.git"
        self._git(None, "clone", "--quiet", address, str(work))
        self._open(BEFORE)
        (work / "app.py").write_text(page(AFTER))
        self._git(work, "commit", "--quiet", "--all", "--message", "Serve better")
        started = time.monotonic()
        self._git(work, "push", "--quiet")
        sha = self._git(work, "rev-parse", "HEAD", shown=False).strip()
        done = "jsonpath={.status.revision.sha}{.status.conditions[?(@.type=='Ready')].status}"
        stage.until("the push has rolled out", lambda: stage.ask(*self._look, done) == f"{sha}True")
        print(f"\nrolled out {time.monotonic() - started:.1f} s after the push, of which 3 s were to see if more come")
        stage.kubectl("get", f"projects.mooring.dev/{self.project}", "-n", self.namespace, "-o", "wide")
        stage.kubectl("events", "-n", self.namespace, "--for", f"projects.mooring.dev/{self.project}")
        self._show("the push", self._newest("push"))
        self._open(AFTER)

    def nothing_else(self) -> None:
        """Send what must not redeploy: a replay, a forged signature, a push to another branch."""
        stage = self.stage
        stage.chapter("Nothing else does", "What GitHub was answered, and that the revision stays.")
        before = stage.ask(*self._look, "jsonpath={.status.revision}")
        first = self._newest("push")
        again = stage.github(f"/deliveries/{first['guid']}/replay", {})
        self._show("the same bytes once more", self._answered(again["guid"], after=first["id"]))
        print(f"\na forged signature: {self._forged(first)}")
        work = stage.folder / "work"
        self._git(work, "push", "--quiet", "origin", "HEAD:refs/heads/experiment")
        stage.until("the other push is delivered", lambda: self._newest("push")["id"] != first["id"])
        self._show("a push to another branch", self._newest("push"))
        if stage.ask(*self._look, "jsonpath={.status.revision}") != before:
            raise LabError(
                f"the revision of {self.project} changed, and should not have; see {stage.folder}/operator.log"
            )

    def _open(self, text: str) -> None:
        """Open the page as the reader can, where there is a pod that serves it."""
        if self.stage.image is None:
            return
        url = address(self.stage, self.namespace, self.project)
        # The node learns a moment later than the Project where the Service leads to.
        self.stage.until(f"{url} says: {text}", lambda: f">{text}<" in _said(url))
        print(f"\n$ curl {url}\n{_said(url).strip()}", flush=True)

    @property
    def _look(self) -> tuple[str, ...]:
        return ("get", f"projects.mooring.dev/{self.project}", "-n", self.namespace, "-o")

    def _git(self, where: Path | None, *arguments: str, shown: bool = True) -> str:
        if shown:
            print(f"\n$ git {shlex.join(arguments)}", flush=True)
        env = self.stage.lab.env
        settings = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSL_CAINFO": env["MOORING_GITHUB_CA_FILE"],
            "HOME": str(self.stage.folder),
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in AUTHOR.items()},
        }
        # The token goes by the environment: a command line is for everybody to read.
        helper = "!f() { echo username=x-access-token; echo password=$DEMO_TOKEN; }; f"
        done = subprocess.run(
            ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", *arguments],
            cwd=where,
            env={**os.environ, **settings, "DEMO_TOKEN": self.token},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    # What GitHub shows

    def _newest(self, event: str) -> Mapping[str, Any]:
        """Return GitHub's newest delivery of an event that was answered."""
        listed = self.stage.github(f"/deliveries?event={event}")["deliveries"]
        answered = [entry for entry in listed if entry["status"] != "pending"]
        return dict(answered[-1]) if answered else {"id": 0, "guid": ""}

    def _answered(self, guid: str, *, after: int) -> Mapping[str, Any]:
        """Return another answer to a delivery."""

        def answered() -> bool:
            newest = self._newest("push")
            return bool(newest["guid"] == guid and newest["id"] != after)

        self.stage.until("the delivery is answered", answered, ANSWERED_SECONDS)
        return self._newest("push")

    def _show(self, what: str, delivery: Mapping[str, Any]) -> None:
        attempts = self.stage.github(f"/deliveries/{delivery['guid']}")["deliveries"]
        answer = next(entry for entry in attempts if entry["id"] == delivery["id"])["response"]
        print(f"\n{what}: {delivery['status_code']} {answer['body'].strip()}")

    def _forged(self, delivery: Mapping[str, Any]) -> str:
        """Send what somebody could who knows the address and not the secret; return the answer."""
        attempt = self.stage.github(f"/deliveries/{delivery['guid']}")["deliveries"][0]
        headers = {**attempt["request"]["headers"], "X-Hub-Signature-256": f"sha256={secrets.token_hex(32)}"}
        request = urllib.request.Request(  # noqa: S310 - the demo's own gateway
            attempt["url"], data=attempt["request"]["body"].encode(), headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWERED_SECONDS) as answer:  # noqa: S310 - the same
                return f"{answer.status} {answer.read().decode().strip()}"
        except urllib.error.HTTPError as refused:
            return f"{refused.code} {refused.read().decode().strip()}"


def page(text: str) -> str:
    """Write a program that serves a page with this text."""
    return PROGRAM.replace("TEXT", text)


def _said(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWERED_SECONDS) as answer:  # noqa: S310 - the demo's own Service
        return str(answer.read().decode())


def address(stage: Stage, namespace: str, project: str) -> str:
    """Return where the Service of a Project answers, from this machine too."""
    found = stage.ask("get", "service", f"{project}-default", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    return f"http://{found}:{PORT}/"


AUTHOR = {"NAME": "Alice", "EMAIL": "alice@example.com"}

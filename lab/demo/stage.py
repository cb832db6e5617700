"""What the demo stands on: a running lab, kubectl as the reader would use it, the operator under its shipped Role."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import Lab, binaries
from lab.errors import LabError, UsageError
from lab.kubernetes.identity import service_account_kubeconfig
from lab.ports import Ports
from lab.processes import Identity, end, identify

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SYSTEM = "mooring-system"
LISTENS = re.compile(r"the admin server listens on ([0-9.:]+)")
SERVED_SECONDS = 20.0
READY_SECONDS = 120.0  # pods may really have to start
STOP_SECONDS = 10.0


class Stage:
    """A running lab, and hands to show it with."""

    def __init__(self, lab: Lab, folder: Path, image: str | None) -> None:
        self.lab = lab
        # Mooring's own image, where pods really run.
        self.image = image
        self.folder = folder
        # Where operator and gateway answer about their health, once they run; and where pushes come in.
        self.operator = self.gateway = ""
        with Ports() as ports:
            self.gateway_port = ports.free()
        self._kubectl = str(binaries.find("kubectl"))

    def chapter(self, title: str, *words: str) -> None:
        """Begin a part of the story."""
        print(f"\n{'=' * len(title)}\n{title}\n{'=' * len(title)}", flush=True)
        for line in words:
            print(line, flush=True)

    def kubectl(self, *arguments: str, given: str | None = None) -> None:
        """Run kubectl as the reader could, and show it; fail with its own words."""
        print(f"\n$ kubectl {shlex.join(arguments)}", flush=True)
        done = self._run(*arguments, given=given, shown=True)
        if done.returncode != 0:
            raise LabError(f"kubectl {' '.join(arguments)} failed; its own words stand above")

    def ask(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl unseen and return what it says."""
        done = self._run(*arguments, given=given, shown=False)
        if done.returncode != 0:
            raise LabError(f"kubectl {' '.join(arguments)} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def _run(self, *arguments: str, given: str | None, shown: bool) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._kubectl, *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **self.lab.env, "KUBECACHEDIR": str(self.folder / "kubectl-cache")},
            input=(given or "").encode(),
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            check=False,
        )

    def until(self, what: str, holds: Any, seconds: float = READY_SECONDS) -> None:
        """Look until something holds; say what did not in time."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise LabError(
                    f"not within {seconds:.0f} s: {what}; see {self.folder}/logs and {self.folder}/operator.log"
                )
            time.sleep(0.1)

    def wait_served(self, plural: str) -> None:
        """Wait until kubectl can explain a new kind: the API server publishes its texts a moment after Established."""

        def explained() -> bool:
            asked = ("explain", plural, "--api-version=mooring.dev/v1alpha1")
            return self._run(*asked, given=None, shown=False).returncode == 0

        self.until(f"the API server publishes {plural}", explained, SERVED_SECONDS)

    def github(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the control API of the lab's GitHub: for something to be done, or (no body) what there is."""
        request = urllib.request.Request(  # noqa: S310 - the lab's own address
            self.lab.env["LAB_GITHUB_CONTROL_URL"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.lab.env['LAB_ADMIN_TOKEN']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())

    def secret(self, namespace: str, name: str, values: Mapping[str, str], *, shown: str) -> None:
        """Write a Secret without showing what is in it."""
        print(f"\n$ kubectl apply -n {namespace} -f -   # Secret {name}, {shown}", flush=True)
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
        print(self.ask("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(manifest)).strip())

    @staticmethod
    def decoded(value: str) -> str:
        """Return what a Secret has under a key."""
        return base64.b64decode(value).decode()

    def audit(self, action: str) -> None:
        """Show the newest line of the audit record with an action; it stands in the operator's log here."""
        log, word = self.folder / "operator.log", f'"action":"{action}"'
        print(f"\n$ grep '{word}' {log} | tail -n 1", flush=True)
        lines = [line for line in log.read_text().splitlines() if word in line]
        if not lines:
            raise LabError(f"the audit record has no {action}; see {log}")
        print(lines[-1], flush=True)


# --- Mooring's processes ---


def start_operator(stage: Stage) -> None:
    """Start the operator under its shipped Role and wait until it is ready."""
    env = stage.lab.env
    settings = {
        "MOORING_CHECKOUT_IMAGE": stage.image or "mooring:demo",
        "MOORING_GITHUB_CA_FILE": env["MOORING_GITHUB_CA_FILE"],
        "MOORING_OPERATOR_LISTEN": "127.0.0.1:0",
        # On one's own machine GitHub needs no https to reach the gateway.
        "MOORING_DEVELOPMENT": "true",
        "MOORING_PUBLIC_BASE_URL": f"http://127.0.0.1:{stage.gateway_port}",
    }
    stage.operator = _start(stage, "operator", settings)


def start_gateway(stage: Stage, mounted: Path) -> None:
    """Start the gateway under its own account, with what the operator wrote for it in a folder."""
    settings = {
        "MOORING_WEBHOOK_DIR": str(mounted),
        "MOORING_GATEWAY_LISTEN": f"127.0.0.1:{stage.gateway_port}",
        "MOORING_GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
    }
    stage.gateway = _start(stage, "gateway", settings)


def _start(stage: Stage, command: str, settings: Mapping[str, str]) -> str:
    """Start a process of Mooring's under its own account; return where it tells of its health, once it is ready."""
    kubeconfig = service_account_kubeconfig(
        stage.lab.env,
        SYSTEM,
        f"mooring-{command}",
        stage.folder / f"{command}.kubeconfig",
        expiration_seconds=24 * 3600,
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "KUBECONFIG": str(kubeconfig),
        "MOORING_NAMESPACE": SYSTEM,
        "MOORING_GITHUB_API_URL": stage.lab.env["MOORING_GITHUB_API_URL"],
        **settings,
    }
    written = stage.folder / f"{command}.log"
    with written.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mooring", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    found = identify(process.pid)
    (stage.folder / f"{command}.json").write_text(json.dumps({"pid": found.pid, "started": found.started}))

    def where() -> str:
        if process.poll() is not None:
            last = written.read_text().strip().splitlines()[-1:]
            raise LabError(f"the {command} ended with code {process.returncode}: {' '.join(last)}")
        found = LISTENS.search(written.read_text())
        return f"http://{found[1]}" if found is not None else ""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{where()}/readyz", timeout=5) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False

    stage.until(f"the {command} listens", lambda: where() != "")
    stage.until(f"the {command} is ready", ready)
    return where()


def stop(folder: Path) -> bool:
    """Stop what an earlier demo left running; tell whether there was anything."""
    found = False
    for command in ("gateway", "operator"):
        record = folder / f"{command}.json"
        if record.exists():
            process = Identity(**json.loads(record.read_text()))
            found = found or process.alive
            end(process, STOP_SECONDS)
            record.unlink()
    try:
        Lab.attach(folder).down()
    except UsageError:
        return found
    return True

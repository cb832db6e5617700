"""The demo's story: what a team would do in its first five minutes with Mooring."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lab import binaries
from lab.demo.pushes import BEFORE, Pushes, address, page
from lab.demo.stage import SYSTEM, Stage, start_operator

NAMESPACE = "mooring-samples"
GLOBAL = "user-default-global-secrets"
INHERITS = "shop"
INSTALLATION = "acme"
CLONED = "api"
APP = "acme-mooring"
APP_SECRET = "acme-github-app"  # noqa: S105 - an object's name
# Seconds that GitHub's tokens live while the demo waits for a replacement; as a rule it is an hour.
SHORT_LIFE = 6
LIFE = 3600
WORKER = "import time\n\nwhile True:\n    print('working', flush=True)\n    time.sleep(60)\n"
PEOPLE = {
    "users": [{"login": "alice"}, {"login": "bob"}],
    "organizations": [{"login": "acme", "members": {"alice": "admin", "bob": "member"}}],
    "repositories": [
        {"owner": "acme", "name": "shop", "private": True, "files": {"index.html": "<h1>Shop</h1>\n"}},
        {
            "owner": "acme",
            "name": "payments",
            "private": True,
            "files": {"worker.py": WORKER},
            "branches": {"production": {"worker.py": WORKER}},
        },
        {"owner": "acme", "name": "handbook", "files": {"site/index.html": "<h1>Handbook</h1>\n"}},
        {"owner": "acme", "name": "api", "private": True, "files": {"app.py": page(BEFORE)}},
    ],
    "apps": [
        {"slug": APP, "owner": "acme", "permissions": {"contents": "read", "metadata": "read"}, "events": ["push"]}
    ],
    "installations": [{"app": APP, "account": "acme", "repositories": "all"}],
}
_LABEL = f"mooring.dev/installation={INSTALLATION}"
POLICY = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: mooring-policy, namespace: mooring-system}
data:
  policy.yaml: |
    ingress:
      hostSuffixes: [example.com]
      classNames: [nginx]
      annotationKeys: [nginx.ingress.kubernetes.io/ssl-redirect]
"""


def kinds(stage: Stage) -> None:
    """Install the three kinds."""
    stage.chapter("The three kinds")
    stage.kubectl("apply", "--server-side", "-f", "crds/")
    stage.kubectl("wait", "--for=condition=Established", "-f", "crds/")
    stage.wait_served("projects")
    stage.kubectl("explain", "projects.spec.token", "--api-version=mooring.dev/v1alpha1")


def operator(stage: Stage) -> None:
    """Start the operator."""
    stage.chapter("The operator", "It runs as a process on this machine, under the Role that is shipped with it.")
    stage.kubectl("create", "namespace", SYSTEM)
    for name in ("operator", "cluster-wide", "gateway", "gateway-cluster-wide"):
        stage.kubectl("apply", "-f", f"manifests/rbac/{name}.yaml")
    stage.kubectl("apply", "-f", "-", given=POLICY)
    start_operator(stage)
    print(f"\nready: {stage.operator}/readyz, log: {stage.folder}/operator.log")


def people(stage: Stage) -> Mapping[str, Any]:
    """Fill the lab's GitHub; return the App that is installed there, with its key, which is told once."""
    made = stage.github("/seed", PEOPLE)
    app: Mapping[str, Any] = made["apps"][APP]
    return app


def samples(stage: Stage) -> None:
    """Apply the samples, with real tokens of the lab's GitHub."""
    stage.chapter(
        "The right token in the right workload",
        "One GitHubUser with a global token; a Project that inherits it (shop), one with its own (payments),",
        "one that opts out (handbook), one without a repository (dashboard), and one that cannot work (mirror).",
        "A GitHubInstallation and the Project that it clones (api) wait for the key of an App; their turn comes later.",
    )
    stage.kubectl("apply", "-k", "manifests/samples")
    _give(stage, GLOBAL, _token(stage, "alice-1", "alice"))
    _give(stage, "payments-token", _token(stage, "bob-1", "bob"))
    names = [f"projects.mooring.dev/{name}" for name in ("shop", "payments", "handbook", "dashboard")]
    stage.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", *names, "--timeout=120s")
    stage.kubectl("get", "projects.mooring.dev,githubusers.mooring.dev", "-n", NAMESPACE)
    stage.chapter("Trouble says what to do")
    message = 'jsonpath={.status.conditions[?(@.type=="Ready")].message}{"\\n"}'
    stage.kubectl("get", "projects.mooring.dev/mirror", "-n", NAMESPACE, "-o", message)


def rotation(stage: Stage) -> None:
    """Rotate the global token: the Secret and the pods of whoever inherits it follow."""
    stage.chapter("The global token is rotated", "Watch the Secret, the pods and the reason follow.")
    look = (
        'jsonpath={.status.revision.trigger} at {.status.revision.deployedAt}, token from {.status.token.from}{"\\n"}'
    )
    project = ("get", f"projects.mooring.dev/{INHERITS}", "-n", NAMESPACE, "-o")
    stage.kubectl(*project, look)
    stage.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"mooring.dev/project={INHERITS}")
    started = time.monotonic()
    _give(stage, GLOBAL, _token(stage, "alice-2", "alice"))
    trigger = "jsonpath={.status.revision.trigger}{.status.conditions[?(@.type=='Ready')].status}"
    stage.until("the token has reached the pods", lambda: stage.ask(*project, trigger) == "TokenTrue")
    print(f"\nrolled out after {time.monotonic() - started:.1f} s")
    stage.kubectl(*project, look)
    stage.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"mooring.dev/project={INHERITS}")
    stage.kubectl("events", "-n", NAMESPACE, "--for", f"projects.mooring.dev/{INHERITS}")


def installation(stage: Stage, app: Mapping[str, Any]) -> None:
    """Give the installation its App's key: its tokens appear where they are asked for."""
    stage.chapter(
        "A GitHub App instead of people's tokens",
        "The App acme-mooring is installed on acme; its key is all that is missing. Tokens are made with it, each",
        "as narrow as asked for: one for CI in two Secrets, one that the checkout of the Project api mounts.",
    )
    # Tokens that are made now end while the reader looks on.
    stage.github("/token-lifetime", {"seconds": SHORT_LIFE})
    values = {"appId": str(app["id"]), "privateKey": str(app["private_key"])}
    stage.secret(NAMESPACE, APP_SECRET, values, shown=f"appId: {app['id']}, privateKey: -----BEGIN …")
    names = (f"githubinstallations.mooring.dev/{INSTALLATION}", f"projects.mooring.dev/{CLONED}")
    stage.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", *names, "--timeout=120s")


def replacement(stage: Stage) -> None:
    """Let the tokens of the installation come of age: they are replaced in time, and nothing rolls."""
    before = _fingerprints(stage)
    stage.github("/token-lifetime", {"seconds": LIFE})
    stage.kubectl("get", "githubinstallations.mooring.dev,projects.mooring.dev", "-n", NAMESPACE)
    stage.chapter(
        "Tokens are replaced before they end",
        f"They live an hour. Those that were just made live {SHORT_LIFE} seconds, so that you need not wait.",
    )
    _show_tokens(stage)
    _show_pods(stage)
    started = time.monotonic()
    stage.until("every token is replaced", lambda: not set(before) & set(_fingerprints(stage)))
    print(f"\nall replaced after {time.monotonic() - started:.1f} s")
    _show_tokens(stage)
    _show_pods(stage)
    stage.audit("token.copied")


def pushes(stage: Stage, app: Mapping[str, Any]) -> None:
    """Push to the repository of the Project that the installation clones."""
    alice = Pushes(stage, NAMESPACE, CLONED, INSTALLATION, "acme/api", _token(stage, "alice-pushes", "alice"))
    alice.connect(APP, app, APP_SECRET)
    alice.push()
    alice.nothing_else()


def outlook(stage: Stage, *, once: bool) -> None:
    """Say what runs, where it is, and what to try next."""
    env = stage.lab.env
    stage.chapter("Done" if once else "It is yours now")
    print(f"API server   {stage.folder / 'kubeconfig'}")
    print(f"operator     {stage.operator}/metrics, log and audit record in {stage.folder}/operator.log")
    print(f"gateway      {stage.gateway}/metrics, log and audit record in {stage.folder}/gateway.log")
    if stage.image:
        print(f"page         {address(stage, NAMESPACE, CLONED)}  (in this machine's browser, or by curl)")
    print(f"GitHub       {env['LAB_GITHUB_GIT_URL']} (REST at {env['MOORING_GITHUB_API_URL']})")
    print(f"  control    {env['LAB_GITHUB_CONTROL_URL']} (see lab/github/README.md)")
    if once:
        return
    print("\nTry next:")
    print(f"  set -a; . {stage.folder}/env; set +a; alias kubectl={binaries.find('kubectl')}")
    print(f"  kubectl get projects.mooring.dev -n {NAMESPACE} -o wide --watch")
    print(f"  kubectl delete secret -n {NAMESPACE} {INHERITS}-default-token      # it is back at once")
    print(f"  kubectl delete secret -n {NAMESPACE} {GLOBAL}   # shop falls to no token, and says so")
    print(
        f"  kubectl delete githubinstallations.mooring.dev -n {NAMESPACE} {INSTALLATION}   # its tokens end at GitHub"
    )
    print("  make demo-down")


def _give(stage: Stage, name: str, token: str) -> None:
    stage.secret(NAMESPACE, name, {"github-token": token}, shown="github-token: ghp_…")


def _show_tokens(stage: Stage) -> None:
    """Show which tokens there are, by what Mooring remembers of them beside them."""
    columns = ",".join(
        f"{title}:.metadata.{path}"
        for title, path in (
            ("SECRET", "name"),
            ("FINGERPRINT", r"annotations.mooring\.dev/token-fingerprint"),
            ("EXPIRES", r"annotations.mooring\.dev/expires-at"),
        )
    )
    stage.kubectl("get", "secrets", "-n", NAMESPACE, "-l", _LABEL, "-o", f"custom-columns={columns}")


def _show_pods(stage: Stage) -> None:
    stage.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"mooring.dev/project={CLONED}")


def _fingerprints(stage: Stage) -> list[str]:
    path = r"jsonpath={.items[*].metadata.annotations.mooring\.dev/token-fingerprint}"
    return stage.ask("get", "secrets", "-n", NAMESPACE, "-l", _LABEL, "-o", path).split()


def _token(stage: Stage, name: str, user: str) -> str:
    made = stage.github("/seed", {"tokens": [{"name": name, "user": user, "scopes": ["repo"]}]})
    return str(made["tokens"][name]["value"])

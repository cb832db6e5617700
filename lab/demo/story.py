"""The demo's story: what a team would do in its first five minutes with Mooring."""

from __future__ import annotations

import time

from lab import binaries
from lab.demo.stage import SYSTEM, Stage, start_operator

NAMESPACE = "mooring-samples"
GLOBAL = "user-default-global-secrets"
INHERITS = "shop"
PEOPLE = {
    "users": [{"login": "alice"}, {"login": "bob"}],
    "organizations": [{"login": "acme", "members": {"alice": "admin", "bob": "member"}}],
    "repositories": [
        {"owner": "acme", "name": "shop", "private": True, "files": {"index.html": "<h1>Shop</h1>\n"}},
        {
            "owner": "acme",
            "name": "payments",
            "private": True,
            "files": {"worker.py": "print('working')\n"},
            "branches": {"production": {"worker.py": "print('working')\n"}},
        },
        {"owner": "acme", "name": "handbook", "files": {"site/index.html": "<h1>Handbook</h1>\n"}},
    ],
}
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
    stage.kubectl("apply", "-f", "manifests/rbac/operator.yaml", "-f", "manifests/rbac/cluster-wide.yaml")
    stage.kubectl("apply", "-f", "-", given=POLICY)
    start_operator(stage)
    print(f"\nready: {stage.operator}/readyz, log: {stage.folder}/operator.log")


def samples(stage: Stage) -> None:
    """Apply the samples, with real tokens of the lab's GitHub."""
    stage.github("/seed", PEOPLE)
    stage.chapter(
        "The right token in the right workload",
        "One GitHubUser with a global token; a Project that inherits it (shop), one with its own (payments),",
        "one that opts out (handbook), one without a repository (dashboard), and one that cannot work (mirror).",
    )
    stage.kubectl("apply", "-k", "manifests/samples")
    stage.secret(NAMESPACE, GLOBAL, _token(stage, "alice-1", "alice"))
    stage.secret(NAMESPACE, "payments-token", _token(stage, "bob-1", "bob"))
    names = [f"projects.mooring.dev/{name}" for name in ("shop", "payments", "handbook", "dashboard")]
    stage.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", *names, "--timeout=30s")
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
    stage.secret(NAMESPACE, GLOBAL, _token(stage, "alice-2", "alice"))
    trigger = "jsonpath={.status.revision.trigger}{.status.conditions[?(@.type=='Ready')].status}"
    stage.until("the token has reached the pods", lambda: stage.ask(*project, trigger) == "TokenTrue")
    print(f"\nrolled out after {time.monotonic() - started:.1f} s")
    stage.kubectl(*project, look)
    stage.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"mooring.dev/project={INHERITS}")
    stage.kubectl("events", "-n", NAMESPACE, "--for", f"projects.mooring.dev/{INHERITS}")


def outlook(stage: Stage, *, once: bool) -> None:
    """Say what runs, where it is, and what to try next."""
    env = stage.lab.env
    stage.chapter("Done" if once else "It is yours now")
    print(f"API server   {stage.folder / 'kubeconfig'}")
    print(f"operator     {stage.operator}/metrics, log and audit record in {stage.folder}/operator.log")
    print(f"GitHub       {env['LAB_GITHUB_GIT_URL']} (REST at {env['MOORING_GITHUB_API_URL']})")
    print(f"  control    {env['LAB_GITHUB_CONTROL_URL']} (see lab/github/README.md)")
    if once:
        return
    print("\nTry next:")
    print(f"  set -a; . {stage.folder}/env; set +a; alias kubectl={binaries.find('kubectl')}")
    print(f"  kubectl get projects.mooring.dev -n {NAMESPACE} -o wide --watch")
    print(f"  kubectl delete secret -n {NAMESPACE} {INHERITS}-default-token      # it is back at once")
    print(f"  kubectl delete secret -n {NAMESPACE} {GLOBAL}   # shop falls to no token, and says so")
    print("  make demo-down")


def _token(stage: Stage, name: str, user: str) -> str:
    made = stage.github("/seed", {"tokens": [{"name": name, "user": user, "scopes": ["repo"]}]})
    return str(made["tokens"][name]["value"])

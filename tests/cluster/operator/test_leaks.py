"""No secret leaves the operator but in the Secrets that it is meant for, whatever goes wrong."""

from __future__ import annotations

import base64
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import Lab
from tests.cluster import leaks
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import data_of, install, make_app, put_app, put_secret
from tests.cluster.process import SYSTEM, Mooring, running_operator
from tests.cluster.token_life import ISSUED, minted

IMAGE = {"image": "nginx"}
SHOP = {"github": {"repository": "acme/shop"}}
GLOBAL = "user-default-global-secrets"
BY_RIGHT = frozenset({"operator.kubeconfig"})
# What a person may mistake for a token, with letters that escapes and encodings change.
MALFORMED = "ghp_not/really+a=token&but:somebody's%secret"
PASSWORD = "correct-horse/battery+staple?and:more"
IN_ENVIRONMENT = "postgres://shop:tr0ub4dor+and/three@db.example.com/shop"
IN_ARGUMENTS = "--password=hunter2-and-a-longer-rest-of-it"
# By name: a fault of the lab's GitHub that repeats in its answer what it was sent.
STATUSES = (400, 401, 403, 404, 409, 422, 429, 500, 502, 503)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the operator calls its home."""
    return tmp_path_factory.mktemp("leaks")


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Mooring]:
    """Run the operator, at debug level."""
    with running_operator(lab, kube, folder) as running:
        yield running


def test_the_scan_finds_a_deliberate_leak_in_each_channel(people: People, tmp_path: Path) -> None:
    secret = "ghp_DeliberatelyLeakedByThisVeryTest0000"
    plant_in_objects(people, secret)
    every_form = leaks.forms(secret)
    (tmp_path / "operator.err").write_text("\n".join(every_form.values()))
    (tmp_path / "operator.kubeconfig").write_text(secret)
    with serving(f'mooring_leaks{{token="{secret}"}} 1') as admin, running(secret) as process:
        outputs = leaks.Outputs(tmp_path, BY_RIGHT, admin, process.pid, [people])
        found = leaks.scan(outputs, {"planted": secret})
        innocent = leaks.scan(outputs, {"innocent": "ghp_NeverLeakedByAnybodyAnywhere00000000"})
    assert innocent == []
    assert leaks.channels(found) == {
        "file operator.err",
        *leaks.ADMIN_PATHS,
        "process cmdline",
        "process environ",
        "ConfigMap annotated: metadata",
        "Secret labelled: metadata",
        "Event told: words",
        "Project shown: status",
        "Pod started: specs",
    }
    in_log = {line.partition("(")[2].partition(")")[0] for line in found if line.endswith("file operator.err")}
    assert in_log == every_form.keys()


def plant_in_objects(people: People, secret: str) -> None:
    """Leak a secret wherever objects show something."""
    people.create("ConfigMap", leaks.planted_object("ConfigMap", "annotated", metadata={"annotations": {"a": secret}}))
    people.create("Secret", leaks.planted_object("Secret", "labelled", metadata={"labels": {"a": secret}}))
    event = {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "mooring.dev/operator",
        "reportingInstance": "test",
        "action": "Reconcile",
        "type": "Normal",
        "reason": "Told",
        "note": f"base64 of a header: {base64.b64encode(f'x-access-token:{secret}'.encode()).decode()}",
        "regarding": {"kind": "Namespace", "name": people.namespace, "namespace": people.namespace},
    }
    people.create("Event", leaks.planted_object("Event", "told", **event))
    container = {"name": "app", "image": "nginx", "env": [{"name": "A", "value": secret.encode().hex()}]}
    people.create(
        "Pod", leaks.planted_object("Pod", "started", spec={"containers": [container], "nodeName": "nowhere"})
    )
    people.apply("Project", "shown", {"workload": IMAGE})
    # The operator leaves conditions of others alone.
    leak = {"type": "Leak", "status": "True", "reason": "Told", "message": f"https://{secret}@example.com"}
    leak["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    people.settled("shown")
    people.patch("Project", "shown", {"status": {"conditions": [leak]}}, subresource="status")


@contextmanager
def serving(text: str) -> Iterator[str]:
    """Serve one text at every path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(secret: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with a secret among its arguments and in its environment."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", secret]
    environment = {"A": secret}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_nothing_leaks_whatever_goes_wrong(
    people: People, kube: Kube, hub: Hub, mooring: Mooring, folder: Path
) -> None:
    secrets = plant(people, hub)
    try:
        apply_all(people, hub, secrets, refusing=kube)
        wait_for_all(people)
        rotate(people, hub, secrets)
    finally:
        hub.control("DELETE", "/faults")
        stop_refusing(kube)
    told = {condition(project, "Ready").get("reason") for project in people.list("Project")}
    assert told >= {
        *("Ready", "NotAToken", "SecretTypeWrong", "SecretKeyMissing", "TokenInvalid", "SecretNotFound"),
        *("GitHubUnavailable", "RateLimited", "NotAllowed", "InvalidSpec", "RepositoryNotFound"),
    }
    # GitHub repeated what it was sent, and that came as far as the log.
    assert "[redacted]" in mooring.log
    secrets["the operator's own"] = own_token(folder)
    everywhere = [people, People(kube, SYSTEM)]
    outputs = leaks.Outputs(folder, BY_RIGHT, mooring.admin, mooring.process.pid, everywhere)
    assert leaks.scan(outputs, secrets, in_specs=("environment", "arguments")) == []


def plant(people: People, hub: Hub) -> dict[str, str]:
    """Make secrets of every sort, and put them where they belong."""
    secrets = {
        "global": hub.token("leak-global", "alice"),
        "owner": hub.token("leak-owner", "alice"),
        "project": hub.token("leak-project", "bob"),
        "revoked": hub.token("leak-revoked", "bob"),
        "expired": hub.token("leak-expired", "bob", expires_in=-60.0),
        "typed": hub.token("leak-typed", "bob"),
        "astray": hub.token("leak-astray", "bob"),
        "refused": hub.token("leak-refused", "bob"),
        "malformed": MALFORMED,
        "password": PASSWORD,
        "environment": IN_ENVIRONMENT,
        "arguments": IN_ARGUMENTS,
    }
    hub.control("POST", "/tokens/leak-revoked/revoke")
    people.secret(GLOBAL, secrets["global"])
    for name in ("owner", "project", "revoked", "expired", "malformed", "refused"):
        people.secret(name, secrets[name])
    people.secret("astray", secrets["astray"], key="another-key")
    typed = {"username": "shop", "password": secrets["typed"], "github-token": secrets["password"]}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in typed.items()}
    people.create("Secret", {"metadata": {"name": "typed"}, "type": "kubernetes.io/basic-auth", "data": data})
    return secrets


def apply_all(people: People, hub: Hub, secrets: dict[str, str], *, refusing: Kube) -> None:
    """Make users and Projects that meet with every sort of trouble."""
    refuse_secrets(refusing, people.namespace)
    per_owner = [{"name": "acme", "owners": ["acme"], "secretRef": {"name": "owner"}}]
    people.apply("GitHubUser", "default", {"tokens": per_owner})
    people.apply("GitHubUser", "wrong", {"login": "carol", "tokenSecretRef": {"name": "project"}})
    people.apply("GitHubUser", "malformed", {"tokenSecretRef": {"name": "malformed"}})
    people.apply("Project", "inherits", {"source": SHOP, "workload": IMAGE})
    people.apply("Project", "plain", {"workload": {**IMAGE, "env": [{"name": "DSN", "value": IN_ENVIRONMENT}]}})
    for name in ("project", "revoked", "expired", "malformed", "typed", "astray", "refused"):
        spec = {"source": SHOP, "token": {"secretRef": {"name": name}}, "workload": IMAGE}
        people.apply("Project", f"with-{name}", spec)
    people.apply("Project", "with-denied", {"token": {"secretRef": {"name": "refused"}}, "workload": IMAGE})
    password = {"secretRef": {"name": "typed", "key": "password"}}
    people.apply("Project", "with-password", {"token": password, "workload": IMAGE})
    people.apply("Project", "rejected", {"token": {"source": "none"}, "workload": rejected()})
    for fault, spec in faults(people, hub, secrets).items():
        people.apply("Project", fault, spec)


def rejected() -> dict[str, Any]:
    """Return a workload that the API server takes in a Project and rejects in a Deployment."""
    return {
        **IMAGE,
        "args": [IN_ARGUMENTS],
        "env": [{"name": "DSN", "value": IN_ENVIRONMENT}],
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
    }


def faults(people: People, hub: Hub, secrets: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Set a fault for each of many tokens, and return Projects that use these."""
    projects: dict[str, dict[str, Any]] = {}
    for kind in (*map(str, STATUSES), "redirect", "truncate", "drop"):
        for question, path in (("user", "*/user"), ("repos", "*/repos*"), ("git", "*/info/refs")):
            name = f"{question}-{kind}"
            token = secrets[name] = hub.token(f"leak-{name}", "bob")
            hub.control("POST", "/faults", {**fault(kind, token), "path": path, "credential": f"leak-{name}"})
            people.secret(name, token)
            source = {"git": {"url": f"{hub.web_url}/acme/shop.git"}} if question == "git" else SHOP
            projects[name] = {"source": source, "token": {"secretRef": {"name": name}}, "workload": IMAGE}
    return projects


def fault(kind: str, token: str) -> dict[str, Any]:
    """Return a fault that says what it was sent: the header of either scheme, and the token in an address."""
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    echo = f"You sent Authorization: Bearer {token}, token {token}; Basic {basic}; {token[:30]}; ?access_token={token}"
    if kind == "redirect":
        return {"kind": kind, "location": f"https://x-access-token:{token}@127.0.0.1/?access_token={token}&b={basic}"}
    if kind in {"truncate", "drop"}:
        return {"kind": kind}
    headers = {"X-Echo": echo, "WWW-Authenticate": f'Bearer realm="{token}"'}
    return {"kind": "status", "status": int(kind), "message": echo, "headers": headers}


# --- an admission that says what it refuses ---

REFUSAL = "leaks-refuses-secrets.example.com"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def refuse_secrets(kube: Kube, namespace: str) -> None:
    """Have the API server refuse one Secret, with its content in the message; return when it does."""
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
            ],
        },
        "validations": [
            {
                "expression": f"!object.metadata.name.startsWith('{beginning}')",
                "messageExpression": "'refused: ' + (has(object.data) ? string(object.data['token']) : 'nothing')",
                "reason": reason,
            }
            for beginning, reason in (("with-refused", "Forbidden"), ("with-denied", "Invalid"))
        ],
    }
    binding = {"policyName": REFUSAL, "validationActions": ["Deny"]}
    for kind, plural, spec in (
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", policy),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", binding),
    ):
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": REFUSAL}}
        status, answer = kube.request("POST", f"{ADMISSION}/{plural}", {**body, "spec": spec})
        assert status == 201, answer
    probe = {"metadata": {"name": "with-refused-probe"}, "data": {"token": "cHJvYmU="}}
    for _ in range(1000):
        # Nothing tells when a policy is in force; each try is a request of some milliseconds.
        status, answer = kube.request("POST", f"/api/v1/namespaces/{namespace}/secrets?dryRun=All", probe)
        if status == 403:
            assert "cHJvYmU=" in yaml.safe_dump(answer), answer
            return
    pytest.fail("the admission policy did not come into force")


def stop_refusing(kube: Kube) -> None:
    """Take the refusal away."""
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        kube.request("DELETE", f"{ADMISSION}/{plural}/{REFUSAL}")


# --- the end of the story ---


def wait_for_all(people: People) -> None:
    """Wait until every Project has been judged."""
    for project in people.list("Project"):
        name = project["metadata"]["name"]
        people.until("Project", name, judged, "a verdict")


def judged(obj: Object | None) -> bool:
    """Tell whether a Project has a verdict: good, or bad for whatever reason."""
    ready = condition(obj or {}, "Ready")
    return bool(ready) and (ready["status"] == "True" or ready["reason"] != "Progressing")


def rotate(people: People, hub: Hub, secrets: dict[str, str]) -> None:
    """Change, break and remove what was good."""
    for name, secret in (("rotated", GLOBAL), ("own, rotated", "project"), ("owner, rotated", "owner")):
        secrets[name] = hub.token(f"leak-{name.replace(', ', '-')}", "alice" if name != "own, rotated" else "bob")
        people.secret(secret, secrets[name])
    for project, token in (("inherits", "owner, rotated"), ("with-project", "own, rotated")):
        people.until("Secret", f"{project}-default-token", partial(holds, secrets[token]), "the new token")
    people.secret("owner", MALFORMED)
    people.until_condition("inherits", "TokenResolved", "False", "NotAToken")
    people.secret("owner", None)
    people.secret("project", None)
    people.until_condition("with-project", "TokenResolved", "False", "SecretNotFound")


def holds(token: str, secret: Object | None) -> bool:
    """Tell whether a Secret of a Project has a token."""
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    return base64.b64decode(data.get("token", "")).decode() == token


def own_token(folder: Path) -> str:
    """Return the operator's token for the API server."""
    content = yaml.safe_load((folder / "operator.kubeconfig").read_text())
    return str(content["users"][0]["user"]["token"])


# --- Apps, and the tokens of their installations ---

WEBHOOK = "webhook-secret/that+nobody=may&see:anywhere"
CLIENT = "0c1d2e3f405162738495a6b7c8d9eaf0client"
# How every JWT of an App begins, and every token of an installation, of whatever form.
SHAPES = re.compile(r"eyJhbGciOiJSUzI1Ni[A-Za-z0-9_\-]{4,}|gh[a-z]_[A-Za-z0-9]{8,}|[A-Za-z0-9+/]{60,}\\?n?-----END")
FORMATS = ("Token", "BasicAuth", "Netrc", "GitCredentials", "DockerConfigJson")


def test_nothing_of_an_app_leaks_whatever_goes_wrong(
    people: People, kube: Kube, hub: Hub, mooring: Mooring, folder: Path
) -> None:
    secrets = plant_apps(people, hub)
    since = hub.mark()
    outputs = [{"secretName": form.lower(), "format": form, "permissions": {"contents": "read"}} for form in FORMATS]
    outputs.append({"secretName": "written", "format": "Template", "template": "token=$(token)"})
    for name in APPS:
        spec = {"account": "acme", "appSecretRef": {"name": name}, "outputs": [] if name != "good" else outputs}
        people.apply("GitHubInstallation", name, spec)
    people.apply(
        "Project", "covered", {"source": SHOP, "installationRef": {"name": "good"}, "workload": {"image": "nginx"}}
    )
    people.until_condition("good", "Ready", "True", "Ready", kind="GitHubInstallation")
    people.until_condition("covered", "Ready", "True", "Ready")
    for name, reason in APPS.items():
        people.until("GitHubInstallation", name, partial(is_for, reason), reason)
    secrets |= tokens_of(people)
    logged = mooring.log.count("[redacted]")
    try:
        break_installation(people, hub, minted(hub, since), secrets)
    finally:
        hub.control("DELETE", "/faults")
    # GitHub repeated what it was sent, and that came as far as the log.
    assert mooring.log.count("[redacted]") > logged
    people.delete("GitHubInstallation", "good")
    people.until("GitHubInstallation", "good", lambda obj: obj is None, "its end")
    everywhere = [people, People(kube, SYSTEM)]
    found = leaks.Outputs(folder, BY_RIGHT, mooring.admin, mooring.process.pid, everywhere)
    assert leaks.scan(found, secrets) == []
    # Also those that no test ever holds: what was only read with, and what proved the App.
    shaped = [(where, SHAPES.findall(text)) for where, text in found.texts()]
    assert [where for where, shapes in shaped if shapes] == []


# By the name of its Secret and of the installation: how an App fares.
APPS = {
    "good": "Ready",
    "refused": "AppRefused",
    "mistaken": "AppKeyMalformed",
    "halved": "AppKeyMalformed",
}


def plant_apps(people: People, hub: Hub) -> dict[str, str]:
    """Write the Secrets of Apps as people get them right and wrong; return what is secret in them."""
    good, other = make_app(hub), make_app(hub)
    install(hub, good)
    more = {"webhookSecret": WEBHOOK, "clientSecret": CLIENT}
    put_app(people, good, "good", **more)
    put_secret(people, "refused", {"appId": str(good.app_id), "privateKey": other.private_key, **more})
    put_secret(people, "mistaken", {"appId": good.private_key, "privateKey": str(good.app_id), **more})
    half = good.private_key[: len(good.private_key) // 2]
    put_secret(people, "halved", {"appId": str(good.app_id), "privateKey": half, **more})
    lines = {f"line {number} of the key": good.private_key.splitlines()[number] for number in (2, 9, 16)}
    lines["line 5 of another key"] = other.private_key.splitlines()[5]
    return {**lines, "webhook secret": WEBHOOK, "client secret": CLIENT}


def is_for(reason: str, obj: Object | None) -> bool:
    """Tell whether Ready has a reason."""
    return bool(condition(obj or {}, "Ready").get("reason") == reason)


def tokens_of(people: People) -> dict[str, str]:
    """Return the tokens of installations that Secrets hold, whatever their form."""
    found: dict[str, str] = {}
    for secret in people.list("Secret"):
        if ISSUED in (secret["metadata"].get("annotations") or {}):
            texts = "\n".join(data_of(secret).values())
            match = re.search(r"ghs_[A-Za-z0-9._\-]+|eyJ[A-Za-z0-9._\-]+", texts)
            assert match is not None, secret["metadata"]["name"]
            found[f"token in {secret['metadata']['name']}"] = match[0]
    assert len(found) == len(FORMATS) + 2
    return found


def break_installation(people: People, hub: Hub, made: list[Object], secrets: dict[str, str]) -> None:
    """Have GitHub repeat what it was sent at each sort of question, and see that this came as far as the log."""
    token = next(secret for name, secret in secrets.items() if name == "token in token")
    for entry in made:
        echo = {**fault("503", token), "path": "*", "credential": entry["minted"]}
        hub.control("POST", "/faults", echo)
    for number, path in enumerate(("*/installation/repositories", "*/access_tokens", "*/app/installations/*", "*/app")):
        hub.control("POST", "/faults", {**fault("502", token), "path": path, "count": 2})
        hint = {"event": "push", "delivery": f"leak-{number}", "receivedAt": "2026-01-01T00:00:00Z"}
        people.patch("GitHubInstallation", "good", {"status": {"hint": hint}}, subresource="status")
        people.until("GitHubInstallation", "good", partial(is_for, "GitHubUnavailable"), "trouble")

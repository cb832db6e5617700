"""What one tenant may try with the names of another's objects: every field that can name something, set to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

IMAGE = {"image": "nginx"}
PORTS = {"image": "nginx", "ports": [{"containerPort": 8080}]}
OPEN = {"github": {"repository": "acme/open"}}
WORKING = {"type": "Ready", "status": "Unknown", "reason": "Faked", "message": "", "observedGeneration": 1}


@dataclass(frozen=True)
class Identifiers:
    """What one may know, or guess, of a tenant."""

    namespace: str
    user: str
    user_id: str
    secret: str
    project: str
    installation: str
    account: str
    certificate: str
    pull: str
    repository: str
    repository_id: int
    clone_url: str
    sha: str
    uid: str

    def hidden(self, text: str) -> str:
        """Put each identifier's role in its place, the longest first. A number within a commit is none."""
        roles = {str(value): f"<{role}>" for role, value in asdict(self).items()}
        roles |= {self.sha[:digits]: "<short sha>" for digits in (7, 12)}
        for value in sorted(roles, key=len, reverse=True):
            bounded = rf"(?<![0-9a-f]){value}(?![0-9a-f])" if value.isdigit() else re.escape(value)
            text = re.sub(bounded, roles[value], text)
        return text


@dataclass(frozen=True)
class Attempt:
    """One object that names what is not its tenant's."""

    kind: str
    name: str
    spec: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    # Written by hand into the status, once the operator is done with the object.
    status: Mapping[str, Any] | None = None


def references(names: Identifiers) -> list[Attempt]:
    """Name another tenant's GitHubUser."""
    there = {"name": names.user, "namespace": names.namespace}
    source = {"github": {"repository": names.repository}}
    spec = {"userRef": there, "source": source, "workload": IMAGE}
    return [
        Attempt("Project", "user-there", spec),
        Attempt("Project", "user-there-global", {**spec, "token": {"source": "global"}}),
    ]


def attempts(names: Identifiers, own: str, kind: str) -> list[Attempt]:
    """Set every field of a kind that can name something to what another tenant has."""
    found = [
        *references(names),
        *_users_and_tokens(names),
        *_sources(names),
        *_workloads(names, own),
        *_users(names),
        *_fakes(names),
    ]
    return [attempt for attempt in found if attempt.kind == kind]


def _users_and_tokens(names: Identifiers) -> list[Attempt]:
    source = {"github": {"repository": names.repository}}
    secrets = {
        "secret": {"name": names.secret},
        "secret-copy": {"name": f"user-{names.user_id}-global-secrets"},
        "secret-child": {"name": f"{names.project}-default-token", "key": "token"},
    }
    by_secret = [
        Attempt("Project", name, {"token": {"secretRef": ref}, "source": source, "workload": IMAGE})
        for name, ref in secrets.items()
    ]
    users: dict[str, dict[str, str]] = {
        "user-here": {"name": names.user},
        "user-id": {"name": names.user_id, "namespace": names.namespace},
        "user-named-as-project": {"name": names.project, "namespace": names.namespace},
    }
    by_user = [
        Attempt("Project", name, {"userRef": ref, "source": source, "workload": IMAGE}) for name, ref in users.items()
    ]
    return [*by_secret, *by_user]


def _sources(names: Identifiers) -> list[Attempt]:
    # Without a token a namespace may ask ten times, and then once in a while; all others here ask for one repository.
    own = {"secretRef": {"name": "own"}}
    repository = {"github": {"repository": names.repository}}
    there = {"name": names.installation, "namespace": names.namespace}
    return [
        Attempt("Project", "repository", {"source": repository, "workload": IMAGE}),
        Attempt("Project", "repository-own", {"source": repository, "token": own, "workload": IMAGE}),
        Attempt(
            "Project",
            "repository-id",
            {
                "source": {"github": {"repository": names.repository, "repositoryId": names.repository_id}},
                "token": own,
                "workload": IMAGE,
            },
        ),
        Attempt(
            "Project",
            "identity",
            {
                "source": {"github": {"repository": "acme/open", "repositoryId": names.repository_id}},
                "token": own,
                "workload": IMAGE,
            },
        ),
        Attempt("Project", "pin", {"source": {**OPEN, "revision": names.sha}, "token": own, "workload": IMAGE}),
        Attempt("Project", "clone", {"source": {"git": {"url": names.clone_url}}, "workload": IMAGE}),
        Attempt("Project", "clone-own", {"source": {"git": {"url": names.clone_url}}, "token": own, "workload": IMAGE}),
        Attempt("Project", "installation-there", {"source": repository, "installationRef": there, "workload": IMAGE}),
        Attempt(
            "Project",
            "installation-here",
            {"source": repository, "installationRef": {"name": names.installation}, "workload": IMAGE},
        ),
    ]


def _workloads(names: Identifiers, own: str) -> list[Attempt]:
    key = {"name": names.secret, "key": "github-token"}
    environment = {
        **IMAGE,
        "env": [{"name": "BORROWED", "valueFrom": {"secretKeyRef": key}}],
        "envFrom": [{"secretRef": {"name": names.secret}}, {"configMapRef": {"name": names.secret}}],
        "imagePullSecrets": [{"name": names.pull}],
    }
    expose = {"host": f"{own}.example.com", "tlsSecretName": names.certificate}
    return [
        Attempt("Project", "environment", {"workload": environment}),
        Attempt("Project", "account", {"workload": {**IMAGE, "serviceAccountName": names.account}}),
        Attempt("Project", "certificate", {"workload": PORTS, "expose": expose}),
    ]


def _users(names: Identifiers) -> list[Attempt]:
    source = {"github": {"repository": names.repository}}
    secret = {"name": names.secret}
    per_owner = [{"name": "acme", "owners": ["acme"], "secretRef": secret}]
    grants = [{"namespaces": {"names": [names.namespace]}}]
    specs: dict[str, dict[str, Any]] = {
        "by-secret": {"tokenSecretRef": secret},
        "by-child": {"tokenSecretRef": {"name": f"{names.project}-default-token", "key": "token"}},
        "by-owner": {"tokens": per_owner},
        "by-id": {"userId": names.user_id},
        names.user: {"login": "alice", "grants": grants},
    }
    users = [Attempt("GitHubUser", name, spec) for name, spec in specs.items()]
    consumers = [
        Attempt(
            "Project",
            f"through-{number}",
            {"userRef": {"name": name}, "token": {"source": "global"}, "source": source, "workload": IMAGE},
        )
        for number, name in enumerate(specs)
    ]
    return [*users, *consumers]


def _fakes(names: Identifiers) -> list[Attempt]:
    metadata = {
        "labels": {
            "app.kubernetes.io/managed-by": "mooring",
            "mooring.dev/project": names.project,
            "mooring.dev/user": names.user,
        },
        "annotations": {
            "mooring.dev/applied": names.sha,
            "mooring.dev/token-checksum": names.sha[:16],
            "mooring.dev/allow-projects": "true",
        },
    }
    there = {"name": names.user, "namespace": names.namespace}
    resolved = {
        "type": "SourceResolved",
        "status": "True",
        "reason": "Resolved",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    project = {
        "conditions": [{**WORKING, "lastTransitionTime": "2026-01-01T00:00:00Z"}, resolved],
        "observedGeneration": 1,
        "token": {
            "source": "global",
            "from": f"GitHubUser {names.namespace}/{names.user}",
            "secretName": f"{names.project}-default-token",
        },
        "source": {
            "provider": "GitHub",
            "fullName": names.repository,
            "repositoryId": names.repository_id,
            "private": True,
            "branch": "main",
            "headSha": names.sha,
            "decidedSha": names.sha,
            "proof": "0" * 64,
        },
        "revision": {"sha": names.sha, "shortSha": names.sha[:7], "trigger": "Push", "delivery": names.uid},
    }
    user = {
        "conditions": [{**WORKING, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "tokenSet": True,
        "login": "alice",
        "githubId": 1,
        "token": {"fingerprint": names.sha[:16], "kind": "classic"},
    }
    source = {"github": {"repository": names.repository}}
    return [
        Attempt("Project", "labels", {"userRef": there, "source": source, "workload": IMAGE}, metadata),
        Attempt("GitHubUser", "labelled", {}, metadata),
        Attempt("Project", "status", {"userRef": there, "source": source, "workload": IMAGE}, status=project),
        Attempt("GitHubUser", "remembered", {}, status=user),
    ]


def disguised(names: Identifiers) -> dict[str, Any]:
    """Return a Secret that claims to be a child of another tenant's objects. Kubernetes itself removes it."""
    owners = [
        {
            "apiVersion": "mooring.dev/v1alpha1",
            "kind": kind,
            "name": name,
            "uid": names.uid,
            "controller": kind == "Project",
        }
        for kind, name in (("Project", names.project), ("GitHubUser", names.user))
    ]
    labels = {"app.kubernetes.io/managed-by": "mooring", "mooring.dev/project": names.project}
    return {"metadata": {"name": "disguised", "labels": labels, "ownerReferences": owners}}

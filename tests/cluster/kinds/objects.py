"""Valid objects of the three kinds: the smallest, and full ones that together set every field of spec and status."""

import json
from typing import Any

from tests.cluster.kinds.constraints import segments

Object = dict[str, Any]
REMOVE = object()
"""As a value for `patched`: the field goes away."""

API_VERSION = "mooring.dev/v1alpha1"
PLURALS = {"GitHubUser": "githubusers", "GitHubInstallation": "githubinstallations", "Project": "projects"}
TIME = "2026-01-02T03:04:05Z"
SHA = "0123456789abcdef0123456789abcdef01234567"


def an_object(kind: str, spec: Object, name: str = "sample") -> Object:
    """An object of a kind."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def patched(original: Object, patch: dict[str, Any]) -> Object:
    """A copy of the object with the fields at these paths set or removed."""
    result: Object = json.loads(json.dumps(original))  # unlike deepcopy, this separates what the originals share
    for path, value in patch.items():
        *way, last = segments(path)
        node: Any = result
        for step in way:
            node = node[step] if isinstance(step, int) else node.setdefault(step, {})
        if value is REMOVE:
            del node[last]
        else:
            node[last] = value
    return result


MINIMAL: dict[str, Object] = {
    "GitHubUser": an_object("GitHubUser", {}),
    "GitHubInstallation": an_object("GitHubInstallation", {"account": "acme"}),
    "Project": an_object("Project", {"workload": {"image": "registry.example.com/acme/shop:1.2"}}),
}

SELECTOR: Object = {
    "matchLabels": {"team": "payments"},
    "matchExpressions": [{"key": "example.com/tier", "operator": "In", "values": ["front", "back"]}],
}
NAMESPACES_BY_NAME: Object = {"names": ["team-a", "team-b"]}
NAMESPACES_BY_LABEL: Object = {"selector": SELECTOR}
PERMISSIONS = {"contents": "read", "pull_requests": "write"}
KEYED = {"name": "some-secret", "key": "some.key"}


def _user() -> Object:
    return an_object(
        "GitHubUser",
        {
            "userId": "jane",
            "displayName": "Jane Doe",
            "login": "octocat",
            "apiUrl": "https://github.example.com:8443/api/v3",
            "tokenSecretRef": KEYED,
            "tokens": [{"name": "acme", "owners": ["acme", "acme-*"], "secretRef": KEYED}],
            "grants": [{"namespaces": NAMESPACES_BY_NAME}, {"namespaces": NAMESPACES_BY_LABEL}],
            "suspend": False,
        },
    )


def _installation(identity: Object, bundle: Object) -> Object:
    output = {"permissions": PERMISSIONS, "repositories": ["acme/api"]}
    return an_object(
        "GitHubInstallation",
        {
            **identity,
            "appSecretRef": {"name": "own-app"},
            "apiUrl": "https://github.example.com/api/v3",
            "caBundle": bundle,
            "permissions": PERMISSIONS,
            "repositories": ["acme/api", "acme/web.js"],
            "outputs": [
                {"secretName": "ci-token", "format": "Template", "template": "token=$(token)", **output},
                {"secretName": "ci-netrc", "format": "Netrc", **output},
            ],
            "grants": [
                {"namespaces": NAMESPACES_BY_NAME, "repositories": ["acme/*"], "permissions": PERMISSIONS},
                {"namespaces": NAMESPACES_BY_LABEL, "repositories": ["acme/api"]},
            ],
            "suspend": False,
        },
    )


_PROBES: list[Object] = [
    {"exec": {"command": ["cat", "/run/ready"]}},
    {"httpGet": {"path": "/", "port": 8080, "scheme": "HTTPS", "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}},
    {"tcpSocket": {"port": "http"}},
    {"grpc": {"port": 9000, "service": "health"}},
]


def _probe(number: int) -> Object:
    counts = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold")
    return {**_PROBES[number % len(_PROBES)], **dict.fromkeys(counts, 5), "successThreshold": 1}


def _pod_terms() -> Object:
    term: Object = {
        "labelSelector": SELECTOR,
        "topologyKey": "kubernetes.io/hostname",
        "namespaces": ["team-a"],
        "namespaceSelector": SELECTOR,
        "matchLabelKeys": ["pod-template-hash"],
        "mismatchLabelKeys": ["tenant"],
    }
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": [term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}],
    }


def _affinity() -> Object:
    node_term: Object = {
        "matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-a"]}],
        "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}],
    }
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node_term]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": node_term}],
        },
        "podAffinity": _pod_terms(),
        "podAntiAffinity": _pod_terms(),
    }


def _env() -> list[Object]:
    secret = {**KEYED, "optional": True}
    resource = {"containerName": "workload", "resource": "limits.memory", "divisor": "1Mi"}
    sources: list[Object] = [
        {"secretKeyRef": secret},
        {"configMapKeyRef": secret},
        {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app.kubernetes.io/name']"}},
        {"resourceFieldRef": resource},
    ]
    taken = [{"name": f"TAKEN_{number}", "valueFrom": source} for number, source in enumerate(sources)]
    return [{"name": "LOG_LEVEL", "value": "info"}, *taken]


def _workload(number: int) -> Object:
    reference = {"name": "settings", "optional": True}
    grace = {"terminationGracePeriodSeconds": 5}
    return {
        "image": "registry.example.com/acme/shop:1.2",
        "imagePullSecrets": [{"name": "pull"}],
        "command": ["python", "-m", "shop"],
        "args": ["--port", "8080"],
        "workingDir": "/workspace/app",
        "env": _env(),
        "envFrom": [{"prefix": "DB_", "secretRef": reference}, {"configMapRef": reference}],
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "dns", "containerPort": 8080, "protocol": "UDP"},
        ],
        "replicas": 2,
        "resources": {"limits": {"cpu": 2, "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "1.5e8"}},
        "startupProbe": {**_probe(number), **grace},
        "readinessProbe": {**_probe(number + 1), "successThreshold": 2},
        "livenessProbe": {**_probe(number + 2), **grace},
        "terminationGracePeriodSeconds": 60,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "nodeSelector": {"disk": "ssd", "kubernetes.io/arch": "arm64"},
        "tolerations": [
            {
                "key": "dedicated",
                "operator": "Equal",
                "value": "batch",
                "effect": "NoExecute",
                "tolerationSeconds": 60,
            },
            {"operator": "Exists"},
        ],
        "affinity": _affinity(),
        "serviceAccountName": "shop",
        "tokenEnv": "GH_TOKEN",
        "mountPath": "/srv/shop",
    }


def _project(number: int) -> Object:
    github = {"repository": "acme/shop", "repositoryId": 1296269, "host": "github.example.com:8443"}
    git = {"url": "https://git.example.com:8443/acme/some%20shop.git"}
    origin: Object = {"git": git} if number % 2 else {"github": github}
    return an_object(
        "Project",
        {
            "source": {
                **origin,
                "branch": "release/1.x",
                "path": "services/shop",
                "include": ["services/shop/**", "Makefile"],
                "exclude": ["docs/**", "*.md"],
                "revision": SHA,
                "submodules": True,
                "lfs": True,
            },
            "userRef": {"name": "default", "namespace": "platform"},
            "installationRef": {"name": "acme", "namespace": "platform"},
            "token": {"source": "project", "secretRef": KEYED},
            "workload": _workload(number),
            "deploy": {"auto": False, "debounce": "500ms", "skipTokens": ["[skip ci]"]},
            "expose": {
                "host": "shop.example.com",
                "className": "nginx",
                "tlsSecretName": "shop-tls",
                "annotations": {"example.com/timeout": "30", "note": "kept"},
            },
            "suspend": False,
        },
    )


FULL: dict[str, list[Object]] = {
    "GitHubUser": [_user()],
    "GitHubInstallation": [
        _installation({"installationId": 12345678}, {"secretRef": KEYED}),
        _installation({"account": "acme"}, {"configMapRef": KEYED}),
        _installation({"repository": "acme/api"}, {"secretRef": KEYED}),
    ],
    "Project": [_project(number) for number in range(len(_PROBES))],
}
"""Full objects; several where fields exclude each other."""

CONDITION: Object = {
    "type": "Ready",
    "status": "True",
    "reason": "UpToDate",
    "message": "Everything is in place.",
    "lastTransitionTime": TIME,
    "observedGeneration": 1,
}
_REVISION: Object = {
    "sha": SHA,
    "shortSha": SHA[:7],
    "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "trigger": "Push",
    "checkoutImage": "registry.example.com/mooring:1",
    "deployedAt": TIME,
}
_DELIVERY: Object = {"sha": SHA, "ref": "refs/heads/main", "delivery": "d1", "receivedAt": TIME, "sender": "octocat"}

STATUS: dict[str, Object] = {
    "GitHubUser": {
        "observedGeneration": 1,
        "conditions": [CONDITION],
        "tokenSet": True,
        "login": "octocat",
        "githubId": 583231,
        "token": {
            "fingerprint": "c0ffee",
            "kind": "Classic",
            "scopes": ["repo", "read:org"],
            "expiresAt": TIME,
            "updatedAt": TIME,
        },
        "projects": {"global": 3, "project": 2, "none": 1},
    },
    "GitHubInstallation": {
        "observedGeneration": 1,
        "conditions": [CONDITION],
        "phase": "Active",
        "installationId": 12345678,
        "appId": 1,
        "appSlug": "acme-mooring",
        "account": {"login": "acme", "id": 9, "type": "Organization", "avatarUrl": "https://example.com/a.png"},
        "repositorySelection": "selected",
        "repositoryCount": 2,
        "permissions": PERMISSIONS,
        "events": ["push"],
        "tokenExpiresAt": TIME,
        "webhook": {"url": "https://mooring.example.com/hooks/x"},
        "hint": {"event": "installation", "delivery": "d1", "receivedAt": TIME},
    },
    "Project": {
        "observedGeneration": 1,
        "conditions": [CONDITION],
        "token": {
            "source": "global",
            "kind": "FineGrained",
            "from": "GitHubUser default",
            "secretName": "shop-default-token",
            "expiresAt": TIME,
        },
        "source": {
            "provider": "GitHub",
            "repositoryId": 1296269,
            "nodeId": "R_1",
            "fullName": "acme/shop",
            "private": True,
            "branch": "main",
            "headSha": SHA,
            "decidedSha": SHA,
            "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "redeploy": "2026-01-01",
            "pinnedSha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
            "proof": "v1.c0ffee",
            "pinProof": "v1.c0ffee",
            "provenAt": TIME,
            "specName": "acme/shop",
            "readAt": TIME,
        },
        "push": {**_DELIVERY, "before": SHA, "pushedAt": TIME},
        "deliveries": [{**_DELIVERY, "event": "push", "action": "renamed"}],
        "revision": _REVISION,
        "pending": {"sha": SHA, "shortSha": SHA[:7], "delivery": "d1", "reason": "ManualDeploy", "since": TIME},
        "history": [{**_REVISION, "failure": "Pod web-default-7d9: container workload failed (exit code 1)."}],
        "webhook": {
            "via": "Repository",
            "since": TIME,
            "state": "Active",
            "hookId": 1,
            "repositoryId": 1296269,
            "apiUrl": "https://api.github.com",
            "secretVersion": 1,
            "updatedAt": TIME,
        },
        "url": "https://shop.example.com",
        "replicas": {"desired": 2, "ready": 1},
    },
}
"""A status for each kind that sets every field."""

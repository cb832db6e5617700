"""Invalid objects of every kind: what is wrong, the field that the answer must name, and what it must say is wanted.

A case takes the first full object (see `objects.py`) that has the place, and changes that one place, unless it says
otherwise. `wants` is a part of a rule's message, an enum's list or a pattern, as they stand in the schema. What is
particular to Projects stands in `project_cases.py`.
"""

from collections.abc import Iterator

from tests.cluster.kinds.case import Case, Transition, also, each
from tests.cluster.kinds.objects import FULL, REMOVE, Object
from tests.cluster.kinds.project_cases import project_cases

LONG_NAME = "a" * 41
NO_LABEL_KEY = ["-team", "a/b/c", "Upper.example.com/x", "x" * 64]


# --- texts, by what they should be ---

_OBJECT_NAMES = {
    "GitHubUser": ["spec.userId", "spec.tokenSecretRef.name", "spec.tokens[0].secretRef.name"],
    "GitHubInstallation": [
        "spec.appSecretRef.name",
        "spec.caBundle.secretRef.name",
        "spec.caBundle.configMapRef.name",
        "spec.outputs[0].secretName",
    ],
    "Project": [
        "spec.userRef.name",
        "spec.installationRef.name",
        "spec.token.secretRef.name",
        "spec.workload.imagePullSecrets[0].name",
        "spec.workload.env[1].valueFrom.secretKeyRef.name",
        "spec.workload.env[2].valueFrom.configMapKeyRef.name",
        "spec.workload.env[4].valueFrom.resourceFieldRef.containerName",
        "spec.workload.envFrom[1].configMapRef.name",
        "spec.workload.envFrom[0].secretRef.name",
        "spec.workload.serviceAccountName",
        "spec.expose.className",
        "spec.expose.tlsSecretName",
    ],
}
_DATA_KEYS = {
    "GitHubUser": ["spec.tokenSecretRef.key", "spec.tokens[0].secretRef.key"],
    "GitHubInstallation": ["spec.caBundle.secretRef.key", "spec.caBundle.configMapRef.key"],
    "Project": [
        "spec.token.secretRef.key",
        "spec.workload.env[1].valueFrom.secretKeyRef.key",
        "spec.workload.env[2].valueFrom.configMapKeyRef.key",
    ],
}
_AFFINITY = "spec.workload.affinity"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_POD_TERMS = [
    f"{_AFFINITY}.{kind}.{term}"
    for kind in ("podAffinity", "podAntiAffinity")
    for term in (f"{_REQUIRED}[0]", f"{_PREFERRED}[0].podAffinityTerm")
]
_DNS_LABELS = {
    "GitHubUser": ["spec.tokens[0].name", "spec.grants[0].namespaces.names[0]"],
    "GitHubInstallation": ["spec.grants[0].namespaces.names[0]"],
    "Project": [
        "spec.userRef.namespace",
        "spec.installationRef.namespace",
        *(f"{term}.namespaces[0]" for term in _POD_TERMS),
    ],
}
_REPOSITORY_NAMES = {
    "GitHubInstallation": ["spec.repository", "spec.repositories[0]", "spec.outputs[0].repositories[0]"],
    "Project": ["spec.source.github.repository"],
}
_NO_REPOSITORY = [
    "shop",
    "acme/shop/web",
    "https://github.com/acme/shop",
    "acme/..",
    "acme/.",
    "acme/shop.git",
    "acme/é",
]
_NO_BASE_URL = [
    "http://github.example.com",
    "https://user:word@github.example.com",
    "https://user@github.example.com/api",
    "https://github.example.com/api?x=1",
    "https://github.example.com/#api",
    "https://gïthub.example.com",
    "https://github.example.com/../x",
    "https://github.example.com:0/",
    "https:///api",
]


def _texts() -> Iterator[Case]:
    for kind, places in _OBJECT_NAMES.items():
        yield from each(kind, "must be an object's name", ["Not_A_Name", "-a", "a..b"], *places)
    for kind, places in _DATA_KEYS.items():
        yield from each(kind, "must be a key in a Secret or ConfigMap", ["a/b", ""], *places)
    for kind, places in _DNS_LABELS.items():
        yield from each(kind, "must be a DNS label", ["Team_A", "a.b", ""], *places)
    for kind, places in _REPOSITORY_NAMES.items():
        yield from each(kind, "must be owner/name", _NO_REPOSITORY, *places)
    for kind in ("GitHubUser", "GitHubInstallation"):
        yield from each(kind, "must be https://HOST[:PORT][/PATH] in ASCII", _NO_BASE_URL, "spec.apiUrl")
    yield from each("GitHubUser", "must be a GitHub login", ["@octocat", "octo cat"], "spec.login")
    yield from each("GitHubInstallation", "must be a GitHub login", ["@acme", "acme/shop", ""], "spec.account")
    yield from each("GitHubUser", "must be an owner's login, or a glob", ["acme/shop", ""], "spec.tokens[0].owners[0]")


# --- selectors and grants ---

_LABEL_SELECTORS = {
    "GitHubUser": ["spec.grants[1].namespaces.selector"],
    "GitHubInstallation": ["spec.grants[1].namespaces.selector"],
    "Project": [f"{term}.{name}" for term in _POD_TERMS for name in ("labelSelector", "namespaceSelector")],
}
_NODE_REQUIREMENTS = [
    f"{_AFFINITY}.nodeAffinity.{term}.{name}[0]"
    for term in (f"{_REQUIRED}.nodeSelectorTerms[0]", f"{_PREFERRED}[0].preference")
    for name in ("matchExpressions", "matchFields")
]
_LABEL_KEYS = [
    f"{term}.{name}" for term in _POD_TERMS for name in ("topologyKey", "matchLabelKeys[0]", "mismatchLabelKeys[0]")
]


def _selectors() -> Iterator[Case]:
    for kind, places in _LABEL_SELECTORS.items():
        for requirement in (f"{place}.matchExpressions[0]" for place in places):
            yield from each(kind, "must be a label's key", NO_LABEL_KEY, f"{requirement}.key")
            yield from each(kind, '"In", "NotIn", "Exists", "DoesNotExist"', ["in"], f"{requirement}.operator")
            yield from each(kind, "must be a label's value", ["a b", "-a"], f"{requirement}.values[0]")
            yield from also(
                kind,
                requirement,
                "values are required with In and NotIn",
                {f"{requirement}.values": []},
                {f"{requirement}.operator": "Exists"},
            )
    for requirement in _NODE_REQUIREMENTS:
        yield from each("Project", "must be a label's key", NO_LABEL_KEY, f"{requirement}.key")
        yield from each("Project", '"DoesNotExist", "Gt", "Lt"', ["Equal"], f"{requirement}.operator")
        yield from also(
            "Project",
            requirement,
            "exactly one with Gt and Lt",
            {f"{requirement}.values": REMOVE},
            {f"{requirement}.operator": "DoesNotExist"},
            {f"{requirement}.operator": "Gt", f"{requirement}.values": ["1", "2"]},
        )
    yield from each("Project", "must be a label's key", NO_LABEL_KEY, *_LABEL_KEYS)


def _grants() -> Iterator[Case]:
    by_name, by_label = "spec.grants[0].namespaces", "spec.grants[1].namespaces"
    for kind in ("GitHubUser", "GitHubInstallation"):
        yield from also(
            kind,
            by_name,
            "exactly one of names and selector",
            {f"{by_name}.names": REMOVE},
            {f"{by_name}.selector": {"matchLabels": {"a": "b"}}},
        )
        yield from also(
            kind,
            by_label,
            "selector must not be empty",
            {f"{by_label}.selector": {}},
            {f"{by_label}.selector": {"matchLabels": {}, "matchExpressions": []}},
        )
    yield from each("GitHubUser", "should have at least 1 items", [[]], f"{by_name}.names")
    scope = "spec.grants[0].repositories"
    yield from each("GitHubInstallation", "or owner/* for all", ["*", "*/*", "acme/sh*"], f"{scope}[0]")
    yield from each("GitHubInstallation", "Required value", [REMOVE], scope)


# --- GitHubInstallation ---

_PERMISSIONS = ["spec.permissions", "spec.outputs[0].permissions", "spec.grants[0].permissions"]


def _installation() -> Iterator[Case]:
    kind = "GitHubInstallation"
    for place in _PERMISSIONS:
        yield from each(kind, "read, write, admin", ["Read", "all"], f"{place}.contents")
        yield from also(kind, place, "GitHub's names of permissions", {place: {"Contents": "read"}})
    identity = "exactly one of installationId, account and repository"
    yield from also(kind, "spec", identity, {"spec.account": "acme"}, {"spec.installationId": REMOVE})
    yield from also(kind, "spec", "apiUrl needs appSecretRef", {"spec.appSecretRef": REMOVE})
    yield from also(kind, "spec", "caBundle needs appSecretRef", {"spec.appSecretRef": REMOVE, "spec.apiUrl": REMOVE})
    yield from also(
        kind,
        "spec.caBundle",
        "exactly one of secretRef and configMapRef",
        {"spec.caBundle.secretRef": REMOVE},
        {"spec.caBundle.configMapRef": {"name": "b"}},
    )
    yield from each(kind, "greater than or equal to 1", [0], "spec.installationId")
    template = "template is required with format Template"
    yield from also(
        kind,
        "spec.outputs[0]",
        template,
        {"spec.outputs[0].template": REMOVE},
        {"spec.outputs[0].format": "Token"},
    )
    formats = '"Token", "BasicAuth", "Netrc", "GitCredentials", "DockerConfigJson", "Template"'
    yield from each(kind, formats, ["token"], "spec.outputs[0].format")
    yield from also(kind, "spec.outputs[1]", "Duplicate value", {"spec.outputs[1].secretName": "ci-token"})
    yield from also(kind, "spec.repositories[1]", "Duplicate value", {"spec.repositories[1]": "acme/api"})
    yield from each(kind, '"Active", "Suspended", "Deleted"', ["active"], "status.phase")


# --- names of objects, conditions, unknown words ---


def _metadata_and_status() -> Iterator[Case]:
    name = "metadata.name"
    yield from also("Project", "", "metadata.name must have at most 40 characters", {name: LONG_NAME})
    yield from also("Project", "", "metadata.name must be the name of a Service", {name: "1st"}, {name: "a.b"})
    yield from also(
        "GitHubUser", "", "metadata.name must have at most 128 characters", {name: "a" * 129, "spec.userId": REMOVE}
    )
    for kind in FULL:
        yield from each(kind, '"True", "False", "Unknown"', ["true"], "status.conditions[0].status")


def cases() -> list[Case]:
    """All of them."""
    groups = (
        _texts,
        _selectors,
        _grants,
        _installation,
        _metadata_and_status,
    )
    return [*(case for group in groups for case in group()), *project_cases()]


def _immutable(kind: str, name: str, old: Object, new: Object, without: Object) -> Iterator[Transition]:
    changes = {"changed": (old, new), "removed": (old, without), "added": (without, old)}
    for what, (before, after) in changes.items():
        yield Transition(kind, "spec", f"{name} is immutable", f"{name}-{what}", before, after)


def transitions() -> list[Transition]:
    """Every change that is refused: to change an immutable field, to remove it, and to add it later."""
    installation, account, by_id = "GitHubInstallation", {"account": "acme"}, {"installationId": 1}
    repository = {"repository": "acme/api"}
    return [
        *_immutable("GitHubUser", "userId", {"userId": "jane"}, {"userId": "joe"}, {}),
        *_immutable(installation, "installationId", by_id, {"installationId": 2}, account),
        *_immutable(installation, "account", account, {"account": "other"}, by_id),
        *_immutable(installation, "repository", repository, {"repository": "acme/web"}, by_id),
    ]

"""Invalid Projects: what is wrong with source, token, deploy, expose and workload. See `cases.py`."""

from collections.abc import Iterator

from tests.cluster.kinds.case import Case, also, each
from tests.cluster.kinds.objects import FULL, REMOVE, SHA

# --- Project: source, token, deploy, expose ---

_NO_GIT_URL = [
    "ssh://git@git.example.com/acme/shop",
    "git@git.example.com:acme/shop",
    "https://word@git.example.com/acme/shop",
    "https://git.example.com",
    "https://git.example.com/acme/shop?ref=x",
    "https://git.example.com/acme/shöp",
    "https://git.example.com/../shop",
    "-oProxyCommand=x",
]
_NO_BRANCH_TEXT = ["a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a\tb", "a\x7fb"]
_NO_BRANCH_FORM = [
    "-a",
    "/a",
    ".a",
    "a/",
    "a.",
    "a.lock",
    "a..b",
    "a//b",
    "a@{b",
    "a/.b",
    "a.lock/b",
    "@",
    "refs/heads/a",
]
_NO_RELATIVE = ["/etc", "../a", "a/../b", "a/..", "..", "a\\b", "a\nb"]


def _source() -> Iterator[Case]:
    source, kind = "spec.source", "Project"
    yield from also(kind, source, "at most one of github and git", {f"{source}.git": {"url": "https://a.example/b"}})
    yield from also(
        kind,
        source,
        "github or git is required with any of branch",
        *({source: {name: value}} for name, value in FULL[kind][0]["spec"]["source"].items() if name != "github"),
    )
    yield from each(
        kind,
        "must be a host",
        ["GitHub.com", "https://github.com", "github.com/", "a:99999999"],
        f"{source}.github.host",
    )
    yield from each(kind, "must be https://HOST[:PORT]/PATH", _NO_GIT_URL, f"{source}.git.url")
    yield from each(kind, "no space, no control character", _NO_BRANCH_TEXT, f"{source}.branch")
    yield from each(kind, "short name as git allows it", _NO_BRANCH_FORM, f"{source}.branch")
    yield from each(kind, "must be a path inside the repository", _NO_RELATIVE, f"{source}.path")
    yield from each(kind, "must be a glob of paths", _NO_RELATIVE, f"{source}.include[0]", f"{source}.exclude[0]")
    yield from each(kind, "must have at most 50 items", [[f"f{n}" for n in range(51)]], f"{source}.include")
    no_revision = ["main", SHA[:39], SHA.upper(), SHA + "0"]
    yield from each(kind, "must be a whole commit id", no_revision, f"{source}.revision")


def _token_deploy_expose() -> Iterator[Case]:
    kind = "Project"
    yield from each(
        kind, '"project", "global", "none"', ["Project", "user"], "spec.token.source", "status.token.source"
    )
    yield from also(kind, "spec.token", "secretRef is required with source project", {"spec.token.secretRef": REMOVE})
    yield from also(
        kind,
        "spec.token",
        "secretRef is refused with source global and source none",
        {"spec.token.source": "global"},
        {"spec.token.source": "none"},
    )
    yield from each(kind, "a whole number with a unit", ["3", "3h", "1m3s", "-1s", "1.5s"], "spec.deploy.debounce")
    yield from each(kind, "must be at most 10m", ["11m", "601s", "600001ms"], "spec.deploy.debounce")
    yield from also(kind, "spec.deploy.skipTokens[1]", "Duplicate value", {"spec.deploy.skipTokens": ["x", "x"]})
    yield from each(kind, "must be of type boolean", ["yes"], "spec.deploy.auto", "spec.suspend")
    no_host = ["shop", "Shop.example.com", "shop.example.com.", "*.example.com", "https://a.b", "a..b"]
    yield from each(kind, "must be a full DNS name", no_host, "spec.expose.host")
    yield from also(kind, "spec.expose.annotations", "names of annotations", {"spec.expose.annotations": {"a b": "c"}})
    yield from also(
        kind,
        "spec.expose",
        "host is required with any of className",
        *({"spec.expose": {name: value}} for name, value in FULL[kind][0]["spec"]["expose"].items() if name != "host"),
    )
    yield from also(
        kind, "spec", "expose needs at least one port", {"spec.workload.ports": []}, {"spec.workload.ports": REMOVE}
    )
    yield from also(
        kind,
        "spec",
        "workload.env must not set workload.tokenEnv",
        {"spec.workload.env[0].name": "GH_TOKEN"},
        {"spec.workload.env[0].name": "GITHUB_TOKEN", "spec.workload.tokenEnv": REMOVE},
        {"spec.workload.env[0].name": "GITHUB_TOKEN", "spec.workload.tokenEnv": REMOVE, "spec.token": REMOVE},
    )
    triggers = '"Create", "Spec", "Push", "Poll", "Token", "Manual", "Rollback"'
    yield from each(kind, triggers, ["push"], "status.revision.trigger", "status.history[0].trigger")


# --- Project: workload ---

_PROBES = [f"spec.workload.{name}" for name in ("startupProbe", "readinessProbe", "livenessProbe")]
_NO_PATH = ["workspace", "/a/../b", "/..", "/a:b", "/a\nb"]
_NO_QUANTITY = ["1 Gi", "-1", "1.2.3", "lots"]


def _workload() -> Iterator[Case]:
    at, kind = "spec.workload", "Project"
    yield from each(kind, "must be an image's name", ["", "a b", "-v", "https://a$b"], f"{at}.image")
    yield from each(kind, "Required value", [REMOVE], f"{at}.image", "spec.workload")
    yield from each(kind, "must be an absolute path, without", _NO_PATH, f"{at}.workingDir")
    yield from each(kind, "must be an absolute path below /", [*_NO_PATH, "/", "//", "/."], f"{at}.mountPath")
    yield from each(kind, "must be a C identifier", ["1A", "A-B", ""], f"{at}.tokenEnv")
    yield from each(kind, "must be the name of a variable", ["1A", "A=B", "A B", ""], f"{at}.env[0].name")
    yield from each(kind, "must be the start of a variable's name", ["1A", "A="], f"{at}.envFrom[0].prefix")
    yield from also(kind, f"{at}.env[1]", "value and valueFrom exclude each other", {f"{at}.env[1].value": "x"})
    yield from also(kind, f"{at}.env[1]", "Duplicate value", {f"{at}.env[1].name": "LOG_LEVEL"})
    yield from also(
        kind,
        f"{at}.env[1].valueFrom",
        "exactly one of secretKeyRef, configMapKeyRef",
        {f"{at}.env[1].valueFrom": {}},
        {f"{at}.env[1].valueFrom.fieldRef": {"fieldPath": "metadata.name"}},
    )
    no_field = ["name", "metadata", "spec.nodeName; x", "data.x"]
    yield from each(kind, "must be a field of the Pod", no_field, f"{at}.env[3].valueFrom.fieldRef.fieldPath")
    yield from also(
        kind,
        f"{at}.envFrom[0]",
        "exactly one of configMapRef and secretRef",
        {f"{at}.envFrom[0].secretRef": REMOVE},
        {f"{at}.envFrom[0].configMapRef": {"name": "b"}},
    )
    quantities = [f"{at}.resources.limits.memory", f"{at}.resources.requests.memory"]
    divisor = f"{at}.env[4].valueFrom.resourceFieldRef.divisor"
    yield from each(kind, "[KMGTPE]i|[numkMGTPE]", _NO_QUANTITY, *quantities, divisor)
    yield from each(kind, "greater than or equal to 0", [-1], *quantities, f"{at}.replicas")
    yield from each(kind, "greater than or equal to 1", [0, -5], f"{at}.runAsUser")


def _ports_and_probes() -> Iterator[Case]:
    at, kind = "spec.workload", "Project"
    yield from each(kind, "must be a port's name", ["HTTP", "a--b", "123", "-a", ""], f"{at}.ports[0].name")
    yield from each(kind, '"TCP", "UDP", "SCTP"', ["tcp"], f"{at}.ports[0].protocol")
    yield from each(kind, "less than or equal to 65535", [70000], f"{at}.ports[0].containerPort")
    yield from also(kind, at, "ports must have different names", {f"{at}.ports[1].name": "http"})
    yield from also(kind, f"{at}.ports[1]", "Duplicate value", {f"{at}.ports[1].protocol": "TCP"})
    for probe in _PROBES:
        yield from also(
            kind,
            probe,
            "exactly one of exec, httpGet, tcpSocket and grpc",
            {probe: {}},
            {f"{probe}.exec": {"command": ["a"]}, f"{probe}.grpc": {"port": 1}},
        )
        for action in ("httpGet", "tcpSocket"):
            yield from each(kind, "^[a-z0-9]([a-z0-9-]", ["HTTP", ""], f"{probe}.{action}.port")
            yield from each(kind, "less than or equal to 65535", [65536], f"{probe}.{action}.port")
        yield from each(kind, '"HTTP", "HTTPS"', ["https"], f"{probe}.httpGet.scheme")
        yield from each(kind, "name of an HTTP header", ["a b", "a:"], f"{probe}.httpGet.httpHeaders[0].name")
    for name in ("startupProbe", "livenessProbe"):
        yield from also(kind, at, f"{name}.successThreshold must be 1", {f"{at}.{name}.successThreshold": 2})


def _scheduling() -> Iterator[Case]:
    at, kind = "spec.workload.tolerations[0]", "Project"
    yield from each(kind, "must be a label's key", ["-team", "a/b/c"], f"{at}.key")
    yield from each(kind, '"Exists", "Equal"', ["equal"], f"{at}.operator")
    yield from each(kind, '"NoSchedule", "PreferNoSchedule", "NoExecute"', ["Evict"], f"{at}.effect")
    yield from also(kind, at, "key is required, unless operator is Exists", {f"{at}.key": REMOVE}, {at: {}})
    yield from also(kind, at, "value is refused with operator Exists", {f"{at}.operator": "Exists"})
    yield from also(
        kind,
        at,
        "tolerationSeconds needs effect NoExecute",
        {f"{at}.effect": "NoSchedule"},
        {f"{at}.effect": REMOVE},
    )


def project_cases() -> Iterator[Case]:
    """All of them."""
    for group in (_source, _token_deploy_expose, _workload, _ports_and_probes, _scheduling):
        yield from group()

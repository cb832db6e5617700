"""What each value of the chart changes in what Helm renders: that, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.chart.rendering import GONE, merged, nested

OPERATOR, GATEWAY, RELEASE = "Deployment/mooring-operator", "Deployment/mooring-gateway", "Job/mooring-release"
SERVICE, BOTH = "Service/mooring-gateway", "Deployment/mooring-*"
POD = "spec/template/spec"
# What stands at a path of every object that changes and matches a pattern.
Stands = Mapping[str, Any]
URL = {"gateway": {"url": "https://mooring.example.com"}}
PARENT = {"name": "public", "namespace": "gateways"}
PEER = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
AWAY: dict[str, Any] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
SPREAD = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
TOLERATION = {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}
BINDING = {"apiUrl": "https://api.github.com", "appId": 123456789, "accountId": 9919, "namespaces": ["a"]}
POLICY = {"policy": {"content": {"allowedHosts": ["ghes.example.com"]}}}
SIDECAR = {"gateway": {"mode": "Sidecar"}}
GATEWAY_NAME = "other-gateway"


@dataclass(frozen=True)
class Case:
    """A value, and what it changes."""

    leaf: str
    value: Any
    # By a pattern of objects. All that match change where something is said of them, else at least one; no other does.
    changes: Mapping[str, Stands]
    # What has to be set for it to mean anything.
    beside: Mapping[str, Any] = field(default_factory=dict)


def env(container: str, variable: str) -> str:
    return f"{POD}/containers/{container}/env/{variable}/value"


def every(path: str, value: Any) -> dict[str, Stands]:
    """All Pods alike."""
    return {pattern: {f"{POD}/{path}": value} for pattern in (BOTH, RELEASE)}


def scheduling(which: str, *objects: str) -> tuple[Case, ...]:
    """What the values of operator and gateway have in common."""
    same: dict[str, tuple[Any, str]] = {
        "nodeSelector": ({"disk": "fast"}, "nodeSelector"),
        "tolerations": ([TOLERATION], "tolerations"),
        "affinity": (AWAY, "affinity"),
        "priorityClassName": ("high", "priorityClassName"),
    }
    resources = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
    # The defaults of a map stay where nothing else is said.
    requests = {"memory": {"operator": "160Mi", "gateway": "96Mi"}[which], "cpu": "1"}
    shown = {"requests": requests, "limits": {"memory": "1Gi"}}
    labels = {"team": "platform", "app.kubernetes.io/component": "not this"}
    alone = objects[0]
    return (
        *(
            Case(f"{which}.{name}", value, {each: {f"{POD}/{path}": value} for each in objects})
            for name, (value, path) in same.items()
        ),
        Case(f"{which}.topologySpreadConstraints", [SPREAD], {alone: {f"{POD}/topologySpreadConstraints": [SPREAD]}}),
        Case(f"{which}.resources", resources, {each: {f"{POD}/containers/*/resources": shown} for each in objects}),
        Case(
            f"{which}.podLabels",
            labels,
            {
                alone: {
                    "spec/template/metadata/labels/team": "platform",
                    "spec/template/metadata/labels/app.kubernetes.io~1component": which,
                }
            },
        ),
        Case(f"{which}.podAnnotations", {"a/b": "c"}, {alone: {"spec/template/metadata/annotations": {"a/b": "c"}}}),
    )


IMAGE = (
    Case(
        "image.repository",
        "registry.example.com/m",
        {
            **every("containers/*/image", "registry.example.com/m:0.1.0"),
            OPERATOR: {env("operator", "MOORING_CHECKOUT_IMAGE"): "registry.example.com/m:0.1.0"},
        },
    ),
    Case("image.tag", "9", every("containers/*/image", "mooring:9")),
    Case(
        "image.digest",
        f"sha256:{'a' * 64}",
        every("containers/*/image", f"mooring@sha256:{'a' * 64}"),
        {"image": {"tag": "9"}},
    ),
    Case("image.pullPolicy", "Always", every("containers/*/imagePullPolicy", "Always")),
    Case("image.pullSecrets", [{"name": "pull"}], every("imagePullSecrets", [{"name": "pull"}])),
    Case("podSecurity.runAsUser", 1000, every("securityContext/runAsUser", 1000)),
)

RIGHTS = (
    Case(
        "watchNamespaces",
        ["red", "blue"],
        {
            **every("containers/*/env/MOORING_WATCH_NAMESPACES/value", "red,blue"),
            "ClusterRole/*": {"": GONE},
            "ClusterRoleBinding/*": {"": GONE},
            "Role/red/*": {"metadata/namespace": "red"},
            "RoleBinding/red/*": {"metadata/namespace": "red"},
            "Role/blue/*": {"metadata/namespace": "blue"},
            "RoleBinding/blue/*": {"metadata/namespace": "blue"},
        },
    ),
    Case(
        "serviceAccount.operatorName",
        "other",
        {
            OPERATOR: {f"{POD}/serviceAccountName": "other"},
            RELEASE: {f"{POD}/serviceAccountName": "other"},
            "ServiceAccount/*": {},
            "*Role/*": {},
            "*RoleBinding/*": {},
        },
    ),
    Case(
        "serviceAccount.gatewayName",
        GATEWAY_NAME,
        {
            OPERATOR: {
                f"{POD}/serviceAccountName": "mooring-operator",
                env("operator", "MOORING_GATEWAY_ACCOUNT"): GATEWAY_NAME,
            },
            "ServiceAccount/*": {},
            "ClusterRole/*": {},
            "ClusterRoleBinding/*": {},
            "Role/mooring-operator": {"rules/7/resourceNames": [GATEWAY_NAME]},
            "ValidatingAdmissionPolicy*/*": {},
        },
        SIDECAR,
    ),
    Case(
        "serviceAccount.gatewayName",
        GATEWAY_NAME,
        {
            GATEWAY: {f"{POD}/serviceAccountName": GATEWAY_NAME},
            "ServiceAccount/*": {},
            "ClusterRole/*": {},
            "ClusterRoleBinding/*": {},
            "Role/mooring-operator": {"rules/7/resourceNames": [GATEWAY_NAME]},
            "ValidatingAdmissionPolicy*/*": {},
        },
    ),
    Case("admissionPolicy.install", False, {"ValidatingAdmissionPolicy*/mooring-gateway": {"": GONE}}),
    Case("crds.install", False, {"CustomResourceDefinition/*.mooring.dev": {"": GONE}}),
)

CA = {"items": [{"key": "ca.crt", "path": "ca.crt"}]}
CA_FILE = {env("operator", "MOORING_GITHUB_CA_FILE"): "/etc/mooring/github/ca.crt"}
CA_MOUNT = {f"{POD}/containers/operator/volumeMounts/github-ca/mountPath": "/etc/mooring/github"}
CA_VOLUME = f"{POD}/volumes/github-ca"
EGRESS = "NetworkPolicy/mooring-operator"

GITHUB = (
    Case(
        "github.apiUrl",
        "https://ghes.example.com:8443/api/v3",
        {
            **every("containers/*/env/MOORING_GITHUB_API_URL/value", "https://ghes.example.com:8443/api/v3"),
            EGRESS: {"spec/egress/2/ports/*/port": [8443, 443]},
        },
    ),
    Case(
        "github.caConfigMap",
        "ca",
        {OPERATOR: {**CA_FILE, **CA_MOUNT, f"{CA_VOLUME}/configMap": {"name": "ca", **CA}}},
    ),
    Case(
        "github.caSecret",
        "ca",
        {OPERATOR: {**CA_FILE, **CA_MOUNT, f"{CA_VOLUME}/secret": {"secretName": "ca", **CA}}},
    ),
    Case(
        "github.caKey",
        "root.pem",
        {OPERATOR: {f"{CA_VOLUME}/configMap/items": [{"key": "root.pem", "path": "ca.crt"}]}},
        {"github": {"caConfigMap": "ca"}},
    ),
    Case(
        "github.caKey",
        "root.pem",
        {OPERATOR: {f"{CA_VOLUME}/secret/items": [{"key": "root.pem", "path": "ca.crt"}]}},
        {"github": {"caSecret": "ca"}},
    ),
    Case(
        "github.largeFileHosts",
        ["s3.example.com", "cdn.example.com:8443"],
        {OPERATOR: {env("operator", "MOORING_LARGE_FILE_HOSTS"): "s3.example.com,cdn.example.com:8443"}},
    ),
    Case(
        "github.appSecret",
        "app",
        {
            OPERATOR: {env("operator", "MOORING_GITHUB_APP_SECRET"): "app"},
            "Role/mooring-operator": {"rules/1/resourceNames": ["app"]},
        },
    ),
    Case(
        "masterKeys.secret",
        "keys",
        {
            OPERATOR: {
                env("operator", "MOORING_MASTER_KEY_DIR"): "/etc/mooring/master-keys",
                f"{POD}/containers/operator/volumeMounts/master-keys/mountPath": "/etc/mooring/master-keys",
                f"{POD}/volumes/master-keys/secret/secretName": "keys",
            }
        },
    ),
)


def policy(leaf: str, value: Any, text: str) -> Case:
    """A part of the policy."""
    return Case(f"policy.content.{leaf}", value, {"ConfigMap/mooring-policy": {"data/policy.yaml": text}})


POLICIES = (
    Case(
        "policy.configMap",
        "ours",
        {
            "ConfigMap/*": {},
            OPERATOR: {env("operator", "MOORING_POLICY_CONFIGMAP"): "ours"},
            "Role/mooring-operator": {"rules/0/resourceNames": ["ours"]},
        },
        POLICY,
    ),
    policy(
        "bindings",
        [BINDING],
        "bindings:\n- accountId: 9919\n  apiUrl: https://api.github.com\n  appId: 123456789\n  namespaces:\n  - a\n",
    ),
    policy("allowedHosts", ["h:8443"], "allowedHosts:\n- h:8443\n"),
    policy("ingress.hostSuffixes", [".a.b"], "ingress:\n  hostSuffixes:\n  - .a.b\n"),
    policy("ingress.classNames", ["nginx"], "ingress:\n  classNames:\n  - nginx\n"),
    policy("ingress.annotationKeys", ["a/*"], "ingress:\n  annotationKeys:\n  - a/*\n"),
    policy("rawPodTemplates", True, "rawPodTemplates: true\n"),
)

SETTINGS = (
    Case("settings.logLevel", "debug", every("containers/*/env/MOORING_LOG_LEVEL/value", "debug")),
    Case("settings.sweepInterval", "1h", {OPERATOR: {env("operator", "MOORING_SWEEP_INTERVAL"): "1h"}}),
    Case("settings.development", True, every("containers/*/env/MOORING_DEVELOPMENT/value", "true")),
    Case("operator.replicas", 3, {OPERATOR: {"spec/replicas": 3}}),
    *scheduling("operator", OPERATOR, RELEASE),
    *scheduling("gateway", GATEWAY),
)

CREDENTIAL = "/run/mooring/gateway"
ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
BESIDE = {
    f"{POD}/containers/gateway/args": ["gateway"],
    f"{POD}/containers/gateway/volumeMounts/gateway-credential/mountPath": ACCOUNT_DIR,
    f"{POD}/containers/gateway/volumeMounts/account": GONE,
    env("gateway", "MOORING_GATEWAY_TOKEN_DIR"): ACCOUNT_DIR,
    f"{POD}/containers/operator/volumeMounts/gateway-credential/mountPath": CREDENTIAL,
    env("operator", "MOORING_GATEWAY_TOKEN_DIR"): CREDENTIAL,
    f"{POD}/volumes/gateway-credential/emptyDir/medium": "Memory",
    f"{POD}/volumes/webhook/secret/optional": True,
}

WEBHOOKS = (
    Case(
        "gateway.mode",
        "Sidecar",
        {
            OPERATOR: BESIDE,
            GATEWAY: {"": GONE},
            "PodDisruptionBudget/mooring-gateway": {"": GONE},
            "NetworkPolicy/mooring-gateway": {"": GONE},
            SERVICE: {"spec/selector/app.kubernetes.io~1component": "operator"},
            EGRESS: {"spec/ingress/0/ports/*/port": [8081, 8082], "spec/ingress/1/ports/*/port": 8080},
        },
    ),
    Case(
        "gateway.url",
        "https://mooring.example.com",
        {OPERATOR: {env("operator", "MOORING_PUBLIC_BASE_URL"): "https://mooring.example.com"}},
    ),
    Case("gateway.replicas", 4, {GATEWAY: {"spec/replicas": 4}}),
    Case(
        "gateway.port",
        8000,
        {SERVICE: {"spec/ports/http/port": 8000}, "HTTPRoute/*": {"spec/rules/0/backendRefs/0/port": 8000}},
        {**URL, "httpRoute": {"enabled": True, "parentRefs": [PARENT]}},
    ),
    Case("gateway.serviceType", "LoadBalancer", {SERVICE: {"spec/type": "LoadBalancer"}}),
    Case("gateway.serviceAnnotations", {"a/b": "c"}, {SERVICE: {"metadata/annotations": {"a/b": "c"}}}),
    Case(
        "gateway.trustedProxies",
        ["10.0.0.7", "192.168.0.0/16"],
        {GATEWAY: {env("gateway", "MOORING_TRUSTED_PROXIES"): "10.0.0.7,192.168.0.0/16"}},
    ),
)

INGRESS, ROUTE = "Ingress/mooring-gateway", "HTTPRoute/mooring-gateway"
PATHS = "spec/rules/0/http/paths"
WITH_INGRESS = {"gateway": {"url": "https://mooring.example.com:8443"}, "ingress": {"enabled": True}}
WITH_ROUTE = {**URL, "httpRoute": {"enabled": True, "parentRefs": [PARENT]}}
ROUTES = (
    Case(
        "ingress.enabled",
        True,
        {
            INGRESS: {
                "spec/rules/*/host": "mooring.example.com",
                f"{PATHS}/*/path": "/webhooks/github",
                f"{PATHS}/*/backend/service/port/name": "http",
            }
        },
        {"gateway": WITH_INGRESS["gateway"]},
    ),
    Case("ingress.className", "nginx", {INGRESS: {"spec/ingressClassName": "nginx"}}, WITH_INGRESS),
    Case("ingress.annotations", {"a/b": "c"}, {INGRESS: {"metadata/annotations": {"a/b": "c"}}}, WITH_INGRESS),
    Case(
        "ingress.tlsSecret",
        "tls",
        {INGRESS: {"spec/tls": [{"hosts": ["mooring.example.com"], "secretName": "tls"}]}},
        WITH_INGRESS,
    ),
    Case(
        "httpRoute.enabled",
        True,
        {
            ROUTE: {
                "spec/hostnames": ["mooring.example.com"],
                "spec/rules/*/matches": [{"path": {"type": "PathPrefix", "value": "/webhooks/github"}}],
                "spec/rules/*/backendRefs": [{"name": "mooring-gateway", "port": 80}],
            }
        },
        {**URL, "httpRoute": {"parentRefs": [PARENT]}},
    ),
    Case("httpRoute.parentRefs", [{"name": "other"}], {ROUTE: {"spec/parentRefs": [{"name": "other"}]}}, WITH_ROUTE),
    Case("httpRoute.annotations", {"a/b": "c"}, {ROUTE: {"metadata/annotations": {"a/b": "c"}}}, WITH_ROUTE),
)

POLICED = "NetworkPolicy/mooring-*"
NETWORK = (
    Case("networkPolicy.enabled", False, {POLICED: {"": GONE}}),
    Case("networkPolicy.webhooksFrom", [PEER], {"NetworkPolicy/mooring-gateway": {"spec/ingress/1/from": [PEER]}}),
    Case("networkPolicy.metricsFrom", [PEER], {POLICED: {"spec/ingress/0/from": [PEER]}}),
    Case("networkPolicy.apiServer", [PEER], {POLICED: {"spec/egress/1/to": [PEER]}}),
    Case("networkPolicy.apiServerPorts", [16443], {POLICED: {"spec/egress/1/ports/*/port": 16443}}),
    Case("networkPolicy.githubPorts", [8443], {EGRESS: {"spec/egress/2/ports/*/port": [443, 8443]}}),
    Case("podDisruptionBudget.enabled", False, {"PodDisruptionBudget/mooring-*": {"": GONE}}),
    Case("podDisruptionBudget.maxUnavailable", 2, {"PodDisruptionBudget/mooring-*": {"spec/maxUnavailable": 2}}),
)

RULES = "PrometheusRule/mooring"
MONITOR, BOARD = "ServiceMonitor/mooring", "ConfigMap/mooring-dashboard"
METRICS = (
    Case(
        "metrics.serviceMonitor.enabled",
        True,
        {
            MONITOR: {"spec/endpoints/*/port": ["metrics", "gateway-metrics"]},
            "Service/mooring-metrics": {"spec/ports/*/targetPort": ["metrics", "gateway-metrics"]},
        },
    ),
    Case(
        "metrics.serviceMonitor.labels",
        {"release": "prometheus"},
        {MONITOR: {"metadata/labels/release": "prometheus"}},
        {"metrics": {"serviceMonitor": {"enabled": True}}},
    ),
    Case(
        "metrics.serviceMonitor.interval",
        "5s",
        {MONITOR: {"spec/endpoints/*/interval": "5s"}},
        {"metrics": {"serviceMonitor": {"enabled": True}}},
    ),
    Case("metrics.alerts.enabled", True, {RULES: {"spec/groups/0/name": "mooring"}}),
    Case(
        "metrics.alerts.labels",
        {"release": "prometheus"},
        {RULES: {"metadata/labels/release": "prometheus"}},
        {"metrics": {"alerts": {"enabled": True}}},
    ),
    Case("metrics.dashboard.enabled", True, {BOARD: {"metadata/labels/grafana_dashboard": "1"}}),
    Case(
        "metrics.dashboard.labels",
        {"board": "yes"},
        {BOARD: {"metadata/labels/board": "yes"}},
        {"metrics": {"dashboard": {"enabled": True}}},
    ),
    Case("uninstall.release", False, {RELEASE: {"": GONE}}),
    Case("uninstall.removeKeys", True, {RELEASE: {f"{POD}/containers/release/args": ["release", "--keys"]}}),
)

CASES = (*IMAGE, *RIGHTS, *GITHUB, *POLICIES, *SETTINGS, *WEBHOOKS, *ROUTES, *NETWORK, *METRICS)
# Values whose case takes away what others need, or cannot stand beside another one.
OFF = {
    "admissionPolicy.install",
    "crds.install",
    "github.caSecret",
    "networkPolicy.enabled",
    "podDisruptionBudget.enabled",
    "uninstall.release",
}


def everything() -> dict[str, Any]:
    """Return values with everything switched on at once."""
    values: dict[str, Any] = {}
    for case in CASES:
        if case.leaf not in OFF:
            values = merged(values, merged(case.beside, nested(case.leaf, case.value)))
    return merged(values, {"github": {"caSecret": ""}, "gateway": {"mode": "Sidecar"}})

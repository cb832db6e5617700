"""The table: what the operator and the gateway may do in the cluster, with a reason for every verb.

A verb without a use has no place here, and a use without a verb is found by the tests, which run both under these very
Roles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mooring.domain.names import DELIVERIES_CONFIG_MAP, GATEWAY_ACCOUNT, GROUP, OPERATOR_LEASE, WEBHOOK_SECRET


@dataclass(frozen=True, slots=True)
class Grant:
    """Verbs on resources, each with what it is used for. With names, on those objects alone."""

    group: str
    resources: tuple[str, ...]
    verbs: Mapping[str, str]
    names: tuple[str, ...] = ()
    # What asks for these verbs where it is not the API server, for each request: so no request shows their use.
    checked_by: str = ""


def _child(what: str) -> dict[str, str]:
    return {
        "get": f"reads a Project's {what} before it plans a change",
        "list": "learns at its start what is there",
        "watch": "repairs at once what somebody changed (names and labels only)",
        "create": f"makes a Project's {what}; one that exists already is left alone",
        "patch": "applies a change to what it made",
        "delete": "removes what a Project no longer asks for",
    }


# In every namespace that the operator works in.
WATCHED = (
    Grant(
        GROUP,
        ("githubusers", "githubinstallations", "projects"),
        {
            "list": "learns at its start what people asked for",
            "watch": "follows what people ask for",
        },
    ),
    Grant(
        GROUP,
        ("githubusers", "githubinstallations", "projects"),
        {"get": "asks what became of an object whose status it could not write"},
    ),
    Grant(
        GROUP,
        ("githubinstallations",),
        {"patch": "holds an installation with live tokens until they are revoked (its finalizer, nothing else)"},
    ),
    Grant(
        GROUP,
        ("projects",),
        {"patch": "holds a Project whose repository has a webhook until that is removed (its finalizer, nothing else)"},
    ),
    Grant(
        GROUP,
        ("githubusers/status", "githubinstallations/status", "projects/status"),
        {"patch": "says what it found and did"},
    ),
    Grant(
        GROUP,
        ("githubusers/finalizers", "githubinstallations/finalizers", "projects/finalizers"),
        {"update": "owns children that block their owner's deletion, where the cluster checks that right"},
        checked_by="the admission plugin OwnerReferencesPermissionEnforcement",
    ),
    Grant(
        "",
        ("secrets",),
        {
            "get": "reads a token, or an App's key, from the Secret that an object names",
            "list": "learns at its start which Secrets are there (names and labels; all of those for Projects)",
            "watch": "follows a changed or removed token (names and labels; at its start all of those for Projects)",
            "create": "makes a Secret with a token; one that exists already is left alone",
            "patch": "replaces the token in a Secret that it made",
            "delete": "removes a token that is no longer to be used",
        },
    ),
    Grant("", ("configmaps",), {"get": "reads the certificates that a GitHubInstallation names"}),
    # No right to delete: a Deployment goes with its Project, by its owner reference.
    Grant("apps", ("deployments",), {verb: use for verb, use in _child("Deployment").items() if verb != "delete"}),
    Grant("", ("pods",), {"list": "says why the new pods of a rollout do not become available"}),
    Grant("", ("services",), _child("Service")),
    Grant("networking.k8s.io", ("ingresses",), _child("Ingress")),
    Grant(
        "",
        ("serviceaccounts",),
        {
            "get": "asks whether a named account lets Projects use it",
            "list": "learns at its start which accounts are there (names and labels only)",
            "watch": "asks again when an account changes (names and labels only)",
        },
    ),
    Grant("events.k8s.io", ("events",), {"create": "tells people of transitions"}),
)

# Only where the operator works in all namespaces: these rights do not exist in one.
CLUSTER = (
    Grant(
        "",
        ("namespaces",),
        {
            "list": "learns the labels that a grant selects namespaces by",
            "watch": "withdraws a grant when a namespace loses its label",
        },
    ),
)

# In the operator's own namespace.
_OWN = (
    Grant(
        "coordination.k8s.io",
        ("leases",),
        {
            "get": "learns who leads before it takes, renews or releases the Lease",
            "list": "learns at its start who leads",
            "watch": "sees at once that the Lease was released",
            "patch": "takes, renews and releases the Lease",
        },
        names=(OPERATOR_LEASE,),
    ),
    # Kubernetes cannot hold `create` to a name.
    Grant("coordination.k8s.io", ("leases",), {"create": "makes the Lease where there is none"}),
    Grant(
        "",
        ("secrets",),
        {
            "get": "reads the gateway's keys before it changes them",
            "list": "learns at its start whether the gateway has its keys (name and labels only)",
            "watch": "repairs the gateway's keys at once (name and labels only)",
            "patch": "gives the gateway the keys of the webhooks that there are",
        },
        names=(WEBHOOK_SECRET,),
    ),
    Grant("", ("secrets",), {"create": "makes the Secret with the gateway's keys where there is none"}),
    # An apply has the name in its address, also where it makes the object: so this `create` is held to it.
    Grant(
        "",
        ("configmaps",),
        {
            "get": "reads up to where failed deliveries were asked for again",
            "create": "makes the ConfigMap for that where there is none",
            "patch": "notes up to where failed deliveries were asked for again",
        },
        names=(DELIVERIES_CONFIG_MAP,),
    ),
)


def own(
    gateway: str = GATEWAY_ACCOUNT, policy: str = "mooring-policy", app: str = "mooring-github-app"
) -> tuple[Grant, ...]:
    """Return what the operator may do in its own namespace, where these have other names than the usual ones."""
    given = (
        Grant(
            "",
            ("configmaps",),
            {
                "get": "reads the administrator's policy",
                "list": "learns at its start whether there is a policy",
                "watch": "follows the policy",
            },
            names=(policy,),
        ),
        Grant(
            "",
            ("secrets",),
            {
                "get": "reads the operator's own App",
                "list": "learns at its start whether it has one (name and labels only)",
                "watch": "follows a rotated key (name and labels only)",
            },
            names=(app,),
        ),
    )
    # The name of an account stands in the address of such a request: so `create` can be held to it here.
    reason = "gets the gateway its short-lived token, so that its container holds no other"
    return (*given, *_OWN, Grant("", ("serviceaccounts/token",), {"create": reason}, names=(gateway,)))


# The gateway, in every namespace that the operator works in. It faces the internet: policy.py confines these further.
GATEWAY = (
    Grant(
        GROUP,
        ("projects", "githubinstallations"),
        {
            "get": "reads an object again that changed while it recorded a delivery",
            "list": "learns at its start whom a delivery may concern",
            "watch": "follows whom a delivery may concern",
        },
    ),
    Grant(
        GROUP,
        ("projects/status", "githubinstallations/status"),
        {"patch": "records a delivery: a Project's push and deliveries, an installation's hint, nothing else"},
    ),
)

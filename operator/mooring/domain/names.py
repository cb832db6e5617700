"""Names that others rely on: of children, labels, annotations and keys. The one place where they are spelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal, get_args

# What Mooring makes or reads beside its own kinds.
Kind = Literal["Secret", "ConfigMap", "Deployment", "Service", "Ingress", "ServiceAccount"]
OwnKind = Literal["GitHubUser", "GitHubInstallation", "Project"]
OWN_KINDS: tuple[OwnKind, ...] = get_args(OwnKind)
GROUP = "mooring.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "mooring"

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "mooring"
PROJECT_LABEL = "mooring.dev/project"
USER_LABEL = "mooring.dev/user"
ENVIRONMENT_LABEL = "mooring.dev/environment"
# The only environment today; names and labels already carry it so that more can come without a move.
DEFAULT_ENVIRONMENT = "default"

REVISION_ANNOTATION = "mooring.dev/revision"
DELIVERY_ANNOTATION = "mooring.dev/delivery"
TRIGGER_ANNOTATION = "mooring.dev/trigger"
TOKEN_CHECKSUM_ANNOTATION = "mooring.dev/token-checksum"  # noqa: S105 - an annotation's name
# Certificates that its checkout trusts, where no Secret has them.
AUTHORITIES_ANNOTATION = "mooring.dev/authorities"
# On a managed object: a digest of what was applied, so that a changed wish is told from a changed object.
APPLIED_ANNOTATION = "mooring.dev/applied"
# The generation of the Project that a Deployment was last rendered for, and a digest of its pod template without what
# comes from status.revision and the token: so that a wish that a person changed is told from all else.
GENERATION_ANNOTATION = "mooring.dev/applied-generation"
TEMPLATE_ANNOTATION = "mooring.dev/applied-template"
# Which version of the template a Deployment was rendered with; none means the first.
TEMPLATE_VERSION_ANNOTATION = "mooring.dev/template-version"
# On a Secret with an installation token: what was asked for, when it was issued and ends (by GitHub's clock), the ids
# of its repositories, and which token it is. They save requests and authorize nothing.
INSTALLATION_LABEL = "mooring.dev/installation"
REQUEST_ANNOTATION = "mooring.dev/token-request"
ISSUED_ANNOTATION = "mooring.dev/issued-at"
EXPIRES_ANNOTATION = "mooring.dev/expires-at"
REPOSITORIES_ANNOTATION = "mooring.dev/repository-ids"
FINGERPRINT_ANNOTATION = "mooring.dev/token-fingerprint"
# On a GitHubInstallation that may have live tokens: they are revoked before it goes.
TOKENS_FINALIZER = "mooring.dev/tokens"
# On a Project whose repository may have a hook of ours: the last one that needs it removes it before it goes.
HOOK_FINALIZER = "mooring.dev/hook"
# All that keeps an object from going, by its kind.
HOLDS: Mapping[OwnKind, str] = {"GitHubInstallation": TOKENS_FINALIZER, "Project": HOOK_FINALIZER}
ALLOW_PROJECTS_ANNOTATION = "mooring.dev/allow-projects"
REDEPLOY_ANNOTATION = "mooring.dev/redeploy"
RESTART_ANNOTATION = "mooring.dev/restart"

# What decides which process leads, in the operator's own namespace.
OPERATOR_LEASE = "mooring-operator"

# What the gateway is told, in the operator's own namespace; who it is, and how its writes are known.
WEBHOOK_SECRET = "mooring-webhook"  # noqa: S105 - an object's name
WEBHOOK_KEY = "webhooks.json"
# Up to where failed deliveries of Apps were asked for again, in the same place.
DELIVERIES_CONFIG_MAP = "mooring-deliveries"
GATEWAY_ACCOUNT = "mooring-gateway"
GATEWAY_MANAGER = "mooring-gateway"

# Keys in Secrets
GLOBAL_TOKEN_KEY = "github-token"  # noqa: S105 - a key's name
EFFECTIVE_TOKEN_KEY = "token"  # noqa: S105 - a key's name
AUTHORITIES_KEY = "ca.crt"
ORIGIN_KEY = "origin"

DEFAULT_USER = "default"
_CLONE_SECRET = re.compile(r"mooring-clone-([0-9a-f]{8})-[0-9]{1,4}")
# How GitHub wants an installation token to be given where a user name is needed.
TOKEN_USER = "x-access-token"  # noqa: S105 - a user's name


# What Kubernetes takes as the value of a label; the name of an object may have 253 characters.
_LABEL_MAX = 63
_LABEL_DIGEST = 8


def label_value(name: str) -> str:
    """Return an object's name as a label's value: itself, or its beginning and a digest where it is too long.

    For people and their selectors: a label never proves whose an object is.
    """
    if len(name) <= _LABEL_MAX:
        return name
    digest = sha256(name.encode()).hexdigest()[:_LABEL_DIGEST]
    return f"{name[: _LABEL_MAX - _LABEL_DIGEST - 1]}-{digest}"


def child(project: str, environment: str = DEFAULT_ENVIRONMENT) -> str:
    """Return the name of a Project's Deployment, Service and Ingress."""
    return f"{project}-{environment}"


def token_secret(project: str, environment: str = DEFAULT_ENVIRONMENT) -> str:
    """Return the name of the Secret with a Project's effective token."""
    return f"{project}-{environment}-token"


def global_secret(user_id: str) -> str:
    """Return the name of the Secret with a user's global token."""
    return f"user-{user_id}-global-secrets"


def clone_mark(installation_uid: str) -> str:
    """Return what the names of an installation's clone Secrets carry of its uid."""
    return installation_uid.replace("-", "")[:8]


def clone_secret(installation_uid: str, number: int) -> str:
    """Return the name of a Secret with the clone credential of a namespace's Projects for an installation."""
    return f"mooring-clone-{clone_mark(installation_uid)}-{number}"


def marked_in(secret: str) -> str | None:
    """Return the mark in the name of a clone Secret, None where it is none."""
    found = _CLONE_SECRET.fullmatch(secret)
    return found[1] if found else None

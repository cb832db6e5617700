"""Manifests as YAML; written by hand, because the reasons of the table stand in it as comments."""

import json
from collections.abc import Iterable, Mapping

from mooring.rbac.table import Grant

RBAC = "rbac.authorization.k8s.io"


def head(api_version: str, kind: str, metadata: Mapping[str, str]) -> str:
    """Return how a document begins."""
    lines = [f"apiVersion: {api_version}", f"kind: {kind}", "metadata:"]
    lines += [f"  {key}: {scalar(value)}" for key, value in metadata.items()]
    lines += ["  labels:", "    app.kubernetes.io/part-of: mooring"]
    return "\n".join(lines) + "\n"


def account(metadata: Mapping[str, str]) -> str:
    """Return a service account; no pod gets its token by itself."""
    return head("v1", "ServiceAccount", metadata) + "automountServiceAccountToken: false\n"


def role(kind: str, metadata: Mapping[str, str], grants: Iterable[Grant]) -> str:
    """Return a Role or a ClusterRole."""
    return head(f"{RBAC}/v1", kind, metadata) + "rules:\n" + "".join(map(_rule, grants))


def binding(kind: str, metadata: Mapping[str, str], name: str, subject: Mapping[str, str]) -> str:
    """Return what gives a Role or a ClusterRole of this name to an account."""
    lines = ["roleRef:", f"  apiGroup: {RBAC}", f"  kind: {kind}", f"  name: {scalar(name)}", "subjects:"]
    lines += ["  - kind: ServiceAccount", *(f"    {key}: {scalar(value)}" for key, value in subject.items())]
    return head(f"{RBAC}/v1", f"{kind}Binding", metadata) + "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """Return a text as it stands, but in quotes where it is a template's: it may come to look like a number."""
    return f'"{text}"' if "{{" in text else text


def sequence(values: Iterable[str]) -> str:
    """Return a list in one line."""
    return json.dumps(tuple(values))


def _rule(grant: Grant) -> str:
    lines = [f"  # {verb}: {reason}" for verb, reason in grant.verbs.items()]
    lines += [f"  # asked for by {grant.checked_by}"] if grant.checked_by else []
    lines += [f"  - apiGroups: {sequence((grant.group,))}", f"    resources: {sequence(grant.resources)}"]
    if grant.names:
        lines.append(f"    resourceNames: {sequence(grant.names)}")
    lines.append(f"    verbs: {sequence(grant.verbs)}")
    return "\n".join(lines) + "\n"

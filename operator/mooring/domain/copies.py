"""The copy of a user's global token under its well-known name: what it looks like, and what to do about it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from mooring.domain import names
from mooring.domain.ownership import is_owned
from mooring.domain.resources.github_user import GitHubUser
from mooring.domain.users import user_id


class CopyStep(Enum):
    """What to do about the copy."""

    KEEP = auto()
    CREATE = auto()
    APPLY = auto()
    DELETE = auto()
    # A Secret of that name that is not ours, where we want one.
    FOREIGN = auto()


def copy_manifest(user: GitHubUser, token: str) -> dict[str, Any]:
    """Return the Secret with the user's global token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.global_secret(user_id(user)),
            "namespace": user.metadata.namespace,
            "labels": {names.MANAGED_BY: names.MANAGER, names.USER_LABEL: names.label_value(user.metadata.name)},
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "GitHubUser",
                    "name": user.metadata.name,
                    "uid": user.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "type": "Opaque",
        "data": {names.GLOBAL_TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    }


def plan_copy(user: GitHubUser, live: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> CopyStep:
    """Compare what is with what should be. What is not ours is not touched; it matters only where it is in the way."""
    ours = live is not None and is_owned(live, str(user.metadata.uid))
    if wanted is None:
        return CopyStep.DELETE if ours else CopyStep.KEEP
    if live is None:
        return CopyStep.CREATE
    if not ours:
        return CopyStep.FOREIGN
    same = (
        live.get("data") == wanted["data"]
        and wanted["metadata"]["labels"].items() <= (live["metadata"].get("labels") or {}).items()
    )
    return CopyStep.KEEP if same else CopyStep.APPLY

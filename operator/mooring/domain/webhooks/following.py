"""Whom a delivery concerns: which pushes a Project follows, as far as the operator proved that it may (T9).

Status, labels and owner references authorize nothing: what counts is the signature over what was proven, and that it
still is about what the spec says now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mooring.domain import origins
from mooring.domain.webhooks.keys import Keys, Proven, hook_path_id, is_proven, via_hook, via_installation


class Followed(NamedTuple):
    """A ref of a repository, and what tells of pushes to it."""

    origin: str
    via: str
    repository_id: int
    ref: str


def origin_of_host(host: str | None, default_api: str) -> str:
    """Return the API of the GitHub that answers at a host; None means the operator's own."""
    own = origins.api_url(default_api)
    if host is None or str(origins.host_of(origins.web_url(own))) == host:
        return own
    return origins.api_url(origins.api_at(host))


def origin_of_installation(installation: Mapping[str, Any], default_api: str) -> str:
    """Return the API that a GitHubInstallation is at."""
    return origins.api_url((installation.get("spec") or {}).get("apiUrl") or default_api)


def app_secret_of(installation: Mapping[str, Any]) -> str:
    """Return the Secret of a GitHubInstallation's own App; empty for the operator's App."""
    return str(((installation.get("spec") or {}).get("appSecretRef") or {}).get("name") or "")


def installation_named(project: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return namespace and name of the GitHubInstallation that a Project refers to."""
    ref = (project.get("spec") or {}).get("installationRef")
    return (ref.get("namespace") or project["metadata"]["namespace"], ref["name"]) if ref else None


def proven_facts(
    project: Mapping[str, Any],
    installation: Mapping[str, Any] | None,
    keys: Keys,
    *,
    default_api: str,
    repository_id: int,
    branch: str,
) -> Proven | None:
    """Return what a proof for a Project is about; None where no webhook tells of its source.

    `installation` is the GitHubInstallation that it refers to, None where it refers to none.
    """
    metadata, github = project["metadata"], ((project.get("spec") or {}).get("source") or {}).get("github")
    if not github:
        return None
    try:
        if installation_named(project) is None:
            origin = origin_of_host(github.get("host"), default_api)
            path_id = hook_path_id(keys, origin=origin, repository_id=repository_id, namespace=metadata["namespace"])
            via = via_hook(path_id)
        elif installation is None:
            return None
        else:
            origin = origin_of_installation(installation, default_api)
            via = via_installation(installation["metadata"]["uid"], app_secret_of(installation))
    except origins.BadUrl:
        return None
    return Proven(metadata["uid"], origin, repository_id, branch, via)


def followed(
    project: Mapping[str, Any], installation: Mapping[str, Any] | None, keys: Keys, *, default_api: str
) -> Followed | None:
    """Return what a Project follows; None where nothing is proven of it, or something else than its spec says now."""
    source = (project.get("status") or {}).get("source") or {}
    repository_id, branch = source.get("repositoryId"), source.get("branch")
    if not isinstance(repository_id, int) or not isinstance(branch, str):
        return None
    if not _is_still_meant(project, repository_id, branch):
        return None
    facts = proven_facts(
        project, installation, keys, default_api=default_api, repository_id=repository_id, branch=branch
    )
    if facts is None or not is_proven(keys, facts, source.get("proof")):
        return None
    return Followed(facts.origin, facts.via, repository_id, f"refs/heads/{branch}")


def _is_still_meant(project: Mapping[str, Any], repository_id: int, branch: str) -> bool:
    """Tell whether the spec, as far as it says which branch and which repository, says what was proven."""
    wanted = (project.get("spec") or {}).get("source") or {}
    asserted = (wanted.get("github") or {}).get("repositoryId")
    return wanted.get("branch") in (None, branch) and asserted in (None, repository_id)

"""Small objects as the API server would give them, for tests that need a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mooring.domain.resources import Project
from mooring.domain.resources.github_user import GitHubUser

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"
PAT = "ghp_" + "a" * 36
OTHER_PAT = "ghp_" + "b" * 36
SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def raw(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an object of one of the three kinds."""
    described = {
        "name": name,
        "namespace": "team-a",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": "10",
        "creationTimestamp": CREATED,
        **metadata,
    }
    return {"apiVersion": "mooring.dev/v1alpha1", "kind": kind, "metadata": described, "spec": dict(spec)}


def raw_project(name: str = "shop", spec: Mapping[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Return a Project that runs an image, with more in its spec."""
    workload = {"image": "registry.example.com/shop:1", "ports": [{"containerPort": 8080}]}
    return raw("Project", name, {"workload": workload, **(spec or {})}, **metadata)


def raw_user(name: str = "default", spec: Mapping[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Return a GitHubUser."""
    return raw("GitHubUser", name, spec or {}, **metadata)


def project(name: str = "shop", spec: Mapping[str, Any] | None = None, **metadata: Any) -> Project:
    """Return a Project as the services see it."""
    return Project.model_validate(raw_project(name, spec, **metadata))


def user(name: str = "default", spec: Mapping[str, Any] | None = None, **metadata: Any) -> GitHubUser:
    """Return a GitHubUser as the services see it."""
    return GitHubUser.model_validate(raw_user(name, spec, **metadata))

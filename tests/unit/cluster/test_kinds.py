"""Paths of the API: each kind where the API server has it, and no name that leads elsewhere."""

from __future__ import annotations

from typing import get_args

import pytest

from mooring.cluster.kinds import RESOURCES
from mooring.domain.names import Kind, OwnKind


@pytest.mark.parametrize("kind", [*get_args(Kind), *get_args(OwnKind), "ConfigMap", "Namespace", "Event"])
def test_every_kind_has_its_place(kind: str) -> None:
    assert RESOURCES[kind].kind == kind


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Secret", "/api/v1/namespaces/ns/secrets/n"),
        ("Deployment", "/apis/apps/v1/namespaces/ns/deployments/n"),
        ("Project", "/apis/mooring.dev/v1alpha1/namespaces/ns/projects/n"),
        ("Namespace", "/api/v1/namespaces/n"),
    ],
)
def test_paths(kind: str, path: str) -> None:
    assert RESOURCES[kind].path("ns", "n") == path


@pytest.mark.parametrize("name", ["../../nodes/x", "a/status", "a?watch=true", "a#b", "a%2fb"])
def test_no_name_leads_to_another_path(name: str) -> None:
    path = RESOURCES["Secret"].path(name, name)
    assert path.startswith("/api/v1/namespaces/")
    assert path.count("/") == 6
    assert not {"?", "#"} & set(path)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a Secret"):
        RESOURCES["Secret"].path("ns", name)

"""An installation, its outputs, and their Secrets as the operator writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mooring.domain.outputs import output_secret
from mooring.domain.resources.github_installation import GitHubInstallation, TokenOutput
from tests.unit.objects import NOW, raw

TOKEN = "ghs_" + "aB3_.-" * 10 + "x"
HOST = "github.example.com:8443"
REGISTRY = "containers.github.example.com"


def installation(name: str = "acme") -> GitHubInstallation:
    """Return an installation as the services see it."""
    return GitHubInstallation.model_validate(raw("GitHubInstallation", name, {"account": "acme"}, uid="uid-acme"))


def output(form: str, template: str | None = None) -> TokenOutput:
    """Return an output; a template gets a text where none is given."""
    text = template or ("$(token)" if form == "Template" else None)
    more = {} if text is None else {"template": text}
    return TokenOutput.model_validate({"secretName": "ci-token", "format": form, **more})


def written(
    wanted: TokenOutput,
    *,
    owner: GitHubInstallation | None = None,
    token: str = TOKEN,
    host: str = HOST,
    expires_at: datetime = NOW + timedelta(hours=1),
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the Secret of an output."""
    return output_secret(
        owner or installation(),
        wanted,
        token,
        host=host,
        registry=REGISTRY,
        expires_at=expires_at,
        annotations=annotations or {},
    )


def content(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return what a pod finds in the Secret."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}

"""The Secret of a Project: its effective token, the one place that its workload reads it from, and where it is good."""

import base64

from mooring.domain import names
from mooring.domain.manifests.metadata import Manifest, metadata
from mooring.domain.resources.project import Project


def token_secret(project: Project, token: str, authorities: str | None = None, origin: str | None = None) -> Manifest:
    """The Secret that holds this token, for the checkout its origin and whom to trust there, and nothing else.

    It stays mutable: an immutable one would have to be deleted for every rotation, with no token in between.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(project, names.token_secret(project.metadata.name)),
        "type": "Opaque",
        "immutable": False,
        "data": secret_data(token, authorities, origin),
    }


def secret_data(token: str, authorities: str | None, origin: str | None) -> dict[str, str]:
    """The data of a Secret that a source is fetched with."""
    texts = {names.EFFECTIVE_TOKEN_KEY: token, names.AUTHORITIES_KEY: authorities, names.ORIGIN_KEY: origin}
    return {key: base64.b64encode(text.encode()).decode("ascii") for key, text in texts.items() if text is not None}

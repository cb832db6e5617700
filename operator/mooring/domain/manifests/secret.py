"""The Secret with the effective token of a Project: the one place that its workload reads it from."""

import base64

from mooring.domain import names
from mooring.domain.manifests.metadata import Manifest, metadata
from mooring.domain.resources.project import Project


def token_secret(project: Project, token: str) -> Manifest:
    """The Secret that holds this token and nothing else.

    It stays mutable: an immutable one would have to be deleted for every rotation, with no token in between.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(project, names.token_secret(project.metadata.name)),
        "type": "Opaque",
        "immutable": False,
        "data": {names.EFFECTIVE_TOKEN_KEY: base64.b64encode(token.encode()).decode("ascii")},
    }

"""A Project's children as plain manifests: pure functions from what was decided to what the API server is sent.

Nothing here decides which token, commit or account is right, nor reads or writes anything. What stands in a manifest is
owned by Mooring's field manager; what does not stand there is left to others.
"""

from mooring.domain.manifests.checkout import CheckoutSource
from mooring.domain.manifests.children import children
from mooring.domain.manifests.deployment import DeploymentInputs, TokenMount, deployment
from mooring.domain.manifests.ingress import ingress
from mooring.domain.manifests.metadata import digest
from mooring.domain.manifests.secret import token_secret
from mooring.domain.manifests.service import service

__all__ = [
    "CheckoutSource",
    "DeploymentInputs",
    "TokenMount",
    "children",
    "deployment",
    "digest",
    "ingress",
    "service",
    "token_secret",
]

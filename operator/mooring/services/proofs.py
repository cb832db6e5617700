"""The signature over what was proven of a Project's source: made here, and held against what the spec says now (T9)."""

from __future__ import annotations

from mooring.domain.webhooks.following import followed, installation_named, proven_facts
from mooring.domain.webhooks.keys import Pinned, is_pin_proven, prove, prove_pin
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.store import Key


def proof_of(platform: Platform, project: Object, *, repository_id: int, branch: str) -> str | None:
    """Return what stands in status.source.proof; None where no webhook tells of the source."""
    keys = platform.webhook_keys
    if keys is None:
        return None
    facts = proven_facts(
        project,
        _installation(platform, project),
        keys,
        default_api=platform.api_url,
        repository_id=repository_id,
        branch=branch,
    )
    return prove(keys, facts) if facts is not None else None


def is_proven(platform: Platform, project: Object) -> bool:
    """Tell whether a Project's status.source may be believed without asking GitHub again."""
    keys = platform.webhook_keys
    if keys is None or not ((project.get("spec") or {}).get("source") or {}).get("github"):
        return True
    return followed(project, _installation(platform, project), keys, default_api=platform.api_url) is not None


def pin_proof_of(platform: Platform, pinned: Pinned) -> str | None:
    """Return what stands in status.source.pinProof."""
    keys = platform.webhook_keys
    return prove_pin(keys, pinned) if keys is not None else None


def pins(platform: Platform, pinned: Pinned, proof: object) -> bool:
    """Tell whether a commit was found to be part of the branch.

    Without keys nobody can say: GitHub shows the commits of every fork under the repository's own name, so it is asked.
    """
    keys = platform.webhook_keys
    return keys is not None and is_pin_proven(keys, pinned, proof)


def _installation(platform: Platform, project: Object) -> Object | None:
    named = installation_named(project)
    return platform.store.get(Key("GitHubInstallation", *named)) if named is not None else None

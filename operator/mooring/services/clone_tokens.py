"""The token in a clone Secret, for whoever asks GitHub what it reaches: none is made for that."""

from __future__ import annotations

from mooring.domain import names
from mooring.domain.clones import is_ours
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import read_annotations
from mooring.domain.projects import token_of
from mooring.ports import Origin
from mooring.services.platform import Platform


async def token_in(platform: Platform, uid: str, namespace: str, name: str, origin: Origin) -> str | None:
    """Return the token that an installation's clone Secret holds; None where there is none, or not one of ours.

    Whoever may write Secrets there could put another one in its place: what Mooring put there carries its fingerprint.
    """
    if names.marked_in(name) != names.clone_mark(uid):
        return None
    live = await platform.secrets.get(namespace, name)
    store = platform.store
    projects = {obj["metadata"]["uid"] for key in store.keys_in("Project", namespace) if (obj := store.outline(key))}
    if live is None or not is_ours(live, projects):
        return None
    token, told = token_of(live), read_annotations(live["metadata"].get("annotations"))
    if token is None or told is None or told.fingerprint != fingerprint(uid, token):
        return None
    return token if told.expires_at > platform.github.time_at(origin) else None

"""Clone Secrets: which repository's credential is in which of them, what one looks like, and whose it is.

A namespace has as few as GitHub's limit for a token allows. A repository stays where it is: the pods of its Projects
have mounted that Secret, and a move would roll them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mooring.domain import names
from mooring.domain.manifests.secret import secret_data
from mooring.domain.scopes import MOST_REPOSITORIES

# Owner references of one Secret: those of a thousand Projects would outweigh what is in it, and be written anew with
# each Project that comes or goes. The garbage collector needs one that is left; the service removes what none needs.
MOST_OWNERS = 20
_PROJECT = "Project"


@dataclass(frozen=True, slots=True)
class ProjectOwner:
    """A Project that uses a clone Secret."""

    name: str
    uid: str
    created_at: datetime | None = None


def assign(
    before: Mapping[int, Iterable[int]], wanted: Iterable[int], limit: int = MOST_REPOSITORIES
) -> dict[int, tuple[int, ...]]:
    """Return the repositories of each numbered Secret, given those that were there and those that should be.

    Who has a place keeps it. Others come, in their order, into the first with room, and then into a new one with the
    lowest number that is free. What is empty is gone.
    """
    left = dict.fromkeys(wanted)
    places: dict[int, list[int]] = {}
    for number in sorted(before):
        staying = [repository for repository in dict.fromkeys(before[number]) if repository in left][:limit]
        if staying:
            places[number] = staying
        for repository in staying:
            del left[repository]
    open_places = [number for number in sorted(places) if len(places[number]) < limit]
    free, position = 0, 0
    for repository in left:
        while position < len(open_places) and len(places[open_places[position]]) >= limit:
            position += 1
        if position == len(open_places):
            while free in places:
                free += 1
            places[free] = []
            open_places.append(free)
        places[open_places[position]].append(repository)
    return {number: tuple(sorted(places[number])) for number in sorted(places)}


def clone_manifest(
    *,
    namespace: str,
    installation_name: str,
    installation_uid: str,
    number: int,
    token: str,
    authorities: str | None = None,
    origin: str,
    owners: Iterable[ProjectOwner],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Return the Secret with the clone credential of some Projects of a namespace. It goes when they are all gone."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.clone_secret(installation_uid, number),
            "namespace": namespace,
            "labels": {
                names.MANAGED_BY: names.MANAGER,
                names.INSTALLATION_LABEL: names.label_value(installation_name),
            },
            "annotations": dict(annotations),
            "ownerReferences": owner_references(owners),
        },
        "type": "Opaque",
        "data": secret_data(token, authorities, origin),
    }


def owner_references(owners: Iterable[ProjectOwner]) -> list[dict[str, Any]]:
    """Return the references to the oldest Projects; the first of them controls the Secret.

    An object has one controller. None of them has to wait for the Secret to go.
    """
    oldest = sorted(owners, key=lambda owner: (owner.created_at or datetime.max.replace(tzinfo=UTC), owner.uid))
    if not oldest:
        raise ValueError("a clone Secret without a Project would never go: delete it instead")
    return [
        {
            "apiVersion": names.API_VERSION,
            "kind": _PROJECT,
            "name": owner.name,
            "uid": owner.uid,
            "controller": position == 0,
            "blockOwnerDeletion": False,
        }
        for position, owner in enumerate(oldest[:MOST_OWNERS])
    ]


def is_ours(live: Mapping[str, Any], projects: Collection[str]) -> bool:
    """Tell whether a Secret belongs to Projects with these uids, and to nothing else's control.

    The Project that controls it may be gone a moment before the garbage collector or we ourselves give it to the next;
    in between it is controlled by one that nobody knows, or by none. So one reference to a Project that is there
    counts, as long as no other kind of object controls it.
    """
    references: Sequence[Mapping[str, Any]] = live["metadata"].get("ownerReferences") or ()
    return any(_is_project(it) and it.get("uid") in projects for it in references) and all(
        _is_project(it) for it in references if it.get("controller") is True
    )


def _is_project(reference: Mapping[str, Any]) -> bool:
    group, _, _ = str(reference.get("apiVersion", "")).partition("/")
    return group == names.GROUP and reference.get("kind") == _PROJECT

"""The Projects, as far as webhooks concern them: who follows which ref, and what was recorded last.

Fed by watches; a look-up costs no request, and takes the same time however many Projects there are. Of each Project
only what is needed is kept, as text: ten thousand with twenty deliveries each take less than 40 MiB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import orjson

from mooring.domain.status import merged
from mooring.domain.webhooks.following import Followed, followed, installation_named
from mooring.domain.webhooks.keys import Keys
from mooring.ports import Object
from mooring.services.packing import Packing
from mooring.services.receiving.installations import Installations
from mooring.services.receiving.places import Index, Place, is_newer, place_of

_RECORDED = ("push", "deliveries")
_PACKING = Packing(alone=True)


@dataclass(frozen=True, slots=True)
class Following:
    """A Project that the operator proved something of."""

    uid: str
    version: str
    # The GitHubInstallation that it refers to.
    installation: Place | None
    # What is looked at to tell what it follows, as JSON; and what was recorded of pushes, as JSON that was compressed:
    # twenty deliveries say nearly the same twenty times.
    evidence: str
    recorded: bytes
    # None where nothing is proven, or something else than its spec says now.
    followed: Followed | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """Return what was recorded: `push` and `deliveries` of its status."""
        return _status(self.recorded)


# Of a Project that many pushes come for it is looked at for each of them.
@lru_cache(64)
def _status(recorded: bytes) -> Mapping[str, Any]:
    return MappingProxyType(_PACKING.unpacked(recorded))


class Followers:
    """All Projects with a proof, found by what they follow. It has the GitHubInstallations that proofs name, too."""

    def __init__(self, default_api: str) -> None:
        self.installations = Installations(default_api)
        self._default_api = default_api
        self._keys: Keys | None = None
        self._projects: dict[Place, Following] = {}
        self._by_ref: Index[tuple[str, int, str]] = Index()
        self._by_repository: Index[tuple[str, int]] = Index()
        self._by_via: Index[str] = Index()
        self._by_installation: Index[Place] = Index()
        self._count = 0

    def __len__(self) -> int:
        """Count the Projects that follow something."""
        return self._count

    # --- what is looked up ---

    def get(self, place: Place) -> Following | None:
        """Return a Project with a proof, valid or not."""
        return self._projects.get(place)

    def of_ref(
        self, origin: str, repository_id: int, ref: str, vias: frozenset[str]
    ) -> Iterator[tuple[Place, Following]]:
        """Go through the Projects that follow a ref by one of these ways."""
        return self._within(self._by_ref.of((origin, repository_id, ref)), vias)

    def of_repository(self, origin: str, repository_id: int, vias: frozenset[str]) -> Iterator[tuple[Place, Following]]:
        """Go through the Projects that follow any ref of a repository by one of these ways."""
        return self._within(self._by_repository.of((origin, repository_id)), vias)

    def of_via(self, via: str) -> tuple[Place, Followed] | None:
        """Return one of the Projects that something brings pushes to."""
        for place in self._by_via.of(via):
            found = self._projects[place].followed
            if found is not None:
                return place, found
        return None

    def _within(self, places: Iterator[Place], vias: frozenset[str]) -> Iterator[tuple[Place, Following]]:
        for place in places:
            found = self._projects[place]
            if found.followed is not None and found.followed.via in vias:
                yield place, found

    # --- what is seen ---

    def put(self, obj: Object, *, listed: bool = False) -> None:
        """Take a Project as a watch tells of it.

        What a list says counts in any case: after a restore of etcd the versions are lower than those from before.
        """
        known = self._projects.get(place_of(obj))
        if known is None or listed or is_newer(obj["metadata"]["resourceVersion"], known.version):
            self._keep(obj)

    def written(self, place: Place, fields: Mapping[str, Any], *, onto: str, version: str) -> None:
        """Take what was written of a Project, onto a version of it: nothing else has changed with it.

        The answer to a write may come after the watch told of it, or of what was written later: then it says nothing.
        """
        known = self._projects.get(place)
        if known is not None and known.version == onto:
            recorded = _PACKING.packed(merged(known.status, fields))
            self._projects[place] = replace(known, version=version, recorded=recorded)

    def renew(self, place: Place, obj: Object) -> None:
        """Take what was read of a Project that is there still, after a conflict: what is known cannot be right.

        One that is not there any more stays away: the answer may be older than the news of its end.
        """
        known = self._projects.get(place)
        if known is not None and known.uid == obj["metadata"]["uid"]:
            self._keep(obj)

    def drop(self, place: Place, uid: str) -> None:
        """Forget a Project that is gone; one of the same name that came after it stays."""
        known = self._projects.get(place)
        if known is not None and known.uid == uid:
            self._forget(place, known)

    def put_installation(self, obj: Object, *, listed: bool = False) -> None:
        """Take a GitHubInstallation as a watch tells of it; what a list says counts in any case."""
        if self.installations.put(obj, listed=listed):
            self._look_again(place_of(obj))

    def renew_installation(self, obj: Object) -> None:
        """Take what was read of a GitHubInstallation that is there still, after a conflict."""
        if self.installations.renew(obj):
            self._look_again(place_of(obj))

    def drop_installation(self, place: Place, uid: str) -> None:
        """Forget a GitHubInstallation that is gone: what was proven by way of it is proven no more."""
        if self.installations.drop(place, uid):
            self._look_again(place)

    def use(self, keys: Keys) -> None:
        """Believe the proofs that these keys made, from now on.

        All at once, half a second for ten thousand: a delivery that came between would find but a part of them, and be
        ignored.
        """
        if keys == self._keys:
            return
        self._keys = keys
        self.installations.use(keys)
        for place in list(self._projects):
            self._index(place)

    def _look_again(self, installation: Place) -> None:
        for place in self._by_installation.of(installation):
            self._index(place)

    def _keep(self, obj: Object) -> None:
        place, known = place_of(obj), self._projects.get(place_of(obj))
        made = _read(obj)
        if known is not None and made is not None and known.evidence == made.evidence:
            # Most writes change nothing of what was proven; then nothing has to be computed either.
            self._projects[place] = replace(made, followed=known.followed)
            return
        if known is not None:
            self._forget(place, known)
        if made is not None:
            self._projects[place] = made
            if made.installation is not None:
                self._by_installation.add(made.installation, place)
            self._index(place)

    def _forget(self, place: Place, known: Following) -> None:
        self._unindex(place, known.followed)
        if known.installation is not None:
            self._by_installation.discard(known.installation, place)
        del self._projects[place]

    def _index(self, place: Place) -> None:
        """Look at a Project's proof, and have it found by what is proven."""
        known = self._projects[place]
        now = self._followed(known)
        if now == known.followed:
            return
        self._unindex(place, known.followed)
        self._projects[place] = replace(known, followed=now)
        if now is not None:
            self._count += 1
            self._by_ref.add((now.origin, now.repository_id, now.ref), place)
            self._by_repository.add((now.origin, now.repository_id), place)
            self._by_via.add(now.via, place)

    def _unindex(self, place: Place, before: Followed | None) -> None:
        if before is not None:
            self._count -= 1
            self._by_ref.discard((before.origin, before.repository_id, before.ref), place)
            self._by_repository.discard((before.origin, before.repository_id), place)
            self._by_via.discard(before.via, place)

    def _followed(self, known: Following) -> Followed | None:
        if self._keys is None:
            return None
        installation = self.installations.get(known.installation) if known.installation is not None else None
        found = followed(
            orjson.loads(known.evidence),
            installation.as_object if installation is not None else None,
            self._keys,
            default_api=self._default_api,
        )
        if found is None:
            return None
        # One copy of each text serves all Projects that have it.
        return found._replace(origin=sys.intern(found.origin), via=sys.intern(found.via), ref=sys.intern(found.ref))


def _read(obj: Object) -> Following | None:
    """Return what is kept of a Project; None where there is no proof that could be valid."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    source, proven = spec.get("source") or {}, status.get("source") or {}
    if not source.get("github") or not proven.get("proof"):
        return None
    evidence = {
        "metadata": {"namespace": metadata["namespace"], "uid": metadata["uid"]},
        "spec": {
            "source": {"github": source["github"], "branch": source.get("branch")},
            "installationRef": spec.get("installationRef"),
        },
        "status": {"source": {name: proven.get(name) for name in ("repositoryId", "branch", "proof")}},
    }
    named = installation_named(obj)
    return Following(
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        installation=Place(*named) if named is not None else None,
        evidence=_text(evidence),
        recorded=_PACKING.packed({name: status[name] for name in _RECORDED if name in status}),
    )


def _text(content: Mapping[str, Any]) -> str:
    return orjson.dumps(content).decode()

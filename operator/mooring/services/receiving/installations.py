"""The GitHubInstallations, as far as webhooks concern them: which App each is of, and at which address it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mooring.domain import origins
from mooring.domain.status import merged
from mooring.domain.webhooks.following import app_secret_of, origin_of_installation
from mooring.domain.webhooks.keys import Keys, app_path_id, via_installation
from mooring.ports import Object
from mooring.services.receiving.places import Index, Place, is_newer, place_of


class App(NamedTuple):
    """A GitHub App: the Secret that its key is in. Both are empty for the operator's own App."""

    origin: str
    namespace: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """A GitHubInstallation, without all that no webhook needs."""

    uid: str
    version: str
    api_url: str | None
    # Of an App of its own; empty for the operator's.
    app_secret: str
    # None where its URL is none: it is told of nothing.
    app: App | None
    installation_id: int | None
    hint: Mapping[str, Any] | None

    @property
    def via(self) -> str:
        """Return how proofs name it."""
        return via_installation(self.uid, self.app_secret)

    @property
    def found_by(self) -> tuple[str, App | None, int | None]:
        """Return all that it is looked up by."""
        return self.via, self.app, self.installation_id

    @property
    def proven_by(self) -> tuple[str, str | None]:
        """Return all of it that proofs are about."""
        return self.via, self.api_url

    @property
    def as_object(self) -> Object:
        """Return what a proof is looked at with."""
        app = {"name": self.app_secret} if self.app_secret else None
        return {"metadata": {"uid": self.uid}, "spec": {"apiUrl": self.api_url, "appSecretRef": app}}


class Installations:
    """All of them, found by what deliveries name."""

    def __init__(self, default_api: str) -> None:
        self._default_api = default_api
        self._keys: Keys | None = None
        self._installations: dict[Place, Installation] = {}
        self._of_app: Index[App] = Index()
        self._by_id: Index[int] = Index()
        self._by_via: dict[str, Place] = {}
        self._by_path: dict[str, Place] = {}
        # What an App's deliveries may speak of; put together when it is asked for.
        self._vias: dict[App, frozenset[str]] = {}

    def get(self, place: Place) -> Installation | None:
        """Return one of them."""
        return self._installations.get(place)

    def put(self, obj: Object, *, listed: bool = False) -> bool:
        """Take one as a watch tells of it; tell whether proofs that name it have to be looked at again."""
        known = self._installations.get(place_of(obj))
        if known is None or listed or is_newer(obj["metadata"]["resourceVersion"], known.version):
            return self._keep(obj)
        return False

    def written(self, place: Place, fields: Mapping[str, Any], *, onto: str, version: str) -> None:
        """Take what was written of one, onto a version of it; nothing where a watch has told of it by now."""
        known = self._installations.get(place)
        if known is not None and known.version == onto:
            hint = merged({"hint": known.hint}, fields).get("hint")
            self._installations[place] = replace(known, version=version, hint=hint)

    def renew(self, obj: Object) -> bool:
        """Take what was read of one that is there still, after a conflict; tell the same."""
        known = self._installations.get(place_of(obj))
        return known is not None and known.uid == obj["metadata"]["uid"] and self._keep(obj)

    def drop(self, place: Place, uid: str) -> bool:
        """Forget one that is gone; one of the same name that came after it stays."""
        known = self._installations.get(place)
        if known is None or known.uid != uid:
            return False
        self._forget(place, known)
        return True

    def use(self, keys: Keys) -> None:
        """Find the addresses with these keys from now on."""
        self._keys = keys
        self._by_path = {}
        for place, installation in self._installations.items():
            self._address(place, installation)

    def at(self, path_id: str) -> App | None:
        """Return the App whose deliveries come to an address."""
        place = self._by_path.get(path_id)
        return self._installations[place].app if place is not None else None

    def vias(self, app: App) -> frozenset[str]:
        """Return what an App's deliveries may speak of."""
        found = self._vias.get(app)
        if found is None:
            found = frozenset(self._installations[place].via for place in self._of_app.of(app))
            self._vias[app] = found
        return found

    def with_id(self, installation_id: int, vias: frozenset[str]) -> Iterable[Place]:
        """Return those of a scope that have an id at GitHub."""
        return [place for place in self._by_id.of(installation_id) if self._installations[place].via in vias]

    def of_via(self, via: str) -> Place | None:
        """Return the one that a proof names."""
        return self._by_via.get(via)

    def _keep(self, obj: Object) -> bool:
        place, made = place_of(obj), _read(obj, self._default_api)
        known = self._installations.get(place)
        if known is not None and known.found_by == made.found_by:
            self._installations[place] = made
        else:
            if known is not None:
                self._forget(place, known)
            self._add(place, made)
        return known is None or known.proven_by != made.proven_by

    def _add(self, place: Place, made: Installation) -> None:
        self._installations[place] = made
        self._by_via[made.via] = place
        if made.installation_id is not None:
            self._by_id.add(made.installation_id, place)
        if made.app is not None:
            self._of_app.add(made.app, place)
            self._vias.pop(made.app, None)
        self._address(place, made)

    def _forget(self, place: Place, known: Installation) -> None:
        del self._installations[place]
        del self._by_via[known.via]
        if known.installation_id is not None:
            self._by_id.discard(known.installation_id, place)
        if known.app is not None:
            self._of_app.discard(known.app, place)
            self._vias.pop(known.app, None)
            if (path_id := self._path_id(place, known)) is not None:
                self._by_path.pop(path_id, None)

    def _address(self, place: Place, installation: Installation) -> None:
        if (path_id := self._path_id(place, installation)) is not None:
            self._by_path[path_id] = place

    def _path_id(self, place: Place, installation: Installation) -> str | None:
        """Return the address of one with an App of its own; that of the operator's App is no secret."""
        app = installation.app
        if self._keys is None or app is None or not app.secret:
            return None
        return app_path_id(self._keys, origin=app.origin, installation_uid=installation.uid, namespace=place.namespace)


def _read(obj: Object, default_api: str) -> Installation:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    secret = app_secret_of(obj)
    try:
        origin = origin_of_installation(obj, default_api)
    except origins.BadUrl:
        app = None
    else:
        app = App(origin, obj["metadata"]["namespace"], secret) if secret else App(origin)
    return Installation(
        uid=obj["metadata"]["uid"],
        version=obj["metadata"]["resourceVersion"],
        api_url=spec.get("apiUrl"),
        app_secret=secret,
        app=app,
        installation_id=status.get("installationId"),
        hint=status.get("hint"),
    )

"""From what a watch saw to the objects that have to look again. It decides nothing: a needless run does no harm.

Our own writes come back as events; those are known by their resource version and lead to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mooring.domain import names
from mooring.domain.names import OwnKind
from mooring.ports import Object
from mooring.services.platform import Platform
from mooring.services.store import Key, Reference, installation_reference, key_of


class Sighting(Protocol):
    """Metadata of an object beside our own kinds, as a watch tells of it."""

    @property
    def kind(self) -> str:
        """Return the kind."""
        ...

    @property
    def event(self) -> str:
        """Return ADDED, MODIFIED or DELETED."""
        ...

    @property
    def namespace(self) -> str:
        """Return the namespace, empty for what has none."""
        ...

    @property
    def name(self) -> str:
        """Return the name."""
        ...

    @property
    def resource_version(self) -> str:
        """Return the version that was seen."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels."""
        ...


class Intake:
    """Where all watches end."""

    def __init__(self, platform: Platform, ask: Callable[[Key], None]) -> None:
        self._platform = platform
        self._ask = ask

    def own_kind(self, event: str | None, obj: Object) -> None:
        """Take an event about one of the three kinds (None: from a list)."""
        key, store = key_of(obj), self._platform.store
        before = store.outline(key)
        if event == "DELETED":
            if not store.drop(key, uid=obj["metadata"].get("uid")):
                return
        elif not store.put(obj):
            return
        self._ask(key)
        if before is None or event == "DELETED" or before.get("spec") != obj.get("spec"):
            self._ask_around(key, before, obj)

    def known(self, kind: OwnKind, namespace: str | None) -> dict[str, Key]:
        """Return who is known of one of the three kinds, by uid; None: in all namespaces."""
        store = self._platform.store
        keys = store.keys_in(kind, namespace) if namespace is not None else [key for key in store if key.kind == kind]
        return {str(obj["metadata"]["uid"]): key for key in keys if (obj := store.outline(key)) is not None}

    def missing(self, key: Key, uid: str) -> None:
        """Take that an object is on no list any more: nobody told that it was deleted."""
        obj = self._platform.store.outline(key)
        if obj is not None and obj["metadata"]["uid"] == uid:
            self.own_kind("DELETED", obj)

    def _ask_around(self, key: Key, before: Object | None, now: Object) -> None:
        """Ask whoever is touched by an object that came, went or changed its spec."""
        store = self._platform.store
        if key.kind == "GitHubUser":
            self.ask_projects(key)
            for rival in store.users_in(key.namespace):
                self._ask(key_of(rival))
        if key.kind == "GitHubInstallation":
            self.ask_projects(key)
        if key.kind == "Project":
            for place in {installation_reference(obj) for obj in (before, now) if obj is not None} - {None}:
                self._ask_installation(place)
            for host in {_host(before), _host(now)} - {None}:
                for rival_key in store.referring_to("Host", "", str(host)):
                    self._ask(rival_key)

    def ask_projects(self, owner: Key) -> None:
        """Ask all Projects that refer to a GitHubUser or a GitHubInstallation."""
        for project in self._platform.store.projects_of(owner):
            self._ask(key_of(project))

    def _ask_installation(self, place: Reference | None) -> None:
        """Ask an installation to look at who uses it."""
        key = Key("GitHubInstallation", place.namespace, place.name) if place is not None else None
        if key is not None and key in self._platform.store:
            self._ask(key)

    def sighting(self, seen: Sighting) -> None:
        """Take an event about anything else."""
        if seen.kind == "Namespace":
            self._namespace(seen)
            return
        own = self._platform.own_writes.get((seen.kind, seen.namespace, seen.name)) == seen.resource_version
        if seen.kind == "Secret":
            self._platform.secrets.seen(seen.namespace, seen.name, is_there=seen.event != "DELETED")
            self._token_secret(seen, own=own)
            self._operators_app(seen)
        self._child(seen)
        for key in self._platform.store.referring_to(seen.kind, seen.namespace, seen.name):
            if key.kind == "GitHubInstallation" and own and seen.event != "DELETED":
                continue
            self._ask(key)
            if key.kind == "GitHubUser":
                self.ask_projects(key)

    def _token_secret(self, seen: Sighting, *, own: bool) -> None:
        """Remember where installation tokens lie, and have a clone credential that somebody touched looked at."""
        mark = names.marked_in(seen.name)
        label = (
            seen.labels.get(names.INSTALLATION_LABEL) if seen.labels.get(names.MANAGED_BY) == names.MANAGER else None
        )
        group = mark or (f"{seen.namespace}/{label}" if label else None)
        if group is None:
            return
        known, place = self._platform.token_secrets, (seen.namespace, seen.name)
        if seen.event == "DELETED":
            known[group].discard(place)
            if not known[group]:
                del known[group]
        else:
            known[group].add(place)
        installation = self._platform.store.installation_marked(mark) if mark is not None else None
        if installation is not None and (seen.event == "DELETED" or not own):
            self._ask(installation)

    def _operators_app(self, seen: Sighting) -> None:
        """Ask whoever may use the operator's own App, where that changed."""
        platform = self._platform
        if (seen.namespace, seen.name) != (platform.namespace, platform.app_secret):
            return
        for key in platform.store:
            if key.kind != "GitHubInstallation":
                continue
            obj = platform.store.get(key) or {}
            if not (obj.get("spec") or {}).get("appSecretRef"):
                self._ask(key)

    def _child(self, seen: Sighting) -> None:
        known, place = self._platform.seen_children, (seen.kind, seen.namespace, seen.name)
        by_label = seen.labels.get(names.PROJECT_LABEL) if seen.labels.get(names.MANAGED_BY) == names.MANAGER else None
        # A child whose labels were taken off or changed is still known by its place.
        by_name = _owner_by_name(seen) if place in known else None
        projects = sorted({project for project in (by_label, by_name) if project is not None})
        if not projects:
            return
        self._platform.recent.seen(place, seen.resource_version)
        if seen.event == "DELETED":
            known.discard(place)
            self._platform.recent.gone(place)
        else:
            known.add(place)
            if self._platform.own_writes.get(place) == seen.resource_version:
                return
        for project in projects:
            key = Key("Project", seen.namespace, project)
            if key in self._platform.store:
                self._ask(key)

    def _namespace(self, seen: Sighting) -> None:
        known = self._platform.namespaces
        if known is None:
            return
        if seen.event == "DELETED":
            known.pop(seen.name, None)
            return
        before, labels = known.get(seen.name), dict(seen.labels)
        known[seen.name] = labels
        # Also where it was not known: a Project in it may have been looked at before, as if it had no labels.
        if before != labels:
            for key in self._platform.store.keys_in("Project", seen.name):
                self._ask(key)
                project = self._platform.store.outline(key)
                self._ask_installation(installation_reference(project) if project is not None else None)


def _owner_by_name(seen: Sighting) -> str | None:
    suffix = f"-{names.DEFAULT_ENVIRONMENT}"
    base = seen.name.removesuffix("-token") if seen.kind == "Secret" else seen.name
    return base.removesuffix(suffix) if base.endswith(suffix) else None


def _host(obj: Object | None) -> str | None:
    host = (((obj or {}).get("spec") or {}).get("expose") or {}).get("host")
    return str(host) if host else None

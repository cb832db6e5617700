"""What the API server last said about the three kinds, and who refers to whom.

Fed by watch events and by the answers to our own writes; read without a request. An event older than what is known is
ignored, so that a service never decides on a status from before its own last write.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from mooring.domain import names
from mooring.domain.conditions import is_stalled
from mooring.domain.names import OwnKind
from mooring.domain.webhooks.events import REPOSITORY
from mooring.ports import Object
from mooring.services.packing import Packing

# What others than its own run ask of a Project's status.
OUTLINED = ("source", "revision")
# Uids of removed objects that are remembered; what is under way when an object goes arrives within seconds.
KEPT_GONE = 10_000


class Key(NamedTuple):
    """One object of the three kinds."""

    kind: OwnKind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Name the object as people do."""
        return f"{self.kind} {self.namespace}/{self.name}"


class Reference(NamedTuple):
    """Something that an object depends on: a GitHubUser, an installation, a Secret, a host, a service account."""

    kind: str
    namespace: str
    name: str


def key_of(obj: Object) -> Key:
    """Return the key of an object of the three kinds."""
    metadata = obj["metadata"]
    return Key(obj["kind"], metadata["namespace"], metadata["name"])


def user_reference(project: Object) -> Reference:
    """Return the GitHubUser that a Project refers to; without a word, the one named `default` beside it."""
    ref = (project.get("spec") or {}).get("userRef") or {}
    namespace = ref.get("namespace") or project["metadata"]["namespace"]
    return Reference("GitHubUser", namespace, ref.get("name") or names.DEFAULT_USER)


def installation_reference(project: Object) -> Reference | None:
    """Return the GitHubInstallation that a Project refers to, if any."""
    ref = (project.get("spec") or {}).get("installationRef")
    if not ref:
        return None
    return Reference("GitHubInstallation", ref.get("namespace") or project["metadata"]["namespace"], ref["name"])


def references(obj: Object) -> frozenset[Reference]:
    """Return all that an object depends on."""
    namespace, spec = obj["metadata"]["namespace"], obj.get("spec") or {}
    if obj["kind"] == "GitHubUser":
        user_id = spec.get("userId") or obj["metadata"]["name"]
        secrets = [spec.get("tokenSecretRef"), *(entry.get("secretRef") for entry in spec.get("tokens") or ())]
        found = {Reference("Secret", namespace, ref["name"]) for ref in secrets if ref}
        return frozenset(found | {Reference("Secret", namespace, names.global_secret(user_id))})
    if obj["kind"] == "GitHubInstallation":
        named = [spec.get("appSecretRef"), (spec.get("caBundle") or {}).get("secretRef")]
        outputs = [output["secretName"] for output in spec.get("outputs") or ()]
        return frozenset(Reference("Secret", namespace, name) for name in [*(r["name"] for r in named if r), *outputs])
    if obj["kind"] != "Project":
        return frozenset()
    found = {user_reference(obj)}
    if (installation := installation_reference(obj)) is not None:
        found.add(installation)
    if secret := (spec.get("token") or {}).get("secretRef"):
        found.add(Reference("Secret", namespace, secret["name"]))
    if host := (spec.get("expose") or {}).get("host"):
        found.add(Reference("Host", "", host))
    if account := (spec.get("workload") or {}).get("serviceAccountName"):
        found.add(Reference("ServiceAccount", namespace, account))
    return frozenset(found)


class Store:
    """The objects, and the index from what they refer to back to them."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        # The rest of their statuses, packed: a run alone needs it.
        self._rests: dict[Key, bytes] = {}
        self._packing = Packing()
        self._references: dict[Key, frozenset[Reference]] = {}
        self._referrers: defaultdict[Reference, set[Key]] = defaultdict(set)
        self._placed: defaultdict[tuple[OwnKind, str], set[Key]] = defaultdict(set)
        # Projects by the repository that a hook may tell them of.
        self._followers: defaultdict[tuple[str, int], set[Key]] = defaultdict(set)
        # Installations by the part of their uid that the names of their clone Secrets carry.
        self._marked: dict[str, Key] = {}
        # Those whose status says that a person must act.
        self._stalled: set[Key] = set()
        # Uids of objects that are gone: an answer or an event that comes late must not bring one back.
        self._gone: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def get(self, key: Key) -> Object | None:
        """Return an object as it was last seen, but for the deliveries of pushes. It is shared: do not change it."""
        obj, packed = self._objects.get(key), self._rests.get(key)
        if obj is None or packed is None:
            return obj
        return {**obj, "status": {**(obj.get("status") or {}), **self._packing.unpacked(packed)}}

    def outline(self, key: Key) -> Object | None:
        """Return an object with no more of a Project's status than its source and revision: that costs nothing."""
        return self._objects.get(key)

    def is_stalled(self, key: Key) -> bool:
        """Tell whether an object's status says that a person must act."""
        return key in self._stalled

    def __contains__(self, key: Key) -> bool:
        """Tell whether an object was seen."""
        return key in self._objects

    def put(self, obj: Object) -> bool:
        """Keep what was seen; tell whether it was news."""
        key = key_of(obj)
        known = self._objects.get(key)
        if obj["metadata"].get("uid") in self._gone or (known is not None and not _is_news(known, obj)):
            return False
        self._follow(key, known, obj)
        (self._stalled.add if is_stalled(obj) else self._stalled.discard)(key)
        outline, rest = _parted(obj)
        kept: Object = _shared(outline)
        self._objects[key] = kept
        if rest:
            self._rests[key] = self._packing.packed(rest)
        else:
            self._rests.pop(key, None)
        self._placed[key.kind, key.namespace].add(key)
        if key.kind == "GitHubInstallation":
            self._marked[names.clone_mark(obj["metadata"]["uid"])] = key
        if known is None or known.get("spec") != kept.get("spec"):
            self._index(key, references(kept))
        return True

    def drop(self, key: Key, *, uid: str | None = None) -> bool:
        """Forget an object that is gone; an object of the same name that came after it stays."""
        known = self._objects.get(key)
        if uid is not None:
            self._bury(uid)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return False
        del self._objects[key]
        self._rests.pop(key, None)
        self._stalled.discard(key)
        self._follow(key, known, None)
        if self._marked.get(mark := names.clone_mark(known["metadata"].get("uid", ""))) == key:
            del self._marked[mark]
        place = self._placed[key.kind, key.namespace]
        place.discard(key)
        if not place:
            del self._placed[key.kind, key.namespace]
        self._index(key, frozenset())
        return True

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > KEPT_GONE:
            self._gone.popitem(last=False)

    def referring_to(self, kind: str, namespace: str, name: str) -> list[Key]:
        """Return who depends on something, in a stable order."""
        return sorted(self._referrers.get(Reference(kind, namespace, name), ()))

    def is_gone(self, uid: str) -> bool:
        """Tell whether an object of this uid was there a while ago."""
        return uid in self._gone

    def installation_marked(self, mark: str) -> Key | None:
        """Return the installation whose clone Secrets carry this mark in their names."""
        return self._marked.get(mark)

    def users_in(self, namespace: str) -> list[Object]:
        """Return the GitHubUsers of a namespace, in a stable order."""
        return [self._objects[key] for key in self.keys_in("GitHubUser", namespace)]

    def count(self, kind: str) -> int:
        """Count the objects of one kind."""
        return sum(len(keys) for (placed, _), keys in self._placed.items() if placed == kind)

    def keys_in(self, kind: OwnKind, namespace: str) -> list[Key]:
        """Return the keys of one kind in a namespace, in a stable order."""
        return sorted(self._placed.get((kind, namespace), ()))

    def __iter__(self) -> Iterator[Key]:
        """Go through the keys of all objects, as they are now."""
        return iter(list(self._objects))

    def projects_of(self, owner: Key) -> list[Object]:
        """Return the outlines of the Projects that refer to a GitHubUser or a GitHubInstallation, in a stable order."""
        return [self._objects[key] for key in self.referring_to(*owner)]

    def followers_of(self, namespace: str, repository_id: int) -> list[Key]:
        """Return the Projects of a namespace whose status says that they follow a repository without an App."""
        return sorted(self._followers.get((namespace, repository_id), ()))

    def _follow(self, key: Key, before: Object | None, now: Object | None) -> None:
        old, new = _repository(before), _repository(now)
        if old == new:
            return
        if old is not None:
            self._followers[key.namespace, old].discard(key)
            if not self._followers[key.namespace, old]:
                del self._followers[key.namespace, old]
        if new is not None:
            self._followers[key.namespace, new].add(key)

    def _index(self, key: Key, wanted: frozenset[Reference]) -> None:
        before = self._references.get(key, frozenset())
        for gone in before - wanted:
            self._referrers[gone].discard(key)
            if not self._referrers[gone]:
                del self._referrers[gone]
        for new in wanted - before:
            self._referrers[new].add(key)
        if wanted:
            self._references[key] = wanted
        else:
            self._references.pop(key, None)


def _repository(obj: Object | None) -> int | None:
    """Return the repository whose hook may tell a Project of pushes."""
    if obj is None or obj["kind"] != "Project" or (obj.get("spec") or {}).get("installationRef"):
        return None
    found = ((obj.get("status") or {}).get("source") or {}).get("repositoryId")
    return found if isinstance(found, int) else None


def _parted(obj: Object) -> tuple[Object, dict[str, Any]]:
    """Part an object into what others ask of it, and the rest of a Project's status, which its own run needs.

    Of the last deliveries, which are for people, only those are needed that are about the repository itself.
    """
    outline = {**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name != "managedFields"}}
    status = obj.get("status")
    if obj["kind"] != "Project" or not status:
        return outline, {}
    rest = {name: value for name, value in status.items() if name not in OUTLINED and name != "deliveries"}
    if told := [entry for entry in status.get("deliveries") or () if entry.get("event") == REPOSITORY]:
        rest["deliveries"] = told
    return {**outline, "status": outlined(obj)}, rest


def outlined(obj: Object) -> dict[str, Any]:
    """Return what others than its own run ask of a Project's status."""
    status = obj.get("status") or {}
    return {name: status[name] for name in OUTLINED if name in status}


def _shared(value: Any) -> Any:
    """Copy what came as JSON, with one copy of each text for all objects: nearly all of their texts are the same.

    Ten thousand Projects take half of the memory that way. A text goes with the last object that has it.
    """
    if isinstance(value, dict):
        return {sys.intern(name): _shared(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shared(each) for each in value]
    return sys.intern(value) if type(value) is str else value


def _is_news(known: Object, seen: Object) -> bool:
    """Compare resource versions: the API server counts them up for all objects of a kind."""
    before, after = known["metadata"], seen["metadata"]
    old, new = before.get("resourceVersion", ""), after.get("resourceVersion", "")
    if old.isdigit() and new.isdigit():
        return int(new) > int(old)
    if before.get("uid") != after.get("uid"):
        return bool(_created(after) >= _created(before))
    return bool(new != old)


def _created(metadata: dict[str, Any]) -> str:
    return str(metadata.get("creationTimestamp") or "")

"""Children as they were last read or written, for as long as no watch shows a newer version of them.

It saves most reads: what a run wrote or read, the next run knows. Kept small: compressed, and bounded in number. If a
watch lags, a run decides on an object as it was a moment ago; the write is held to the object's uid, and the news
leads to another run.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from mooring.ports import Object
from mooring.services.packing import Packing

Place = tuple[str, str, str]

# Objects kept: two for each of ten thousand Projects.
KEPT_CHILDREN = 20_000
# Versions kept: of all four children of each.
SHOWN_CHILDREN = 40_000


class Recent:
    """Objects by kind, namespace and name, each good for one version."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Place, tuple[str, bytes]] = OrderedDict()
        # By kind. Deployments say nearly the same: each takes 200 bytes instead of 1,500.
        self._packings = defaultdict(Packing, Secret=Packing(alone=True))
        # The newest version that a watch showed of each: an answer may come after the news that makes it old.
        self._shown: OrderedDict[Place, str] = OrderedDict()

    def keep(self, obj: Object) -> None:
        """Keep what was read or written, unless a watch has shown a newer version by now."""
        metadata = obj["metadata"]
        place = (obj["kind"], metadata["namespace"], metadata["name"])
        if _is_older(metadata["resourceVersion"], self._shown.get(place)):
            self._kept.pop(place, None)
            return
        self._kept[place] = (metadata["resourceVersion"], self._packings[obj["kind"]].packed(obj))
        self._kept.move_to_end(place)
        while len(self._kept) > KEPT_CHILDREN:
            self._kept.popitem(last=False)

    def version(self, place: Place) -> str | None:
        """Return the version that is kept."""
        found = self._kept.get(place)
        return found[0] if found is not None else None

    def get(self, place: Place) -> Object | None:
        """Return an object, a copy of one's own."""
        found = self._kept.get(place)
        return self._packings[place[0]].unpacked(found[1]) if found is not None else None

    def weight(self) -> int:
        """Return the bytes that all of it takes, places and versions apart."""
        measures = sum(packing.weight() for packing in self._packings.values())
        return measures + sum(len(packed) for _, packed in self._kept.values())

    def seen(self, place: Place, version: str) -> None:
        """Take what a watch shows: another version than the kept one makes that useless, an older one does not."""
        if not _is_older(version, self._shown.get(place)):
            self._shown[place] = version
            self._shown.move_to_end(place)
            while len(self._shown) > SHOWN_CHILDREN:
                self._shown.popitem(last=False)
        kept = self.version(place)
        if kept is None or kept == version or _is_older(version, kept):
            return
        del self._kept[place]

    def gone(self, place: Place) -> None:
        """Forget an object."""
        self._kept.pop(place, None)


def _is_older(version: str, other: str | None) -> bool:
    return other is not None and version.isdigit() and other.isdigit() and int(version) < int(other)

"""What the caches of the gateway have in common: where an object is, which of two versions is newer, an index."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from mooring.ports import Object

K = TypeVar("K", bound=Hashable)


class Place(NamedTuple):
    """Where an object is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.namespace}/{self.name}"


def place_of(obj: Object) -> Place:
    """Return where an object is."""
    metadata = obj["metadata"]
    return Place(sys.intern(metadata["namespace"]), sys.intern(metadata["name"]))


def is_newer(version: str, than: str) -> bool:
    """Compare resource versions: the API server counts them up for all objects of a kind."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than


class Index(Generic[K]):
    """Places by what they are looked up by. What has no places takes no room."""

    def __init__(self) -> None:
        self._places: dict[K, set[Place]] = {}

    def __len__(self) -> int:
        """Count what may be looked up."""
        return len(self._places)

    def __contains__(self, key: K) -> bool:
        """Tell whether anything would be found."""
        return key in self._places

    def add(self, key: K, place: Place) -> None:
        """Have a place found."""
        self._places.setdefault(key, set()).add(place)

    def discard(self, key: K, place: Place) -> None:
        """Have it found no more."""
        places = self._places.get(key)
        if places is not None:
            places.discard(place)
            if not places:
                del self._places[key]

    def of(self, key: K) -> Iterator[Place]:
        """Go through the places, as they are now."""
        return iter(tuple(self._places.get(key, ())))

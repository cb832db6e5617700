"""Objects of people, read into their models once for each version: a thousand Projects ask for one and the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from pydantic import ValidationError

from mooring.domain.resources.common import Resource
from mooring.ports import Object

M = TypeVar("M", bound=Resource)

# Of one kind; whoever has more of them reads some of them again.
KEPT_MODELS = 1_024


class Parsed(Generic[M]):
    """The models of one kind. They are frozen, so all may share them."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._kept: OrderedDict[str, tuple[str, M | None]] = OrderedDict()

    def __call__(self, obj: Object) -> M | None:
        """Return what an object says; None where it is not well-formed."""
        uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
        known = self._kept.get(uid)
        if known is not None and known[0] == version:
            self._kept.move_to_end(uid)
            return known[1]
        try:
            found = self._model.model_validate(obj)
        except ValidationError:
            found = None
        self._kept[uid] = version, found
        self._kept.move_to_end(uid)
        while len(self._kept) > KEPT_MODELS:
            self._kept.popitem(last=False)
        return found

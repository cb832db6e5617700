"""What a case is: an invalid object, what is wrong with it, and what the refusal must say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.kinds.constraints import segments
from tests.cluster.kinds.objects import FULL, STATUS, Object, patched


@dataclass(frozen=True, slots=True)
class Case:
    """One invalid object."""

    kind: str
    at: str
    """The field that the answer must name."""
    wants: str
    """Part of what the answer must say."""
    patch: Mapping[str, Any] = field(hash=False)
    number: int = 0
    """Tells cases at the same place apart."""

    @property
    def name(self) -> str:
        """A name for reports."""
        return f"{self.kind}: {self.at or 'root'}: {self.wants}: {self.number}"

    @property
    def in_status(self) -> bool:
        """Whether the object must be written through the status subresource."""
        return self.at.startswith("status")

    def base(self) -> Object:
        """The valid object that the case spoils."""
        way = segments(self.at)[:-1]
        candidates = [{**full, "status": STATUS[self.kind]} for full in FULL[self.kind]]
        fitting = [each for each in candidates if _leads_somewhere(each, way)]
        return fitting[0]

    def invalid(self) -> Object:
        """The object, spoiled."""
        return patched(self.base(), dict(self.patch))


@dataclass(frozen=True, slots=True)
class Transition:
    """A change from one valid object to another that is refused."""

    kind: str
    at: str
    wants: str
    name: str
    before: Object = field(hash=False)
    """The whole spec before; `after` is the whole spec after."""
    after: Object = field(hash=False)


def _leads_somewhere(node: Any, way: list[str | int]) -> bool:
    for step in way:
        if isinstance(step, int):
            if not isinstance(node, list) or step >= len(node):
                return False
        elif not isinstance(node, dict) or step not in node:
            return False
        node = node[step]
    return True


def each(kind: str, wants: str, values: list[Any], *places: str) -> Iterator[Case]:
    for place in places:
        for number, value in enumerate(values):
            yield Case(kind, place, wants, {place: value}, number=number)


def also(kind: str, at: str, wants: str, *patches: Mapping[str, Any]) -> Iterator[Case]:
    for number, patch in enumerate(patches):
        yield Case(kind, at, wants, patch, number)

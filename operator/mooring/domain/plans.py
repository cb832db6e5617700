"""From what should be and what is to the steps between: pure, and the same whatever led here.

Order: what pods need comes before them, what they no longer may have goes after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from mooring.domain import names
from mooring.domain.drift import differences
from mooring.domain.names import Kind
from mooring.domain.ownership import is_owned

# The order of application; removal goes the other way round.
ORDER: tuple[Kind, ...] = ("Secret", "Deployment", "Service", "Ingress")


class Action(Enum):
    """What to do about one child."""

    CREATE = auto()
    # The wish changed.
    APPLY = auto()
    # The wish is the same, the object is not: somebody else changed it.
    REPAIR = auto()
    DELETE = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One write."""

    kind: Kind
    action: Action
    # What to write; for a removal, what was observed.
    manifest: Mapping[str, Any] = field(repr=False)
    live: Mapping[str, Any] | None = field(default=None, repr=False)
    # Where the object differs, for the log: paths only, never values.
    paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All writes, in order, and the children of that name that are somebody else's."""

    steps: tuple[Step, ...] = ()
    foreign: tuple[Kind, ...] = ()


def plan_children(
    wanted: Mapping[Kind, Mapping[str, Any]],
    live: Mapping[Kind, Mapping[str, Any] | None],
    *,
    uid: str,
    held: frozenset[Kind] = frozenset(),
) -> Plan:
    """Compare; `held` kinds are left as they are, because what they should be is not known now."""
    steps: list[Step] = []
    removals: list[Step] = []
    foreign: list[Kind] = []
    for kind in ORDER:
        found, wish = live.get(kind), wanted.get(kind)
        ours = found is not None and is_owned(found, uid)
        if kind in held or (wish is None and not ours):
            continue
        if found is not None and not ours:
            foreign.append(kind)
        elif wish is None:
            removals.insert(0, Step(kind, Action.DELETE, found or {}, found))
        elif found is None:
            steps.append(Step(kind, Action.CREATE, wish))
        elif (step := _compare(kind, wish, found)) is not None:
            steps.append(step)
    return Plan((*steps, *removals), tuple(foreign))


def _compare(kind: Kind, wish: Mapping[str, Any], found: Mapping[str, Any]) -> Step | None:
    applied = (found["metadata"].get("annotations") or {}).get(names.APPLIED_ANNOTATION)
    mark = (wish["metadata"].get("annotations") or {}).get(names.APPLIED_ANNOTATION)
    # A Secret's wish carries no mark: one that somebody put on the object says nothing.
    if mark is not None and applied != mark:
        return Step(kind, Action.APPLY, wish, found)
    paths = differences(wish, found)
    if not paths:
        return None
    return Step(kind, Action.REPAIR, wish, found, tuple(paths))

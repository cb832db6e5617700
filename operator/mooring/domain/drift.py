"""Whether a live object still has everything that a manifest asks for. What others added to it is theirs.

The comparison knows how the API server keeps what it was sent: which lists are merged by which keys, what is a
quantity, what is dropped because it is empty. It tells where the two differ, never with what values: some of those are
secrets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from itertools import islice
from typing import Any

Path = tuple[str, ...]

PATHS_MAX = 20
"""Enough to see what happened; one is enough to act."""
PATH_CHARACTERS_MAX = 200

_SCALAR_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "data"})
"""Maps whose keys are somebody's own words; an empty text in them is a value."""
_PRESENCE_COUNTS = frozenset({"emptyDir", "labelSelector", "namespaceSelector"})
"""Fields that mean something even when there is nothing in them."""
_WHOLE_MAPS = frozenset({"selector", "nodeSelector"})
"""Maps that belong to one writer as a whole: one more key in them selects something else."""
_ZERO_IS_ABSENT = frozenset({"initialDelaySeconds"})
"""Numbers that the API server drops when they are 0."""
_PORT_FIELDS = frozenset({"port", "targetPort"})
"""Numbers that may also be written as text."""

# Lists that Kubernetes merges item by item, with the fields that tell two items apart. All others are compared as a
# whole, in order.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
}
_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}


def differences(desired: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """The paths at which the live object lacks what the manifest asks for; none, where it has it all.

    A Secret's data must be the same as a whole: a key that somebody put beside ours is a difference, too.
    """
    described = {name: value for name, value in desired.items() if name not in {"apiVersion", "kind"}}
    found = _in_map(described, live, ())
    if desired.get("kind") == "Secret":
        found = _chain(found, _foreign_keys(desired, live))
    return [_text(path) for path in islice(found, PATHS_MAX)]


def _chain(*parts: Iterator[Path]) -> Iterator[Path]:
    for part in parts:
        yield from part


def _foreign_keys(desired: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[Path]:
    """The path of the data, and not of the key: somebody else chose its name."""
    if set(live.get("data") or {}) - set(desired.get("data") or {}):
        yield ("data",)


def _compare(desired: Any, live: Any, path: Path) -> Iterator[Path]:
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        yield from _in_map(desired, live, path)
        if path[-1] in _WHOLE_MAPS and set(live) - set(desired):
            yield path
    elif _is_list(desired) and _is_list(live):
        yield from _in_list(desired, live, path)
    elif not _same(desired, live, path):
        yield path


def _in_map(desired: Mapping[str, Any], live: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for name, value in desired.items():
        below = (*path, name)
        if live.get(name) is not None:
            yield from _compare(value, live[name], below)
        elif not _may_be_absent(value, below):
            yield below


def _may_be_absent(value: Any, path: Path) -> bool:
    """Whether the API server keeps nothing of such a value."""
    if value is None or value == _DEFAULTS.get(path[-1]):
        return True
    if path[-2:-1] and path[-2] in _SCALAR_MAPS:
        return False
    if isinstance(value, int):
        return value == 0 and path[-1] in _ZERO_IS_ABSENT
    return not value and path[-1] not in _PRESENCE_COUNTS


# --- lists ---


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _in_list(desired: Sequence[Any], live: Sequence[Any], path: Path) -> Iterator[Path]:
    keys = _keys_of(path, desired)
    if keys:
        yield from _by_key(desired, live, keys, path)
    elif len(desired) != len(live):
        yield path
    else:
        for position, (wanted, present) in enumerate(zip(desired, live, strict=True)):
            yield from _compare(wanted, present, (*path, str(position)))


def _keys_of(path: Path, items: Sequence[Any]) -> tuple[str, ...]:
    if path[-1] != "ports":
        return _KEYS.get(path[-1], ())
    of_a_container = any("containerPort" in item for item in items)
    return ("containerPort", "protocol") if of_a_container else ("port", "protocol")


def _by_key(desired: Sequence[Any], live: Sequence[Any], keys: tuple[str, ...], path: Path) -> Iterator[Path]:
    present = {_identity(item, keys): item for item in live}  # of two alike the last one counts, as in a container
    for item in desired:
        identity = _identity(item, keys)
        below = (*path[:-1], f"{path[-1]}[{'/'.join(identity)}]")
        if identity in present:
            yield from _compare(item, present[identity], below)
        else:
            yield below


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(item.get(key, _DEFAULTS.get(key, ""))) for key in keys)


# --- values ---

_MULTIPLIERS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")
_BINARY_MAX = Decimal(2**63 - 1)


_MILLI, _NANO = Decimal("1e-3"), Decimal("1e-9")


def _same(desired: Any, live: Any, path: Path) -> bool:
    precision = _precision(path)
    if precision is not None:
        return quantity(desired, precision) == quantity(live, precision)
    if path[-1] in _PORT_FIELDS:
        return str(desired) == str(live)
    return type(desired) is type(live) and bool(desired == live)


def _precision(path: Path) -> Decimal | None:
    """The step to which the API server rounds a quantity in this place; None where there is no quantity."""
    above, parent, name = ("", "", *path)[-3:]
    if above == "resources" and parent in {"requests", "limits"}:
        return _MILLI
    return _NANO if (parent, name) in {("resourceFieldRef", "divisor"), ("emptyDir", "sizeLimit")} else None


def quantity(value: Any, precision: Decimal = _NANO) -> Decimal | str:
    """A quantity as the number that Kubernetes makes of it; a text that is none, or a monster, stays what it is.

    Kubernetes rounds up, and cuts what has a binary unit at 2^63-1.
    """
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return str(value)
    digits, exponent, unit = match.groups()
    # No traps: what is too large to be told to the precision is no number, and no error either.
    with localcontext(Context(prec=100, traps=[])):
        amount = Decimal(digits + (exponent or "")) * _MULTIPLIERS[unit or ""]
        rounded = amount.quantize(precision, rounding=ROUND_CEILING)
    if not rounded.is_finite():
        return str(value)
    return min(rounded, _BINARY_MAX) if (unit or "").endswith("i") else rounded


# --- paths ---

_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\[.*\])?")


def _text(path: Path) -> str:
    """`spec.template.metadata.annotations[example.com/note]`."""
    parts = "".join(f".{part}" if _PLAIN.fullmatch(part) else f"[{part}]" for part in path)
    return parts.removeprefix(".")[:PATH_CHARACTERS_MAX]

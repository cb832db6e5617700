"""Whether a live object still has everything that a manifest asks for. What others added to it is theirs.

The comparison knows how the API server keeps what it was sent: which lists are merged by which keys, what is a
quantity, what is dropped because it is empty. It tells where the two differ, never with what values: some of those are
secrets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from typing import Any, NamedTuple

import orjson


class Path(NamedTuple):
    """A place in an object, told from its end: it is looked at everywhere, and written out where something differs."""

    name: str
    above: "Path | None" = None

    @property
    def parent(self) -> str:
        """The name of what it is in."""
        return self.above.name if self.above is not None else ""

    def names(self) -> Iterator[str]:
        """The names from the top."""
        if self.above is not None:
            yield from self.above.names()
            yield self.name


_TOP = Path("")


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
_NESTED = frozenset({dict, list})


def differences(desired: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """The paths at which the live object lacks what the manifest asks for; none, where it has it all.

    A Secret's data must be the same as a whole: a key that somebody put beside ours is a difference, too.
    """
    found: list[Path] = []
    described = {name: value for name, value in desired.items() if name not in {"apiVersion", "kind"}}
    _in_map(described, live, _TOP, found)
    if desired.get("kind") == "Secret" and set(live.get("data") or {}) - set(desired.get("data") or {}):
        # The path of the data, and not of the key: somebody else chose its name.
        found.append(Path("data", _TOP))
    return [_text(path) for path in found[:PATHS_MAX]]


def _compare(desired: Any, live: Any, path: Path, found: list[Path]) -> None:
    if isinstance(desired, dict) and isinstance(live, dict):
        _in_map(desired, live, path, found)
        if path.name in _WHOLE_MAPS and live.keys() - desired.keys():
            found.append(path)
    elif isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        _in_list(desired, live, path, found)
    elif not _same(desired, live, path):
        found.append(path)


def _in_map(desired: Mapping[str, Any], live: Mapping[str, Any], path: Path, found: list[Path]) -> None:
    for name, value in desired.items():
        present = live.get(name)
        if _is_alike(value, present):
            continue  # as nearly all of them are
        below = Path(name, path)
        if present is not None:
            _compare(value, present, below, found)
        elif not _may_be_absent(value, below):
            found.append(below)


def _is_alike(desired: Any, live: Any) -> bool:
    """Tell quickly of most values that they are the same. In Python a truth value equals a number, but not in JSON."""
    if type(desired) is not type(live) or desired != live:
        return False
    return type(desired) not in _NESTED or orjson.dumps(desired) == orjson.dumps(live)


def _may_be_absent(value: Any, path: Path) -> bool:
    """Whether the API server keeps nothing of such a value."""
    if value is None or value == _DEFAULTS.get(path.name):
        return True
    if path.parent in _SCALAR_MAPS:
        return False
    if isinstance(value, int):
        return value == 0 and path.name in _ZERO_IS_ABSENT
    return not value and path.name not in _PRESENCE_COUNTS


# --- lists ---


def _in_list(desired: Sequence[Any], live: Sequence[Any], path: Path, found: list[Path]) -> None:
    keys = _keys_of(path, desired)
    if keys:
        _by_key(desired, live, keys, path, found)
    elif len(desired) != len(live):
        found.append(path)
    else:
        for position, (wanted, present) in enumerate(zip(desired, live, strict=True)):
            _compare(wanted, present, Path(str(position), path), found)


def _keys_of(path: Path, items: Sequence[Any]) -> tuple[str, ...]:
    if path.name != "ports":
        return _KEYS.get(path.name, ())
    of_a_container = any("containerPort" in item for item in items)
    return ("containerPort", "protocol") if of_a_container else ("port", "protocol")


def _by_key(desired: Sequence[Any], live: Sequence[Any], keys: tuple[str, ...], path: Path, found: list[Path]) -> None:
    present = {_identity(item, keys): item for item in live}  # of two alike the last one counts, as in a container
    for item in desired:
        identity = _identity(item, keys)
        there = present.get(identity)
        if _is_alike(item, there):
            continue
        below = Path(f"{path.name}[{'/'.join(identity)}]", path.above)
        if there is not None:
            _compare(item, there, below, found)
        else:
            found.append(below)


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([str(item.get(key, _DEFAULTS.get(key, ""))) for key in keys])


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
    if type(desired) is str and desired == live:
        return True  # whatever it is a text of
    precision = _precision(path)
    if precision is not None:
        return quantity(desired, precision) == quantity(live, precision)
    if path.name in _PORT_FIELDS:
        return str(desired) == str(live)
    return type(desired) is type(live) and bool(desired == live)


def _precision(path: Path) -> Decimal | None:
    """The step to which the API server rounds a quantity in this place; None where there is no quantity."""
    parent = path.parent
    if parent in {"requests", "limits"}:
        above = path.above
        return _MILLI if above is not None and above.parent == "resources" else None
    return _NANO if (parent, path.name) in {("resourceFieldRef", "divisor"), ("emptyDir", "sizeLimit")} else None


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
    parts = "".join(f".{part}" if _PLAIN.fullmatch(part) else f"[{part}]" for part in path.names())
    return parts.removeprefix(".")[:PATH_CHARACTERS_MAX]

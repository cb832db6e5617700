"""Globs of paths: `*` stays inside a folder, `**` does not. A tenant writes them, so they can cost nobody any time.

Each is read once into a row of steps, and a path goes through all of them side by side, one bit for each step: no
pattern makes that longer, and nothing is ever tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

# Characters of paths, times globs, that are looked through: half a second of work. More are not told apart.
MOST_STEPS = 1_000_000


class _Row(NamedTuple):
    """The steps of a glob, as sets of bits: a bit is the place in front of a step."""

    # Where a character leads to the next step.
    letters: dict[str, int]
    # Where any character is taken without going on, and where any but a slash is.
    any_stays: int
    name_stays: int
    # Where the next step, or the one after it, may be taken at once.
    skips: int
    leaps: int
    end: int


def touches(paths: Iterable[str], include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether any path is included (no globs: all are) and not excluded.

    True where there are too many to tell: what may matter is not passed over.
    """
    listed = list(paths)
    globs = len(include) + len(exclude)
    if sum(len(path) for path in listed) * globs > MOST_STEPS:
        return True
    return any(_is_one_of(path, include or ("**",)) and not _is_one_of(path, exclude) for path in listed)


def matches(path: str, glob: str) -> bool:
    """Tell whether a glob names a path, as a whole."""
    row = _row(glob)
    places = _at_once(row, 1)
    for letter in path:
        stays = row.any_stays if letter == "/" else row.any_stays | row.name_stays
        places = _at_once(row, (places & stays) | ((places & row.letters.get(letter, 0)) << 1))
        if not places:
            return False
    return bool(places & row.end)


def _is_one_of(path: str, globs: Sequence[str]) -> bool:
    return any(matches(path, glob) for glob in globs)


def _at_once(row: _Row, places: int) -> int:
    """Add the places that are reached without a character."""
    while True:
        more = places | ((places & row.skips) << 1) | ((places & row.leaps) << 2)
        if more == places:
            return places
        places = more


@lru_cache(maxsize=1024)
def _row(glob: str) -> _Row:
    letters: dict[str, int] = {}
    any_stays = name_stays = skips = leaps = 0
    place = 1
    at = 0
    while at < len(glob):
        letter = glob[at]
        if letter != "*":
            letters[letter] = letters.get(letter, 0) | place
            place, at = place << 1, at + 1
            continue
        stars = len(glob[at:]) - len(glob[at:].lstrip("*"))
        begins = at == 0 or glob[at - 1] == "/"
        at += stars
        if stars > 1 and begins and glob[at : at + 1] == "/":
            # Any number of folders, none among them: "**/" again and again says no more.
            while glob.startswith("**/", at + 1):
                at += 3
            leaps |= place
            skips |= place
            any_stays |= place << 1
            letters["/"] = letters.get("/", 0) | place << 1
            place, at = place << 2, at + 1
            continue
        if stars > 1:
            any_stays |= place
        else:
            name_stays |= place
        skips |= place
        place <<= 1
    return _Row(letters, any_stays, name_stays, skips, leaps, place)

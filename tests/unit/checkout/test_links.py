"""Where links lead, held against what the file system makes of the same links."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mooring.checkout.links import MAX_HOPS, first_leading_out

NAMES = ("a", "b", "c")
PARTS = st.sampled_from([*NAMES, *NAMES, "..", "..", "."])
TARGETS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


def ignore() -> None:
    """Check nothing."""


def no_two_in_one_place(links: dict[str, str]) -> bool:
    """Tell whether no link is also a folder: a tree cannot have both."""
    return not any(other.startswith(f"{path}/") for path in links for other in links)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(PATHS, TARGETS, min_size=1, max_size=5).filter(no_two_in_one_place))
@example({"a/b": "..", "c/a": "../a/b/../.."})
@example({"a/a/a": "../..", "b": "a/a/a/../.."})
def test_no_link_that_leads_out_is_missed(links: dict[str, str]) -> None:
    """Whatever the kernel reaches through a link that is accepted lies inside; and none is refused without need."""
    accepted = first_leading_out(links, ignore) is None
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder).resolve()
        root = outer / "1" / "2" / "3" / "4" / "5" / "root"
        root.mkdir(parents=True)
        for path, target in links.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(target)
        for path in links:
            assert not accepted or _reached(root / path).is_relative_to(root)
        inside = not any(_passes_out(root, path) for path in links)
    assert accepted is inside


def _reached(path: Path) -> Path:
    """Return where the kernel comes to; where that is nowhere, the link itself."""
    try:
        return Path(os.path.realpath(path, strict=True))
    except OSError:
        return path


def _passes_out(root: Path, path: str) -> bool:
    """Tell whether a link leaves on its way, also through what may be made later, and though it may come back."""
    at, ahead, hops = (root / path).parent, [Path(path).name], 0
    while ahead and hops < 50:
        part = ahead.pop(0)
        if part == "..":
            at = at.parent
        elif part != ".":
            there = at / part
            if there.is_symlink():
                hops += 1
                ahead = [*os.readlink(there).split("/"), *ahead]  # noqa: PTH115 - a Path would forget a "."
            else:
                at = there
        if not at.is_relative_to(root):
            return True
    return False


def test_links_that_leave() -> None:
    for links in (
        {"x": "/"},
        {"x": "/workspace/a"},
        {"x": ".."},
        {"a/x": "../../b"},
        {"x": ".git"},
        {"x": "a/.GiT/b"},
        {"x": "y", "y": "z", "z": "../z"},
        {"d/x": "..", "d/e/y": "../x/.."},
    ):
        assert first_leading_out(links, ignore) is not None, links


def test_links_that_stay() -> None:
    for links in (
        {},
        {"x": ""},
        {"x": "x"},
        {"x": "y", "y": "x"},
        {"a/x": "../b"},
        {"a/x": ".."},
        {"x": "a//./b/"},
        {"x": ".gitignore"},
        {"x": "...", "y": "..a"},
    ):
        assert first_leading_out(links, ignore) is None, links


def test_circles_end_and_time_is_looked_at() -> None:
    """A few links can ask for endless work: each doubles the next."""
    links = {f"l{number}": f"l{number + 1}/../l{number + 1}" for number in range(60)} | {"l60": "a"}
    looked: list[None] = []
    assert first_leading_out(links, lambda: looked.append(None)) is None
    assert len(looked) == len(links)
    assert MAX_HOPS > 40

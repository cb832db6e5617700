"""Globs: what they name, and that no glob and no path make them slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.domain.globs import MOST_STEPS, matches, touches


@pytest.mark.parametrize(
    ("glob", "named", "others"),
    [
        ("Makefile", ["Makefile"], ["makefile", "a/Makefile", "Makefile2", ""]),
        ("*.md", ["a.md", ".md"], ["a/b.md", "a.mdx"]),
        ("src/*", ["src/a", "src/"], ["src/a/b", "src", "xsrc/a"]),
        ("src/**", ["src/a", "src/a/b/c", "src/"], ["src", "srcs/a", "a/src/b"]),
        ("**", ["a", "a/b", ""], []),
        ("**/*.md", ["a.md", "a/b.md", "a/b/c.md"], ["a.md/b"]),
        ("**/a", ["a", "b/a", "c/b/a"], ["ba", "b/ca", "a/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a/b/c"]),
        ("a/**/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb"]),
        ("**/**/a", ["a", "b/a"], ["ba"]),
        ("a**b", ["ab", "axb", "a/x/b"], ["a", "b"]),
        ("a/b**/c", ["a/b/c", "a/bx/c", "a/b/x/c"], ["a/c", "a/bc"]),
        ("a*b*c", ["abc", "axbxc"], ["a/bc", "ab/c"]),
        ("a***b", ["ab", "a/b"], ["a"]),
        # What other languages take for a word of theirs is a letter here.
        ("[ab]?.(x|y)$", ["[ab]?.(x|y)$"], ["a1.x"]),
    ],
)
def test_what_a_glob_names(glob: str, named: list[str], others: list[str]) -> None:
    assert [path for path in named if not matches(path, glob)] == []
    assert [path for path in others if matches(path, glob)] == []


def as_expression(glob: str) -> str:
    """Say the same as a regular expression, for globs that are short enough for it."""
    text = re.sub(r"(^|/)\*\*+/(?:\*\*+/)*", r"\1<folders>", glob)
    parts = re.split(r"(<folders>|\*+)", text)
    words = {"<folders>": "(?:.*/)?", "*": "[^/]*"}
    return "".join(words.get(part, ".*") if part[:1] == "*" or part in words else re.escape(part) for part in parts)


@given(glob=st.text("ab/*", min_size=1, max_size=7), path=st.text("ab/", max_size=7))
@settings(max_examples=2000)
def test_globs_say_what_they_would_as_expressions(glob: str, path: str) -> None:
    found = re.fullmatch(as_expression(glob), path, re.DOTALL)
    assert matches(path, glob) == (found is not None), as_expression(glob)


def test_a_malicious_glob_takes_a_step_for_each_character() -> None:
    """With going back, this would take longer than there is time."""
    glob = "*a" * 128
    assert not matches("a" * 4000 + "/b", glob)
    assert matches("a" * 4000, glob)
    assert not matches("a/" * 2000 + "c", "**/a/" * 50 + "b")


def test_included_and_not_excluded() -> None:
    assert touches({"a"}, (), ())
    assert touches({"docs/a", "src/b"}, ("src/**",), ())
    assert not touches({"docs/a"}, ("src/**",), ())
    assert not touches({"src/a.md"}, ("src/**",), ("**/*.md",))
    assert touches({"src/a.md", "src/a.py"}, ("src/**",), ("**/*.md",))
    assert not touches({"docs/a"}, (), ("docs/**",))
    assert touches({"docs/a", "b"}, (), ("docs/**",))
    assert not touches((), ("**",), ())


def test_too_much_to_look_through_counts_as_touched() -> None:
    paths = ["x" * 4096] * (MOST_STEPS // 4096 // 2 + 1)
    assert not touches(paths, ("a",), ())
    assert touches(paths, ("a", "b"), ())

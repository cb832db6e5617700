"""What is passed over: only what is known to be none of the Project's business."""

from __future__ import annotations

import pytest

from mooring.domain.comparisons import Comparison, Filter, why_skipped

DOCS = frozenset({"docs/a"})
SOURCES = Filter(include=("src/**",))


@pytest.mark.parametrize(
    "found",
    [
        None,
        Comparison("ahead", None, "m"),
        Comparison("ahead", DOCS | {"src/a"}, "m"),
        # What a forced push took back is not listed.
        Comparison("diverged", DOCS, "m"),
        Comparison("behind", frozenset(), None),
    ],
)
def test_what_may_matter_is_followed(found: Comparison | None) -> None:
    assert why_skipped(found, SOURCES) is None


def test_other_paths_are_passed_over() -> None:
    assert why_skipped(Comparison("ahead", DOCS, "m"), SOURCES) == "it changes no path that spec.source includes"
    assert why_skipped(Comparison("ahead", DOCS, "m"), Filter()) is None
    assert why_skipped(Comparison("ahead", DOCS, "m"), Filter(exclude=("docs/**",))) is not None


@pytest.mark.parametrize("token", ["[skip ci]", "[ci skip]", "[no ci]", "[skip deploy]"])
def test_words_in_the_head_s_message(token: str) -> None:
    found = Comparison("ahead", None, f"Fix a typo\n\n{token}")
    assert token in (why_skipped(found, Filter()) or "")
    assert why_skipped(found, Filter(skip_tokens=())) is None
    assert why_skipped(found, Filter(skip_tokens=("[later]",))) is None
    assert why_skipped(Comparison("diverged", None, token), Filter()) is not None


def test_with_nothing_to_skip_by_nothing_is_asked() -> None:
    assert Filter().asks
    assert Filter(exclude=("a",), skip_tokens=()).asks
    assert not Filter(skip_tokens=()).asks

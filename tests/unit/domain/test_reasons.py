"""Types and reasons: words that people and tools match on, each with a sentence for the reference."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

import mooring
from mooring.domain.reasons import ConditionType, Reason

SOURCES = [path for path in Path(str(mooring.__file__)).parent.rglob("*.py") if path.name != "reasons.py"]
# Kubernetes' own form of a condition's type and reason.
WORD = re.compile(r"[A-Z][A-Za-z0-9]{1,62}")


@pytest.mark.parametrize("word", [*ConditionType, *Reason], ids=lambda word: f"{type(word).__name__}.{word}")
def test_every_word_has_its_form_and_a_sentence(word: ConditionType | Reason) -> None:
    assert WORD.fullmatch(word.value)
    assert word.sentence[0].isupper() or word.sentence.startswith("spec.")
    assert word.sentence.endswith(".")
    assert "\n" not in word.sentence
    # The name in code is the same word.
    assert word.name.replace("_", "") == word.value.upper()


@pytest.mark.parametrize("kind", [ConditionType, Reason])
def test_no_two_words_say_the_same(kind: type[ConditionType | Reason]) -> None:
    members: list[StrEnum] = list(kind.__members__.values())
    assert len({member.value for member in members}) == len(members)
    assert len({member.sentence for member in kind}) == len(members)


def test_every_reason_is_given_by_something() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in text] == []

"""What GitHub itself took of a rollout: the answers to questions that were asked for that push alone."""

from __future__ import annotations

from typing import Any

import pytest

from bench.figures import Void
from bench.rollouts import Pushed, answers, minted
from tests.cluster.harness import People

MADE = {"path": "/api/v3/app/installations/77/access_tokens", "credential": "app-1", "minted": "installation-5"}
HEAD = {"path": "/api/v3/repositories/9/git/ref/heads/main", "credential": "installation-5", "seconds": 0.001}
CHANGES = {"path": "/api/v3/repositories/9/compare/a...b", "credential": "installation-5", "seconds": 0.014}


def _pushed() -> Pushed:
    nobody: Any = None  # nothing is asked of the API server
    return Pushed(People(nobody, "team-a"), "web", repository=9, installation=77)


def test_answers_to_the_own_installation_count() -> None:
    others = [{**HEAD, "credential": "installation-6"}, {**HEAD, "path": "/api/v3/repositories/8/git/ref/heads/main"}]

    assert minted([MADE, HEAD, {**MADE, "minted": None}]) == {"installation-5": 77}
    assert answers([_pushed()], [HEAD, CHANGES, *others], minted([MADE])) == [pytest.approx(0.015)]


def test_a_journal_in_which_nothing_was_asked_for_a_push_makes_it_void() -> None:
    with pytest.raises(Void, match="1 of 1 pushes"):
        answers([_pushed()], [HEAD, CHANGES], {})

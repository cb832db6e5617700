"""How many tokens stand how: each object once, and none that is gone."""

from __future__ import annotations

from mooring.services.store import Key
from mooring.services.token_states import TokenState, TokenStates

ONE, OTHER, USER = Key("Project", "a", "one"), Key("Project", "a", "other"), Key("GitHubUser", "a", "one")


def test_each_object_counts_once_as_it_was_told_last() -> None:
    states = TokenStates()
    for key in (ONE, OTHER, USER, ONE):
        states.tell(key, TokenState.USABLE)
    assert states.count("Project", TokenState.USABLE) == 2
    states.tell(ONE, TokenState.REFUSED)
    found = {state: states.count("Project", state) for state in TokenState}
    assert found == {**dict.fromkeys(TokenState, 0), TokenState.USABLE: 1, TokenState.REFUSED: 1}
    assert states.count("GitHubUser", TokenState.USABLE) == 1


def test_what_is_gone_counts_no_more() -> None:
    states = TokenStates()
    states.tell(ONE, TokenState.NONE)
    for _ in range(2):
        states.forget(ONE)
    assert states.count("Project", TokenState.NONE) == 0

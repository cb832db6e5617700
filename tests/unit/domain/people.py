"""People who push, and a GitHub that shows it late: what the model of pushes begins with."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from mooring.domain.webhooks.events import Push
from tests.unit.domain.pushing import LONGEST_LAG, REF, START, Delivery, Repository, Sweeper

NONE = "0" * 40
# How long somebody pauses: also shorter than a second, of which GitHub's times know nothing, and than any debounce.
PAUSES = st.sampled_from((0.1, 0.3, 1.0, 3.0, 16.0))
COUNTED: Counter[str] = Counter()


class People(RuleBasedStateMachine):
    """People and GitHub."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = START
        self.github = Repository()
        self.lagging_since: Any = None
        self.rewound = False
        self.there = True
        self.pushes: list[Delivery] = []
        # Not answered.
        self.outbox: list[Delivery] = []
        self.sweeper = Sweeper()

    def all_is_well(self) -> None:
        """What waits arrives, and is decided on in time."""
        raise NotImplementedError

    def _push(self, after: str, *, ref: str = REF) -> None:
        before = NONE if not self.there else self.github.head
        number = len(self.pushes) + 1
        push = Push(7, ref, after, before, self.now.replace(microsecond=0), "alice")
        self.pushes.append(Delivery(push, f"guid-{number}", number))
        self.outbox.append(self.pushes[-1])
        self.sweeper.pushed_at = push.pushed_at
        if ref == REF:
            self.there = after != NONE
            if self.there:
                self.github.heads.append(after)

    @rule(message=st.sampled_from(("change", "[skip ci]")), pause=PAUSES)
    def push(self, message: str, pause: float) -> None:
        """A commit on top; it brings a branch back that was deleted."""
        COUNTED["push" if self.there else "re-creation"] += 1
        self.pass_time(pause)
        self._push(self.github.commit(self.github.head, "src/a", message))

    @rule(back=st.integers(1, 3), pause=PAUSES)
    def push_by_force(self, back: int, pause: float) -> None:
        """A commit in place of others."""
        COUNTED["forced push"] += 1
        self.pass_time(pause)
        history = self.github.history(self.github.head)
        self._push(self.github.commit(history[min(back, len(history) - 1)], "src/a", "forced"))

    @precondition(lambda self: self._may_go_back())
    @rule(pause=PAUSES)
    def there_and_back(self, pause: float) -> None:
        """A, which is decided on, then B, and A again."""
        COUNTED["there and back"] += 1
        self.all_is_well()
        self.pass_time(pause)
        self._push(self.github.commit(self.github.head, "src/a", "there"))
        self.rewound = self.github.shown is not None
        self._push(self.github.history(self.github.head)[1])

    @precondition(lambda self: self._may_go_back())
    @rule(back=st.integers(1, 3), pause=PAUSES)
    def revert(self, back: int, pause: float) -> None:
        """The branch goes back to a commit that it had."""
        COUNTED["revert"] += 1
        self.pass_time(pause)
        history = self.github.history(self.github.head)
        self.rewound = self.github.shown is not None
        self._push(history[min(back, len(history) - 1)])

    def _may_go_back(self) -> bool:
        """Twice behind the back of a lag, or by way of a deletion, nobody could tell it from the branch as it was."""
        return self.there and not self.rewound and len(self.github.history(self.github.head)) > 1

    @precondition(lambda self: self.there)
    @rule()
    def delete(self) -> None:
        """The branch goes."""
        COUNTED["deletion"] += 1
        self._push(NONE)

    @rule()
    def push_elsewhere(self) -> None:
        """A commit on another branch."""
        COUNTED["push elsewhere"] += 1
        self._push(self.github.commit(self.github.head, "src/a", "elsewhere"), ref="refs/heads/other")

    # --- GitHub ---

    @rule()
    def lag(self) -> None:
        """From now on GitHub's API shows the branch as it is now."""
        if self.github.shown is None and self.there:
            COUNTED["lag"] += 1
            self.github.shown, self.lagging_since = self.github.head, self.now

    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        if self.lagging_since is not None and self.now - self.lagging_since >= LONGEST_LAG:
            self._catch_up()

    def _catch_up(self) -> None:
        self.github.shown, self.lagging_since, self.rewound = None, None, False

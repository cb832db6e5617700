"""Pushes of every sort, at any time, with everything that can go wrong in between: the end is always the same.

The model has a GitHub with a branch that people move, deliveries that come late, twice, in any order or never, a
replica that lags, a status with two writers, and an operator that sweeps, and may end between any two of its steps.
What is tested are the pure rules that the gateway and the operator go by, on nothing but what is stored.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.domain import redeploys
from mooring.domain.redeploys import State, Verdict, Wish
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.recording import Arrival, record
from tests.unit.domain.pushing import (
    BRANCH,
    FILTERS,
    LONGEST_LAG,
    REF,
    START,
    Patience,
    Repository,
    Sweeper,
    go_through,
    take,
)

DEBOUNCE = timedelta(seconds=3)
COUNTED: Counter[str] = Counter()


class Pushes(RuleBasedStateMachine):
    """People, GitHub, the gateway and the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.github = Repository()
        self.undelivered: list[Arrival] = []
        self.delivered: list[Arrival] = []
        self.wait: redeploys.Wait | None = None
        self.lagging_since: datetime | None = None
        self.rewound = False
        self.rollouts: list[str] = []
        self.patience = Patience(DEBOUNCE)
        self.sweeper = Sweeper()
        self.lost: list[Arrival] = []
        self.kind = "all"

    @initialize(kind=st.sampled_from(sorted(FILTERS)), auto=st.sampled_from((True, True, True, False)))
    def begin(self, kind: str, auto: bool) -> None:
        """A Project runs the first commit."""
        self.kind = kind
        self.wish = Wish(auto=auto, debounce=DEBOUNCE, filter=FILTERS[kind])
        first = self.github.commit(None, "src/a", "first")
        self.github.heads.append(first)
        self.version = 0
        self.status: dict[str, Any] = {"source": {"delivery": None}}
        self.state = State(first, first, first)

    # --- people ---

    def _push(self, after: str) -> None:
        before = self.github.head
        self.github.heads.append(after)
        number = len(self.github.heads)
        push = Push(7, REF, after, before, self.now.replace(microsecond=0), "alice")
        self.undelivered.append(Arrival(push, f"guid-{number}", self.now))
        self.sweeper.pushed_at = push.pushed_at

    @rule(path=st.sampled_from(("src/a", "docs/a")), message=st.sampled_from(("change", "[skip ci]")))
    def push(self, path: str, message: str) -> None:
        """A commit on top."""
        COUNTED["push"] += 1
        self._push(self.github.commit(self.github.head, path, message))

    @rule(back=st.integers(1, 3), path=st.sampled_from(("src/a", "docs/a")))
    def push_by_force(self, back: int, path: str) -> None:
        """A commit in place of others."""
        COUNTED["forced push"] += 1
        history = self.github.history(self.github.head)
        self._push(self.github.commit(history[min(back, len(history) - 1)], path, "forced"))

    @precondition(lambda self: not self.rewound and len(self.github.history(self.github.head)) > 1)
    @rule(back=st.integers(1, 3))
    def take_back(self, back: int) -> None:
        """The branch goes back to a commit that it had. Twice behind the back of a lag, nobody could tell."""
        COUNTED["reset"] += 1
        history = self.github.history(self.github.head)
        self.rewound = self.github.shown is not None
        self._push(history[min(back, len(history) - 1)])

    @precondition(lambda self: len(self.github.heads) > 1)
    @rule()
    def there_and_back(self) -> None:
        """A, B, A."""
        COUNTED["there and back"] += 1
        before = self.github.head
        self._push(self.github.commit(before, "src/b", "there"))
        if not self.rewound:
            self.rewound = self.github.shown is not None
            self._push(before)

    # --- the way to us ---

    @precondition(lambda self: self.undelivered)
    @rule(data=st.data(), together=st.integers(1, 3))
    def deliver(self, data: st.DataObject, together: int) -> None:
        """Deliveries come in any order, some in one write."""
        arrivals = [
            self.undelivered.pop(data.draw(st.integers(0, len(self.undelivered) - 1)))
            for _ in range(min(together, len(self.undelivered)))
        ]
        COUNTED["delivery"] += len(arrivals)
        self._record(arrivals)

    @precondition(lambda self: self.undelivered)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """One does not come."""
        COUNTED["loss"] += 1
        self.lost.append(self.undelivered.pop(data.draw(st.integers(0, len(self.undelivered) - 1))))

    @precondition(lambda self: self.lost)
    @rule()
    def find(self) -> None:
        """One that was given up comes after all."""
        COUNTED["late delivery"] += 1
        self._record([self.lost.pop(0)])

    @precondition(lambda self: self.delivered)
    @rule(data=st.data(), renamed=st.booleans())
    def replay(self, data: st.DataObject, renamed: bool) -> None:
        """One comes again, under its GUID or another."""
        COUNTED["replay"] += 1
        old = data.draw(st.sampled_from(self.delivered))
        guid = f"replay-{self.version}-{len(self.delivered)}" if renamed else old.delivery
        self._record([Arrival(old.push, guid, self.now)], again=True)

    def _record(self, arrivals: list[Arrival], *, again: bool = False) -> None:
        found = record(self.status, arrivals)
        if not again:
            self.delivered += arrivals
        if found.fields is not None:
            self.status = {**self.status, **found.fields}
            self.version += 1

    @rule()
    def lag(self) -> None:
        """From now on GitHub shows the branch as it is now."""
        if self.github.shown is None:
            COUNTED["lag"] += 1
            self.github.shown, self.lagging_since = self.github.head, self.now

    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        if self.lagging_since is not None and self.now - self.lagging_since >= LONGEST_LAG:
            self._catch_up()

    def _catch_up(self) -> None:
        self.github.shown, self.lagging_since, self.rewound = None, None, False

    # --- the operator ---

    @rule()
    def crash(self) -> None:
        """It ends, and another one begins."""
        COUNTED["crash"] += 1
        self.wait, self.patience = None, Patience(DEBOUNCE)
        self.sweeper.crash()

    @rule(seconds=st.sampled_from((0.0, 1.0, 61.0)), runs=st.booleans())
    def sweep(self, seconds: float, runs: bool) -> None:
        """The list is looked at, after a while."""
        self.pass_time(seconds)
        found = self.sweeper.sweep(self.state.head, self.github.shown or self.github.head, self.now)
        COUNTED["sweep that found a push" if found else "sweep"] += 1
        if runs:
            self._run(lambda: None)

    @rule(moves=st.lists(st.sampled_from(("push", "force", "reset")), min_size=1, max_size=3), seen=st.booleans())
    def move_behind_a_lag(self, moves: list[str], seen: bool) -> None:
        """GitHub shows none of some moves, and is asked for the branch; `seen`: what was there before is new, too."""
        COUNTED["moves behind a lag"] += 1
        if seen:
            self._push(self.github.commit(self.github.head, "src/c", "change"))
        self.lag()
        for move in moves:
            if move == "push":
                self.push("src/a", "change")
            elif move == "force":
                self.push_by_force(1, "src/a")
            elif not self.rewound:
                self.take_back(1)
        self.all_is_well()

    @rule(seconds=st.sampled_from((0.0, 1.0, 3.0, 3.0, 16.0)))
    def look(self, seconds: float) -> None:
        """One run, after a while."""
        COUNTED["run"] += 1
        self.pass_time(seconds)
        self._run(lambda: None)

    @rule()
    def all_is_well(self) -> None:
        """What was pushed arrives, and is decided on in time."""
        COUNTED["quiet run"] += 1
        while self.undelivered:
            self._record([self.undelivered.pop(0)])
        self.look(0.0)
        self.look(3.0)

    @rule(data=st.data())
    def look_and_be_interrupted(self, data: st.DataObject) -> None:
        """A run, and between its decision and its write another writer, or its end."""
        how = data.draw(st.sampled_from(("conflict", "crash")))

        def interrupt() -> None:
            COUNTED[how] += 1
            if how == "crash":
                self.crash()
                self.version += 1
            elif self.undelivered:
                self._record([self.undelivered.pop(0)])

        self._run(interrupt)

    def _run(self, in_between: Callable[[], None]) -> None:
        version, state = self.version, self.state
        stored = {**self.status, "source": {"delivery": state.delivery}}
        push = redeploys.unhandled(stored, BRANCH)
        self.patience.notice(push, self.now)
        look_again = self.sweeper.look_again(push, self.now)
        course = redeploys.course(state, self.wish, push, self.wait, look_again=look_again, now=self.now)
        reads: list[str] = []

        def read() -> str:
            reads.append(self.github.shown or self.github.head)
            return reads[-1]

        step = take(course, read, self.github)
        assert len(reads) <= 1
        assert not reads or look_again is not None or self.patience.is_over(self.now)
        self.wait = step.wait
        in_between()
        if step.verdict is not None and self.version == version:
            self._store(step.verdict)
            if reads:
                self.sweeper.was_read(self.now, decided=self.state != state)

    def _store(self, verdict: Verdict) -> None:
        if verdict.trigger is not None:
            assert verdict.state.deployed != self.state.deployed
            self.rollouts.append(verdict.state.deployed)
        event("rolled out" if verdict.trigger else "skipped" if verdict.skipped else "noted")
        COUNTED["rollout" if verdict.trigger else "skip" if verdict.skipped else "note"] += 1
        self.state = verdict.state
        self.version += 1

    # --- what holds ---

    @invariant()
    def only_heads_run(self) -> None:
        """Nothing is ever deployed that was not the branch's head, nor more often than that moved."""
        if not self.github.heads:
            return
        assert self.state.deployed in self.github.heads
        assert len(self.rollouts) < len(self.github.heads)

    def teardown(self) -> None:
        """Everything arrives in the end, and then the newest eligible commit runs."""
        if not self.github.heads:
            return
        self._catch_up()
        while self.undelivered:
            self._record([self.undelivered.pop()])
        self._rest()
        for _ in range(2):
            self.now += timedelta(minutes=9)
            self.sweeper.sweep(self.state.head, self.github.head, self.now)
            self._run(lambda: None)
        before = self.rollouts[:]
        self._is_right(before)
        # What had been lost comes after all, and changes nothing.
        while self.lost:
            self._record([self.lost.pop()])
            self._rest()
        self._is_right(before)

    def _rest(self) -> None:
        """Let quiet time pass, and GitHub's minute: three pushes of a second may leave a hint that looks like a lag."""
        for _ in range(25):
            self._run(lambda: None)
            self.now += DEBOUNCE

    def _is_right(self, before: list[str]) -> None:
        head = self.github.commits[self.github.head]
        assert self.state.head == head.sha or len(self.github.heads) == 1
        if not self.wish.auto:
            assert self.rollouts == []
            waits = self.state.pending.sha if self.state.pending is not None else self.state.deployed
            assert waits == head.sha
            return
        assert self.state.decided == head.sha
        assert self.state.pending is None
        if self.kind == "all" or (self.kind == "words" and head.message != "[skip ci]"):
            assert self.state.deployed == head.sha
        if self.kind == "paths":
            passed = [self.github.commits[sha] for sha in self._since(self.state.deployed)]
            assert [commit for commit in passed if commit.path.startswith("src/")] == []
        assert self.rollouts == before

    def _since(self, deployed: str) -> list[str]:
        history = self.github.history(self.github.head)
        assert deployed in history, "what runs was taken back, and still runs"
        return history[: history.index(deployed)]


def test_whatever_happens_the_newest_eligible_commit_runs() -> None:
    go_through(Pushes, COUNTED, examples=int(os.environ.get("MOORING_TEST_EXAMPLES", "500")), steps=40)
    # All of it took place, and often: else the end would say little.
    people = ("push", "forced push", "reset", "there and back")
    world = ("delivery", "replay", "lag", "moves behind a lag", "crash", "conflict", "run", "quiet run")
    world += ("loss", "late delivery", "sweep", "sweep that found a push")
    assert [what for what in (*people, *world, "rollout", "skip", "note") if COUNTED[what] < 5] == []

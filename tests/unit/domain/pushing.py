"""What the models of pushes share: a branch that people move, a GitHub that lags, what is stored, and looks at it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from mooring.domain import redeploys, sweeping
from mooring.domain.comparisons import Comparison, Filter
from mooring.domain.redeploys import Compare, Course, ReadHead, Step
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.recording import Arrival

START = datetime(2026, 1, 1, tzinfo=UTC)
BRANCH = "main"
REF = f"refs/heads/{BRANCH}"
# No lag lasts longer: GitHub has a minute.
LONGEST_LAG = timedelta(seconds=30)
FILTERS = {
    "all": Filter(skip_tokens=()),
    "words": Filter(skip_tokens=("[skip ci]",)),
    "paths": Filter(include=("src/**",), skip_tokens=()),
}


@dataclass(frozen=True)
class Commit:
    """A commit: what it changed, and its message."""

    sha: str
    parents: tuple[str, ...]
    path: str
    message: str


@dataclass
class Repository:
    """A branch and its history, as GitHub has it and as it shows it."""

    commits: dict[str, Commit] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    shown: str | None = None

    @property
    def head(self) -> str:
        """Return the tip as it is."""
        return self.heads[-1]

    def commit(self, parent: str | None, path: str, message: str) -> str:
        """Make a commit."""
        sha = f"{len(self.commits) + 1:040x}"
        self.commits[sha] = Commit(sha, (parent,) if parent else (), path, message)
        return sha

    def history(self, sha: str) -> list[str]:
        """Return a commit and all before it, newest first."""
        found = [sha]
        while self.commits[found[-1]].parents:
            found.append(self.commits[found[-1]].parents[0])
        return found

    def compare(self, base: str, head: str) -> Comparison | None:
        """Compare as GitHub does."""
        if base not in self.commits or head not in self.commits:
            return None
        before, after = self.history(base), self.history(head)
        added = [sha for sha in after if sha not in before]
        removed = [sha for sha in before if sha not in after]
        relation = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}.get(
            (bool(added), bool(removed)), "identical"
        )
        paths = frozenset(self.commits[sha].path for sha in added)
        return Comparison(relation, paths, self.commits[head].message if added else None)


def take(course: Course, read: Callable[[], str], github: Repository) -> Step:
    """Answer what a course asks on its way; raises what `read` raises."""
    answer: Any = None
    while True:
        try:
            question = course.send(answer)
        except StopIteration as done:
            step: Step = done.value
            return step
        if isinstance(question, ReadHead):
            answer = read()
        else:
            assert isinstance(question, Compare)
            answer = github.compare(question.base, question.head)


@dataclass
class Patience:
    """An account of the quiet time that an operator has to wait for, kept beside its own."""

    debounce: timedelta
    # When it saw the first push that was not decided on, when the newest, and which that was.
    saw: tuple[datetime, datetime, str] | None = None

    def notice(self, push: redeploys.Push | None, now: datetime) -> None:
        """Take down what is not decided on."""
        if push is None:
            self.saw = None
        elif self.saw is None:
            self.saw = (now, now, push.delivery)
        elif self.saw[2] != push.delivery:
            self.saw = (self.saw[0], now, push.delivery)

    def is_over(self, now: datetime) -> bool:
        """Tell whether it was quiet for long enough, or a burst has lasted for too long."""
        assert self.saw is not None, "the branch is read, and there was no push"
        first, last, _ = self.saw
        return now >= min(last + self.debounce, first + 5 * self.debounce)


@dataclass
class Sweeper:
    """What an operator remembers of its sweeps. All but the stored time is lost with it."""

    # When anything was pushed to the repository, when the branch was read, and whether it has to be.
    pushed_at: datetime | None = None
    stored_at: datetime | None = None
    read_at: datetime | None = None
    asks: bool = False

    def crash(self) -> None:
        """Begin anew."""
        self.read_at, self.asks = self.stored_at, False

    def sweep(self, known: str, tip: str | None, now: datetime) -> bool:
        """Look at the list, and at git's tip where there was a push; tell whether the branch has to be read."""
        if sweeping.is_settled(self.pushed_at, self.read_at):
            return False
        if tip == known:
            self.read_at = now
            return False
        self.asks = True
        return True

    def look_again(self, push: redeploys.Push | None, now: datetime) -> datetime | None:
        """Return when the branch is read without a push that waits."""
        return now if self.asks and push is None else None

    def was_read(self, now: datetime, *, decided: bool) -> None:
        """Take note of a read, and of what was stored because of it."""
        self.read_at, self.asks = now, False
        if decided:
            self.stored_at = now


@dataclass(eq=False)
class Delivery:
    """A push on its way to us."""

    push: Push
    guid: str
    # GitHub's first push has number 1.
    number: int

    def arrival(self, gateway: Gateway, now: datetime) -> Arrival:
        """Say when it arrived, by the gateway's clock."""
        return Arrival(self.push, self.guid, now + gateway.skew)


@dataclass
class Stored:
    """A Project's status at the API server, with all its versions."""

    versions: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Return the newest."""
        return len(self.versions) - 1

    def write(self, fields: Mapping[str, Any], held_to: int) -> bool:
        """Merge fields into the status; False where somebody else wrote meanwhile."""
        if held_to != self.version:
            return False
        self.versions.append({**self.versions[-1], **fields})
        return True


@dataclass
class Gateway:
    """A replica: the version that its cache has, and the deliveries that wait for its next PATCH."""

    cached: int = 0
    skew: timedelta = timedelta()
    waiting: list[tuple[Delivery, Arrival]] = field(default_factory=list)


def go_through(
    machine: type[RuleBasedStateMachine],
    counted: Counter[str],
    *,
    examples: int,
    steps: int,
    phases: Sequence[Phase] = tuple(Phase),
) -> None:
    """Try so many examples, the same each time, and print what took place."""
    counted.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=phases,
        ),
    )
    sys.stdout.write(f"{dict(counted.most_common())}\n")

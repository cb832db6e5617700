"""A signed push becomes exactly one redeploy: gateways and operator together, with all that can go wrong between them.

The other model looks at the operator alone. Here everybody is there: people, GitHub, which delivers late, twice and in
any order, two gateways and an operator, each with a cache that may be behind, somebody else who writes the status, and
crashes between any two steps. All that they share is what is stored; what is tested are the pure rules that they go by.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.domain import redeploys
from mooring.domain.redeploys import State, Wish
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.recording import Told, record
from tests.unit.domain.pushing import (
    BRANCH,
    FILTERS,
    LONGEST_LAG,
    REF,
    START,
    Delivery,
    Gateway,
    Patience,
    Repository,
    Stored,
    Sweeper,
    go_through,
    take,
)

EXAMPLES, STEPS = 500, 30
NONE = "0" * 40
DEBOUNCES = (timedelta(milliseconds=200), timedelta(seconds=3))
# How long somebody pauses: also shorter than a second, of which GitHub's times know nothing, and than any debounce.
PAUSES = st.sampled_from((0.1, 0.3, 1.0, 3.0, 16.0))
# Which of what there is, newest first.
ANY = st.integers(0, 3)
WHICH = st.integers(0, 1)
COUNTED: Counter[str] = Counter()


class Pushing(RuleBasedStateMachine):
    """People, GitHub, two gateways and an operator."""

    skews = (timedelta(), timedelta())

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.github = Repository()
        self.lagging_since: Any = None
        self.rewound = False
        self.there = True
        self.swept: Any = None
        self.pushes: list[Delivery] = []
        # Not answered, and answered with 2xx.
        self.outbox: list[Delivery] = []
        self.answered: list[Delivery] = []
        self.newest_answered: Delivery | None = None
        self.stored = Stored()
        self.gateways = [Gateway(skew=skew) for skew in self.skews]
        # Every delivery that was ever recorded, and the numbers of the pushes that these told of.
        self.recorded: dict[str, Delivery] = {}
        self.numbers: set[int] = set()
        self.seen = 0
        self.wait: redeploys.Wait | None = None
        self.deployment = ""
        self.rollouts: list[str] = []
        self.reads: list[str] = []
        self.sweeper = Sweeper()
        # Deliveries that did not come.
        self.lost: list[Delivery] = []

    @initialize(kind=st.sampled_from(("words", "all")), debounce=st.sampled_from(DEBOUNCES))
    def begin(self, kind: str, debounce: timedelta) -> None:
        """A Project runs the first commit."""
        self.kind = kind
        self.wish = Wish(debounce=debounce, filter=FILTERS[kind])
        self.patience = Patience(debounce)
        first = self.github.commit(None, "src/a", "first")
        self.github.heads.append(first)
        source = {"headSha": first, "decidedSha": first, "delivery": None}
        self.stored.versions.append({"source": source, "revision": {"sha": first}})
        self.deployment = first
        self.reads = [first]

    # --- people ---

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

    @precondition(lambda self: self.outbox)
    @rule(which=ANY, gateway=WHICH, double=st.booleans())
    def deliver(self, which: int, gateway: int, double: bool) -> None:
        """A delivery comes, in any order; now and then twice, also to both gateways."""
        delivery = self.outbox.pop(-1 - which % len(self.outbox))
        COUNTED["delivery"] += 1
        self._arrive(self.gateways[gateway], delivery)
        if double:
            COUNTED["double delivery"] += 1
            self._arrive(self.gateways[1 - gateway], Delivery(delivery.push, delivery.guid, delivery.number))

    @precondition(lambda self: self.outbox)
    @rule(which=ANY)
    def lose(self, which: int) -> None:
        """A delivery does not come."""
        COUNTED["loss"] += 1
        self.lost.append(self.outbox.pop(-1 - which % len(self.outbox)))

    @precondition(lambda self: self.lost)
    @rule(which=ANY)
    def find(self, which: int) -> None:
        """One that was given up is sent after all."""
        COUNTED["late delivery"] += 1
        self.outbox.append(self.lost.pop(-1 - which % len(self.lost)))

    @precondition(lambda self: self.answered)
    @rule(which=ANY, gateway=WHICH)
    def replay(self, which: int, gateway: int) -> None:
        """One comes again that was answered, under its GUID and another: from GitHub, another hook, or a thief."""
        COUNTED["replay"] += 1
        old = self.answered[-1 - which % len(self.answered)]
        for guid in (old.guid, f"again-{len(self.answered)}-{self.stored.version}-{gateway}"):
            self._arrive(self.gateways[gateway], Delivery(old.push, guid, old.number))

    # --- the gateways ---

    def _arrive(self, gateway: Gateway, delivery: Delivery) -> None:
        """Answer what needs no write by the cache; the rest waits."""
        if delivery.push.deletes or delivery.push.ref != REF:
            return
        arrival = delivery.arrival(gateway, self.now)
        found = record(self.stored.versions[gateway.cached], [arrival])
        if found.fields is None:
            self._answer(delivery, found.told[0])
        else:
            gateway.waiting.append((delivery, arrival))

    @precondition(lambda self: any(gateway.waiting for gateway in self.gateways))
    @rule(gateway=WHICH)
    def write(self, gateway: int) -> None:
        """One PATCH for all that waits."""
        self._patch(self.gateways[gateway])

    def _patch(self, gateway: Gateway, *, answers: bool = True) -> None:
        if not gateway.waiting:
            return
        found = record(self.stored.versions[gateway.cached], [arrival for _, arrival in gateway.waiting])
        if found.fields is not None and not self.stored.write(found.fields, gateway.cached):
            COUNTED["conflict of a gateway"] += 1
            gateway.cached = self.stored.version
            return
        COUNTED["PATCH of several" if len(gateway.waiting) > 1 else "PATCH"] += 1
        batch, gateway.waiting = gateway.waiting, []
        gateway.cached = gateway.cached if found.fields is None else self.stored.version
        for (delivery, _), told in zip(batch, found.told, strict=True):
            if told is Told.RECORDED:
                self._note(delivery)
            if answers:
                self._answer(delivery, told)
            else:
                self.outbox.append(delivery)

    def _note(self, delivery: Delivery) -> None:
        assert delivery.guid not in self.recorded, "a delivery was recorded a second time"
        # Of A, B, A, B in one second nobody can tell whether the last one is the second come again.
        assert delivery.number not in self.numbers or not self._is_alone(delivery), "a push was recorded a second time"
        self.numbers.add(delivery.number)
        self.recorded[delivery.guid] = delivery

    def _is_alone(self, delivery: Delivery) -> bool:
        """Tell whether there was no other push in its second."""
        return sum(it.push.pushed_at == delivery.push.pushed_at for it in self.pushes) == 1

    def _answer(self, delivery: Delivery, told: Told) -> None:
        COUNTED[f"answer: {told.value}"] += 1
        self.answered.append(delivery)
        if self.newest_answered is None or delivery.number > self.newest_answered.number:
            self.newest_answered = delivery

    @precondition(lambda self: self.outbox or any(gateway.waiting for gateway in self.gateways))
    @rule(gateway=WHICH, stored=st.booleans())
    def crash_of_a_gateway(self, gateway: int, stored: bool) -> None:
        """It ends before its PATCH, or after it and before the answer; who was not answered is sent again."""
        crashed = self.gateways[gateway]
        if self.outbox:
            self._arrive(crashed, self.outbox.pop())
        COUNTED["crash of a gateway" + (", stored" if stored else "")] += 1
        if stored:
            self._patch(crashed, answers=False)
        self.outbox += [delivery for delivery, _ in crashed.waiting]
        self.gateways[gateway] = Gateway(self.stored.version, crashed.skew)

    @rule(gateway=WHICH, behind=st.integers(0, 2))
    def watch(self, gateway: int, behind: int) -> None:
        """News arrive at a gateway, perhaps not all."""
        found = self.gateways[gateway]
        found.cached = max(found.cached, self.stored.version - behind)

    @rule()
    def somebody_else_writes(self) -> None:
        """Another field of the status changes."""
        COUNTED["foreign write"] += 1
        self.stored.write({"observedGeneration": self.stored.version}, self.stored.version)

    # --- the operator ---

    @rule(behind=st.integers(0, 1), pause=PAUSES)
    def run(self, behind: int, pause: float) -> None:
        """One run on what the operator's cache has."""
        COUNTED["run"] += 1
        self.pass_time(pause)
        self.seen = max(self.seen, self.stored.version - behind)
        self._run()

    @rule(behind=st.integers(0, 1), pause=st.sampled_from((0.1, 1.0, 61.0)), runs=st.booleans())
    def sweep(self, behind: int, pause: float, runs: bool) -> None:
        """The operator looks at its list, and perhaps at the branch."""
        self.pass_time(pause)
        found = self._sweep()
        COUNTED["sweep that found a push" if found else "sweep"] += 1
        if runs:
            self.seen = max(self.seen, self.stored.version - behind)
            self._run()

    def _sweep(self) -> bool:
        tip = self.github.shown or (self.github.head if self.there else None)
        return self.sweeper.sweep(self.stored.versions[self.seen]["source"]["headSha"], tip, self.now)

    @rule(how=st.sampled_from(("crash before", "crash between", "crash after", "conflict", "conflict")), gateway=WHICH)
    def run_and_be_interrupted(self, how: str, gateway: int) -> None:
        """What waits arrives; when it is decided on, the operator ends, or somebody else writes before it does."""
        self._deliver_all()
        self.seen = self.stored.version
        self._run()
        self.pass_time(self.wish.debounce.total_seconds())
        COUNTED[f"{how} its writes" if how != "conflict" else how] += 1
        if how == "conflict":
            self._run(meanwhile=self.gateways[gateway])
        else:
            self._run(how.removeprefix("crash "))
            self.wait, self.patience = None, Patience(self.wish.debounce)
            self.sweeper.crash()

    @rule()
    def all_is_well(self) -> None:
        """What waits arrives, and is decided on in time."""
        COUNTED["quiet time"] += 1
        self._deliver_all()
        self._run_until(self.now + 2 * self.wish.debounce)

    def _run(self, ends: str = "", meanwhile: Gateway | None = None) -> None:
        status = self.stored.versions[self.seen]
        source, revision = status["source"], status["revision"]
        state = State(source["headSha"], source["decidedSha"], revision["sha"], source["delivery"])
        push = redeploys.unhandled(status, BRANCH)
        self.patience.notice(push, self.now)
        self.swept = self.sweeper.look_again(push, self.now)
        course = redeploys.course(state, self.wish, push, self.wait, look_again=self.swept, now=self.now)
        reads = len(self.reads)
        if push is not None:
            self.wait = redeploys.noticed(self.wait, push, self.now, handled=state.delivery)
        try:
            step = take(course, self._read_head, self.github)
        except LookupError:
            COUNTED["no such branch"] += 1
            return
        self.wait = step.wait
        if ends == "before":
            return
        if meanwhile is not None:
            self._patch(meanwhile)
            self.somebody_else_writes()
        if step.verdict is not None:
            decided = step.verdict.state
            fields = {
                "source": {"headSha": decided.head, "decidedSha": decided.decided, "delivery": decided.delivery},
                "revision": {"sha": decided.deployed},
            }
            if not self.stored.write(fields, self.seen):
                COUNTED["conflict of the operator"] += 1
                self.seen = self.stored.version
                return
            self.seen = self.stored.version
            if len(self.reads) > reads:
                self.sweeper.was_read(self.now, decided=decided != state)
            COUNTED["rollout" if step.verdict.trigger else "skip" if step.verdict.skipped else "note"] += 1
        if ends != "between":
            self._apply(self.stored.versions[self.seen]["revision"]["sha"])

    def _read_head(self) -> str:
        assert self.swept is not None or self.patience.is_over(self.now), "the branch is read before it was quiet"
        if self.github.shown is None and not self.there:
            raise LookupError
        self.reads.append(self.github.shown or self.github.head)
        return self.reads[-1]

    def _apply(self, sha: str) -> None:
        if sha != self.deployment:
            COUNTED["pods rolled"] += 1
            self.deployment = sha
            self.rollouts.append(sha)

    # --- what holds ---

    @invariant()
    def what_was_answered_is_stored(self) -> None:
        """An answered push is stored, or one that came after it, or in the same second: so the branch will be read."""
        if self.newest_answered is None:
            return
        lines = self.stored.versions[-1].get("deliveries") or ()
        wanted = self.newest_answered
        stored = [self.recorded[line["delivery"]] for line in lines]
        assert any(it.number >= wanted.number or it.push.pushed_at == wanted.push.pushed_at for it in stored), (
            f"{wanted.guid} was answered, and neither it nor a newer one is stored"
        )

    @invariant()
    def rollouts_follow_the_branch(self) -> None:
        """What rolls was the branch's head, in the order of its heads, and not more often than it was seen to move."""
        if not self.github.heads:
            return
        heads = iter(self.github.heads)
        assert all(sha in heads for sha in self.rollouts), "an older commit was rolled out after a newer one"
        skipped = [sha for sha in self.rollouts if self.github.commits[sha].message == "[skip ci]"]
        assert self.kind == "all" or not skipped, "what its message skips was rolled out"
        changes = sum(now != before for before, now in zip(self.reads, self.reads[1:], strict=False))
        assert len(self.rollouts) <= changes

    def _deliver_all(self) -> None:
        while self.outbox or any(gateway.waiting for gateway in self.gateways):
            for number, gateway in enumerate(self.gateways):
                for delivery in self.outbox[number::2]:
                    self._arrive(gateway, delivery)
                del self.outbox[number::2]
                self._patch(gateway)

    def _run_until(self, end: Any) -> None:
        turn = max(self.wish.debounce, timedelta(seconds=3))
        # GitHub's minute begins with the first look.
        while self.now <= end + turn:
            self.seen = self.stored.version
            self._run()
            self.pass_time(turn.total_seconds())

    def teardown(self) -> None:
        """In the end the newest eligible commit runs, and nothing that comes again changes that."""
        if not self.github.heads:
            return
        if not self.there:
            self.push("change", 1.0)
        self._catch_up()
        self._deliver_all()
        # Quiet time, and GitHub's minute: several pushes of one second may leave a hint that is taken for a lag.
        self._run_until(self.now + redeploys.PATIENCE + 3 * self.wish.debounce)
        # And what was lost is found.
        for _ in range(2):
            self.pass_time(540.0)
            self._sweep()
            self._run()
        self._is_right()
        rolled = self.rollouts[:]
        for delivery in self.pushes:
            for guid in (delivery.guid, f"late-{delivery.guid}"):
                self._arrive(self.gateways[0], Delivery(delivery.push, guid, delivery.number))
        self._deliver_all()
        self._run_until(self.now + redeploys.PATIENCE + 3 * self.wish.debounce)
        self._is_right()
        assert self.rollouts == rolled, "a replay rolled something out"

    def _is_right(self) -> None:
        status, head = self.stored.versions[-1], self.github.commits[self.github.head]
        assert redeploys.unhandled(status, BRANCH) is None
        assert status["revision"]["sha"] == self.deployment
        assert status["source"]["headSha"] == status["source"]["decidedSha"] == head.sha
        if self.kind == "all" or head.message != "[skip ci]":
            assert self.deployment == head.sha


class PushingByClocksThatDiffer(Pushing):
    """The same, where the clock of one gateway is behind: then a replay may lead to a look, and to no more."""

    skews = (timedelta(), timedelta(seconds=-20))

    def _note(self, delivery: Delivery) -> None:
        self.recorded[delivery.guid] = delivery


def test_a_push_becomes_one_redeploy_whatever_happens() -> None:
    go_through(Pushing, COUNTED, examples=EXAMPLES, steps=STEPS)
    # All of it took place: else the end would say little.
    assert [what for what in HAPPENS if COUNTED[what] < 5] == []


HAPPENS = (
    *("push", "forced push", "revert", "there and back", "deletion", "re-creation", "push elsewhere"),
    *("lag", "delivery", "double delivery", "replay", "quiet time"),
    *("loss", "late delivery", "sweep", "sweep that found a push"),
    *("PATCH", "PATCH of several", "conflict of a gateway", "crash of a gateway", "crash of a gateway, stored"),
    *("answer: recorded", "answer: duplicate", "answer: superseded", "foreign write"),
    *("run", "conflict of the operator", "no such branch", "rollout", "skip", "note"),
    *(f"crash {when} its writes" for when in ("before", "between", "after")),
)


def test_clocks_of_gateways_may_differ() -> None:
    go_through(PushingByClocksThatDiffer, COUNTED, examples=EXAMPLES // 4, steps=STEPS, phases=[Phase.generate])

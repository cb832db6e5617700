"""A signed push becomes exactly one redeploy: on a real API server, with real processes and GitHub's real deliveries.

What tests/unit/domain/test_push_model.py tries with pure rules takes place here: an operator and two gateways under
their own Roles, and a GitHub whose deliveries come late, twice and in another order, whose API lags, and which is asked
for them again; some are lost, and the sweep alone finds their pushes. Processes are killed, and somebody else writes to
the same objects all the time.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import Kube
from tests.cluster.harness import People, rollouts_of
from tests.cluster.operator.pushes import Pushed
from tests.cluster.scale import push_site
from tests.cluster.scale.push_site import CONVERGES, Site, is_done, new_shop

pytestmark = pytest.mark.scale
# A lab of this module's own.
lab, kube, site = push_site.lab, push_site.kube, push_site.site

EXAMPLES = 20
# Of a delivery that is lost without a trace nobody tells: so soon the branch is looked at all the same.
SWEEP_INTERVAL = "10s"
FEWEST_STEPS, MOST_STEPS = 5, 8
COUNTED: Counter[str] = Counter()


@contextmanager
def troublemaker(site: Site) -> Iterator[None]:
    """Have somebody else write to the status of the Project at hand all the time, so that both writers conflict."""
    kube, end = Kube(Access.load(Path(site.lab.env["KUBECONFIG"])), site.lab.env["KUBECONFIG"]), threading.Event()

    def trouble() -> None:
        people = People(kube, site.people.namespace)
        for number in itertools.count(1):
            # More than either writes, and not so many that they cost more than all the rest.
            if end.wait(0.15):
                return
            if (name := site.troubled) is not None:
                body = {"status": {"webhook": {"state": f"State{number}"}}}
                kube.request("PATCH", f"{people.path('Project', name)}/status", body, "application/merge-patch+json")
                COUNTED["foreign write"] += 1

    thread = threading.Thread(target=trouble, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        kube.close()


class Example:
    """People at GitHub, and what goes wrong on the way: with a repository and a Project of its own."""

    def __init__(self, site: Site) -> None:
        self.site, self.shop = site, new_shop(site, "200ms")
        site.troubled = self.shop.name
        self.heads = [self.shop.last]
        self.exists = True

    def _moved(self, pushed: Pushed) -> None:
        self.heads.append(pushed.sha)
        self.exists = True

    # --- people ---

    def push(self, _: int = 0) -> None:
        """A commit on top; it brings a branch back that was deleted."""
        COUNTED["push" if self.exists else "re-creation"] += 1
        more = {} if self.exists else {"parent": self.heads[-1]}
        self._moved(self.shop.push(None, **more))

    def burst(self, number: int) -> None:
        """Several pushes in one second."""
        COUNTED["burst"] += 1
        for _ in range(2 + number):
            self.push()

    def push_by_force(self, number: int) -> None:
        """A commit in place of others."""
        COUNTED["forced push"] += 1
        self._moved(self.shop.push(parent=self.heads[-1 - (1 + number) % len(self.heads)]))

    def there_and_back(self, _: int) -> None:
        """A, B, A."""
        COUNTED["there and back"] += 1
        if not self.exists:
            self.push()
        before = self.heads[-1]
        self._moved(self.shop.push())
        self._moved(self.shop.back_to(before))

    def delete(self, _: int) -> None:
        """The branch goes, and comes back with the next push."""
        if self.exists:
            COUNTED["deletion"] += 1
            self.shop.push(delete=True)
            self.exists = False

    def push_elsewhere(self, _: int) -> None:
        """A commit on another branch."""
        COUNTED["push elsewhere"] += 1
        last = self.shop.last
        self.shop.push(branch="other", parent=self.heads[-1])
        self.shop.last = last

    # --- what goes wrong ---

    def misdeliver(self, number: int) -> None:
        """The next delivery comes twice, late, or after the one behind it."""
        fault = ({"kind": "double"}, {"kind": "late", "seconds": 1}, {"kind": "reorder", "seconds": 2})[number]
        COUNTED[str(fault["kind"])] += 1
        self.site.hub.control("POST", "/faults", {**fault, "repository": self.shop.repository, "count": 1})
        self.push()

    def lose(self, number: int) -> None:
        """The next delivery never comes; GitHub may not even know that it failed."""
        fault = {"kind": "lose", "recorded": number == 0}
        COUNTED["lost and listed" if fault["recorded"] else "lost"] += 1
        self.site.hub.control("POST", "/faults", {**fault, "repository": self.shop.repository, "count": 1})
        self.push()

    def lag(self, number: int) -> None:
        """The API shows the branch as it is now, so many times."""
        COUNTED["lag"] += 1
        lag = {"kind": "lag", "repository": self.shop.repository, "count": 1 + number}
        self.site.hub.control("POST", "/faults", lag)
        self.push()

    def redeliver(self, number: int) -> None:
        """GitHub sends a delivery again, to where the hook points now."""
        self._again("redeliver", number)

    def replay(self, number: int) -> None:
        """Somebody sends a delivery again who had recorded it."""
        self._again("replay", number)

    def rest(self, _: int) -> None:
        """Nobody does anything until what was pushed runs."""
        COUNTED["rest"] += 1
        self._settle()

    def _again(self, action: str, number: int) -> None:
        known = sorted({each["guid"]: each["id"] for each in self._deliveries()}.items(), key=lambda each: each[1])
        if known:
            COUNTED[action] += 1
            self.site.hub.control("POST", f"/deliveries/{known[-1 - number % len(known)][0]}/{action}")

    def kill_the_operator(self, _: int) -> None:
        """It ends after a push, wherever it is."""
        COUNTED["kill of the operator"] += 1
        self.push()
        self.site.kill_operator()

    def kill_a_gateway(self, number: int) -> None:
        """It ends after a push, wherever it is."""
        COUNTED["kill of a gateway"] += 1
        self.push()
        self.site.kill_gateway(number % 2)

    # --- what holds ---

    def _deliveries(self) -> list[dict[str, Any]]:
        found = self.site.hub.control("GET", "/deliveries?event=push")["deliveries"]
        return [each for each in found if each["repository_id"] == self.shop.repository_id]

    def _answered(self) -> bool:
        """Ask GitHub to send again what nobody answered well; tell whether nothing is left of that."""
        attempts = self._deliveries()
        newest = {each["guid"]: each for each in attempts}
        done = {each["guid"] for each in attempts if 200 <= each["status_code"] < 300}
        open_ = [each for guid, each in newest.items() if guid not in done]
        for each in open_:
            if each["status"] != "pending":
                COUNTED["sent again"] += 1
                self.site.hub.control("POST", f"/deliveries/{each['guid']}/redeliver")
        return not open_ and all(each["status"] != "pending" for each in attempts)

    def _settle(self) -> None:
        if not self.exists:
            self.push()
        until(self._answered, "an answer to every delivery", self._deliveries)
        head, name = self.heads[-1], self.shop.name
        self.site.people.until("Project", name, lambda obj: is_done(obj, head), f"run {head[:7]}", seconds=CONVERGES)

    def end(self) -> None:
        """In the end the newest head runs, it took no more rollouts than heads, and nothing rolls afterwards."""
        self._settle()
        self.site.troubled = None
        rollouts = self._rollouts()
        changes = sum(now != before for before, now in itertools.pairwise(self.heads))
        assert 1 <= rollouts <= 1 + changes
        COUNTED["rollout"] += rollouts - 1
        self.replay(0)
        self._nothing_rolls(rollouts)
        COUNTED["example"] += 1

    def _rollouts(self) -> int:
        return self.site.people.rollouts(self.shop.name)

    def _nothing_rolls(self, rollouts: int) -> None:
        """Watch the Deployment for longer than two debounce times: nothing may roll, also not for a replay."""
        people, name = self.site.people, f"{self.shop.name}-default"
        path = people.path("Deployment")
        deployment = people.get("Deployment", name)
        assert deployment is not None
        query = f"watch=true&fieldSelector=metadata.name={name}&timeoutSeconds=1"
        query += f"&resourceVersion={deployment['metadata']['resourceVersion']}"
        with people.kube.watch(f"{path}?{query}") as events:
            # Kubernetes' own controller may say more of the last one.
            assert {rollouts_of(event["object"]) for event in events if event["type"] == "MODIFIED"} <= {rollouts}


def until(holds: Callable[[], bool], what: str, shown: Callable[[], object]) -> None:
    """Look until something holds; say what there is where it does not in time."""
    deadline = time.monotonic() + CONVERGES
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come: {shown()}"
        time.sleep(0.2)


STEPS: tuple[Callable[[Example, int], None], ...] = (
    *(Example.push, Example.burst, Example.push_by_force, Example.there_and_back, Example.delete),
    *(Example.push_elsewhere, Example.misdeliver, Example.lose, Example.lag, Example.redeliver, Example.replay),
    *(Example.kill_the_operator, Example.kill_a_gateway, Example.rest),
)


def test_a_push_becomes_one_redeploy_whatever_happens(site: Site) -> None:
    started = time.monotonic()

    # What fails here is no sooner understood for being tried a hundred times again: nothing is shrunk.
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2)), min_size=FEWEST_STEPS, max_size=MOST_STEPS))
    def live(steps: list[tuple[Callable[[Example, int], None], int]]) -> None:
        example = Example(site)
        for step, number in steps:
            step(example, number)
        example.end()

    with troublemaker(site):
        live()
    sys.stdout.write(f"{dict(COUNTED.most_common())}, {time.monotonic() - started:.0f} s\n")
    # Most examples end elsewhere than they began: else the end would say little.
    assert COUNTED["rollout"] >= EXAMPLES // 2
    assert COUNTED["lost"]
    assert COUNTED["lost and listed"]

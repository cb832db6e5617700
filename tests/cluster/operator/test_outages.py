"""O2, in part: the API server is gone or refuses, or GitHub is away, while everything happens. The rest is in scale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, token_reference
from tests.cluster.outage_run import Operated, Outages, read
from tests.cluster.outages import API_TROUBLES, ApiTrouble, Life, cut
from tests.cluster.process import wait_ready

# Seconds that installation tokens live that are there before the outages: all are due in their course. But none is
# while an operator still works that cannot renew its Lease: what it makes then may be made again by the next one.
LIFE = 60
# Seconds from the end of an outage until everything is as it must be: the whole life of a Lease that was lost in it, a
# start, and the work.
PROMISE = 45.0


@pytest.fixture
def outages(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """Return the outages."""
    outages = Outages(lab, kube, hub, tmp_path_factory.mktemp("outages"))
    yield outages
    outages.close()


def test_after_an_outage_everything_is_as_it_must_be(outages: Outages) -> None:
    outages.begin(["gone", "conflicts", "github-failing"], LIFE)
    with outages.strike():
        outages.last()
    took = outages.recover(PROMISE)
    asked = {operated.name: len(operated.asked) for operated in outages.operated}
    print({name: round(seconds, 1) for name, seconds in sorted(took.items())}, asked)  # noqa: T201 - the figures
    for life in outages.lives:
        life.check()
    for operated in outages.operated:
        operated.check()


def test_what_it_cannot_go_on_with_ends_it_in_one_line(
    lab: Lab, kube: Kube, hub: Hub, namespace: str, tmp_path: Path
) -> None:
    life = Life.make("ending", People(kube, namespace), hub)
    with Operated.running(lab, kube, tmp_path / "operator", "ending", [life]) as operated:
        wait_ready(operated.mooring)
        # An answer to a watch that Kopf takes for the end of everything.
        ApiTrouble(status=410).begin(operated.proxy)
        operated.proxy.each_stream(cut)
        assert operated.mooring.process.wait(30) == 1
        lines = operated.mooring.log.splitlines()
        assert all(line.startswith("{") for line in lines), lines
        (told,) = [line for line in map(read, lines) if line["level"] == "critical"]
        assert "the API server answered 410" in str(told["message"])
        assert "started again" in str(told["message"])
        assert "error" not in told


def test_a_user_who_went_while_no_watch_could_tell_lends_no_token_any_more(
    lab: Lab, kube: Kube, hub: Hub, namespace: str, tmp_path: Path
) -> None:
    life = Life.make("missed", People(kube, namespace), hub)
    life.people.secret("global", life.tokens["first"])
    life.people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}})
    life.people.apply("Project", "shop", {"workload": {"image": "nginx"}})
    with Operated.running(lab, kube, tmp_path / "operator", "missed", [life]) as operated:
        life.people.until_condition("shop", "TokenResolved", "True", "GlobalToken")
        API_TROUBLES["gone"].begin(operated.proxy)
        life.people.delete("GitHubUser", "default")
        # Back, but every watch is too old to go on: only a list can tell, and it does not name who is gone.
        API_TROUBLES["expired"].begin(operated.proxy)
        life.people.until_condition("shop", "TokenResolved", "True", "NoToken")
        life.people.until("Deployment", "shop-default", _has_no_token, "pods without the token")


def _has_no_token(deployment: Object | None) -> bool:
    return deployment is not None and token_reference(deployment) is None

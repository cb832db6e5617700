"""One process leads at a time, whatever happens to the others, to their clocks, and to the way to the API server."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from mooring.domain.leadership import TERMS, Lease, NotLeading
from tests.unit.services.elections import Process, World

Make = Callable[..., Process]
# Seconds of a whole life.
LONG = 100.0


@pytest.fixture
async def world() -> World:
    """Return a world without a Lease."""
    return World()


@pytest.fixture
async def make(world: World) -> AsyncIterator[Make]:
    """Return what makes processes; they end with the test."""
    made: list[Process] = []

    def one(name: str, clock_ahead: float = 0.0) -> Process:
        made.append(Process(world, name, clock_ahead))
        made[-1].start()
        return made[-1]

    yield one
    for process in made:
        await process.kill()


def holder(world: World) -> str:
    return "" if world.lease is None else world.lease.holder


async def test_a_free_lease_is_taken_at_once_and_the_next_one_stands_by(world: World, make: Make) -> None:
    first = make("first")
    assert first.election.has_no_part() is not None
    with pytest.raises(NotLeading):
        first.election.permit()
    await world.settle()
    first.election.permit()
    second = make("second")
    await world.run(LONG)
    assert (first.leads(), second.leads()) == (True, False)
    assert first.election.has_no_part() is second.election.has_no_part() is None
    assert (first.election.has_won, second.election.has_won) == (True, False)
    # It is told of every renewal, and asks nothing.
    assert second.reads == 1
    assert world.lease is not None
    assert (world.lease.holder, world.lease.transitions) == ("first", 0)


async def test_a_release_is_seen_at_once(world: World, make: Make) -> None:
    first = make("first")
    await world.settle()
    second = make("second")
    await world.run(20)
    then = world.now
    await first.finish()
    await world.settle()
    assert (world.now, second.leads(), first.leads()) == (then, True, False)
    assert second.election.took_over_within(1)
    assert world.lease is not None
    assert world.lease.transitions == 1


@pytest.mark.parametrize("ahead", [0.0, 1e6, -999.0])
async def test_a_crash_is_believed_after_the_lease_and_not_sooner(world: World, make: Make, ahead: float) -> None:
    first = make("first")
    await world.settle()
    second = make("second", ahead)
    await world.run(100)
    await first.kill()
    renewed = world.now
    await world.run(TERMS.lease - TERMS.renew_every - 0.1)
    assert not second.leads()
    await world.run(TERMS.renew_every + 0.2)
    assert second.leads()
    assert world.now - renewed < TERMS.lease + 1


async def test_who_comes_to_a_dead_holders_lease_counts_from_when_it_came(world: World, make: Make) -> None:
    first = make("first")
    await world.run(1)
    await first.kill()
    await world.run(LONG)
    second = make("second")
    await world.run(TERMS.lease - 0.1)
    assert not second.leads()
    await world.run(0.2)
    assert second.leads()


async def test_of_many_one_takes_over(world: World, make: Make) -> None:
    first = make("first")
    await world.settle()
    others = [make(f"other-{number}") for number in range(5)]
    await world.run(10)
    await first.finish()
    await world.run(LONG)
    assert sum(other.leads() for other in others) == 1
    # Each of the others still follows the Lease once, also who tried and was too late.
    assert len(world.followers) == 4
    assert world.lease is not None
    assert world.lease.transitions == 1


async def test_a_short_outage_stops_writes_and_costs_nothing(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = make("first")
    await world.settle()
    second = make("second")
    await world.run(3 * TERMS.renew_every + 0.1)
    first.away = True
    await world.run(TERMS.certain_for - TERMS.renew_every)
    assert first.leads()
    await world.run(TERMS.renew_every)
    assert not first.leads()
    with pytest.raises(NotLeading):
        first.election.permit()
    first.away = False
    await world.run(TERMS.retry_every)
    assert first.leads()
    assert not first.ended()
    await world.run(LONG)
    assert (first.leads(), second.leads()) == (True, False)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_outage_as_long_as_the_lease_ends_the_leader(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = make("first")
    await world.settle()
    second = make("second")
    await world.run(100)
    first.away = True
    await world.run(TERMS.lease - TERMS.renew_every - 0.1)
    assert not first.ended()
    await world.run(TERMS.renew_every + TERMS.retry_every + 0.2)
    assert first.ended()
    assert second.leads()
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Lease a/b is lost" in told.message
    assert "could not be reached" in told.message


async def test_who_was_stopped_may_write_nothing_from_the_first_moment_on(world: World, make: Make) -> None:
    first = make("first")
    await world.settle()
    second = make("second")
    await world.run(50)
    first.stopped = True
    await world.run(30)
    assert second.leads()
    # Before any of its own tasks came to run.
    assert not first.leads()
    first.stopped = False
    await world.settle()
    assert first.ended()
    reads = first.reads
    await first.finish()
    assert (first.reads, holder(world)) == (reads, "second")


async def test_leading_is_counted_from_the_question_and_not_from_its_late_answer(world: World, make: Make) -> None:
    first = make("first")
    await world.settle()
    first.slow = 2.5
    asked = world.now + TERMS.renew_every
    await world.run(TERMS.renew_every + 2.6)
    first.away = True
    await world.run(asked + TERMS.certain_for - 0.1 - world.now)
    assert first.leads()
    await world.run(0.2)
    assert not first.leads()


async def test_a_lost_answer_is_found_out(world: World, make: Make) -> None:
    first = make("first")
    first.deaf = True
    await world.settle()
    assert (holder(world), first.leads()) == ("first", False)
    first.deaf = False
    await world.run(10)
    assert first.leads()
    first.deaf = True
    await world.run(TERMS.renew_every + 0.1)
    first.deaf = False
    await world.run(LONG)
    assert first.leads()
    assert world.lease is not None
    assert world.lease.transitions == 0


async def test_a_label_on_the_lease_troubles_nobody(world: World, make: Make) -> None:
    first = make("first")
    await world.run(10)
    world.write(world.lease, world.lease)
    await world.run(LONG)
    assert first.leads()
    second = make("second")
    await world.settle()
    await first.kill()
    for _ in range(TERMS.lease + 1):
        world.write(world.lease, world.lease)
        await world.run(1)
    assert second.leads()


async def test_a_lease_that_somebody_deletes_is_made_anew_by_who_leads(world: World, make: Make) -> None:
    first = make("first")
    await world.run(10)
    world.write(world.lease, None)
    await world.run(LONG)
    assert first.leads()
    assert holder(world) == "first"


async def test_who_finds_another_holder_ends_at_once(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = make("first")
    await world.run(10)
    assert world.lease is not None
    world.write(world.lease, replace(world.lease, holder="thief"))
    await world.run(TERMS.renew_every)
    assert first.ended()
    assert not first.leads()
    assert "thief leads" in caplog.text
    # And leaves it alone.
    await first.finish()
    assert holder(world) == "thief"


async def test_a_lease_that_cannot_be_read_is_no_standing_by(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = make("first")
    first.away = True
    await world.run(LONG)
    assert "could not be reached" in str(first.election.has_no_part())
    # Often enough to begin soon, never in a hurry, and told once.
    assert LONG / 10 < first.reads < LONG
    assert caplog.text.count("could not be reached") == 1
    first.away = False
    await world.run(10)
    assert first.leads()


async def test_the_end_releases_what_was_asked_for_and_never_answered(world: World, make: Make) -> None:
    first = make("first")
    first.deaf = True
    await world.settle()
    first.deaf = False
    await first.finish()
    assert holder(world) == ""
    # Who never asked for it asks nothing in the end.
    make("leader")
    await world.settle()
    second = make("second")
    await world.settle()
    reads = second.reads
    await second.finish()
    assert (second.reads, holder(world)) == (reads, "leader")


async def test_a_release_that_fails_is_told(world: World, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = make("first")
    await world.settle()
    first.away = True
    await first.finish()
    assert "could not be released" in caplog.text
    assert holder(world) == "first"


@pytest.mark.parametrize("seed", range(4))
async def test_two_never_lead_at_once_whatever_happens(world: World, make: Make, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    processes = [make(f"p{number}", chance.uniform(-1e3, 1e3)) for number in range(3)]
    led: set[str] = set()

    def check() -> None:
        leaders = [process.name for process in processes if process.leads()]
        assert len(leaders) <= 1, leaders
        led.update(leaders)

    for number in range(30):
        one = chance.choice(processes)
        trouble = chance.choice(["away", "deaf", "stopped", "killed", "none"])
        if trouble in {"away", "deaf", "stopped"}:
            setattr(one, trouble, not getattr(one, trouble))
        if trouble == "killed" or one.ended():
            await (one.finish() if chance.random() < 0.5 and not one.stopped else one.kill())
            processes[processes.index(one)] = make(f"p{number}+", chance.uniform(-1e3, 1e3))
        await world.run(chance.uniform(0, 25), check)
    for process in processes:
        process.away = process.deaf = process.stopped = False
        if process.ended():
            processes[processes.index(process)] = make(f"{process.name} again")
    await world.run(3 * TERMS.lease, check)
    await asyncio.sleep(0)
    assert sum(process.leads() for process in processes) == 1
    assert len(led) > 1


async def test_conflicts_that_nobody_made_are_met_in_no_hurry(world: World, make: Make) -> None:
    first = make("first")
    # Somebody who is dead by now holds it.
    world.write(None, Lease("dead", TERMS.lease, 0, "long ago", ""))
    await world.run(TERMS.lease - 1)
    first.refused = True
    await world.run(2)
    before = first.reads
    # Twice at once, and then not before time has passed.
    for _turn in range(50):
        await world.settle()
    assert first.reads - before < 10
    first.refused = False
    await world.run(TERMS.lease)
    assert first.leads()
    first.refused, before = True, first.reads
    await world.run(TERMS.renew_every)
    for _turn in range(50):
        await world.settle()
    assert first.reads - before < 5
    first.refused = False
    await world.run(TERMS.certain_for / 2)
    assert first.leads()

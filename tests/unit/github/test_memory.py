"""What is remembered, and who shares a question."""

import asyncio
from datetime import timedelta

import pytest

from mooring.github.memory import Fingerprints, Flights, Memory
from tests.unit.github.fake_clock import FakeClock

MINUTE = timedelta(minutes=1)


class Question:
    """Something to ask that waits until it is told to answer, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()

    async def __call__(self) -> int:
        """Answer with the number of this request."""
        self.asked += 1
        number = self.asked
        await self.answer.wait()
        return number


def test_answers_end() -> None:
    """Each has its time, and none outlives what it speaks of."""
    clock = FakeClock()
    memory: Memory[str] = Memory(clock, 10)
    memory.keep("a", "long", MINUTE)
    memory.keep("b", "short", MINUTE, until=clock.now() + timedelta(seconds=5))
    memory.keep("c", "dead", MINUTE, until=clock.now())
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == ("long", "short", None)
    clock.move(5)
    assert (memory.get("a"), memory.get("b")) == ("long", None)
    memory.forget("a")
    assert memory.get("a") is None
    assert len(memory) == 0


def test_memory_is_bounded() -> None:
    """The least recently used goes first."""
    memory: Memory[int] = Memory(FakeClock(), 3)
    for number in range(3):
        memory.keep(number, number, MINUTE)
    memory.get(0)
    memory.keep(3, 3, MINUTE)
    assert [memory.get(number) for number in range(4)] == [0, None, 2, 3]


def test_fingerprints() -> None:
    """Equal tokens have equal names in one process, and no name tells anything to another one."""
    names = Fingerprints()
    assert names.of("ghp_a") == names.of("ghp_a")
    assert len({names.of("ghp_a"), names.of("ghp_b"), names.of(None), Fingerprints().of("ghp_a")}) == 4
    assert "ghp_a" not in names.of("ghp_a")


async def test_equal_questions_are_asked_once() -> None:
    """A thousand ask; GitHub is asked once, and again when somebody asks later."""
    flights, question = Flights(), Question()
    waiting = [asyncio.create_task(flights.join("key", question)) for _ in range(1000)]
    await asyncio.sleep(0)
    question.answer.set()
    assert await asyncio.gather(*waiting) == [1] * 1000
    assert await flights.join("key", question) == 2


async def test_a_fresh_question_takes_no_older_answer() -> None:
    """Who asks while a question is under way gets the answer of the next one, with all who wait for it."""
    flights, question = Flights(), Question()
    first = asyncio.create_task(flights.join_next("key", question))
    await asyncio.sleep(0)
    later = [asyncio.create_task(flights.join_next("key", question)) for _ in range(1000)]
    await asyncio.sleep(0)
    question.answer.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 1000
    assert question.asked == 2


async def test_who_gives_up_ends_it_for_nobody() -> None:
    """Cancelling one who waits leaves the others their answer."""
    flights, question = Flights(), Question()
    impatient, patient = (asyncio.create_task(flights.join("key", question)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    question.answer.set()
    assert await patient == 1


async def test_closing_ends_everything() -> None:
    """Questions under way and queued ones."""
    flights, question = Flights(), Question()
    waiting = [asyncio.create_task(flights.join_next("key", question)) for _ in range(3)]
    await asyncio.sleep(0)
    await flights.aclose()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 3

"""New Projects: how long the operator takes for them, and whether each costs more where there are many."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from bench import arriving, bare, worlds
from bench.arriving import Arrival, told
from bench.bare import Bare
from bench.figures import Book, ratio
from bench.site import site
from bench.size import Say, Size

Object = dict[str, Any]
# The growth's floor is measured with so many of the Projects, in some of the namespaces.
SAMPLE = 1_000


def reconcile(book: Book, size: Size, say: Say) -> None:
    """Measure new Projects that follow a repository."""
    _several(book, "reconcile_2000", worlds.sourced, say, count=size.reconciled, runs=size.reconciled_runs)


def reconcile_image(book: Book, size: Size, say: Say) -> None:
    """Measure new Projects that are an image with an inherited token: nothing is asked of GitHub."""
    _several(book, "reconcile_2000_image", worlds.image, say, count=size.reconciled_image, runs=1)


def _several(book: Book, key: str, spec: Callable[[int], Object], say: Say, *, count: int, runs: int) -> None:
    """Measure product and floor one after the other, several times."""
    both = [once(count, spec, say) for _ in range(runs)]
    seconds = median(floor.seconds for _, floor in both)
    ratios = [ratio(arrival.seconds, floor.seconds, key) for arrival, floor in both]
    book.add(key, ratios, "x", n=count, floor=seconds)
    ratios = [ratio(arrival.with_start, floor.seconds, key) for arrival, floor in both]
    book.add(f"{key}_with_start", ratios, "x", n=count, floor=seconds)
    book.add(f"{key}_seconds", [arrival.seconds for arrival, _ in both], "s", n=count, floor=seconds)
    book.add(f"{key}_cpu_seconds", [arrival.cpu for arrival, _ in both], "s", n=count)


def once(count: int, spec: Callable[[int], Object], say: Say) -> tuple[Arrival, Bare]:
    """Reconcile so many new Projects in a lab of their own; return that, and the floor of it."""
    with site() as here:
        wide = -(-count // worlds.EACH)
        world = worlds.make(here, apps=wide)
        spaces = world.furnish("many", wide)
        arriving.settle(world, spaces)
        arriving.create(here, spaces, count, spec)
        arrival = arriving.reconciled(here, count)
        say(f"  {told(arrival, 'Projects')}")
        some = spaces[: SAMPLE // worlds.EACH] if count > 2 * SAMPLE else spaces
        floor = bare.floor_of(world, arrival, some, share=len(some) / len(spaces))
        say(f"  {bare.summary(floor)}")
        return arrival, floor


def growth(book: Book, size: Size, say: Say) -> None:
    """Measure the time of a Project where there are few, more and many."""
    each: dict[int, list[float]] = {}
    floors: dict[int, list[float]] = {}
    *_, some, many = size.growth
    # Those that are compared, on both sides of the longest: so a machine that changes meanwhile is seen.
    for count in (*size.growth, some):
        arrival, floor = once(count, worlds.sourced, say)
        ratio(arrival.seconds, floor.seconds, f"{count} Projects")
        each.setdefault(count, []).append(1000 * arrival.seconds / count)
        floors.setdefault(count, []).append(1000 * floor.seconds / count)
    for count in size.growth:
        book.add(f"reconcile_ms_{count}", each[count], "ms", n=count, floor=median(floors[count]))
    book.add(
        "reconcile_10000_growth",
        [median(each[many]) / one for one in each[some]],
        "x",
        n=many,
        floor=median(floors[many]) / median(floors[some]),
    )

"""How long a process takes from its start to the first thing that it does."""

from __future__ import annotations

from datetime import datetime

from bench import arriving, worlds
from bench.arriving import changes, observe, version_of
from bench.figures import Book
from bench.site import OPERATOR, Site, now, site, stop
from bench.size import Say, Size

SPACE = "cold"
RUNS = 3


def measure(book: Book, size: Size, say: Say) -> None:
    """Start an operator several times, each time where there is one new Project."""
    with site() as here:
        people = here.people(SPACE)
        # Once without being measured: it makes its keys, and Python its bytecode, as the image has it.
        arriving.settle(worlds.World(here, [], "", {}), [])
        runs = []
        for number in range(max(RUNS, size.runs)):
            people.apply("Project", f"p{number}", worlds.image(number))
            runs.append(_start(here, f"p{number}"))
    say(f"  the operator's first write for a new Project: {', '.join(f'{run:.2f} s' for run in runs)}")
    book.add("cold_start_operator", runs, "s", n=1)


def _start(here: Site, project: str) -> float:
    """Return the seconds from the start of a process to its first write of a Project."""
    version, since = version_of(here, "projects"), now()
    mooring = here.start()
    try:
        observe(changes(here, "projects", version), 1, lambda obj: "status" in obj)
    finally:
        stop(mooring)
    asked = [one for one in here.writes(OPERATOR, since) if (one.resource, one.name) == ("projects", project)]
    return datetime.fromisoformat(asked[0].ended).timestamp() - here.started

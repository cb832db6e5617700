"""Ten thousand Projects at rest: what a start costs, what rest costs, in memory, writes, requests and CPU."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence

from bench import rollouts
from bench.figures import Book
from bench.github_floor import MINT
from bench.site import OPERATOR, Asked, counted, cpu, memory, now, stop
from bench.size import Say, Size
from bench.vast import PATIENCE, Object, Vast, vast
from tests.cluster.process import Mooring, wait_ready

# A sweep comes back after this share of its interval, which is ten minutes by default.
SWEEPS_AN_HOUR = 3600 / (0.9 * 600)


def measure(book: Book, size: Size, say: Say) -> None:
    """Start an operator, let it come to rest, watch it rest, and push."""
    world = vast(size, say)
    hub, count = world.site.hub, world.count
    since, mark, mooring = now(), hub.mark(), world.site.start()
    try:
        wait_ready(mooring, PATIENCE)
        world.all_done(mooring)
        seconds = time.time() - world.site.started
        world.rest(mooring)
        journal = hub.journal(mark)
        written = world.site.writes(OPERATOR, since)
        say(f"  after {seconds:.1f} s there was nothing to do; {told(written)}; GitHub: {asked_of(journal)}")
        book.add("restart_10000_seconds", seconds, "s", n=count)
        book.add("restart_10000_writes", len(written), "", n=count)
        book.add("restart_10000_mints", len(mints(journal)), "", n=count)
        # What a start looks at once is what a sweep's interval takes; a start asks a little beside.
        book.add("github_calls", len(journal) / count * SWEEPS_AN_HOUR, "/Project/h", n=count)
        idle(book, size, say, world, mooring)
        book.add("rss_operator_10000", memory(mooring), "MiB", n=count)
        book.add("rss_operator_10000_peak", memory(mooring, "VmHWM"), "MiB", n=count)
        rollouts.measure(book, size, say, world, mooring)
    finally:
        stop(mooring)


def idle(book: Book, size: Size, say: Say, world: Vast, mooring: Mooring) -> None:
    """Watch it doing nothing."""
    hub, count = world.site.hub, world.count
    since, mark, used, began = now(), hub.mark(), cpu(mooring), time.monotonic()
    # No other way: it is a period that is measured.
    time.sleep(size.idle_seconds)
    share = 100 * (cpu(mooring) - used) / (time.monotonic() - began)
    journal = hub.journal(mark)
    written = [one for one in world.site.writes(OPERATOR, since) if not is_refresh(one)]
    say(f"  {size.idle_seconds:.0f} s of rest: {share:.2f} % CPU; {told(written)}; GitHub: {asked_of(journal)}")
    book.add("idle_10000_writes", len(written), "", n=count)
    book.add("idle_10000_requests", len(journal), "", n=count)
    book.add("idle_10000_cpu_percent", share, "%", n=count)


def is_refresh(one: Asked) -> bool:
    """Tell whether a write keeps a live token alive."""
    return one.resource == "secrets" and one.name.startswith("mooring-clone-")


def mints(journal: Sequence[Object]) -> list[str]:
    """Return what GitHub was asked to make."""
    return [str(one["path"]) for one in journal if one["method"] == "POST" and MINT.search(str(one["path"]))]


def told(asked: list[Asked]) -> str:
    """Say what was written."""
    sorts = ", ".join(f"{n} {' '.join(sort).strip()}" for sort, n in counted(asked).most_common(5))
    return f"{len(asked)} writes{f' ({sorts})' if sorts else ''}"


def asked_of(journal: Sequence[Object]) -> str:
    """Say what GitHub was asked."""
    paths = Counter(re.sub(r"\?.*|/\d+|/app-\d+", "", str(one["path"])) for one in journal)
    return f"{len(journal)} requests{''.join(f', {n} {path}' for path, n in paths.most_common(5))}"

"""The gateway alone: pushes that match none of ten thousand Projects, its memory with them, and its start.

The floor of the pushes is a bare handler on aiohttp and uvloop that checks the signature and parses, no more. Both are
asked by the same sender, one after the other; it has to have time left.
"""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import arriving, gateways, hammer, vast, worlds
from bench.figures import Book, Void
from bench.hammer import Address, Sent
from bench.site import TICKS, Site, memory, site, stop
from bench.size import Say, Size
from bench.vast import Vast
from bench.worlds import INSTALLATION
from mooring.domain.webhooks.keys import dump, parse
from tests.cluster.conftest import ROOT
from tests.cluster.process import Gateway

IN_FLIGHT = 64
# Three are live at a time, and what is sent is signed by the last that is tried.
SECRETS = ("the-newest-secret-of-the-benchmark", "the-present-secret-of-it", "the-last-secret-of-it")
# Repositories that nobody follows; of each so few come that it has no limit to fear.
FIRST_REPOSITORY, REPOSITORIES = 90_000_000, 2_000
# What a namespace's App may send at once, and others warm up with (see `gateway.limits`).
OWNER_BURST, WARM_UP = 6_000, 2_000
# Above that share of a core the sender is what is measured.
BUSY = 0.9
STARTS, PATIENCE = 3, 300.0


def measure(book: Book, size: Size, say: Say) -> None:
    """Measure the start in a lab of its own, and the rest where ten thousand Projects are at rest."""
    with site() as here:
        arriving.settle(worlds.World(here, [], "", {}), [])
        mount = gateways.mounted(here, gateways.webhook_document(here))
        runs = [cold_start(here, mount) for _ in range(1 + STARTS)][1:]
    say(f"  the gateway's first answer: {', '.join(f'{run:.2f} s' for run in runs)}")
    book.add("cold_start_gateway", runs, "s", n=1)
    made = vast.vast(size, say)
    mount = gateways.mounted(made.site, _three_secrets(made))
    with gateways.running(made.site, mount, 1) as (gateway,):
        book.add("rss_gateway_10000", memory(gateway), "MiB", n=made.count)
        _unmatched(book, made, gateway, size, say)
        book.add("rss_gateway_10000_peak", memory(gateway, "VmHWM"), "MiB", n=made.count)
    say(f"  the gateway had {book.figures['rss_gateway_10000'].value:.0f} MiB before the pushes")


# --- its start ---


def cold_start(here: Site, mount: Path) -> float:
    """Return the seconds from the start of a process to its first answer that is no 503."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    request = gateways.delivery("/webhooks/github", {}, "nobody's")
    began = time.monotonic()
    gateway = gateways.start(here, mount, MOORING_GATEWAY_LISTEN=f"127.0.0.1:{port}")
    try:
        while time.monotonic() - began < PATIENCE:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as line:
                line.sendall(request)
                if line.recv(4096)[9:12] not in {b"", b"503"}:
                    return time.monotonic() - began
            # The other core has the process that is waited for.
            time.sleep(0.005)
    finally:
        stop(gateway)
    raise AssertionError(f"the gateway did not answer:\n{gateway.log[-4000:]}")


# --- pushes that match nothing ---


def _three_secrets(made: Vast) -> str:
    """Return what the operator wrote for gateways, with three live secrets for each App."""
    document = parse(gateways.webhook_document(made.site))
    return dump(replace(document, apps=tuple(replace(app, secrets=SECRETS) for app in document.apps)))


def _unmatched(book: Book, made: Vast, gateway: Gateway, size: Size, say: Say) -> None:
    """Measure floor and product in turns."""
    payloads = [gateways.push(FIRST_REPOSITORY + number, number, 1_700_000_000) for number in range(1, REPOSITORIES)]
    paths = [_path(made, number) for number in range(len(made.spaces))]
    requests = [
        gateways.delivery(path, payload, SECRETS[-1])
        for path, payload in zip(itertools.cycle(paths), payloads, strict=False)
    ]
    # The gateway limits what an App may send; what comes in the last run has to be taken, too.
    most = (OWNER_BURST * len(paths) - WARM_UP) // size.turns
    count = min(size.unmatched // size.turns, most)
    (address,) = gateways.addresses([gateway])
    ratios, per_push, floors = [], [], []
    with _bare_handler(SECRETS[-1]) as (bare, port):
        for each in (("127.0.0.1", port), address):
            _send(each, requests, WARM_UP)
        for _ in range(size.turns):
            floor, floor_cpu = _timed(("127.0.0.1", port), bare.pid, requests, count)
            product, product_cpu = _timed(address, gateway.process.pid, requests, count)
            say(f"  push_unmatched: {_told(product, product_cpu)}; floor: {_told(floor, floor_cpu)}")
            ratios.append(product.rate / floor.rate)
            per_push.append(product_cpu / floor_cpu)
            floors.append(floor.rate)
    if median(ratios) > 1:
        raise Void("the gateway was quicker than the bare handler")
    book.add("push_unmatched", ratios, "x", n=count, floor=median(floors))
    book.add("push_unmatched_cpu", per_push, "x", n=count)


def _path(made: Vast, number: int) -> str:
    installation = made.spaces[number].get("GitHubInstallation", INSTALLATION)
    assert installation is not None
    return urlsplit(str(installation["status"]["webhook"]["url"])).path


def _timed(address: Address, pid: int, requests: list[bytes], count: int) -> tuple[Sent, float]:
    """Send so many; return what became of them, and the seconds of CPU that each took where it was answered."""
    before = _cpu(pid)
    sent = _send(address, requests, count)
    return sent, (_cpu(pid) - before) / count


def _send(address: Address, requests: list[bytes], count: int) -> Sent:
    sent = hammer.send([address], itertools.islice(itertools.cycle(requests), count), IN_FLIGHT)
    if set(sent.statuses) != {200}:
        raise Void(f"pushes that match nothing were answered {dict(sent.statuses)}: {sent.samples!r}")
    if sent.cpu_seconds > BUSY * sent.seconds:
        raise Void(f"the sender was busy for {sent.cpu_seconds:.1f} of {sent.seconds:.1f} s: it is what was measured")
    return sent


def _told(sent: Sent, cpu: float) -> str:
    tail = f"p99 {1000 * sent.quantile(0.99):.1f} ms, {1e6 * cpu:.0f} µs of CPU each"
    return f"{sent.rate:.0f} a second, {tail}, the sender's CPU {100 * sent.cpu_seconds / sent.seconds:.0f} %"


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def _bare_handler(secret: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.bare_handler", secret], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()

"""A push under load: nobody who asks meanwhile goes away without an answer."""

from __future__ import annotations

import http.client
import itertools
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.kubernetes.support import until
from tests.node.install import PATIENCE, page
from tests.node.shop import PORT, Shop

KEPT, NEW = 3, 3
PAUSE = 0.005
PUSHES = 10
LIMIT_SECONDS = 8.0


class Clients:
    """Some that keep their connection for as long as the server does, some that make one for each request."""

    def __init__(self, address: str) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._address = address
        self._over = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[Clients]:
        threads = [threading.Thread(target=self._keep) for _ in range(KEPT)]
        threads += [threading.Thread(target=self._anew) for _ in range(NEW)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _keep(self) -> None:
        connection = http.client.HTTPConnection(self._address, PORT, timeout=10)
        while not self._over.wait(PAUSE):
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                self._note(answer.status, answer.read().decode())
            except (OSError, http.client.HTTPException) as problem:
                self._note(0, f"kept: {problem!r}")
                connection.close()
        connection.close()

    def _anew(self) -> None:
        while not self._over.wait(PAUSE):
            self._note(*page(self._address, PORT))

    def _note(self, status: int, text: str) -> None:
        if status == 200:
            self.answers[text] += 1
        else:
            self.failures.append(f"{status} {text}")


def test_no_request_fails_while_a_push_rolls_out(shop: Shop) -> None:
    before = shop.page()
    with Clients(shop.address()).asking() as clients:
        until(lambda: clients.answers[before] > 20, "they ask", PATIENCE)
        shop.arrived(shop.push({"index.html": f"{before}, and rolled"}))
        shop.alone()
        seen = clients.answers[f"{before}, and rolled"]
        until(lambda: clients.answers[f"{before}, and rolled"] > seen + 20, "the new ones are answered", PATIENCE)
    assert not clients.failures
    assert set(clients.answers) == {before, f"{before}, and rolled"}


@pytest.mark.scale
def test_a_push_is_served_within_seconds(shop: Shop) -> None:
    """From the start of `git push` to the first answer with the new content."""
    address, took = shop.address(), []
    for number in range(PUSHES):
        started = time.monotonic()
        sha = shop.push({"index.html": f"no. {number}"})
        for _ in itertools.count():
            if page(address, PORT) == (200, f"no. {number}"):
                break
            assert time.monotonic() < started + PATIENCE
        took.append(time.monotonic() - started)
        shop.arrived(sha)
    shown = ", ".join(f"{seconds:.1f}" for seconds in sorted(took))
    assert statistics.median(took) < LIMIT_SECONDS, shown
    print(f"\na push is served after {statistics.median(took):.1f} s, the median of {shown}")  # noqa: T201

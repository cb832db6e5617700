"""The sender of the benchmark: it sends each request once, counts the answers, and notices a server that gives none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.hammer import Address, Broken, Sent, prepared, send

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def serving(answer: bytes, taken: list[bytes]) -> Iterator[Address]:
    """Answer each read with the same bytes, in two pieces."""

    def serve(line: socket.socket) -> None:
        # A sender that has seen enough closes in the middle of an answer.
        with line, suppress(ConnectionError):
            while request := line.recv(4096):
                taken.append(request)
                if not answer:
                    return
                line.sendall(answer[:30])
                line.sendall(answer[30:])

    def accept() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_each_request_is_sent_once_and_its_answer_counted() -> None:
    taken: list[bytes] = []
    requests = [prepared("/x", f"{number}".encode(), {"X-A": "b"}) for number in range(50)]
    with serving(ANSWER, taken) as address:
        sent = send([address], iter(requests), 8)
    assert sorted(taken) == sorted(requests)
    assert sent.statuses == {202: 50}
    assert len(sent.latencies) == 50
    assert sent.samples == [b"{}"] * 3
    assert 0 < sent.quantile(0.5) <= sent.quantile(0.99) <= sent.seconds
    assert sent.rate == pytest.approx(50 / sent.seconds)


@pytest.mark.parametrize(("answer", "why"), [(b"", "was closed"), (b"HTTP/1.1 200 OK\r\n\r\n" * 2, "without a length")])
def test_a_server_that_does_not_answer_as_it_should_ends_it(answer: bytes, why: str) -> None:
    with serving(answer, []) as address, pytest.raises(Broken, match=why):
        send([address], [prepared("/x", b"", {})], 1)


def test_quantiles_are_those_of_what_was_measured() -> None:
    sent = Sent(seconds=2.0, latencies=[float(number) for number in range(100, 0, -1)])
    assert (sent.quantile(0.5), sent.quantile(0.99), sent.rate) == (51.0, 100.0, 50.0)

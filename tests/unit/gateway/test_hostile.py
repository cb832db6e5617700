"""What somebody without a valid signature can do to the gateway, and what somebody with one: little."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from dataclasses import replace

import pytest

from mooring.gateway.limits import KIB, MIB
from mooring.observability.gateway_metrics import Cut, Outcome
from tests.unit.gateway.support import (
    APP,
    CALM,
    HASTY,
    PATIENCE,
    PUSH,
    TRUSTED,
    Line,
    Receiver,
    as_json,
    connected,
    gateway,
    head,
    is_served,
    lines,
    posting,
    push,
    reached,
)

PIECE = b"x" * (64 * KIB)


def chunked(body: bytes = b"", **changed: str | None) -> bytes:
    return head(APP, lines(body, content_length=None, transfer_encoding="chunked", **changed))


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


# --- bodies ---


async def test_a_body_that_is_announced_too_large_is_refused_unread() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(head(APP, lines(b"", content_length=str(26 * MIB), expect="100-continue")))
        answer = await line.answer()
        assert answer is not None
        # Not even an invitation came before.
        assert (answer.status, answer.outcome, answer.headers["Connection"]) == (413, "oversized", "close")
        assert edge.gauge("body_bytes") == 0


async def test_a_body_that_grows_too_large_is_refused_when_it_is() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(chunked())
        sending = asyncio.create_task(send_chunks(line, 26 * MIB))
        answer = await line.answer()
        await sending
        assert answer is not None
        assert (answer.status, answer.outcome) == (413, "oversized")
        assert edge.count("push", Outcome.OVERSIZED) == 1


async def send_chunks(line: Line, size: int) -> None:
    for _ in range(size // len(PIECE)):
        await line.write(chunk(PIECE))


async def test_a_body_of_the_largest_size_is_verified() -> None:
    limits = replace(CALM, largest_body=3 * MIB)
    room = 3 * MIB - len(as_json(push(padding="")))
    fits, does_not = (as_json(push(padding="x" * count)) for count in (room, room + 1))
    async with gateway(limits) as edge:
        fine, larger = await edge.post(fits), await edge.post(does_not)
        assert fine is not None
        assert larger is not None
        assert (fine.status, larger.status) == (202, 413)
        assert await is_served(edge)


async def test_a_chunked_body_is_taken() -> None:
    async with gateway() as edge:
        pieces = b"".join(chunk(PUSH[start : start + 50]) for start in range(0, len(PUSH), 50))
        answer = await edge.send(chunked(PUSH) + pieces + b"0\r\n\r\n")
        assert answer is not None
        assert answer.status == 202


async def test_what_stands_behind_a_body_is_no_header_of_the_next_request() -> None:
    async with gateway() as edge, connected(edge) as line:
        first = chunked(PUSH) + chunk(PUSH) + b"0\r\nX-GitHub-Event: ping\r\nX-GitHub-Delivery: 1\r\n\r\n"
        await line.write(first + posting(PUSH, x_github_event=None) + posting(PUSH))
        answers = [await line.answer() for _ in range(3)]
        assert [answer.status for answer in answers if answer] == [202, 400, 202]
        assert [told["event"] for told in edge.record.lines] == ["push", "push"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"zz\r\nab\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"),
        *(b"5\nhello\n0\n\n", b"5 \r\nhello\r\n", b"5;a\nb\r\nhello\r\n", b'5;a="\r\nb"\r\nhello\r\n'),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_chunks_that_are_none_are_malformed(body: bytes, *, at_once: bool) -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(chunked(PUSH) + (body if at_once else b""))
        if not at_once:
            await reached(edge, 1)
            await line.write(body)
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.outcome) == (400, "malformed")
        assert await line.is_closed()
        assert await is_served(edge)


async def test_tiny_chunks_and_long_trailers_are_cut_off() -> None:
    async with gateway() as edge, connected(edge) as tiny, connected(edge) as trailing:
        await tiny.write(chunked() + chunk(b"x") * 20_000)
        assert await tiny.is_closed()
        await trailing.write(chunked() + b"0\r\n" + b"".join(b"t: %d\r\n" % number for number in range(50)))
        await trailing.write(b"t: " + b"x" * 3000 + b"\r\n")
        await trailing.write((b"t: " + b"x" * 3000 + b"\r\n") * 40)
        await trailing.answer()
        assert edge.cut(Cut.PADDED) >= 1
        assert await is_served(edge)


@pytest.mark.parametrize("more", [chunk(b"x" * 5) * 40_000, b"0\r\nt: " + b"x" * 250_000])
async def test_a_long_body_has_not_much_more_than_others_that_is_none(more: bytes) -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(chunked() + chunk(PIECE) * 8)
        await line.write(more)
        assert await line.is_closed()
        assert edge.cut(Cut.PADDED) == 1


async def test_nothing_is_inflated() -> None:
    bomb = gzip.compress(bytes(100 * MIB), 1)
    async with gateway() as edge:
        refused = await edge.post(bomb, content_encoding="gzip")
        assert refused is not None
        assert (refused.status, refused.outcome) == (415, "media")
        # Nor while it is thrown away: inflated, this one would be more than is read at once, and close the connection.
        small = await edge.post(gzip.compress(bytes(MIB)), content_encoding="gzip")
        assert small is not None
        assert (small.status, "Connection" in small.headers) == (415, False)
        # Nor by another name: the bytes are what was signed, and no JSON.
        plain = await edge.post(bomb, content_encoding="identity")
        assert plain is not None
        assert (plain.status, plain.outcome) == (400, "malformed")


async def test_a_body_is_invited_only_after_its_headers_were_looked_at() -> None:
    async with gateway() as edge:
        async with connected(edge) as line:
            await line.write(head(APP, lines(PUSH, expect="100-continue")))
            async with asyncio.timeout(PATIENCE):
                assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await line.write(PUSH)
            answer = await line.answer()
            assert answer is not None
            assert answer.status == 202
        for changed, status in (({"x_hub_signature_256": None}, 401), ({"content_type": "text/xml"}, 415)):
            async with connected(edge) as line:
                await line.write(head(APP, lines(PUSH, expect="100-continue", **changed)))
                answer = await line.answer()
                assert answer is not None
                assert answer.status == status


async def test_who_goes_away_in_the_middle_leaves_nothing() -> None:
    async with gateway() as edge:
        async with connected(edge) as line:
            await line.write(posting(PUSH)[:-10])
            await edge.eventually("connections", 1)
        await edge.eventually("connections", 0)
        await edge.eventually("body_bytes", 0)
        async with asyncio.timeout(PATIENCE):
            while edge.count("push", Outcome.GONE) < 1:  # noqa: ASYNC110 - a metric has nothing to wait for
                await asyncio.sleep(0.01)


# --- time ---


async def test_headers_have_a_deadline_from_the_beginning_of_the_connection() -> None:
    async with gateway(HASTY) as edge, connected(edge) as silent, connected(edge) as slow:
        await slow.write(b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n")
        assert await silent.is_closed()
        assert await slow.is_closed()
        assert edge.cut(Cut.HEADERS) == 2


async def test_to_send_headers_bit_by_bit_does_not_help() -> None:
    async with gateway(HASTY) as edge, connected(edge) as line:
        await line.write(b"POST /webhooks/github HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip(line, b"X-A: b\r\n"))
        assert await line.is_closed()
        dripping.cancel()
        assert edge.cut(Cut.HEADERS) == 1


async def drip(line: Line, data: bytes) -> None:
    while True:
        await line.write(data)
        await asyncio.sleep(0.02)


async def test_the_next_request_has_its_own_deadline() -> None:
    async with gateway(replace(HASTY, idle_seconds=PATIENCE)) as edge, connected(edge) as begun:
        await begun.write(posting(PUSH))
        assert await begun.answer() is not None
        await begun.write(b"POST")
        assert await begun.is_closed()
        assert edge.cut(Cut.HEADERS) == 1


async def test_who_says_nothing_more_is_no_trouble() -> None:
    async with gateway(HASTY) as edge, connected(edge) as idle:
        await idle.write(posting(PUSH))
        assert await idle.answer() is not None
        assert await idle.is_closed()
        assert all(edge.cut(why) == 0 for why in Cut)


async def test_a_slow_body_is_cut_off() -> None:
    async with gateway(replace(HASTY, body_seconds=PATIENCE)) as edge, connected(edge) as line:
        await line.write(head(APP, lines(PUSH, content_length="100000")))
        dripping = asyncio.create_task(drip(line, b"x"))
        assert await line.is_closed()
        dripping.cancel()
        assert edge.cut(Cut.SLOW) == 1


async def test_no_body_takes_longer_than_it_may_at_whatever_rate() -> None:
    async with gateway(replace(HASTY, least_rate=1, grace_seconds=0)) as edge, connected(edge) as line:
        await line.write(head(APP, lines(PUSH, content_length="10000000")))
        dripping = asyncio.create_task(drip(line, b"x" * 500))
        assert await line.is_closed()
        dripping.cancel()
        assert edge.cut(Cut.LATE) == 1


# --- headers ---


async def test_headers_without_an_end_are_cut_off() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(
            b"POST / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 2000) for n in range(30))
        )
        assert await line.is_closed()
        assert edge.cut(Cut.HEADERS) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GARBAGE\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\n\r\n",
        b"POST /webhooks/github HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nX-A: " + b"b" * 5000 + b"\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n X-Folded: b\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(
            b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
            for coding in (
                b"gzip, chunked",
                b"identity\r\nTransfer-Encoding: chunked",
                b",chunked",
                b"chunked, identity",
            )
        ),
        b"POST /webhooks/github HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nX-A: b\r\n folded\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        head(APP, {**lines(PUSH), "x-github-event": "push\rX-Injected: 1"}),
        head(APP, {**lines(PUSH), "x-github-delivery": "a\nb"}),
    ],
)
async def test_what_is_no_request_is_malformed_and_not_quoted(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(request_bytes)
        answer = await line.answer()
        assert answer is not None
        assert (answer.status, answer.outcome) == (400, "malformed")
        assert await line.is_closed()
        assert answer.body.startswith(b'{"outcome": "malformed", "message": "th')
        assert b"Server" not in bytes(str(answer.headers), "ascii")
        assert await is_served(edge)
    # Anybody can send that: it is worth no line.
    assert [record for record in caplog.records if record.name != "mooring.gateway.server"] == []


@pytest.mark.parametrize(
    "changed",
    [
        {"x_forwarded_for": "1.2.3.4\x0b"},
        {"x_forwarded_for": ", ,, " * 500},
        {"x_forwarded_for": "f" * 4000},
        {"x_github_enterprise_host": "evil.example.com"},
        {"upgrade": "websocket", "connection": "Upgrade"},
        {"upgrade": "h2c", "connection": "Upgrade, HTTP2-Settings"},
    ],
)
async def test_other_headers_change_nothing(changed: dict[str, str]) -> None:
    async with gateway(trusted_proxies=TRUSTED) as edge:
        answer = await edge.post(PUSH, **changed)
        assert answer is not None
        assert answer.status in {202, 400}
        assert await is_served(edge)


async def test_what_proxies_say_of_a_sender_is_not_kept_at_length() -> None:
    async with gateway(trusted_proxies=TRUSTED) as edge, connected(edge) as line:
        tracemalloc.start()
        try:
            for number in range(100):
                said = "".join(f"X-Forwarded-For: {'f' * 4000}, {number}\r\n" for _ in range(3))
                await line.write(posting(PUSH).replace(b"\r\n", b"\r\n" + said.encode(), 1))
                answer = await line.answer()
                assert answer is not None
                assert answer.status == 202
            assert tracemalloc.get_traced_memory()[0] < 100 * 8 * KIB
        finally:
            tracemalloc.stop()


async def test_requests_behind_one_that_is_not_answered_are_few() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(receiver=receiver) as edge, connected(edge) as line:
        await line.write(posting(PUSH))
        async with asyncio.timeout(PATIENCE):
            while not receiver.taken:  # noqa: ASYNC110 - a list has nothing to wait for
                await asyncio.sleep(0.01)
        await line.write(posting(PUSH) * 100)
        assert await line.is_closed()
        assert edge.cut(Cut.PIPELINED) == 1
        assert receiver.held is not None
        receiver.held.set()


async def test_requests_that_came_with_one_that_is_not_answered_are_few() -> None:
    receiver = Receiver(held=asyncio.Event())
    async with gateway(receiver=receiver) as edge, connected(edge) as line:
        # In one read, which is no longer than headers may be.
        await line.write(posting(PUSH) + head("/", {"host": ""}) * 20)
        assert await line.is_closed()
        assert edge.cut(Cut.PIPELINED) == 1
        assert receiver.held is not None
        receiver.held.set()


async def test_a_few_requests_at_once_are_answered_in_their_order() -> None:
    async with gateway() as edge, connected(edge) as line:
        await line.write(posting(PUSH) + posting(PUSH, "/nothing") + posting(PUSH, x_github_event="ping"))
        answers = [await line.answer() for _ in range(3)]
        assert [answer.status for answer in answers if answer] == [202, 404, 200]

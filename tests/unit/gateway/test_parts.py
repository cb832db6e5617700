"""The parts of the edge that decide: addresses, buckets, lanes, payloads, metrics. The time is an argument."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from mooring.domain.webhooks.events import BadPayload, read
from mooring.gateway.addresses import Client, client
from mooring.gateway.answers import Refused
from mooring.gateway.buckets import Buckets, Recent
from mooring.gateway.lanes import Holding, Lanes
from mooring.gateway.limits import MIB, Limits
from mooring.gateway.payloads import payload_of, subject
from mooring.gateway.quotas import Quotas
from mooring.observability.gateway_metrics import EVENTS, Cut, GatewayMetrics, Outcome
from tests.unit.gateway.support import as_json, push

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "key", "known"),
    [
        # Who is no trusted proxy says nothing about others.
        ("140.82.112.5", (), "140.82.112.5", True),
        ("140.82.112.5", ("8.8.8.8",), "140.82.112.5", True),
        ("::ffff:140.82.112.5", (), "140.82.112.5", True),
        ("2a00:1450::1", (), "2a00:1450::/64", True),
        ("2a00:1450::ffff:1", (), "2a00:1450::/64", True),
        # Everybody may come from there.
        ("192.168.1.1", ("8.8.8.8",), "192.168.1.1", False),
        ("127.0.0.1", ("8.8.8.8",), "127.0.0.1", False),
        ("169.254.1.1", (), "169.254.1.1", False),
        ("100.64.0.1", (), "100.64.0.1", False),
        ("fe80::1%eth0", (), "fe80::/64", False),
        ("None", (), "unknown", False),
        # A trusted proxy's word counts, and nobody else's in front of it.
        ("10.0.0.1", ("8.8.8.8",), "8.8.8.8", True),
        ("::ffff:10.0.0.1", ("8.8.8.8",), "8.8.8.8", True),
        ("10.0.0.1", ("1.1.1.1, 8.8.8.8",), "8.8.8.8", True),
        ("10.0.0.1", ("1.1.1.1", "8.8.8.8, 10.9.9.9"), "8.8.8.8", True),
        ("10.0.0.1", ("192.168.7.7",), "192.168.7.7", True),
        ("10.0.0.1", ("8.8.8.8:4711",), "8.8.8.8", True),
        ("10.0.0.1", ("[2a00:1450::1]:4711",), "2a00:1450::/64", True),
        ("2001:db8::7", ("2a00:1450::1",), "2a00:1450::/64", True),
        # It says nothing, or nothing that can be read: then it stands for everybody behind it.
        ("10.0.0.1", (), "10.0.0.1", False),
        ("10.0.0.1", ("10.0.0.2, 10.0.0.3",), "10.0.0.1", False),
        ("10.0.0.1", ("8.8.8.8, unknown",), "10.0.0.1", False),
        ("10.0.0.1", ("8.8.8.8,",), "10.0.0.1", False),
        ("10.0.0.1", ("8.8.8.8," + "10.0.0.2," * 40 + "10.0.0.2",), "10.0.0.1", False),
    ],
)
def test_who_sends(peer: str, forwarded: tuple[str, ...], key: str, *, known: bool) -> None:
    assert client(peer, forwarded, PROXIES) == Client(key, is_known=known)


def test_a_bucket_is_filled_again_as_time_goes_by() -> None:
    buckets = Buckets(burst=2, a_second=0.5, size=10)
    assert [buckets.take("a", 0), buckets.take("a", 0), buckets.take("a", 0)] == [0, 0, 2]
    assert (buckets.wait("a", 1), buckets.take("a", 2), buckets.take("a", 2)) == (1, 0, 2)
    # Never more than the burst, however long nobody came.
    assert [buckets.take("a", 1000) for _ in range(3)] == [0, 0, 2]
    assert buckets.take("b", 1000) == 0


def test_the_table_keeps_those_who_come() -> None:
    buckets = Buckets(burst=1, a_second=0.001, size=2)
    assert buckets.take("a", 0) == 0
    assert buckets.take("b", 0) == 0
    assert buckets.take("a", 0) > 0
    assert buckets.take("c", 0) == 0
    assert len(buckets) == 2
    assert buckets.wait("a", 0) > 0
    assert buckets.wait("b", 0) == 0


def test_what_was_seen_is_forgotten() -> None:
    recent = Recent(seconds=10, size=2)
    recent.see("a", 0)
    assert (recent.has("a", 10), recent.has("a", 10.1), recent.has("b", 0)) == (True, False, False)
    for key in "abc":
        recent.see(key, 20)
    assert [recent.has(key, 20) for key in "abc"] == [False, True, True]


class Sender:
    """A body in the lanes."""

    def __init__(self, lanes: Lanes, now: float, announced: int | None = None) -> None:
        self.is_cut = False
        self.holding: Holding = lanes.enter(now, announced=announced, evicted=self.cut)

    def cut(self) -> None:
        self.is_cut = True


LANES = replace(Limits(), small_body=10, small_lane=30, large_lane=100)


def test_the_oldest_incomplete_body_makes_room() -> None:
    lanes = Lanes(LANES)
    senders = [Sender(lanes, now) for now in range(5)]
    for sender in senders[:3]:
        sender.holding.grow(10)
    senders[0].holding.complete()
    assert (lanes.small.held, [sender.is_cut for sender in senders]) == (30, [False] * 5)
    senders[3].holding.grow(5)
    assert (lanes.small.held, [sender.is_cut for sender in senders]) == (25, [False, True, False, False, False])
    senders[4].holding.grow(6)
    assert (lanes.small.held, [sender.is_cut for sender in senders]) == (21, [False, True, True, False, False])


def test_where_all_others_are_complete_the_newest_goes() -> None:
    lanes = Lanes(LANES)
    for _ in range(3):
        complete = Sender(lanes, 0)
        complete.holding.grow(10)
        complete.holding.complete()
    late = Sender(lanes, 1)
    late.holding.grow(1)
    assert late.is_cut
    assert lanes.held == 30


def test_a_body_that_grows_changes_its_lane_and_keeps_its_age() -> None:
    lanes = Lanes(LANES)
    grown, announced = Sender(lanes, 0), Sender(lanes, 1, announced=11)
    announced.holding.grow(60)
    grown.holding.grow(10)
    assert (lanes.small.held, lanes.large.held) == (10, 60)
    grown.holding.grow(20)
    assert (lanes.small.held, lanes.large.held) == (0, 90)
    announced.holding.grow(11)
    # Though it came to this lane later.
    assert (grown.is_cut, announced.is_cut, lanes.held) == (True, False, 71)


def test_what_is_released_twice_is_given_back_once() -> None:
    lanes = Lanes(LANES)
    sender, other = Sender(lanes, 0), Sender(lanes, 0)
    sender.holding.grow(7)
    other.holding.grow(7)
    sender.holding.release()
    sender.holding.release()
    sender.holding.grow(7)
    assert lanes.held == 7


def test_who_is_evicted_gives_back_what_was_read_and_who_is_complete_keeps_it() -> None:
    lanes = Lanes(LANES)
    evicted, complete = Sender(lanes, 0), Sender(lanes, 1)
    for sender in (evicted, complete):
        sender.holding.grow(10)
        sender.holding.content.extend(b"x" * 10)
    complete.holding.complete()
    Sender(lanes, 2).holding.grow(11)
    # Its sender went away while it is worked on.
    complete.holding.abandon()
    assert (evicted.is_cut, bytes(evicted.holding.content), len(complete.holding.content)) == (False, b"x" * 10, 10)
    Sender(lanes, 3).holding.grow(10)
    Sender(lanes, 4).holding.grow(1)
    assert (evicted.is_cut, bytes(evicted.holding.content), len(complete.holding.content)) == (True, b"", 10)


async def test_of_a_payload_what_is_used_is_kept() -> None:
    payload = push(padding="x" * 100)
    assert await payload_of(as_json(payload)) == payload
    # Of a large one there is no more than that, and the same comes of it.
    used = {name: payload[name] for name in ("ref", "before", "after", "installation", "sender")}
    large = await payload_of(bytearray(as_json(push(padding="x" * MIB))))
    assert large == used | {"repository": {"id": 7, "pushed_at": 1700000000}}
    assert read("push", large) == read("push", payload)
    with pytest.raises(BadPayload):
        await payload_of(b'{"padding": "' + b"x" * MIB + b'"')


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"repository": {"id": 7}, "installation": {"id": 11}}, "repository/7"),
        ({"installation": {"id": 11}}, "installation/11"),
        ({"repository": {"id": True}, "installation": {"id": "11"}}, None),
        ({"repository": [7]}, None),
    ],
)
def test_whom_a_payload_is_about(payload: dict[str, object], name: str | None) -> None:
    assert subject(payload) == name


def test_an_address_that_was_vouched_for_is_so_for_a_while() -> None:
    now = 0.0
    limits = replace(Limits(), failures_burst=1, failures_a_second=0.0001, vouched_seconds=100)
    quotas = Quotas(limits, lambda: now)
    sender, refusal = Client("140.82.112.5", is_known=True), Refused(401, Outcome.UNSIGNED, "no")
    quotas.vouch(sender)
    assert quotas.failed(sender, refusal) is refusal
    assert quotas.failed(sender, refusal).answer.status == 429
    now = 100.0
    quotas.check_before_body(sender, None)
    now = 101.0
    with pytest.raises(Refused) as refused:
        quotas.check_before_body(sender, None)
    assert refused.value.answer.status == 429


def test_all_labels_are_there_from_the_beginning() -> None:
    metrics = GatewayMetrics(version="1.2.3")
    value = metrics.registry.get_sample_value
    for event in EVENTS:
        for outcome in Outcome:
            assert value("mooring_deliveries_total", {"event": event, "outcome": outcome.value}) == 0
    assert [value("mooring_gateway_cut_total", {"why": why.value}) for why in Cut] == [0] * len(Cut)
    assert value("mooring_build_info", {"version": "1.2.3"}) == 1
    assert value("mooring_delivery_seconds_count") == 0
    assert value("process_resident_memory_bytes") is not None


def test_what_senders_say_makes_no_label() -> None:
    metrics = GatewayMetrics()
    series = sum(len(family.samples) for family in metrics.registry.collect() if family.name == "mooring_deliveries")
    for event, outcome in ((None, "unsigned"), ("star", "ignored"), ("none_of_ours", "a word of a receiver's")):
        metrics.answered(event, outcome)
    after = sum(len(family.samples) for family in metrics.registry.collect() if family.name == "mooring_deliveries")
    assert after == series
    value = metrics.registry.get_sample_value
    assert value("mooring_deliveries_total", {"event": "none", "outcome": "unsigned"}) == 1
    assert value("mooring_deliveries_total", {"event": "other", "outcome": "unavailable"}) == 1

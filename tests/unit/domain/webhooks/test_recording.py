"""What is recorded of pushes: the newest, whatever the order; a push is called old only where that is certain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.conditions import timestamp
from mooring.domain.resources.project_status import DELIVERIES_MAX, ProjectStatus
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.recording import CLOCKS_DIFFER, Arrival, Report, Told, judge, record, reports

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
MAIN = "refs/heads/main"
SECOND = timedelta(seconds=1)


def sha(number: int) -> str:
    return f"{number:040x}"


def arrival(
    number: int, *, at: int | None = None, delivery: str | None = None, received: int = 3600, **push: Any
) -> Arrival:
    """The push from commit `number` - 1 to `number`, `at` seconds after NOW."""
    pushed_at = NOW + (number if at is None else at) * SECOND
    about = Push(1, MAIN, sha(number), sha(number - 1), pushed_at, "octocat")
    return Arrival(replace(about, **push), delivery or f"guid-{number}", NOW + received * SECOND)


def report(number: int, *, received: int = 3600) -> Report:
    """Something that happened to the repository."""
    return Report(f"report-{number}", NOW + received * SECOND, "renamed", "octocat")


def merged(status: Mapping[str, Any], fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Apply a merge patch (RFC 7386), as the API server does."""
    result = dict(status)
    for name, value in (fields or {}).items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            result[name] = merged(result.get(name) or {}, value)
        else:
            result[name] = value
    return result


def stored(*arrivals: Arrival | Report, status: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return merged(status or {}, record(status or {}, arrivals).fields)


def told(status: Mapping[str, Any], *arrivals: Arrival | Report) -> list[Told]:
    return list(record(status, arrivals).told)


# --- what is written ---


def test_the_first_push_is_recorded_with_all_that_is_known() -> None:
    found = record({}, [arrival(1, received=2)])

    assert found.told == (Told.RECORDED,)
    assert found.fields == {
        "push": {
            "sha": sha(1),
            "before": sha(0),
            "ref": MAIN,
            "delivery": "guid-1",
            "pushedAt": "2026-01-31T12:00:01Z",
            "receivedAt": "2026-01-31T12:00:02Z",
            "sender": "octocat",
        },
        "deliveries": [
            {
                "delivery": "guid-1",
                "event": "push",
                "sha": sha(1),
                "ref": MAIN,
                "sender": "octocat",
                "receivedAt": "2026-01-31T12:00:02Z",
            }
        ],
    }


def test_what_the_last_push_had_and_this_one_has_not_is_taken_away() -> None:
    status = stored(arrival(2, sender=None, pushed_at=None), status=stored(arrival(1)))

    assert not {"sender", "pushedAt"} & set(status["push"])
    ProjectStatus.model_validate(status)


def test_only_the_last_deliveries_are_kept_the_newest_first() -> None:
    many = [arrival(number) for number in range(1, 2 * DELIVERIES_MAX)]
    together = stored(*many)

    assert together == _one_by_one({}, many)
    assert len(together["deliveries"]) == DELIVERIES_MAX
    assert together["deliveries"][0]["delivery"] == together["push"]["delivery"] == many[-1].delivery


# --- what becomes of arrivals ---


def test_nothing_is_written_for_what_is_known_or_old() -> None:
    status = stored(arrival(1), arrival(2))

    again = [arrival(2), arrival(2, delivery="from-a-hook"), arrival(1), arrival(1, delivery="from-a-hook")]
    assert told(status, *again) == [Told.DUPLICATE, Told.DUPLICATE, Told.DUPLICATE, Told.SUPERSEDED]
    assert record(status, again).fields is None


def test_pushes_of_one_second_are_ordered_by_what_follows_what() -> None:
    first, second = arrival(1, at=5), arrival(2, at=5)

    assert told({}, first, second) == [Told.RECORDED, Told.RECORDED]
    assert told({}, second, first) == [Told.RECORDED, Told.SUPERSEDED]
    assert stored(first, second)["push"] == stored(second, first)["push"]


def test_forward_and_back_within_a_second_is_recorded() -> None:
    back = arrival(1, at=5, delivery="back", before=sha(2))

    assert stored(arrival(1, at=5), arrival(2, at=5), back)["push"]["delivery"] == "back"


def test_what_two_others_followed_in_its_second_changes_nothing_again() -> None:
    status = stored(arrival(1, at=5), arrival(2, at=5), arrival(3, at=5))

    assert told(status, arrival(1, at=5, delivery="again")) == [Told.SUPERSEDED]


def test_a_line_of_before_says_nothing_about_a_push_of_this_second() -> None:
    """Back to a commit of an hour ago, in one second with another push."""
    status = stored(arrival(1, received=1), arrival(9, at=3600, received=3600))
    back = arrival(1, at=3600, received=3601, delivery="back", before=sha(12))

    assert told(status, back) == [Told.RECORDED]


def test_the_same_commits_again_at_another_time_are_another_push() -> None:
    assert told(stored(arrival(1)), arrival(1, at=60, delivery="again")) == [Told.RECORDED]


def test_another_ref_than_the_stored_one_is_recorded_whenever_it_was() -> None:
    other = arrival(1, delivery="other", ref="refs/heads/next")

    assert told(stored(arrival(9)), other) == [Told.RECORDED]


def test_a_push_without_a_time_is_recorded() -> None:
    without = arrival(1, delivery="without", pushed_at=None)

    assert told(stored(arrival(9)), without) == [Told.RECORDED]
    assert told(stored(without), arrival(9)) == [Told.RECORDED]
    assert told(stored(without), replace(without, delivery="again")) == [Told.DUPLICATE]


# --- clocks, and what others write ---


def test_a_push_from_the_future_does_not_outlast_real_ones() -> None:
    false = arrival(66, at=10**6, received=10)
    status = stored(false)
    real = arrival(11, at=11, received=12)

    assert status["push"]["pushedAt"] == timestamp(NOW + 10 * SECOND + CLOCKS_DIFFER)
    assert told(status, real) == [Told.RECORDED]
    assert stored(real, status=status)["push"]["sha"] == sha(11)
    # But what was pushed before it came was there when the branch was read for it.
    assert told(status, arrival(3, at=3, received=12)) == [Told.SUPERSEDED]


def test_a_clock_that_is_behind_loses_nothing_and_knows_what_came_twice() -> None:
    late = [arrival(number, at=number + 60, received=number) for number in range(1, 5)]

    assert told({}, *late) == [Told.RECORDED] * 4
    again = replace(late[3], delivery="from-a-hook", received_at=late[3].received_at + 3 * SECOND)
    assert told(stored(*late), again) == [Told.DUPLICATE]


def test_a_time_that_somebody_wrote_into_the_status_holds_nothing_up() -> None:
    status = stored(arrival(1))
    for wrong in ("9999-12-31T23:59:59Z", "soon", "2026-01-31T12:00:00", 7, None, "9999-12-31T23:59:59-10:00"):
        push = {**status["push"], "pushedAt": wrong, "receivedAt": wrong}
        assert told({**status, "push": push}, arrival(2)) == [Told.RECORDED]


def test_a_stored_time_counts_in_whichever_form_it_is_written() -> None:
    push = {**stored(arrival(60))["push"], "pushedAt": "2026-01-31T14:01:00.5+02:00"}

    assert told({"push": push}, arrival(59)) == [Told.SUPERSEDED]
    assert told({"push": push}, arrival(61)) == [Told.RECORDED]


def test_a_newer_push_is_recorded_by_a_gateway_whose_clock_is_behind() -> None:
    """Two replicas, or one whose clock was set back: the next push is received before the last one, it seems."""
    for behind, later in ((5, 4), (30, 20), (240, 180), (3600, 7)):
        status = stored(arrival(1, at=0, received=1))
        newer = arrival(2, at=later, received=later + 1 - behind)
        assert told(status, newer) == [Told.RECORDED]
        forced = replace(newer, push=replace(newer.push, before=sha(77)))
        assert told(status, forced) == [Told.RECORDED]
        # To a commit of before, which the list of deliveries has.
        status = stored(arrival(3, at=0, received=1), status=status)
        back = arrival(1, at=later, received=later + 1 - behind, before=sha(77), delivery="back")
        assert told(status, back) == [Told.RECORDED]


def test_forward_and_back_leaves_no_way_to_send_the_first_again() -> None:
    status = stored(arrival(1, at=1), arrival(2, at=2), arrival(1, at=3, before=sha(2), delivery="back"))

    assert told(status, arrival(2, at=2, delivery="again", received=7200)) == [Told.SUPERSEDED]


# --- whatever the order ---

ORDERS = st.lists(st.integers(0, 3), min_size=1, max_size=12).flatmap(
    lambda gaps: st.tuples(st.just(gaps), st.permutations(range(len(gaps))), st.lists(st.booleans(), max_size=12))
)


def _interleaved(gaps: Sequence[int], order: Sequence[int], doubled: Sequence[bool]) -> list[Arrival]:
    """Pushes that follow each other after gaps of some seconds, arriving in any order, some by two hooks."""
    times = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    found: list[Arrival] = []
    for place, number in enumerate(order):
        one = arrival(number + 1, at=times[number], received=3600 + place)
        found.append(one)
        if place < len(doubled) and doubled[place]:
            found.append(replace(one, delivery=f"{one.delivery}-hook"))
    return found


@given(ORDERS, st.integers(1, 5))
def test_what_is_recorded_is_the_newest_in_whatever_order(
    orders: tuple[list[int], list[int], list[bool]], group: int
) -> None:
    arrivals = _interleaved(*orders)
    status: dict[str, Any] = {}
    for start in range(0, len(arrivals), group):
        batch = arrivals[start : start + group]
        found = record(status, batch)
        # Whether they come one by one or together makes no difference.
        assert merged(status, found.fields) == _one_by_one(status, batch)
        assert (found.fields is None) == (Told.RECORDED not in found.told)
        status = merged(status, found.fields)
        ProjectStatus.model_validate(status)

    newest = max(one.push.pushed_at for one in arrivals if one.push.pushed_at is not None)
    assert status["push"]["pushedAt"] == timestamp(newest)
    rivals = [one for one in arrivals if one.push.pushed_at == newest]
    if len({one.push.sha for one in rivals}) <= 2:
        assert status["push"]["sha"] == max(one.push.sha for one in rivals)


def _one_by_one(status: dict[str, Any], arrivals: Sequence[Arrival]) -> dict[str, Any]:
    for one in arrivals:
        status = stored(one, status=status)
    return status


@given(ORDERS)
def test_every_arrival_is_recorded_or_there_or_older_than_what_is_there(
    orders: tuple[list[int], list[int], list[bool]],
) -> None:
    status: dict[str, Any] = {}
    for one in _interleaved(*orders):
        found, before = judge(status, one), status.get("push")
        status = stored(one, status=status)
        if found is Told.RECORDED:
            assert status["push"]["delivery"] == one.delivery
        elif found is Told.DUPLICATE:
            assert before is not None
            assert (before["sha"], before["pushedAt"]) == (one.push.sha, one.pushed_at)
        else:
            # Superseded: the branch was, or will be, read for something that came later.
            assert before is not None
            assert one.pushed_at is not None
            assert one.pushed_at <= before["pushedAt"] <= before["receivedAt"]


@given(ORDERS, st.data())
def test_nothing_earlier_changes_anything_when_it_is_sent_again(
    orders: tuple[list[int], list[int], list[bool]], data: st.DataObject
) -> None:
    arrivals = _interleaved(*orders)
    status = stored(*arrivals)
    again = data.draw(st.lists(st.sampled_from(arrivals), min_size=1))
    recorded = {entry["delivery"] for entry in status["deliveries"]}
    replays = [
        replace(one, delivery=f"again-{number}", received_at=one.received_at + timedelta(days=7))
        for number, one in enumerate(again)
        # One of the last second that lost by mere chance may be recorded yet.
        if one.delivery in recorded or one.pushed_at != status["push"]["pushedAt"]
    ]

    found = record(status, replays)

    assert found.fields is None
    assert set(found.told) <= {Told.DUPLICATE, Told.SUPERSEDED}


# --- what happened to the repository itself ---


def test_a_report_is_a_line_and_no_push() -> None:
    found = record({}, [report(1, received=2)])

    assert found.told == (Told.RECORDED,)
    assert found.fields == {
        "deliveries": [
            {
                "delivery": "report-1",
                "event": "repository",
                "action": "renamed",
                "sender": "octocat",
                "receivedAt": "2026-01-31T12:00:02Z",
            }
        ]
    }
    ProjectStatus.model_validate(found.fields)


def test_a_report_without_more_says_less() -> None:
    found = record({}, [Report("d", NOW)])

    assert found.fields == {
        "deliveries": [{"delivery": "d", "event": "repository", "receivedAt": "2026-01-31T12:00:00Z"}]
    }


def test_a_report_leaves_the_push_alone_and_a_push_the_report() -> None:
    before = stored(arrival(1))
    after = stored(report(1), status=before)

    assert after["push"] == before["push"]
    assert [line["delivery"] for line in after["deliveries"]] == ["report-1", "guid-1"]
    mixed = record(after, [report(2), arrival(2), report(3)])
    assert mixed.told == (Told.RECORDED,) * 3
    assert mixed.fields is not None
    assert mixed.fields["push"]["delivery"] == "guid-2"
    assert [line["delivery"] for line in mixed.fields["deliveries"]][:3] == ["report-3", "guid-2", "report-2"]


def test_a_report_counts_once() -> None:
    once = stored(report(1))

    assert told(once, report(1), report(2), report(2)) == [Told.DUPLICATE, Told.RECORDED, Told.DUPLICATE]
    assert record(once, [report(1)]).fields is None


def test_reports_share_the_room_of_pushes() -> None:
    status = stored(*(report(number) for number in range(30)))

    assert len(status["deliveries"]) == DELIVERIES_MAX
    assert list(reports(status)) == [f"report-{number}" for number in range(29, 29 - DELIVERIES_MAX, -1)]


def test_reports_are_read_back_with_their_time() -> None:
    status = stored(arrival(1), report(1, received=5))

    assert reports(status) == {"report-1": NOW + 5 * SECOND}
    assert reports({}) == {}
    # Others may write a status.
    odd = [{"event": "repository"}, {"event": "repository", "delivery": "d", "receivedAt": "yesterday"}]
    assert reports({"deliveries": odd}) == {"d": None}

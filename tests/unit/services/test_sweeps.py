"""Sweeps: what is asked of whom, which Projects have to look, and what becomes of trouble."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.sweeping import Listed
from mooring.services.store import Key
from mooring.services.sweep_groups import By, Group
from mooring.services.sweeps import Doubt
from tests.unit.objects import NOW, OTHER_PAT, PAT
from tests.unit.services.followed import B
from tests.unit.services.sweeping import CLONES, JUST_NOW, LENT, LONG_AGO, PERSON, TEAM, Bench

AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
LIMITED = Waiting(Reason.RATE_LIMITED, "Later.", until=NOW + timedelta(hours=1))
GONE = Stalled(Reason.REPOSITORY_NOT_FOUND, "There is none.")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def url(number: int) -> str:
    return f"https://github.com/acme/r{number}.git"


# --- one list ---


async def test_where_nothing_was_pushed_one_list_is_all(bench: Bench) -> None:
    for number in range(1, 101):
        bench.follow(number)
    again = await bench.run()
    assert again is not None
    assert timedelta(0) < again.at - bench.clock.now() <= timedelta(minutes=9)
    assert (bench.github.asked, bench.github.tokens, bench.doubts) == (["installation"], {LENT}, [])
    assert (bench.ended, len(bench.sweeps)) == ([None], 100)


async def test_a_push_that_nobody_told_of_has_the_project_look(bench: Bench) -> None:
    bench.follow(1, shown=JUST_NOW)
    bench.follow(2)
    bench.github.tips[url(1)] = B
    await bench.run()
    assert bench.github.asked == ["installation", url(1)]
    assert bench.doubts == [("r1", Doubt(reads=True, pushed_at=JUST_NOW))]


async def test_a_push_to_another_branch_is_settled_by_git_a_minute_later(bench: Bench) -> None:
    bench.follow(1, shown=JUST_NOW)
    await bench.again()
    # That was seven seconds after the push: GitHub may have lagged.
    assert bench.github.asked == ["installation", url(1)]
    await bench.again()
    await bench.again()
    assert bench.github.asked == ["installation", url(1)] * 2 + ["installation"]
    assert bench.doubts == []


async def test_a_read_of_the_project_settles_what_came_before_it(bench: Bench) -> None:
    bench.follow(1, shown=JUST_NOW, read_at=JUST_NOW + timedelta(seconds=60))
    await bench.run()
    assert bench.github.asked == ["installation"]
    # What is known is not forgotten where a later run did not read; but another branch begins anew.
    bench.follow(1, shown=JUST_NOW, read_at=None)
    await bench.run()
    assert bench.github.asked == ["installation"] * 2
    bench.follow(1, shown=JUST_NOW, read_at=None, repository_id=1, branch="main", url="x", head=B)
    await bench.run()
    assert bench.github.asked == ["installation"] * 3
    bench.follow(1, shown=JUST_NOW, read_at=None, repository_id=2)
    bench.github.shown[2] = Listed("acme/r1", True, JUST_NOW)
    await bench.run()
    assert bench.github.asked[3:] == ["installation", url(1)]


async def test_a_time_to_come_hides_no_push(bench: Bench) -> None:
    bench.follow(1, shown=JUST_NOW, read_at=NOW + timedelta(days=1))
    await bench.run()
    assert bench.github.asked == ["installation", url(1)]


async def test_git_is_asked_under_the_name_that_the_list_shows(bench: Bench) -> None:
    bench.follow(1, shown=None)
    bench.github.shown[1] = Listed("acme/renamed", True, JUST_NOW)
    await bench.run()
    assert bench.github.asked == ["installation", "https://github.com/acme/renamed.git"]
    assert bench.doubts == [("r1", Doubt(reads=False, proves=True))]


@pytest.mark.parametrize(
    "shown", [None, Listed("acme/other", True, LONG_AGO), Listed("acme/r1", False, LONG_AGO)], ids=str
)
@pytest.mark.parametrize("pinned", [True, False])
async def test_what_is_missing_or_looks_different_is_proven_again(
    bench: Bench, shown: Listed | None, pinned: bool
) -> None:
    bench.follow(1, shown=None, pinned=pinned)
    if shown is not None:
        bench.github.shown[1] = shown
    await bench.run()
    assert bench.doubts == [("r1", Doubt(reads=False, proves=True))]
    assert bench.github.asked == ["installation"]


async def test_a_pinned_commit_needs_no_head(bench: Bench) -> None:
    bench.follow(1, shown=JUST_NOW, pinned=True)
    await bench.run()
    assert (bench.github.asked, bench.doubts) == (["installation"], [])


@pytest.mark.parametrize(
    ("trouble", "doubt"),
    [
        (GONE, Doubt(reads=True, proves=True, pushed_at=JUST_NOW)),
        (AWAY, Doubt(reads=True, pushed_at=JUST_NOW)),
    ],
)
async def test_where_git_does_not_say_the_api_is_asked(bench: Bench, trouble: Transient, doubt: Doubt) -> None:
    bench.follow(1, shown=JUST_NOW)
    bench.github.troubles[url(1)] = trouble
    await bench.run()
    assert bench.doubts == [("r1", doubt)]


# --- a person's list ---


async def test_a_person_s_list_is_asked_for_what_is_followed_and_git_for_the_rest(bench: Bench) -> None:
    bench.cluster.tokens |= {"r1": PAT, "r2": PAT}
    bench.follow(1, PERSON, mark=PERSON.name)
    bench.follow(2, PERSON, mark=PERSON.name, shown=None)
    await bench.run(PERSON)
    assert bench.github.asked == ["person [1, 2]", url(2)]
    assert (bench.github.tokens, bench.doubts) == ({PAT}, [])
    bench.github.tips[url(2)] = B
    await bench.run(PERSON)
    assert bench.doubts == [("r2", Doubt(reads=True))]


async def test_what_only_git_shows_is_proven_again_where_it_is_gone(bench: Bench) -> None:
    bench.cluster.tokens["r1"] = PAT
    bench.follow(1, PERSON, mark=PERSON.name, shown=None)
    bench.github.troubles[url(1)] = GONE
    await bench.run(PERSON)
    assert bench.doubts == [("r1", Doubt(reads=True, proves=True))]


async def test_another_token_in_a_secret_is_sent_nowhere(bench: Bench) -> None:
    bench.cluster.tokens |= {"r1": OTHER_PAT, "r2": PAT}
    bench.follow(1, PERSON, mark=PERSON.name)
    with pytest.raises(Transient):
        await bench.run(PERSON)
    assert bench.github.tokens == set()
    bench.follow(2, PERSON, mark=PERSON.name)
    await bench.run(PERSON)
    assert bench.github.tokens == {PAT}


async def test_few_secrets_are_read_for_a_token(bench: Bench) -> None:
    for number in range(1, 10):
        bench.follow(number, PERSON, mark=PERSON.name)
    with pytest.raises(Transient):
        await bench.run(PERSON)
    assert len(bench.cluster.reads) == 3


async def test_a_sweep_that_was_cut_short_goes_on_where_it_was(bench: Bench) -> None:
    bench.cluster.tokens["r1"] = PAT
    for number in range(1, 13):
        bench.follow(number, PERSON, mark=PERSON.name, shown=None, read_at=NOW - timedelta(seconds=number))
    bench.github.troubles[url(4)] = LIMITED
    with pytest.raises(Waiting):
        await bench.run(PERSON)
    assert set(bench.github.asked[1:]) == {url(number) for number in range(5, 13)} | {url(4), *map(url, (1, 2, 3))}
    bench.github.asked, bench.github.troubles = [], {}
    await bench.run(PERSON)
    assert bench.github.asked[1] == url(4)


# --- one alone ---


def alone(number: int) -> Group:
    return Group(TEAM, By.GIT, f"r{number}")


async def test_a_plain_url_is_asked_with_the_token_that_is_bound_to_it(bench: Bench) -> None:
    bench.cluster.tokens["r1"] = PAT
    bench.follow(1, alone(1), mark=PERSON.name, repository_id=None)
    bench.follow(2, alone(2), repository_id=None)
    bench.github.tips |= {url(1): B, url(2): B}
    await bench.run(alone(1))
    assert (bench.github.asked, bench.github.tokens) == ([url(1)], {PAT})
    await bench.run(alone(2))
    assert bench.github.tokens == {PAT, None}
    assert bench.doubts == [("r1", Doubt(reads=True)), ("r2", Doubt(reads=True))]


async def test_a_plain_url_that_is_gone_is_read_and_never_proven_by_id(bench: Bench) -> None:
    bench.follow(1, alone(1), repository_id=None)
    bench.github.troubles[url(1)] = GONE
    await bench.run(alone(1))
    assert bench.doubts == [("r1", Doubt(reads=True))]


async def test_a_git_server_that_is_away_is_asked_again_soon(bench: Bench) -> None:
    bench.follow(1, alone(1), repository_id=None)
    bench.github.troubles[url(1)] = AWAY
    with pytest.raises(Transient):
        await bench.run(alone(1))
    assert (bench.doubts, bench.ended) == ([], [AWAY])


# --- trouble ---


@pytest.mark.parametrize("trouble", [AWAY, LIMITED])
async def test_a_github_that_does_not_answer_backs_the_group_off(bench: Bench, trouble: Transient) -> None:
    bench.follow(1)
    bench.github.trouble = trouble
    with pytest.raises(type(trouble)):
        await bench.run()
    assert (bench.doubts, bench.ended) == ([], [trouble])


async def test_a_credential_that_is_refused_is_tried_at_the_next_sweep(bench: Bench) -> None:
    bench.follow(1)
    bench.github.trouble = Stalled(Reason.TOKEN_INVALID, "Refused.")
    assert await bench.run() is not None
    assert bench.ended == [bench.github.trouble]
    assert bench.doubts == []


async def test_a_secret_without_a_good_token_is_tried_again_soon(bench: Bench) -> None:
    bench.follow(1)
    bench.lender.token = None
    with pytest.raises(Transient):
        await bench.run()
    assert bench.github.asked == []


async def test_a_defect_is_counted(bench: Bench) -> None:
    bench.follow(1)
    bench.github.trouble = ValueError()  # type: ignore[assignment]
    with pytest.raises(ValueError):  # noqa: PT011 - it is the one above
        await bench.run()
    assert bench.ended == [bench.github.trouble]


# --- who follows ---


async def test_nothing_is_asked_where_nobody_follows(bench: Bench) -> None:
    key = bench.follow(1)
    bench.sweeps.forget(key)
    assert (await bench.run(), bench.github.asked, len(bench.sweeps)) == (None, [], 0)
    bench.sweeps.forget(key)
    assert await bench.sweeps.run("something else") is None


async def test_the_first_sweep_waits_until_all_are_together(bench: Bench) -> None:
    bench.follow(1)
    assert bench.planned[CLONES] < 3
    bench.clock.move(1.5)
    bench.follow(2)
    bench.clock.move(1)
    again = await bench.sweeps.run(CLONES)
    assert (again is not None and again.at, bench.github.asked) == (NOW + timedelta(seconds=3.5), [])
    await bench.run()
    # Who joins later is no reason for another list.
    bench.follow(3)
    await bench.sweeps.run(CLONES)
    assert bench.github.asked == ["installation"] * 2
    assert list(bench.planned) == [CLONES]


async def test_who_moves_to_another_credential_is_swept_there(bench: Bench) -> None:
    bench.cluster.tokens["r1"] = PAT
    bench.follow(1)
    bench.follow(1, PERSON, mark=PERSON.name)
    assert await bench.run() is None
    await bench.run(PERSON)
    assert bench.github.asked == ["person [1]"]


def test_a_repository_that_several_projects_follow_counts_once(bench: Bench) -> None:
    bench.follow(1)
    bench.follow(2, repository_id=1)
    bench.follow(3, alone(3), repository_id=None)
    assert len(bench.sweeps) == 2


# --- hooks ---


async def test_hooks_are_looked_at_in_one_of_six_sweeps(bench: Bench) -> None:
    for number in range(1, 31):
        bench.follow(number, hook=0 if number <= 24 else None)
    for _ in range(12):
        await bench.again()
        for number in range(1, 25):
            # What a Project's own runs say of it changes nothing.
            bench.follow(number, hook=0)
    assert sorted(bench.hooks) == sorted([f"r{number}" for number in range(1, 25)] * 2)


async def test_no_sweep_looks_at_more_hooks_than_a_quota_bears(bench: Bench) -> None:
    for number in range(1, 1001):
        bench.follow(number, hook=0)
    for _ in range(12):
        before = len(bench.hooks)
        await bench.again()
        assert len(bench.hooks) - before <= 167
    assert len(set(bench.hooks)) == 1000


async def test_a_hook_that_did_not_tell_of_a_push_is_looked_at_at_once(bench: Bench) -> None:
    bench.follow(1, missed=True)
    bench.follow(2, hook=0)
    bench.follow(2, hook=0, missed=True)
    assert bench.hooks == ["r2"]


def test_the_key_of_a_group_tells_no_token() -> None:
    assert PAT not in repr(PERSON)
    assert str(CLONES) == f"Installation {TEAM}/{CLONES.name}"
    assert Key("Project", TEAM, "r1") != PERSON

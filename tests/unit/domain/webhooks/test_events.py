"""What a delivery says: the right things are read, and what is of a wrong type is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.conditions import timestamp
from mooring.domain.webhooks.events import BadPayload, Notice, Push, read

SHA, ZEROS = "6dcb09b5b57875f334f61aebed695e2e4193db5e", "0" * 40


def push(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": ZEROS,
        "after": SHA,
        "repository": {"id": 1296269, "pushed_at": 1767225600},
        "sender": {"login": "octocat"},
        **changes,
    }


def read_push(**changes: Any) -> Push:
    found = read("push", push(**changes))
    assert isinstance(found, Push)
    return found


def test_a_push_is_read() -> None:
    found = read_push()

    assert found == Push(1296269, "refs/heads/main", SHA, ZEROS, datetime(2026, 1, 1, tzinfo=UTC), "octocat")
    assert (found.branch, found.deletes) == ("main", False)


def test_tags_and_deletions_are_told_apart() -> None:
    assert read_push(ref="refs/tags/main").branch is None
    assert read_push(ref="refs/heads/refs/heads/main").branch == "refs/heads/main"
    assert read_push(after=ZEROS).deletes
    assert read_push(after="0" * 64).deletes


@pytest.mark.parametrize("ref", ["refs/heads/\U0001f469\u200d\U0001f4bb", "refs/heads/caf\u00e9", "r" * 300])
def test_refs_may_have_what_git_allows(ref: str) -> None:
    assert read_push(ref=ref).ref == ref


@given(st.text("a/\u00e9\U0001f600\u202e\ud800\udc00 \n\x7f", max_size=6))
def test_every_ref_can_be_written_down(ref: str) -> None:
    try:
        read_push(ref=ref).ref.encode()
    except BadPayload:
        assert ref == "" or set(ref) & set("\ud800\udc00 \n\x7f")


WRONG = [True, False, 1.0, 1.5, "1", "", [], {}, -1, 0, 2**53, 10**30, None]


@pytest.mark.parametrize("name", ["repository", "installation"])
@pytest.mark.parametrize("value", WRONG)
def test_an_id_is_a_positive_number_that_everybody_reads_alike(name: str, value: Any) -> None:
    event = "repository" if name == "repository" else "installation"
    for wrong in ({"id": value}, value, {}):
        with pytest.raises(BadPayload, match=f"{name}.id is not an id"):
            read(event, {"action": "created", name: wrong})
    assert read(event, {name: {"id": 2**53 - 1}}) is not None


@pytest.mark.parametrize(
    "ref",
    [None, 1, True, [], {}, "", "r" * 301, "refs/heads/\ud800", "a\nb", "a\x00", "a\x7fb", "a\x1b[1m", "a b", "a\n"],
)
def test_refs_that_are_refused(ref: Any) -> None:
    with pytest.raises(BadPayload, match="ref is not the name of a ref"):
        read_push(ref=ref)


@pytest.mark.parametrize(
    "sha", [None, 1, True, [], "", SHA[:39], SHA + "0", SHA.upper(), SHA + "\n", "g" * 40, "0" * 63]
)
@pytest.mark.parametrize("name", ["after", "before"])
def test_commits_that_are_refused(name: str, sha: Any) -> None:
    with pytest.raises(BadPayload, match=f"{name} is not the id of a commit"):
        read_push(**{name: sha})


@pytest.mark.parametrize("login", [1, True, "", "a" * 101, "a\u202eb", "a\nb", "\ud800", "a\x1bb", "a\u2066", [], None])
def test_logins_that_are_refused(login: Any) -> None:
    with pytest.raises(BadPayload, match=r"sender\.login is"):
        read_push(sender={"login": login})


def test_a_push_may_have_no_sender_and_no_time() -> None:
    found = read_push(sender=None, repository={"id": 1})

    assert (found.sender, found.pushed_at) == (None, None)


@pytest.mark.parametrize("sender", [1, False, "octocat", [], {}])
def test_a_sender_is_an_object_with_a_login(sender: Any) -> None:
    with pytest.raises(BadPayload, match=r"sender\.login is"):
        read_push(sender=sender)


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.123+02:00", "2026-01-31T10:00:00Z"),
    ],
)
def test_times_are_read(told: Any, moment: str) -> None:
    found = read_push(repository={"id": 1, "pushed_at": told}).pushed_at

    assert found is not None
    assert timestamp(found) == moment


@pytest.mark.parametrize(
    "told",
    [
        *(True, False, 1.5, -1, 253402300800, 10**18, 10**32, [], {}, "", "1767225600", "2026-01-31", "x" * 10**6),
        *("2026-01-31T12:00:00", "0999-01-31T12:00:00Z", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00Z\n"),
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_times_that_are_refused(told: Any) -> None:
    with pytest.raises(BadPayload, match="pushed_at is not a time"):
        read_push(repository={"id": 1, "pushed_at": told})


def test_notices_are_read() -> None:
    payload = {"action": "deleted", "installation": {"id": 7}}

    for event in ("installation", "installation_repositories", "installation_target"):
        assert read(event, payload) == Notice(event, "deleted", 7, None)
    about = {"action": "renamed", "repository": {"id": 8}}
    assert read("repository", about) == Notice("repository", "renamed", None, 8)
    assert read("repository", {**about, **payload}) == Notice("repository", "deleted", 7, 8)


@pytest.mark.parametrize("action", [False, 1, "", "x" * 101, "a\nb", [], {}])
def test_actions_that_are_refused(action: Any) -> None:
    with pytest.raises(BadPayload, match="action is not"):
        read("installation", {"action": action, "installation": {"id": 7}})


@pytest.mark.parametrize("event", ["ping", "issues", "PUSH", "", "check_run"])
def test_nothing_follows_from_other_events_whatever_they_say(event: str) -> None:
    assert read(event, {"ref": 1, "installation": False}) is None

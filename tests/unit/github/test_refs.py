"""Lists of refs, from bytes alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.github import refs
from mooring.github.answers import Failed, Ok
from mooring.github.facts import Malformed
from mooring.github.refs import Branches

A, B = "a" * 40, "b" * 40


def line(text: str) -> bytes:
    """Return one of git's lines."""
    return f"{len(text.encode()) + 4:04x}{text}".encode()


def listed(*lines: str) -> bytes:
    """Return a whole list."""
    return line("# service=git-upload-pack\n") + b"0000" + b"".join(map(line, lines)) + b"0000"


def test_branches_and_the_default() -> None:
    """Branches only; HEAD tells the default among its capabilities."""
    body = listed(
        f"{A} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2\n",
        f"{B} refs/heads/feature/ü\n",
        f"{A} refs/heads/main\n",
        f"{B} refs/pull/1/head\n",
        f"{B} refs/tags/main\n",
    )
    assert refs.parse(body) == Branches({"feature/ü": B, "main": A}, "main")


def test_without_a_default() -> None:
    """A detached HEAD names no branch; commits of sha-256 repositories have longer names."""
    body = listed(f"{A} HEAD\0ofs-delta\n", f"{'c' * 64} refs/heads/x\n")
    assert refs.parse(body) == Branches({"x": "c" * 64}, None)


def test_an_empty_repository() -> None:
    """It has a line for its capabilities, or nothing at all."""
    nothing = Branches({}, None)
    assert refs.parse(listed("0" * 40 + " capabilities^{}\0ofs-delta\n")) == nothing
    assert refs.parse(listed()) == nothing


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"0000",
        listed(f"{A} refs/heads/main\n")[:-1],
        listed(f"{A} refs/heads/main\n")[:-20],
        listed("not-a-sha refs/heads/main\n"),
        b"ffff",
        b"0001",
        b"-001",
        b"00000003",
    ],
)
def test_cut_and_broken_lists(body: bytes) -> None:
    """A list that was cut off is none: a branch that it lacks may well exist."""
    with pytest.raises(Malformed):
        refs.parse(body)


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """Nothing else is raised, and nothing runs for ever."""
    try:
        refs.parse(body)
    except Malformed:
        return


def test_only_git_answers() -> None:
    """A page with status 200 is no list."""
    headers = {"content-type": f"{refs.MEDIA_TYPE}; charset=utf-8"}
    assert refs.document(headers, b"x") == Ok(b"x", headers)
    assert isinstance(refs.document({"content-type": "text/html"}, b"x"), Failed)
    assert isinstance(refs.document({}, b"x"), Failed)

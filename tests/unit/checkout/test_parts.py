"""Listings, submodules, large files, limits: what is read of a stranger's commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mooring.checkout import lfs, modules, trees
from mooring.checkout.failures import Failed
from mooring.checkout.lfs import Pointer
from mooring.checkout.limits import Budget, Limits
from mooring.checkout.trees import Entry
from mooring.domain.origins import Host

A, B = "a" * 40, "b" * 40
PARENT = "https://git.example:8443/acme/web.git"
OWN = Host("git.example", 8443)


def test_a_listing() -> None:
    listing = (
        f"100644 blob {A}       3\ta b\tc\n\x00160000 commit {B}       -\tsub\x00100664 blob {A} 3\tp\x00".encode()
    )
    assert trees.parse(listing + b"120000 blob " + A.encode() + b" 1\t\xff\0") == [
        Entry("100644", A, 3, "a b\tc\n"), Entry("160000", B, 0, "sub"), Entry("100644", A, 3, "p"),
        Entry("120000", A, 1, "\udcff"),
    ]  # fmt: skip
    with pytest.raises(Failed, match="unknown kind 100600"):
        trees.parse(f"100600 blob {A} 3\tx\0".encode())


def test_what_a_path_names() -> None:
    entries = [Entry("100644", A, 1, path) for path in ("a", "a/b", "ab", "b/a")]
    assert [e.path for e in trees.within(entries, "a")] == ["a", "a/b"]
    assert trees.within(entries, None) == entries
    assert trees.pattern("!a/*[x]? y\\") == "/!a/\\*\\[x]\\?\\ y\\\\\n"


def test_contents() -> None:
    batch = f"{A} blob 3\n1\n2\n{B} blob 0\n\n".encode()
    assert trees.blobs(batch) == {A: b"1\n2", B: b""}
    with pytest.raises(Failed, match="is missing"):
        trees.blobs(f"{A} missing\n".encode())


# --- submodules ---


def test_gitmodules() -> None:
    listing = (
        b"submodule.a.b.path\nx/y\0submodule.a.b.url\n../u\0submodule.c.url\nhttps://c/d\0"
        b"submodule.e.path\nz\0core.path\nq\0submodule.a.b.update\n!rm\0submodule.f\0"
    )
    assert modules.parse(listing) == {"x/y": "../u"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("../lib.git", "https://git.example:8443/acme/lib.git"),
        ("./sub.git", "https://git.example:8443/acme/web.git/sub.git"),
        ("../../other/lib", "https://git.example:8443/other/lib"),
        ("https://GIT.example:8443/x/y/", "https://git.example:8443/x/y"),
    ],
)
def test_where_a_submodule_is(url: str, found: str) -> None:
    assert modules.address("sub", url, PARENT) == found


@pytest.mark.parametrize(
    "url",
    [
        None, "https://git.example/x/y", "https://git.example:8444/x/y", "https://git.example.evil:8443/x",
        "../../../x",
        "http://git.example:8443/x", "//git.example:8443/x", "../..", "/x/y", "git@git.example:x", "ssh://git.example/x",
        "file:///x", "ext::x", "-x", "", "../x?y", "../x\ny", "https://git.example:8443/../x", "../x/%2e%2e/y",
    ],
)  # fmt: skip
def test_where_a_submodule_must_not_be(url: str | None) -> None:
    with pytest.raises(Failed, match=r"the submodule sub[ :]") as raised:
        modules.address("sub\n", url, PARENT)
    assert str(raised.value).isprintable()


# --- large files ---

OID = "1234567890abcdef" * 4
POINTER = Pointer(OID, 5)


def test_pointers() -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 5\n".encode()
    assert lfs.pointer(text) == POINTER
    assert lfs.pointer(text.replace(b"oid", b"ext-0-x sha256:1\noid")) == POINTER
    for wrong in (
        b"",
        text[:-1],
        text + b"x",
        text.replace(b"sha256", b"md5"),
        text.replace(b"5\n", b"-5\n"),
        text.upper(),
    ):
        assert lfs.pointer(wrong) is None
    entries = [
        Entry(mode, A, size, "x")
        for mode, size in (
            ("100644", 0),
            ("100644", 1),
            ("100755", 1023),
            ("100644", 1024),
            ("120000", 9),
            ("160000", 0),
        )
    ]
    assert lfs.candidates(entries) == entries[1:3]


@pytest.mark.parametrize("url", [PARENT, PARENT.removesuffix(".git")])
def test_where_large_files_are_asked_for(url: str) -> None:
    assert lfs.endpoint(url) == "/acme/web.git/info/lfs/objects/batch"
    assert json.loads(lfs.question([POINTER]))["objects"] == [{"oid": OID, "size": 5}]


def answered(href: Any = "https://git.example:8443/f?x=1", *, header: Any = None, **more: Any) -> list[lfs.Download]:
    action = {"href": href, **({} if header is None else {"header": header})}
    body = {"objects": [{"oid": OID, "size": 5, "actions": {"download": action}, **more}]}
    return lfs.answers(json.dumps(body).encode(), [POINTER], OWN, frozenset({Host("store.example")}))


def test_the_credential_goes_to_the_repositorys_own_origin_alone() -> None:
    (own,) = answered()
    assert (own.host, own.target, own.own_credential) == (OWN, "/f?x=1", True)
    assert not answered("https://store.example/f")[0].own_credential
    assert not answered(header={"authorization": "Bearer x"})[0].own_credential
    assert not answered(authenticated=True)[0].own_credential
    assert "Bearer secret" not in repr(answered(header={"Authorization": "Bearer secret"}))


@pytest.mark.parametrize(
    ("href", "says"),
    [
        ("https://git.example/f", "keeps the large file 1234567890ab at git.example:"),
        ("https://store.example:8443/f", "keeps the large file"),
        ("https://169.254.169.254/f", "keeps the large file"),
        ("http://git.example:8443/f", "has to be https"),
        ("https://jane@git.example:8443/f", "no usable address"),
        ("https://git.example:8443/f\r\nX: y", "no usable address"),
        ("https://git.example:8443/f g", "no usable address"),
        ("https://git.example:8443", "no usable address"),
        ("https://[::1/f", "no usable address"),
        ("file:///etc/passwd", "no usable address"),
        ("/f", "no usable address"),
        (7, "does not say where"),
    ],
)
def test_large_files_that_are_elsewhere(href: Any, says: str) -> None:
    with pytest.raises(Failed, match=r"[a-z]") as raised:
        answered(href)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "header",
    [
        {"X": "a\r\nb"},
        {"X\n": "a"},
        {"Host": "x"},
        {"transfer-encoding": "x"},
        {"X": 1},
        {f"X{n}": "" for n in range(21)},
        "x",
    ],
)
def test_headers_that_cannot_be_sent(header: Any) -> None:
    with pytest.raises(Failed, match=r"the large file|headers"):
        answered(header=header)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "what is no answer"),
        (b"[]", "what is no answer"),
        (b'{"objects": [1]}', "what is no answer"),
        (b"[" * 100_000, "what is no answer"),
        (b'{"objects": []}', "no reason given"),
        (b'{"objects": [], "transfer": "tus"}', "not asked for"),
        (json.dumps({"objects": [{"oid": OID, "error": {"message": "gone\x1b[2J"}}]}).encode(), "gone. Push it"),
        (json.dumps({"objects": [{"oid": OID}]}).encode(), "does not say where"),
    ],
)
def test_answers_that_are_none(body: bytes, says: str) -> None:
    with pytest.raises(Failed, match=r"[a-z]") as raised:
        lfs.answers(body, [POINTER], OWN, frozenset())
    assert says in str(raised.value)


# --- limits ---


def test_a_budget() -> None:
    budget = Budget(Limits(size=10, files=2, submodules=1))
    budget.take_bytes(10, "x")
    budget.take_files(2, "x")
    budget.take_submodule("x")
    assert budget.left == 0
    takes: list[Callable[[], None]] = [
        lambda: budget.take_bytes(1, "y"),
        lambda: budget.take_files(1, "y"),
        lambda: budget.take_submodule("y"),
    ]
    for take in takes:
        with pytest.raises(Failed, match=r"^y "):
            take()

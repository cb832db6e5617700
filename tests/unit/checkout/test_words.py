"""What may be said, and how git's words are judged."""

from __future__ import annotations

import pytest

from mooring.checkout import verdicts
from mooring.checkout.failures import Denied, Failed, Moved, Passing
from mooring.checkout.words import MAX_LINE, MAX_NAME, Teller, basic, named, plain

TOKEN = "ghp_" + "Secret00" * 4 + "abcd"


def said(text: str, *known: str) -> str:
    lines: list[str] = []
    teller = Teller(lines.append)
    for token in known:
        teller.know(token)
    teller.say(text)
    (line,) = lines
    return line


def test_a_line_is_one_line_without_escapes() -> None:
    assert plain("a\r\n\x1b[31mb\x1b[0m\tc\x07\x00\u202e\u200b") == "a b c????"
    assert plain("\x1b]0;title\x07x\x1b]8;;https://a\x1b\\y\x9bz") == "xy?z"
    assert said("a\nb") == "mooring: a b\n"
    assert len(said("x" * 5000)) < MAX_LINE + 20
    assert named("a\udcff\n") == "a\ufffd"
    assert len(named("x" * 1000)) == MAX_NAME + 1


@pytest.mark.parametrize("known", [TOKEN, "0123456789" * 4])
def test_no_secret_is_said(known: str) -> None:
    """Neither plain, nor as git sends it, nor cut in two by what moves a cursor."""
    cut = f"{known[:20]}\x1b[0m{known[20:]}"
    for text in (known, basic(known), f"Basic {basic(known)}", f"https://x:{known}@host/", cut, f"{known}{known}"):
        line = said(f"fatal: {text} tail", known)
        assert known not in line
        assert known[:12] not in line
        assert basic(known)[:20] not in line
        assert "[redacted]" in line
    assert TOKEN not in said(f"one that nobody knew: {TOKEN}")


def judged(text: str) -> Exception:
    return verdicts.judged(text, what="the repository U", host="H", revision="R")


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", Denied, "refuses the credential"),
        ("fatal: Authentication failed for 'https://h/'", Denied, "refuses"),
        ("fatal: unable to access 'u': The requested URL returned error: 403", Denied, "does not let this credential"),
        ("fatal: repository 'https://h/x/' not found", Denied, "does not show the repository U"),
        ("fatal: unable to access 'u': The requested URL returned error: 301", Moved, "redirects the repository U"),
        ("error: RPC failed; HTTP 500\nfatal: unable to access: The requested URL returned error: 500", Passing, "500"),
        ("fatal: unable to access 'u': The requested URL returned error: 429", Passing, "answers 429"),
        ("fatal: unable to access 'u': The requested URL returned error: 400", Failed, "answers 400"),
        ("fatal: remote error: upload-pack: not our ref 1", Passing, "H gives no commit R of the repository U"),
        ("error: Server does not allow request for unadvertised object 1", Passing, "allowReachableSHA1InWant"),
        ("error: object 12ab: gitmodulesUrl: x\nfatal: fsck error in pack objects", Failed, "refuses (gitmodulesUrl)"),
        ("fatal: unable to access 'u': Could not resolve host: h", Passing, "cannot be reached"),
        ("fatal: unable to access 'u': SSL certificate problem: self signed", Failed, "is not trusted here"),
        ("fatal: the remote end hung up unexpectedly", Passing, "broke off"),
        ("fatal: early EOF", Passing, "broke off"),
        ("warning: x\nfatal: disk full\ntail", Failed, "git cannot fetch the repository U: fatal: disk full"),
        ("", Failed, "no reason given"),
        # What the server says decides nothing.
        ("remote: The requested URL returned error: 500\nfatal: whatever", Failed, "fatal: whatever"),
        ("remote: fatal: Authentication failed\nfatal: early EOF", Passing, "early EOF"),
    ],
)
def test_what_git_says_is_judged(text: str, kind: type[Exception], says: str) -> None:
    found = judged(text)
    assert type(found) is kind
    assert says in str(found)


def test_a_refusal_has_its_status() -> None:
    statuses = {401: "could not read Username for", 404: "fatal: repository 'x' not found", 403: "returned error: 403"}
    for status, text in statuses.items():
        found = judged(text if status != 403 else f"The requested URL {text}")
        assert isinstance(found, Denied)
        assert found.status == status

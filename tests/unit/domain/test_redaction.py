"""The last line of defence: every known shape in every form is blotted out, and what is no secret stays readable."""

import base64
import secrets
import string
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.redaction import BLOT, LONGEST, redact

LETTERS = string.ascii_letters + string.digits


def _word(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def _jwt() -> str:
    return f"eyJhbGciOiJSUzI1NiJ9.{_word(200)}.{_word(280)}"


def _pem(kind: str) -> str:
    lines = "\n".join(_word(64) for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----\n"


# Made anew in every run: the parts that must not be seen are whatever is random in them.
SECRETS = {
    "classic token": f"ghp_{_word(36)}",
    "fine-grained token": f"github_pat_{_word(22)}_{_word(59)}",
    "oauth token": f"gho_{_word(36)}",
    "user token": f"ghu_{_word(36)}",
    "refresh token": f"ghr_{_word(76)}",
    "installation token": f"ghs_{_word(36)}",
    "long installation token": f"ghs_{_jwt()}",
    "jwt": _jwt(),
    "rsa key": _pem("RSA "),
    "pkcs8 key": _pem(""),
    "authorization header": f"Authorization: token {_word(20)}",
    "bearer": f"Bearer {_word(30)}",
    "url": f"https://someone:{_word(20)}@h.io/o/r.git",
    "git credential": f"https://x-access-token:ghs_{_word(36)}@github.com",
}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": _base64,
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: _base64(text).rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 shifted by one": lambda text: _base64(f"x{text}"),
    "base64 shifted by two": lambda text: _base64(f"xy{text}"),
    "base64 after a path": lambda text: f"prefix/{_base64(text)}",
    "base64 twice": lambda text: _base64(_base64(text)),
    "URL-encoded": lambda text: quote(text, safe=""),
    "URL-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL-encoded base64": lambda text: quote(_base64(text), safe=""),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
}


def traces(text: str, leaked: str) -> list[str]:
    """The pieces of a secret, 12 letters long, that can still be seen in a text."""
    return [leaked[at : at + 12] for at in range(len(leaked) - 11) if leaked[at : at + 12] in text]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", SECRETS)
def test_every_shape_is_found_in_every_form(what: str, form: str) -> None:
    leaked = FORMS[form](SECRETS[what])
    line = f"GitHub answered 401 to {leaked} for Project team-a/shop"
    random_part = max(leaked.replace(":", " ").replace("@", " ").replace("%", " ").split(), key=len)

    shown = redact(line)

    assert traces(line, random_part), "the scan must find the leak before it is blotted out"
    assert traces(shown, random_part) == []
    assert BLOT in shown
    assert shown.startswith("GitHub answered 401 to ")
    assert shown.endswith(" for Project team-a/shop") or what.endswith("key") or "lines" in form


@given(st.sampled_from(sorted(SECRETS)), st.text(alphabet=LETTERS + " \"'=:,;{}[]()/\n", max_size=40))
def test_what_stands_around_a_token_hides_nothing(what: str, around: str) -> None:
    if "token" not in what:
        return
    body = SECRETS[what][12:]

    assert body not in redact(f"{around}{SECRETS[what]}{around}")


@pytest.mark.parametrize(
    "text",
    [
        "Project team-a/shop runs revision 0123456789abcdef0123456789abcdef01234567 (Push, 4f0d9a60-1c2b-11ee-8e3b)",
        "basic authentication failed; bearer tokens are required",
        "weights_and_biases and eight_hundred_thousand_letters stay",
        "the Secret shop-default-token has no key github-token",
        "https://github.com/octo/shop/compare/main...feature@v1 and https://api.github.com/repositories/1?per_page=100",
        "image registry.example.com/mooring@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "fingerprint 9f86d081884c7d65, 100% of internationalisation-and-localisation",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ8mG\n-----END CERTIFICATE-----",
        "/apis/mooring.dev/v1alpha1/namespaces/team-a/projects/shop/status",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


BEGINNINGS = (
    *(f"gh{letter}_" for letter in "pousrabcdefghijklmnqtvwxyz"),
    *("github_pat_", "eyJ", "-----BEGIN ", "://", "uthorization", "ookie", "earer ", "asic ", "oken ", "ub-signature"),
)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_what_a_secret_is_known_by_is_not_written_in_hexadecimal_digits(beginning: str) -> None:
    """Texts of such digits and dashes alone are not looked at: none of them may hide a secret, in base64 neither."""
    harmless = set("0123456789abcdef-")
    for text in (beginning, beginning.upper()) if beginning[0] in "ueboa" else (beginning,):
        assert set(text) - harmless
        for before in range(3):
            # What the letters of base64 are that stand for this text alone, whatever comes before and after it.
            coded = base64.urlsafe_b64encode(b"\0" * before + text.encode())
            inner = coded[-(-before * 4 // 3) : (before + len(text)) * 4 // 3]
            assert set(inner.decode()) - harmless, (text, before)
    assert redact("0f" * 20) == "0f" * 20


def test_a_long_text_is_cut_and_a_secret_at_the_cut_is_not_shown_in_part() -> None:
    token = SECRETS["classic token"]
    for shift in range(0, 44, 4):
        text = "word " * ((LONGEST - 44) // 5) + "x" * (shift % 5) + " " * shift + token + " end" * 20_000

        shown = redact(text)

        assert len(shown) < LONGEST + 100
        assert shown.endswith(" [cut]")
        assert traces(shown, token) == []


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "eyJ-",
        "%41",
        "ghp_ ",
        "a://",
        "-----BEGIN ",
        "Basic ",
        "A1b2",
        "authorization ",
        "a.b@c-",
        "Z2hw",
        "eyJhb.",
        "\n",
    ],
)
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()

    redact(text * (LONGEST // len(text)))

    assert time.process_time() - started < 1

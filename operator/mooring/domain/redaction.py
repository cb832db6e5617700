"""The last line of defence against a secret in a text that leaves the process: known shapes are blotted out.

Nothing relies on it: no code may log a secret in the first place, and a secret without a shape (a webhook's, say) is
not found here. Found are GitHub's tokens, JWTs, private keys in PEM, Authorization and similar headers, and passwords
in URLs; each plain, in base64, URL-encoded, and those in one another.
"""

import binascii
import re
from base64 import b64decode
from functools import lru_cache
from urllib.parse import unquote

BLOT = "[redacted]"
# A longer text is cut before it is looked at, so that the work is bounded.
LONGEST = 32 * 1024
_DEEPEST = 3
_LONGEST_WORD = 8192
# Most texts of log lines are the same few hundred: names of fields, kinds, namespaces, sentences.
_REMEMBERED, _SHORT_TEXT = 2048, 200

# A token is known by its beginning alone, so that one that was cut short is found too; GitHub promises no length.
_SHORT = r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_)[A-Za-z0-9_.\-]{6,}"
_GLUED = r"(?:gh[pousr]_|github_pat_)[A-Za-z0-9_.\-]{16,}"
_LATER = r"(?<![A-Za-z0-9])gh[a-z]_[A-Za-z0-9.\-]{30,}"
_JWT = rf"eyJ[A-Za-z0-9_\-]{{6,{_LONGEST_WORD}}}\.[A-Za-z0-9_\-]{{4,}}(?:\.[A-Za-z0-9_\-]*)?"
_PEM = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)"
_SECRET = re.compile(f"{_PEM}|{_SHORT}|{_GLUED}|{_LATER}|{_JWT}", re.DOTALL)
_USERINFO = re.compile(r"(?i)([a-z][a-z0-9+.\-]{0,20}://)[^\s/@\"'<>]+@")
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization|x-hub-signature(?:-256)?|(?:set-)?cookie)"
    r"((?:[\"']?\s?[:=]\s?|[\"'],\s?)b?[\"']?)(?:(?:bearer|basic|token|digest)\s)?[^\s\"',;)\]}]+"
)
# A word after "basic" is a secret only if it looks like base64: "basic authentication" must stay readable.
_SCHEME = re.compile(r"((?i:bearer|basic|token) )(?=[a-z._~+/=\-]*[A-Z0-9])[A-Za-z0-9._~+/=\-]{16,}")

_ENCODED_WORD = re.compile(r"[A-Za-z0-9%._~+\-:/@=&]{12,}")
_WORD = r"[A-Za-z0-9+/_\-]"
# Over several lines, as some tools wrap it; a line's end may itself be escaped.
_BASE64 = re.compile(rf"{_WORD}{{12,}}(?:(?:\r?\n|\\n){_WORD}{{4,}})*={{0,2}}")
_LINE_END = re.compile(r"\r?\n|\\n")
# Commits, fingerprints and GUIDs, of which every log line has others. No shape fits into these letters, in base64
# neither: whatever its beginning, one of its first letters then is another.
_HEXADECIMAL = re.compile(r"[0-9a-f\-]*+")


def redact(text: str) -> str:
    """Return the text with every secret of a known shape blotted out; a very long one is cut."""
    if len(text) <= _SHORT_TEXT:
        return text if _HEXADECIMAL.fullmatch(text) else _remembered(text)
    return _redacted(_cut(text) if len(text) > LONGEST else text, _DEEPEST)


@lru_cache(_REMEMBERED)
def _remembered(text: str) -> str:
    return _redacted(text, _DEEPEST)


def _cut(text: str) -> str:
    # At a blank, so that no secret loses the part that it is known by.
    head = text[:LONGEST]
    return head[: max(head.rfind(" "), head.rfind("\n"), LONGEST // 2)] + " [cut]"


def _redacted(text: str, depth: int) -> str:
    text = _plain(text)
    if depth and "%" in text:
        text = _ENCODED_WORD.sub(lambda found: BLOT if _in_escapes(found[0], depth - 1) else found[0], text)
    if depth:
        text = _BASE64.sub(lambda found: BLOT if _in_base64(found[0], depth - 1) else found[0], text)
    return text


def _plain(text: str) -> str:
    text = _SECRET.sub(BLOT, text)
    text = _USERINFO.sub(rf"\1{BLOT}@", text)
    text = _HEADER.sub(rf"\1\2{BLOT}", text)
    return _SCHEME.sub(rf"\1{BLOT}", text)


def _in_escapes(word: str, depth: int) -> bool:
    if "%" not in word:
        return False
    decoded = unquote(word.replace("+", " "))
    return decoded != word and _redacted(decoded, depth) != decoded


def _in_base64(run: str, depth: int) -> bool:
    """Tell whether a run of letters is base64 with a secret in it, wherever in the run the base64 begins."""
    letters = _LINE_END.sub("", run).rstrip("=").replace("-", "+").replace("_", "/")
    return any(_found(_decoded(letters[start:]), depth) for start in range(4))


def _decoded(letters: str) -> str:
    try:
        return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + "==").decode("latin-1")
    except binascii.Error:
        return ""


def _found(decoded: str, depth: int) -> bool:
    if _plain(decoded) != decoded:
        return True
    # Only what came out as plain text can hold a further layer; the rest was no base64 at all.
    return decoded.isascii() and decoded.replace("\n", "").isprintable() and _redacted(decoded, depth) != decoded

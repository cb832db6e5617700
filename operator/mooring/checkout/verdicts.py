"""What it means when git ends with an error: a refusal, something that passes, or the end.

Read are git's own lines, in the language C. What a server says comes behind `remote:` and decides nothing.
"""

from __future__ import annotations

import re

from mooring.checkout.failures import Denied, Failed, Moved, Passing

_STATUS = re.compile(r"The requested URL returned error: ([0-9]{3})")
_UNKNOWN = re.compile(r"^fatal: repository '[^\n]*' not found$", re.MULTILINE)
_ASKED = re.compile(r"could not read (?:Username|Password) for|^fatal: Authentication failed", re.MULTILINE)
_MISSING = re.compile(
    r"not our ref|unadvertised object|remote ref does not exist|couldn't find remote ref", re.IGNORECASE
)
_MALFORMED = re.compile(r"^error: object [0-9a-f]+: (\w+)|^fatal: (fsck error) in pack", re.MULTILINE)
_CERTIFICATE = re.compile(
    r"certificate (?:problem|verification failed)|unable to get local issuer|certificate subject", re.IGNORECASE
)
_NETWORK = re.compile(
    r"could not resolve|failed to connect|couldn't connect|connection (?:timed out|reset|refused|was reset)|timed? ?out"
    r"|early eof|rpc failed|hung up|unexpected disconnect|transfer closed|empty reply|gnutls|openssl|\btls\b|\bssl"
    r"|http/2|recv failure|send failure|too slow|bytes? of body are still expected",
    re.IGNORECASE,
)
_DUMB = re.compile(r"dumb http transport", re.IGNORECASE)


def judged(said: str, *, what: str, host: str, revision: str) -> Exception:
    """Return what to raise for a fetch that failed with these words."""
    lines = [line for line in said.splitlines() if not line.startswith("remote:")]
    own = "\n".join(lines)
    if found := _MALFORMED.search(own):
        return Failed(
            f"{what} holds an object that git refuses ({found[1] or found[2]}): it is malformed, or made to harm"
            " whoever checks it out. Take it out of the repository"
        )
    if _MISSING.search(own):
        return Passing(
            f"{host} gives no commit {revision} of {what}: it is not there (any more), or the server hands out commits"
            " by branch only and has to allow uploadpack.allowReachableSHA1InWant"
        )
    if _ASKED.search(own):
        return Denied(401, f"{host} refuses the credential for {what}, or wants one")
    if _UNKNOWN.search(own):
        return Denied(404, f"{host} does not show {what} to this credential")
    if found := _STATUS.search(own):
        return of_status(int(found[1]), what=what, host=host)
    return _other(own, lines, what=what, host=host)


def of_status(status: int, *, what: str, host: str) -> Exception:
    """Return what to raise for an answer with this status."""
    if status == 401:
        return Denied(401, f"{host} refuses the credential for {what}, or wants one")
    if status == 403:
        return Denied(403, f"{host} does not let this credential read {what}")
    if status == 404:
        return Denied(404, f"{host} does not show {what} to this credential")
    if 300 <= status < 400:
        return Moved(f"{host} redirects {what}, which is not followed. Write the URL that it has now")
    if status == 429 or status >= 500:
        return Passing(f"{host} answers {status} for {what}")
    return Failed(f"{host} answers {status} for {what}. Is it a git server?")


def _other(own: str, lines: list[str], *, what: str, host: str) -> Exception:
    if _CERTIFICATE.search(own):
        return Failed(f"the certificate of {host} is not trusted here. Correct it there, or trust its authority")
    if _DUMB.search(own):
        return Failed(f"{host} does not speak git's smart HTTP protocol for {what}. Is it a git server?")
    if _NETWORK.search(own):
        return Passing(f"{host} cannot be reached for {what}, or broke off: {_last(lines)}")
    return Failed(f"git cannot fetch {what}: {_last(lines)}")


def _last(lines: list[str]) -> str:
    """Return the line that tells most: the last that is git's verdict."""
    verdicts = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (verdicts or lines or ["no reason given"])[-1]

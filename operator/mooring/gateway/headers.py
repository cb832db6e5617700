"""What the path and the headers of a delivery must be, in the order in which they are looked at. Nothing is read."""

import re
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy

from mooring.gateway.answers import Refused
from mooring.observability.gateway_metrics import Outcome

# Where the operator's own App sends to. The longer ones are what other receivers of GitHub's webhooks are called.
APP_PATHS = frozenset({"/webhooks/github", "/api/integrations/github/webhook", "/api/github/webhook"})
_ID_PATH = re.compile(r"/webhooks/github/([a-z2-7]{32})")

EVENT, DELIVERY = "X-GitHub-Event", "X-GitHub-Delivery"
SIGNATURE, OLD_SIGNATURE = "X-Hub-Signature-256", "X-Hub-Signature"
_FORMS = {EVENT: re.compile(r"[a-z0-9_]{1,64}"), DELIVERY: re.compile(r"[A-Za-z0-9-]{1,64}")}
_SIGNED = re.compile(r"sha256=([0-9a-fA-F]{64})")
_JSON = re.compile(r"application/json[ \t]*(?:;.*)?", re.IGNORECASE)

_NOT_HERE = "there is no webhook at this address"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of a delivery say; the signature is not verified yet."""

    event: str
    delivery: str
    signature: bytes = field(repr=False)


def not_here() -> Refused:
    """Return the one answer for everything that is not there, so that nobody learns what would be."""
    return Refused(404, Outcome.UNKNOWN, _NOT_HERE)


def path_id(request: web.BaseRequest) -> str | None:
    """Return the id in the path, None for the operator's own App; refuse other paths, and all but POST."""
    path = request.raw_path.partition("?")[0]
    found = _ID_PATH.fullmatch(path)
    if found is None and path not in APP_PATHS:
        raise not_here()
    if request.method != "POST":
        raise Refused(405, Outcome.METHOD, "webhooks are sent with POST")
    return found[1] if found else None


def envelope(headers: CIMultiDictProxy[str]) -> Envelope:
    """Read the headers that every delivery has."""
    _check_media(headers)
    for name in (EVENT, DELIVERY, SIGNATURE):
        if len(headers.getall(name, ())) > 1:
            raise Refused(400, Outcome.MALFORMED, f"the header {name} is there twice")
    event, delivery = (_formed(headers, name) for name in (EVENT, DELIVERY))
    return Envelope(event, delivery, _signature(headers))


def _check_media(headers: CIMultiDictProxy[str]) -> None:
    types = headers.getall("Content-Type", ())
    if len(types) != 1 or _JSON.fullmatch(types[0]) is None:
        raise Refused(
            415, Outcome.MEDIA, "the content type is not application/json: choose that in the webhook's settings"
        )
    if any(coding.strip().lower() != "identity" for coding in headers.getall("Content-Encoding", ())):
        raise Refused(415, Outcome.MEDIA, "a body with a content encoding is not taken: send it as it is")


def _formed(headers: CIMultiDictProxy[str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise Refused(400, Outcome.MALFORMED, f"the header {name} is missing")
    if _FORMS[name].fullmatch(value) is None:
        raise Refused(400, Outcome.MALFORMED, f"the header {name} is not of the form that GitHub sends")
    return value


def _signature(headers: CIMultiDictProxy[str]) -> bytes:
    value = headers.get(SIGNATURE)
    if value is None and OLD_SIGNATURE in headers:
        raise Refused(401, Outcome.UNSIGNED, f"a signature with SHA-1 is not taken: send {SIGNATURE}")
    if value is None:
        raise Refused(401, Outcome.UNSIGNED, f"the header {SIGNATURE} is missing: give the webhook its secret")
    found = _SIGNED.fullmatch(value)
    if found is None:
        raise Refused(401, Outcome.UNSIGNED, f"the header {SIGNATURE} is not sha256= and 64 hexadecimal digits")
    return bytes.fromhex(found[1])

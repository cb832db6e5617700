"""What the path and the headers of a delivery must be, in the order in which they are looked at. Nothing is read."""

import re
from dataclasses import dataclass, field

from mooring.gateway.answers import Refused
from mooring.observability.gateway_metrics import Outcome

# Where the operator's own App sends to. The longer ones are what other receivers of GitHub's webhooks are called.
APP_PATHS = frozenset({b"/webhooks/github", b"/api/integrations/github/webhook", b"/api/github/webhook"})
_ID_PATH = re.compile(rb"/webhooks/github/([a-z2-7]{32})")

EVENT, DELIVERY = "X-GitHub-Event", "X-GitHub-Delivery"
SIGNATURE, OLD_SIGNATURE = "X-Hub-Signature-256", "X-Hub-Signature"
_FORMS = {EVENT: re.compile(rb"[a-z0-9_]{1,64}"), DELIVERY: re.compile(rb"[A-Za-z0-9-]{1,64}")}
_SIGNED = re.compile(rb"sha256=([0-9a-fA-F]{64})")
_JSON = re.compile(rb"application/json[ \t]*(?:;.*)?", re.IGNORECASE)
# As nearly all of them come.
_PLAIN_JSON = b"application/json"

_NOT_HERE = "there is no webhook at this address"
_NAMES = {name: name.lower().encode() for name in (EVENT, DELIVERY, SIGNATURE, OLD_SIGNATURE)}
_CONTENT_TYPE, _CONTENT_ENCODING = b"content-type", b"content-encoding"
# What GitHub sends beside it, as it writes that.
_PASSED_OVER = (
    b"User-Agent",
    b"Accept",
    b"X-GitHub-Hook-ID",
    b"X-GitHub-Hook-Installation-Target-ID",
    b"X-GitHub-Hook-Installation-Target-Type",
)
# What anybody looks at, by its name as GitHub writes it and in small letters. All else is counted and not kept: of what
# is known to be so, the name is none.
LOOKED_AT = dict.fromkeys(_PASSED_OVER, b"") | {
    written: name.lower()
    for name in (
        *(name.encode() for name in _NAMES),
        b"Host",
        b"Content-Type",
        b"Content-Encoding",
        b"Content-Length",
        b"Transfer-Encoding",
        b"X-Forwarded-For",
        b"Expect",
    )
    for written in (name, name.lower())
}


@dataclass(slots=True)
class Head:
    """A request's line and headers, as they came. Names are in small letters."""

    method: bytes = b""
    target: bytes = b""
    fields: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    # Of those that are looked at, names that stand there more than once; their values are joined with commas.
    doubled: set[bytes] = field(default_factory=set)
    # How many lines there were.
    count: int = 0
    # What the body's length is said to be.
    length: int | None = None

    def keep(self, name: bytes, value: bytes) -> None:
        """Take a header that somebody looks at."""
        if name in self.fields:
            self.doubled.add(name)
            value = self.fields[name] + b"," + value
        self.fields[name] = value


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of a delivery say; the signature is not verified yet."""

    event: str
    delivery: str
    signature: bytes = field(repr=False)


def not_here() -> Refused:
    """Return the one answer for everything that is not there, so that nobody learns what would be."""
    return Refused(404, Outcome.UNKNOWN, _NOT_HERE)


def path_id(head: Head) -> str | None:
    """Return the id in the path, None for the operator's own App; refuse other paths, and all but POST."""
    path = head.target.partition(b"?")[0]
    found = None
    if path not in APP_PATHS:
        found = _ID_PATH.fullmatch(path)
        if found is None:
            raise not_here()
    if head.method != b"POST":
        raise Refused(405, Outcome.METHOD, "webhooks are sent with POST")
    return found[1].decode() if found else None


def envelope(head: Head) -> Envelope:
    """Read the headers that every delivery has."""
    _check_media(head)
    if head.doubled:
        for name in (EVENT, DELIVERY, SIGNATURE):
            if _NAMES[name] in head.doubled:
                raise Refused(400, Outcome.MALFORMED, f"the header {name} is there twice")
    return Envelope(_formed(head, EVENT), _formed(head, DELIVERY), _signature(head))


def _check_media(head: Head) -> None:
    media = head.fields.get(_CONTENT_TYPE, b"")
    if media != _PLAIN_JSON and (_CONTENT_TYPE in head.doubled or _JSON.fullmatch(media) is None):
        raise Refused(
            415, Outcome.MEDIA, "the content type is not application/json: choose that in the webhook's settings"
        )
    if head.fields.get(_CONTENT_ENCODING, b"identity").strip().lower() != b"identity":
        raise Refused(415, Outcome.MEDIA, "a body with a content encoding is not taken: send it as it is")


def _formed(head: Head, name: str) -> str:
    value = head.fields.get(_NAMES[name])
    if value is None:
        raise Refused(400, Outcome.MALFORMED, f"the header {name} is missing")
    if _FORMS[name].fullmatch(value) is None:
        raise Refused(400, Outcome.MALFORMED, f"the header {name} is not of the form that GitHub sends")
    return value.decode()


def _signature(head: Head) -> bytes:
    value = head.fields.get(_NAMES[SIGNATURE])
    if value is None and _NAMES[OLD_SIGNATURE] in head.fields:
        raise Refused(401, Outcome.UNSIGNED, f"a signature with SHA-1 is not taken: send {SIGNATURE}")
    if value is None:
        raise Refused(401, Outcome.UNSIGNED, f"the header {SIGNATURE} is missing: give the webhook its secret")
    found = _SIGNED.fullmatch(value)
    if found is None:
        raise Refused(401, Outcome.UNSIGNED, f"the header {SIGNATURE} is not sha256= and 64 hexadecimal digits")
    return bytes.fromhex(found[1].decode())

"""Takes a GitHub App, or a bundle of certificates, out of an object that somebody named, or says what is wrong with it.

As with tokens, only Opaque Secrets are read, and only what has the form of what is looked for comes out. No message has
a value in it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason

APP_ID = "appId"
PRIVATE_KEY = "privateKey"
# The order in which they are tried. With three, each side of a change can be made before the other one.
WEBHOOK_SECRETS = ("webhookSecretNext", "webhookSecret", "webhookSecretPrevious")

MAX_KEY_BYTES = 16 * 1024
# In a text of JSON such a secret is at most twice as long, and not six times.
MAX_WEBHOOK_SECRET_BYTES = 256
MAX_BUNDLE_BYTES = 256 * 1024
# Of what is copied into the Secrets of every Project: ten thousand copies of a whole system's authorities would fill
# the API server's memory.
MAX_COPIED_BYTES = 32 * 1024

_SOURCE = "mooring.dev/app-source/v1"
# Sixteen digits at most, as everywhere where an id of GitHub is read: those are exact in JSON.
_ID = re.compile(rb"[1-9][0-9]{0,15}")
# What GitHub gives out (PKCS #1), and what people turn it into (PKCS #8). The lists of characters end before a "-", and
# the quantifiers never give back: nothing here can backtrack.
_KEY = re.compile(
    rb"-----BEGIN (?P<kind>(?:RSA )?PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]++-----END (?P=kind)-----\n",
)
_WEBHOOK_SECRET = re.compile(rb"[\x20-\x7e]{1,%d}" % MAX_WEBHOOK_SECRET_BYTES)
_BEGIN = b"-----BEGIN "
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]++-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class AppSecret:
    """A GitHub App as a Secret has it. Whether GitHub takes the key is for GitHub to say."""

    app_id: int
    # One block of PEM with plain line ends.
    private_key: str = field(repr=False)
    # All that are good now: the next, the present and the previous one, as far as there are.
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)


def app_in(secret: Mapping[str, Any] | None, name: str) -> AppSecret:
    """Return the App that a Secret holds; raise Stalled where it holds none."""
    data = _opaque(secret, name, "App")
    return AppSecret(
        app_id=_app_id(_app_value(data, name, APP_ID), name),
        private_key=_private_key(_app_value(data, name, PRIVATE_KEY), name),
        webhook_secrets=_webhook_secrets(data, name),
    )


def webhook_secrets_in(secret: Mapping[str, Any] | None, name: str) -> tuple[str, ...]:
    """Return the webhook secrets that a Secret holds, whatever else is in it; raise Stalled where one cannot be used.

    A mistake in an App's key must not end what its webhooks bring.
    """
    return _webhook_secrets(_opaque(secret, name, "App"), name)


def app_source(secret: Mapping[str, Any]) -> str:
    """Name the Secret and the credential in it, as a part of the key that tokens are remembered under.

    The uid keeps one namespace from what another's credential was given, though both name the same App. The hash makes
    another key another source, so that nobody gets with a junk key what a good one was given. The resourceVersion is
    left out: an edit of a label or of the webhook's secret would have every token minted anew.
    """
    metadata = secret["metadata"]
    app = app_in(secret, metadata["name"])
    # The id is of digits only, so no two pairs read the same.
    digest = sha256(f"{_SOURCE}\n{app.app_id}\n{app.private_key}".encode()).hexdigest()
    return f"{metadata['uid']}/{digest}"


def bundle_in(obj: Mapping[str, Any] | None, *, kind: str, name: str, key: str) -> str:
    """Return the certificates that a Secret or a ConfigMap holds under a key, in PEM and ASCII; raise Stalled."""
    where = f"{kind} {name}"
    if kind == "Secret":
        encoded = _opaque(obj, name, "bundle of certificates")
    elif obj is None:
        raise _missing(where)
    elif text := (obj.get("data") or {}).get(key):
        return _certificates(text.encode(), where, key)
    else:
        encoded = obj.get("binaryData") or {}
    return _certificates(_value(encoded, where, key, Reason.CA_MALFORMED), where, key)


def certificates_to_copy(text: bytes) -> str | None:
    """Return the certificates in a file of the operator's, for pods; None where there are none, or too many.

    Nothing else that stands in it is passed on, a private key least of all.
    """
    found = _joined(_CERTIFICATE.findall(text))
    return found if 0 < len(found) <= MAX_COPIED_BYTES else None


# --- any Secret ---


def _missing(where: str) -> Stalled:
    return Stalled(Reason.SECRET_NOT_FOUND, f"{where} does not exist. Create it, or change the reference.")


def _opaque(secret: Mapping[str, Any] | None, name: str, what: str) -> Mapping[str, str]:
    if secret is None:
        raise _missing(f"Secret {name}")
    if secret.get("type", "Opaque") != "Opaque":
        raise Stalled(
            Reason.SECRET_TYPE_WRONG,
            f"Secret {name} is not of type Opaque, so it is not read. Put the {what} into an Opaque Secret.",
        )
    return secret.get("data") or {}


def _value(data: Mapping[str, str], where: str, key: str, malformed: Reason) -> bytes:
    encoded = data.get(key)
    if not encoded:
        raise Stalled(
            Reason.SECRET_KEY_MISSING, f"{where} has no key {key}, or it is empty. Add it, or name another key."
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Stalled(malformed, f"What {where} has under {key} is not base64. Store it anew.") from None


def _without_line_end(value: bytes) -> bytes:
    # `kubectl create secret --from-file` keeps the one that editors add.
    return value.removesuffix(b"\n").removesuffix(b"\r")


# --- an App ---


def _app_value(data: Mapping[str, str], name: str, key: str) -> bytes:
    return _value(data, f"Secret {name}", key, Reason.APP_KEY_MALFORMED)


def _malformed(name: str, key: str, must: str) -> Stalled:
    return Stalled(
        Reason.APP_KEY_MALFORMED,
        f"What Secret {name} has under {key} cannot be used: it must be {must}. Store it anew.",
    )


def _app_id(value: bytes, name: str) -> int:
    digits = _without_line_end(value)
    if not _ID.fullmatch(digits):
        raise _malformed(name, APP_ID, "the App's id, in digits")
    return int(digits)


def _private_key(value: bytes, name: str) -> str:
    must = "one private key in PEM, as GitHub gives it out, without a passphrase"
    if len(value) > MAX_KEY_BYTES:
        raise _malformed(name, PRIVATE_KEY, f"{must}, of at most {MAX_KEY_BYTES} bytes")
    # Environment files and pipelines keep a key in one line, with its line ends written out.
    lines = value.replace(rb"\r", b"").replace(rb"\n", b"\n").replace(b"\r\n", b"\n").strip() + b"\n"
    if not _KEY.fullmatch(lines):
        raise _malformed(name, PRIVATE_KEY, must)
    return lines.decode("ascii")


def _webhook_secrets(data: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = (_webhook_secret(data, name, key) for key in WEBHOOK_SECRETS if data.get(key))
    return tuple(dict.fromkeys(found))


def _webhook_secret(data: Mapping[str, str], name: str, key: str) -> str:
    value = _without_line_end(_app_value(data, name, key))
    if not _WEBHOOK_SECRET.fullmatch(value):
        must = f"printable ASCII of at most {MAX_WEBHOOK_SECRET_BYTES} characters, or be left out"
        raise _malformed(name, key, must)
    return value.decode("ascii")


# --- certificates ---


def _certificates(value: bytes, where: str, key: str) -> str:
    """Return the certificates alone: what stands between them may be any text, which readers of PEM stumble over."""
    if len(value) > MAX_BUNDLE_BYTES:
        raise Stalled(
            Reason.CA_MALFORMED,
            f"What {where} has under {key} is larger than {MAX_BUNDLE_BYTES} bytes, so it is not used."
            " Store only the certificates that are needed.",
        )
    found = _CERTIFICATE.findall(value)
    # All that begins must be a whole certificate: what was cut off is told, and a private key is not passed on.
    if not found or value.count(_BEGIN) != len(found):
        raise Stalled(
            Reason.CA_MALFORMED,
            f"What {where} has under {key} is not a bundle of certificates in PEM, so it is not used."
            " Store whole certificates there, and nothing else in PEM.",
        )
    return _joined(found)


def _joined(blocks: Iterable[bytes]) -> str:
    return "".join(f"{block.decode('ascii')}\n" for block in blocks).replace("\r\n", "\n")

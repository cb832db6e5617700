"""The keys that operator and gateway share, and all that is derived from them.

The operator keeps them in one Secret, which the gateway mounts: the webhooks' secrets of Apps, a subkey for each
version of the repository hooks' secrets, the key of proofs, and the key of the ids in paths. That last one never
changes: an address that was entered at GitHub stays good.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Of each purpose, so that no key or code made for one is good for another.
_ID, _PROOF, _PIN, _HOOK, _SECRET = (
    f"mooring.dev/{purpose}/v1" for purpose in ("path-id", "proof", "pin", "hook-key", "hook")
)
KEY_BYTES = 32
# A master key of fewer bytes can be guessed.
MASTER_KEY_BYTES = 32
# Secrets that are good for one address at a time: the next, the present and the last.
LIVE_SECRETS = 3
_PATH_ID_BYTES = 20
_VERSION = 1
_MASTER_NAME = re.compile(r"[1-9][0-9]{0,5}")


class BadMasterKey(Exception):
    """The files of the master key cannot be used; the text says which and why, and quotes nothing of them."""


class BadDocument(Exception):
    """The shared document cannot be read; the text says what is wrong and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What is derived from."""

    id_key: bytes = field(repr=False)
    # The newest first: it signs, all of them count.
    proof_keys: tuple[bytes, ...] = field(repr=False)
    # By version, the highest is the newest.
    hook_keys: Mapping[int, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppHook:
    """A GitHub App whose webhooks are taken, and the secrets that are good for it now."""

    # The API that it is at.
    origin: str
    secrets: tuple[str, ...] = field(repr=False)
    # The Secret that it comes from; both None for the operator's own App.
    namespace: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """All that the gateway is told."""

    keys: Keys
    apps: tuple[AppHook, ...] = ()


# --- making keys ---


def read_masters(files: Mapping[str, bytes]) -> Mapping[int, bytes]:
    """Read the versions of the master key from files named 1, 2, ...; raise BadMasterKey.

    A newline at the end is no part of a key: an editor and `echo` add one, and a Secret made of the same text has none.
    But of random bytes that are just enough, the last is one now and then.
    """
    masters: dict[int, bytes] = {}
    for name, content in sorted(files.items()):
        if name.startswith("."):
            continue  # how Kubernetes changes all files of a mounted Secret at once, and what editors leave behind
        if _MASTER_NAME.fullmatch(name) is None:
            raise BadMasterKey(f"has a file {name[:50]!r}; name each after its version: 1, 2, and so on")
        line = content.removesuffix(b"\n").removesuffix(b"\r")
        key = line if len(line) >= MASTER_KEY_BYTES or line.isascii() else content
        if len(key) < MASTER_KEY_BYTES:
            raise BadMasterKey(
                f"has a file {name} of fewer than {MASTER_KEY_BYTES} bytes (a newline after text does not count);"
                " put that many random ones into it"
            )
        masters[int(name)] = key
    if not masters:
        raise BadMasterKey(f"has no file; put at least {MASTER_KEY_BYTES} random bytes into a file named 1")
    return masters


def from_master(masters: Mapping[int, bytes], *, id_key: bytes | None = None) -> Keys:
    """Derive the keys from the versions of a master key; the id key is the one that is in use already, if any."""
    newest_first = sorted(masters, reverse=True)
    return Keys(
        id_key=_derived(masters[min(masters)], _ID) if id_key is None else id_key,
        proof_keys=tuple(_derived(masters[version], _PROOF) for version in newest_first[:LIVE_SECRETS]),
        hook_keys={version: _derived(masters[version], _HOOK) for version in newest_first[:LIVE_SECRETS]},
    )


def from_chance(random_bytes: Callable[[int], bytes]) -> Keys:
    """Make keys where there is no master key; they are then kept where they are written."""
    return Keys(random_bytes(KEY_BYTES), (random_bytes(KEY_BYTES),), {1: random_bytes(KEY_BYTES)})


def _derived(master: bytes, purpose: str) -> bytes:
    return hkdf(master, salt=b"", info=purpose.encode())


def hkdf(material: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Derive a key with HKDF and SHA-256 (RFC 5869); it is as long as one block, so one is all that is needed."""
    extracted = hmac.digest(salt or bytes(KEY_BYTES), material, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


# --- addresses and secrets ---


def app_path_id(keys: Keys, *, origin: str, installation_uid: str, namespace: str) -> str:
    """Return the id in the address that an App of a tenant's sends to, for one of its GitHubInstallations."""
    return _path_id(keys, "app", origin, installation_uid, namespace)


def hook_path_id(keys: Keys, *, origin: str, repository_id: int, namespace: str) -> str:
    """Return the id in the address that a repository's hook sends to."""
    return _path_id(keys, "repository", origin, str(repository_id), namespace)


def _path_id(keys: Keys, *parts: str) -> str:
    code = _code(keys.id_key, _ID, *parts)[:_PATH_ID_BYTES]
    return base64.b32encode(code).decode().lower()


def hook_secrets(keys: Keys, *, origin: str, repository_id: int, namespace: str) -> tuple[str, ...]:
    """Return the secrets that are good for a repository's hook, the newest first."""
    newest_first = [key for _, key in sorted(keys.hook_keys.items(), reverse=True)][:LIVE_SECRETS]
    return tuple(
        hook_secret(key, origin=origin, repository_id=repository_id, namespace=namespace) for key in newest_first
    )


def hook_secret(key: bytes, *, origin: str, repository_id: int, namespace: str) -> str:
    """Return the secret of a repository's hook, by one version of the key."""
    return _code(key, _SECRET, origin, str(repository_id), namespace).hex()


# --- proofs ---


@dataclass(frozen=True, slots=True)
class Proven:
    """What the operator found out with a Project's own credential."""

    project_uid: str
    origin: str
    repository_id: int
    branch: str
    # What brings its pushes: see `via_installation` and `via_hook`.
    via: str


def via_installation(uid: str, app_secret: str) -> str:
    """Name a GitHubInstallation object as what brings pushes, with its App: it may name another one later.

    `app_secret` is the Secret of an App of its own, empty for the operator's App.
    """
    return f"installation/{uid}/{app_secret}"


def via_hook(path_id: str) -> str:
    """Name a repository's hook as what brings pushes."""
    return f"hook/{path_id}"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A commit of which GitHub said, to a Project's own credential, that it is part of the branch."""

    project_uid: str
    origin: str
    repository_id: int
    sha: str


def prove(keys: Keys, what: Proven) -> str:
    """Return the signature that stands in status.source.proof."""
    return _signature(keys.proof_keys[0], _PROOF, _parts(what))


def is_proven(keys: Keys, what: Proven, proof: object) -> bool:
    """Tell whether a signature is ours, and about this."""
    return _is_signed(keys, _PROOF, _parts(what), proof)


def prove_pin(keys: Keys, what: Pinned) -> str:
    """Return the signature that stands in status.source.pinProof."""
    return _signature(keys.proof_keys[0], _PIN, _pin_parts(what))


def is_pin_proven(keys: Keys, what: Pinned, proof: object) -> bool:
    """Tell whether a signature of a pin is ours, and about this one."""
    return _is_signed(keys, _PIN, _pin_parts(what), proof)


def _parts(what: Proven) -> tuple[str, ...]:
    return (what.project_uid, what.origin, str(what.repository_id), what.branch, what.via)


def _pin_parts(what: Pinned) -> tuple[str, ...]:
    return (what.project_uid, what.origin, str(what.repository_id), what.sha)


def _is_signed(keys: Keys, purpose: str, parts: tuple[str, ...], proof: object) -> bool:
    if not isinstance(proof, str) or not proof.isascii():
        return False
    return any(hmac.compare_digest(_signature(key, purpose, parts), proof) for key in keys.proof_keys)


def _signature(key: bytes, purpose: str, parts: tuple[str, ...]) -> str:
    return "v1." + base64.urlsafe_b64encode(_code(key, purpose, *parts)).decode().rstrip("=")


def _code(key: bytes, *parts: str) -> bytes:
    # Each part is preceded by its length, so that no two lists of parts read the same.
    encoded = [part.encode() for part in parts]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
    return hmac.digest(key, framed, "sha256")


# --- the document ---


def dump(document: Document) -> str:
    """Write the document; equal ones come out equal. An App without a secret is left out: nothing can be its."""
    keys = document.keys
    apps = sorted(
        (app for app in document.apps if any(app.secrets)),
        key=lambda app: (app.namespace or "", app.secret or "", app.origin, app.secrets),
    )
    content = {
        "version": _VERSION,
        "idKey": _text(keys.id_key),
        "proofKeys": [_text(key) for key in keys.proof_keys],
        "hookKeys": {str(version): _text(key) for version, key in sorted(keys.hook_keys.items())},
        "apps": [
            {
                "origin": app.origin,
                "secrets": [secret for secret in app.secrets if secret][:LIVE_SECRETS],
                "namespace": app.namespace,
                "secret": app.secret,
            }
            for app in apps
        ],
    }
    return json.dumps(content, separators=(",", ":"))


def parse(text: str | bytes) -> Document:
    """Read the document; raise BadDocument."""
    try:
        content = json.loads(text)
        if content["version"] != _VERSION:
            raise BadDocument(f"it is not of version {_VERSION}, which is all that this Mooring reads")
        keys = Keys(
            id_key=_key(content["idKey"]),
            proof_keys=tuple(_key(key) for key in content["proofKeys"]),
            hook_keys={int(_checked(version)): _key(key) for version, key in content["hookKeys"].items()},
        )
        apps = tuple(_app(app) for app in content["apps"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise BadDocument(
            "it is not what the operator writes; delete the Secret, and the operator makes it anew"
        ) from None
    if not keys.proof_keys or not keys.hook_keys:
        raise BadDocument("it has no keys; delete the Secret, and the operator makes it anew")
    return Document(keys, apps)


def _app(content: Mapping[str, Any]) -> AppHook:
    secrets = [_checked(secret) for secret in content["secrets"]]
    namespace, secret = content["namespace"], content["secret"]
    if not isinstance(content["secrets"], list) or not secrets or (namespace is None) != (secret is None):
        raise ValueError
    return AppHook(
        _checked(content["origin"]),
        tuple(secrets[:LIVE_SECRETS]),
        None if namespace is None else _checked(namespace),
        None if secret is None else _checked(secret),
    )


def _checked(found: object) -> str:
    """Return a text that is not empty: with an empty secret everybody could sign."""
    if not isinstance(found, str) or not found:
        raise ValueError
    return found


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _key(text: object) -> bytes:
    try:
        key = base64.b64decode(_checked(text), validate=True)
    except binascii.Error:
        raise ValueError from None
    if len(key) != KEY_BYTES:
        raise ValueError
    return key

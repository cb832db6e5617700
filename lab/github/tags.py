"""Whose each credential is: where it may be seen, where it was, and whether some bytes hold it.

A credential's tag is its origin and its repositories, as they were when it was made. Values stay in here: whoever asks
hears public ids.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from lab.github.journal import Entry, Journal, app_name
from lab.github.model import Credential, Repository
from lab.github.world import World

SHORTEST = 24
"""Halves of a shorter secret would be found by chance."""
EVERYTHING = 100_000
_JWT = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_ABOUT = re.compile(r"/(?:api/v3/repos/)?(?P<owner>[^/?]+)/(?P<name>[^/?]+?)(?:\.git)?(?:[/?]|$)")
_BY_ID = re.compile(r"/api/v3/repositories/(?P<id>[0-9]{1,15})(?:[/?]|$)")
_GZIP = b"\x1f\x8b\x08"
_MOST_UNPACKED = 2**24


@dataclass(frozen=True, slots=True)
class Tag:
    """What a credential is for."""

    credential: str
    kind: str
    # scheme://host:port.
    origin: str
    # owner/name of each; None where it names none, and so is for all of the account, or of the person.
    repositories: tuple[str, ...] | None
    account: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """Where a credential came in, and what it was about."""

    credential: str
    origin: str
    repository: str | None
    status: int
    path: str


@dataclass(frozen=True, slots=True)
class Found:
    """A credential that stood somewhere, and in which form."""

    credential: str
    form: str


class Tags:
    """The tags of one GitHub's credentials."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self._journal = journal

    def all(self) -> list[Tag]:
        """Return the tag of every credential."""
        return [self.tag(credential) for credential in self._world.credentials()]

    def tag(self, credential: Credential) -> Tag:
        """Return what a credential is for."""
        account = self._world.accounts.get(self._owner(credential) or credential.user_id or 0)
        ids = credential.repository_ids
        known = self._world.repositories
        names = None if ids is None else tuple(sorted(self._world.full_name(known[it]) for it in ids if it in known))
        return Tag(credential.id, credential.kind, credential.origin, names, None if account is None else account.login)

    def uses(self, since: int = 0) -> list[Use]:
        """Return every request after a number of the journal, whoever came with it."""
        return [self._use(entry) for entry in self._journal.since(since, EVERYTHING)]

    def strays(self, since: int = 0) -> list[Use]:
        """Return the requests whose credential is none of this GitHub's, or is for another origin or repository."""
        known = {credential.id: credential for credential in self._world.credentials()}
        entries = self._journal.since(since, EVERYTHING)
        return [self._use(entry) for entry in entries if self._is_stray(entry, known.get(entry.credential))]

    def found_in(self, data: bytes) -> list[Found]:
        """Return which secrets of this world stand in some bytes: whole or half, plain, encoded or packed."""
        views = [*_views(data)]
        found = {
            Found(name, f"{form}{way}")
            for name, value in self._secrets()
            for form, needle in forms(value).items()
            for way, view in views
            if needle in view
        }
        for way, view in views:
            for token in _JWT.findall(view):
                app = app_name(self._world, token.decode())
                if app != "unknown":
                    found.add(Found(app, f"JWT{way}"))
        return sorted(found, key=lambda one: (one.credential, one.form))

    def told(self, since: int = 0) -> dict[str, Any]:
        """Return tags and strays for the control API."""
        return {"tags": [asdict(tag) for tag in self.all()], "strays": [asdict(use) for use in self.strays(since)]}

    def _owner(self, credential: Credential) -> int | None:
        """Return the account whose repositories a credential is for; a person's classic token is for no one account."""
        if credential.installation_id is None:
            return credential.owner_id
        installation = self._world.installations.get(credential.installation_id)
        return None if installation is None else installation.account_id

    def _is_stray(self, entry: Entry, credential: Credential | None) -> bool:
        if credential is None:
            return entry.credential == "unknown"
        if entry.origin != credential.origin:
            return True
        repository = self._about(entry.path)
        if repository is None:
            return False
        if credential.repository_ids is not None:
            return repository.id not in credential.repository_ids
        owner = self._owner(credential)
        return owner is not None and repository.owner_id != owner

    def _use(self, entry: Entry) -> Use:
        about = self._about(entry.path)
        name = None if about is None else self._world.full_name(about)
        return Use(entry.credential, entry.origin, name, entry.status, entry.path)

    def _about(self, path: str) -> Repository | None:
        """Return the repository that a path names, under whichever of its names."""
        if by_id := _BY_ID.match(path):
            return self._world.repositories.get(int(by_id["id"]))
        found = _ABOUT.match(path)
        if found is None:
            return None
        owner, name = unquote_plus(found["owner"]), unquote_plus(found["name"])
        return self._world.repository(owner, name) or self._world.moved(owner, name)

    def _secrets(self) -> Iterator[tuple[str, str]]:
        """Go through all that nobody else may learn, by its public name."""
        for credential in self._world.credentials():
            yield credential.id, credential.value
        apps, hooks = self._world.apps.values(), self._world.hooks.values()
        named = [(f"client secret of app-{app.id}", app.client_secret) for app in apps]
        named += [(f"webhook secret of app-{app.id}", app.webhook_secret or "") for app in apps]
        named += [(f"secret of hook-{hook.id}", hook.secret or "") for hook in hooks]
        yield from ((name, value) for name, value in named if len(value) >= SHORTEST)


def forms(secret: str) -> dict[str, bytes]:
    """Return how each half of a secret may be written, by the name of the form. A whole one holds both halves."""
    found: dict[str, bytes] = {}
    middle = len(secret) // 2
    for half, text in (("first", secret[:middle]), ("second", secret[middle:])):
        content = text.encode()
        found[f"{half} half, plain"] = content
        found[f"{half} half, hex"] = content.hex().encode()
        found[f"{half} half, hex in capitals"] = content.hex().upper().encode()
        found[f"{half} half, url"] = quote(text, safe="").encode()
        found[f"{half} half, json"] = json.dumps(text)[1:-1].encode()
        for offset in range(3):
            inside = base64_inside(content, offset)
            found[f"{half} half, base64 at {offset}"] = inside
            found[f"{half} half, base64 for URLs at {offset}"] = inside.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def base64_inside(content: bytes, offset: int) -> bytes:
    """Return the letters that content surely leads to, `offset` bytes after the beginning of a longer text."""
    letters = base64.b64encode(bytes(offset) + content)
    return letters[-(-8 * offset // 6) : 8 * (offset + len(content)) // 6]


def _views(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the bytes as they are, and as whoever unpacks or decodes them reads them."""
    yield "", data
    decoded = unquote_to_bytes(data.replace(b"+", b" "))
    if decoded != data:
        yield ", url-decoded", decoded
    at = data.find(_GZIP)
    while at >= 0:
        with contextlib.suppress(zlib.error):
            yield ", unpacked", zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[at:], _MOST_UNPACKED)
        at = data.find(_GZIP, at + 1)

"""Gets large files and puts them where their pointers are."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mooring.checkout import lfs
from mooring.checkout.credential import Attempts
from mooring.checkout.failures import Denied, Failed, Passing
from mooring.checkout.git import Git
from mooring.checkout.lfs import Download, Pointer
from mooring.checkout.limits import Budget
from mooring.checkout.renames import Renames
from mooring.checkout.request import Request
from mooring.checkout.source import Part, Reader
from mooring.checkout.timing import Deadline
from mooring.checkout.web import CHUNK, Web, credential_header
from mooring.domain import origins

MAX_ANSWER = 1024 * 1024
"""Addresses of a hundred files; GitHub's are about a kilobyte each."""


class LargeFiles:
    """The large files of one checkout."""

    def __init__(
        self,
        request: Request,
        git: Git,
        web: Web,
        renames: Renames,
        *,
        reader: Reader,
        attempts: Attempts,
        budget: Budget,
        deadline: Deadline,
    ) -> None:
        self._request = request
        self._git = git
        self._web = web
        self._renames = renames
        self._reader = reader
        self._attempts = attempts
        self._budget = budget
        self._deadline = deadline

    def put(self, part: Part) -> int:
        """Replace the pointers of a written repository by what they stand for; return how many there were."""
        paths = self._pointers(part)
        for pointer, places in paths.items():
            self._budget.take_bytes(pointer.size * len(places), f"a large file of {part.wanted.shown}")
        wanted = sorted(paths)
        for start in range(0, len(wanted), lfs.BATCH):
            some = wanted[start : start + lfs.BATCH]
            for download in self._attempts.make(lambda token, some=some: self._ask(part, some, token)):  # type: ignore[misc]  # a default binds it
                self._fill(part, download, paths[download.pointer])
        return sum(len(places) for places in paths.values())

    def _pointers(self, part: Part) -> dict[Pointer, list[str]]:
        """Return the paths of each large file: what looks like a pointer, and is one by .gitattributes."""
        pointers = self._reader.pointers(part)
        found = {e.path: pointers[e.oid] for e in lfs.candidates(part.entries) if e.oid in pointers}
        paths: dict[Pointer, list[str]] = {}
        for path in self._by_attribute(part, found):
            paths.setdefault(found[path], []).append(path)
        return paths

    def _by_attribute(self, part: Part, paths: Iterable[str]) -> list[str]:
        asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
        if not asked:
            return []
        command = ("check-attr", "--cached", "--stdin", "-z", "filter")
        told = self._git.run(part.place, *command, stdin=asked, limit=len(asked) * 2 + len(asked) * 40)
        words = told.split(b"\0")
        return [os.fsdecode(words[at]) for at in range(0, len(words) - 2, 3) if words[at + 2] == b"lfs"]

    # --- where they are ---

    def _ask(self, part: Part, pointers: list[Pointer], token: str | None) -> list[Download]:
        url = self._renames.present(part.wanted.url)
        what = f"the large files of {part.wanted.shown}"
        own = origins.host_of(url)
        headers = {"Accept": lfs.MEDIA_TYPE, "Content-Type": lfs.MEDIA_TYPE, **credential_header(token)}
        with self._web.answered(own, lfs.endpoint(url), headers, what, body=lfs.question(pointers)) as answer:
            body = bytearray()
            for chunk in self._chunks(answer):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise Failed(f"{own} says too much about {what}")
        downloads = lfs.answers(bytes(body), pointers, own, self._request.lfs_stores)
        return [lfs.harmless(download, own, token) for download in downloads]

    # --- getting them ---

    def _fill(self, part: Part, download: Download, paths: list[str]) -> None:
        """Get a file once, and put it in each of its places."""
        incoming = part.place.git_dir / "mooring-large-file"
        self._attempts.make(lambda token: self._get(download, incoming, token))
        for path in paths:
            self._deadline.check()
            place = part.place.work_tree / path
            mode = os.lstat(place).st_mode & 0o777
            copy = incoming.with_suffix(".copy")
            with incoming.open("rb") as source, copy.open("wb") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
            copy.chmod(mode)
            # In place of the pointer, which is a file of our own making: what it is called was judged before.
            copy.replace(place)
        incoming.unlink()

    def _get(self, download: Download, into: Path, token: str | None) -> None:
        what = f"the large file {download.pointer.oid[:12]}"
        headers = {**download.headers, **(credential_header(token) if download.own_credential else {})}
        try:
            with self._web.answered(download.host, download.target, headers, what) as answer:
                self._take(answer, download, into, what)
        except Denied as denied:
            if download.own_credential:
                raise
            # No credential of ours was sent, so none that comes later helps.
            raise Failed(f"{denied}: the address that it was given for is refused. Start the pod again") from None

    def _take(self, answer: http.client.HTTPResponse, download: Download, into: Path, what: str) -> None:
        digest, size = hashlib.sha256(), 0
        with into.open("wb") as file:
            for chunk in self._chunks(answer):
                size += len(chunk)
                if size > download.pointer.size:
                    raise Failed(f"{download.host} sends more for {what} than its pointer says. Push it anew")
                digest.update(chunk)
                file.write(chunk)
        if size < download.pointer.size:
            raise Passing(f"{download.host} broke off while it sent {what}")
        if digest.hexdigest() != download.pointer.oid:
            raise Failed(f"{download.host} sends something else for {what} than its pointer says. Push it anew")

    def _chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """Go through the body as it comes: one that comes a byte at a time must not outlast us."""
        while chunk := answer.read1(CHUNK):
            self._deadline.check()
            yield chunk

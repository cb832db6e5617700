"""The course of a checkout: fetch, judge, write, and only then say that HEAD is the commit."""

from __future__ import annotations

import contextlib
import os
import shutil

from mooring.checkout import credential, source, trees, verdicts, workspace
from mooring.checkout.credential import Attempts, CredentialFile
from mooring.checkout.downloads import LargeFiles
from mooring.checkout.failures import Failed, Moved
from mooring.checkout.git import Git, GitError, Place
from mooring.checkout.limits import Budget, Limits
from mooring.checkout.proof import Proof, init
from mooring.checkout.renames import MAX_MOVES, Renames
from mooring.checkout.request import Request
from mooring.checkout.source import Part, Reader, Wanted
from mooring.checkout.timing import Clock, Deadline
from mooring.checkout.web import Web
from mooring.checkout.words import Teller
from mooring.domain import origins

ATTRIBUTES = "* -text -ident -filter -working-tree-encoding\n"
"""Outranks every .gitattributes: files are written byte for byte as they were committed, and no program is asked."""


class Course:
    """One checkout."""

    def __init__(self, request: Request, teller: Teller, clock: Clock, limits: Limits) -> None:
        self._request = request
        self._teller = teller
        self._limits = limits
        self._deadline = Deadline(clock, limits.seconds)
        self._git = Git(self._deadline, ca_file=request.authorities())
        self._budget = Budget(limits)
        self._reader = Reader(self._git, self._budget)
        path = request.credential_file
        file = None if path is None else CredentialFile(path, teller, origins.origin(request.url))
        self._attempts = Attempts(file, clock, self._deadline, teller)
        self._web = Web(request, self._deadline)
        self._renames = Renames(self._web, teller)

    def run(self) -> str:
        """Bring the commit into the workspace and return what was done; raise Failed, and leave nothing there."""
        request = self._request
        destination = request.destination
        wanted = Wanted(request.url, request.revision, path=request.path)
        workspace.check(destination)
        if any(destination.iterdir()):
            if Proof(request, self._git, self._limits, self._deadline).holds(wanted):
                return f"{request.revision} of {wanted.shown} is in {destination} already; nothing was fetched"
            self._teller.say(f"{destination} holds something else, or half of it; it is emptied")
            workspace.empty(destination)
        try:
            return self._made(wanted)
        except BaseException:
            # What was refused is not left for anybody to run; why it was refused is told in any case.
            with contextlib.suppress(Failed):
                workspace.empty(destination)
            raise

    def _made(self, wanted: Wanted) -> str:
        parts = self._fetched(wanted)
        source.judge_links(parts, self._deadline)
        for part in parts:
            self._write(part)
        large = self._large_files(parts)
        # The workspace's own HEAD comes last: whoever finds it there may believe that the rest is there, and look.
        for part in reversed(parts):
            self._finish(part)
        files = sum(entry.mode != trees.SUBMODULE for part in parts for entry in part.entries)
        below = len(parts) - 1
        counts = [f"{files} file{'' if files == 1 else 's'}"]
        counts += [f"{below} submodule{'' if below == 1 else 's'}"] if below else []
        counts += [f"{large} large"] if large else []
        return f"{wanted.revision} of {wanted.shown} is in {self._request.destination}: {', '.join(counts)}"

    # --- objects ---

    def _fetched(self, wanted: Wanted) -> list[Part]:
        """Fetch a repository and, where they are asked for, its submodules; each before what is below it."""
        place = Place.of(wanted.folder(self._request.destination))
        # Nothing has been written yet, so no link can lead this elsewhere.
        place.work_tree.mkdir(parents=True, exist_ok=True)
        self._git.run(place, *init(wanted.revision))
        self._teller.say(f"fetching {wanted.revision} of {wanted.shown}")
        self._attempts.make(lambda token: self._fetch(wanted, place, token))
        part = self._reader.part(wanted, place)
        if not self._request.submodules:
            return [part]
        below = [one for submodule in self._reader.submodules(part) for one in self._fetched(submodule)]
        return [part, *below]

    def _fetch(self, wanted: Wanted, place: Place, token: str | None) -> None:
        for _ in range(MAX_MOVES):
            try:
                self._fetch_from(self._renames.present(wanted.url), wanted, place, token)
            except Moved:
                self._renames.follow(wanted.url, token)
            else:
                return
        self._fetch_from(self._renames.present(wanted.url), wanted, place, token)

    def _fetch_from(self, url: str, wanted: Wanted, place: Place, token: str | None) -> None:
        packs = place.object_folder / "pack"
        host = str(self._request.host)

        def watch() -> None:
            if workspace.size_of(packs) > self._budget.left:
                raise self._budget.too_large(wanted.shown)

        secret = "" if token is None else credential.configuration(origins.origin(self._request.url), token)
        command = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        try:
            self._git.run(place, *command, "--", url, wanted.revision, secret=secret, watch=watch)
        except GitError as error:
            # What came of a fetch that broke off is of no use to the next.
            shutil.rmtree(packs, ignore_errors=True)
            said, what = self._teller.clean_lines(error.said), f"the repository {wanted.shown}"
            raise verdicts.judged(said, what=what, host=host, revision=wanted.revision) from None
        watch()
        self._budget.take_bytes(workspace.size_of(packs), wanted.shown)

    # --- files ---

    def _write(self, part: Part) -> None:
        info = part.place.git_dir / "info"
        info.mkdir(exist_ok=True)
        attributes = info / "attributes"
        attributes.write_text(ATTRIBUTES)
        if part.wanted.path is not None:
            self._run(part, "config", "core.sparseCheckout", "true")
            (info / "sparse-checkout").write_bytes(os.fsencode(trees.pattern(part.wanted.path)))
        self._run(part, "read-tree", "--reset", "-u", part.wanted.revision)
        # The workload's git shall see the repository's own attributes.
        attributes.unlink()

    def _large_files(self, parts: list[Part]) -> int:
        if not self._request.lfs:
            return 0
        files = LargeFiles(
            self._request,
            self._git,
            self._web,
            self._renames,
            reader=self._reader,
            attempts=self._attempts,
            budget=self._budget,
            deadline=self._deadline,
        )
        return sum(files.put(part) for part in parts)

    def _finish(self, part: Part) -> None:
        """Point HEAD at the commit, and have git say that it does."""
        self._run(part, "config", "remote.origin.url", part.wanted.url)
        self._run(part, "update-ref", "--no-deref", "HEAD", part.wanted.revision)
        head = self._run(part, "rev-parse", "--verify", "HEAD^{commit}").decode("ascii", "replace").strip()
        if head != part.wanted.revision:
            raise Failed(f"HEAD of {part.wanted.shown} is not the commit that was asked for")

    def _run(self, part: Part, *arguments: str) -> bytes:
        try:
            return self._git.run(part.place, *arguments)
        except GitError as error:
            said = self._teller.clean(error.said) or f"it ended with {error.code}"
            raise Failed(f"git {arguments[0]} cannot write {part.wanted.shown}: {said}") from None

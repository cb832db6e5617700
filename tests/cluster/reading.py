"""Somebody who types what a page says, in the page's order, with the real kubectl and helm.

What a page calls by a name of its own (a namespace, a repository, an address) is put in its place by a table of words.
Whoever reads must type all that a module claims of a page, in order, and nothing else.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

from tests import pages
from tests.cluster.conftest import PATIENCE, ROOT, Kube
from tests.cluster.harness import Hub
from tests.shell import Shell


class Desk(Shell):
    """A shell with what else pages speak of, and the lab's GitHub in the place of github.com."""

    def __init__(self, kube: Kube, hub: Hub, folder: Path) -> None:
        trusted = {"CURL_CA_BUNDLE": hub.ca_file, "GIT_SSL_CAINFO": hub.ca_file, "LAB_CA_FILE": hub.ca_file}
        super().__init__(folder, kube.kubeconfig, LAB_API_URL=hub.api_url, **trusted)
        self._stand_in(self.programs / "gh", "tests.cluster.gh")
        self._stand_in(self.programs / "mooring", "mooring")

    @staticmethod
    def _stand_in(path: Path, module: str) -> None:
        folders = shlex.quote(f"{ROOT}:{ROOT}/operator")
        path.write_text(f'#!/bin/sh\nPYTHONPATH={folders} exec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        path.chmod(0o755)

    @contextmanager
    def running(self, command: str, until: str) -> Iterator[None]:
        """Run a command that goes on until somebody ends it; the block begins when it has said something."""
        told = self.folder / "told"
        with told.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )
        try:
            deadline = time.monotonic() + PATIENCE
            while until not in told.read_text():
                assert process.poll() is None, told.read_text()
                assert time.monotonic() < deadline, told.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Reader:
    """Somebody who goes through what a module claims of a page."""

    def __init__(self, desk: Desk, sections: pages.Sections, page: str, words: Mapping[str, str]) -> None:
        self.desk = desk
        self.words = dict(words)
        self._left = pages.claimed(sections, page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        assert failed is not None or self._left == [], f"nobody typed {self._left}"

    def types(self, *expected: str, stdin: str = "", **words: str) -> str:
        """Type the next command, which has these words; return what it prints."""
        command = self._next(expected, words)
        done = self.desk.run(command, stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def is_refused(self, *expected: str, stdin: str = "", **words: str) -> str:
        """Type the next command, which does not succeed; return all that it says."""
        command = self._next(expected, words)
        done = self.desk.run(command, stdin)
        assert done.returncode != 0, (command, done.stdout)
        return done.stdout + done.stderr

    def keeps(self, *expected: str, until: str, **words: str) -> AbstractContextManager[None]:
        """Type the next command, which goes on until the end of the block."""
        return self.desk.running(self._next(expected, words), until)

    def _next(self, expected: tuple[str, ...], words: Mapping[str, str]) -> str:
        assert self._left, f"the page is at its end, and no command has {expected}"
        command = self._left.pop(0)
        assert all(word in command for word in expected), (command, expected)
        return in_place(command, {**self.words, **words})


def in_place(text: str, words: Mapping[str, str]) -> str:
    """Put what there is in the place of a page's words; the longest first, and each by itself."""
    if not words:
        return text
    found = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{found})(?![\w-])", lambda match: words[match[0]], text)

"""The desk of somebody who follows a page, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import pages
from tests.shell import Shell


class Desk:
    """Types what stands on a page, word for word but for what `instead` names: text of the pages, and what to type."""

    def __init__(self, folder: Path, kubeconfig: str, instead: Mapping[str, str]) -> None:
        self._shell = Shell(folder, kubeconfig)
        self._instead = instead
        self._typed: set[str] = set()

    def lay(self, name: str, text: str) -> None:
        """Put a file there that a page takes for granted."""
        (self._shell.folder / name).write_text(text, encoding="utf-8")

    def follow(self, page: str, section: str, instead: Mapping[str, str] | None = None, **variables: str) -> list[str]:
        """Type all of a section, in its order; return what each command said."""
        found = self.commands(page, section)
        assert found, f"{page} has no commands in {section!r}"
        return [self.type(command, instead, **variables) for command in found]

    def untyped(self, claim: Mapping[str, tuple[str, ...]]) -> list[str]:
        """What of a claim was not typed at this desk."""
        claimed = [text for page, sections in claim.items() for one in sections for text in self.commands(page, one)]
        return [text for text in claimed if text not in self._typed]

    @staticmethod
    def commands(page: str, section: str) -> list[str]:
        return [command.text for command in pages.commands(page) if command.section == section]

    def type(self, command: str, instead: Mapping[str, str] | None = None, **variables: str) -> str:
        """Run one command; what it complains of is the test's failure."""
        self._typed.add(command)
        for text, other in {**self._instead, **(instead or {})}.items():
            command = command.replace(text, other)
        done = self._shell.run(command, variables=variables)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def check(desk: Desk, claim: Mapping[str, tuple[str, ...]], request: pytest.FixtureRequest) -> None:
    """Fail where a module has not typed all that it claims; this is for its last test, after all of the others."""
    module = request.module
    there = {name for name in vars(module) if name.startswith("test_")}
    run = {getattr(item, "originalname", "") for item in request.session.items if item.path == request.path}
    if run != there:
        pytest.skip("only some of the module was run")
    assert desk.untyped(claim) == []

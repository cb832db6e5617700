"""The pages that people follow, and the commands on them: read from the text, so that what is tested is what is read.

A module of tests that types commands of a page says so in a constant: `RUN_HERE = {"docs/page.md": ("A section",)}`.
`tests/unit/docs/test_every_command_is_run.py` holds that no command of any page is left out.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = frozenset(
    {
        *("argocd", "base64", "cat", "curl", "docker", "echo", "flux", "gh", "git", "head", "helm", "kind", "kubectl"),
        *("make", "mkdir", "mooring", "openssl", "pip", "pre-commit", "printf", "python", "python3", "sh"),
    }
)
# In a sentence a command is meant to be typed if it has so many words; `kubectl rollout undo` is only spoken of.
TYPED_WORDS = 4
CONSTANT = "RUN_HERE"

Sections = Mapping[str, tuple[str, ...]]

_HEADING = re.compile(r"#{1,6} (.*)")
_FENCE = re.compile(r" *```(\w*)")
_INLINE = re.compile(r"`([^`\n]+)`")
_HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?")
_YAML = re.compile(r"(?:- |[\w./-]+:(?:\s|$))")


@dataclass(frozen=True)
class Block:
    """A block of text as it is: indented, or in a fence of some language."""

    page: str
    section: str
    language: str
    text: str

    @property
    def is_command(self) -> bool:
        """Tell whether it is meant to be typed."""
        return self.text.split(maxsplit=1)[0] in PROGRAMS

    @property
    def is_yaml(self) -> bool:
        """Tell whether it is part of a file."""
        return self.language == "yaml" or _YAML.match(self.text) is not None


@dataclass(frozen=True)
class Command:
    """What somebody types: a line of a block with all that belongs to it, or a few words in a sentence."""

    page: str
    section: str
    text: str


def followed() -> list[str]:
    """Return the pages whose commands people type."""
    folders = (ROOT / "docs" / "guide", ROOT / "docs" / "runbooks")
    found = [path.relative_to(ROOT).as_posix() for folder in folders for path in sorted(folder.glob("*.md"))]
    return [*found, "README.md", "CONTRIBUTING.md"]


def commands(page: str) -> list[Command]:
    """Return the commands of a page, from its top to its end."""
    return list(commands_in(page, (ROOT / page).read_text(encoding="utf-8")))


def blocks(page: str) -> list[Block]:
    """Return all blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [part for part in parts_of(page, text) if isinstance(part, Block)]


def commands_in(page: str, text: str) -> Iterator[Command]:
    """Go through the commands of a text."""
    for part in parts_of(page, text):
        if isinstance(part, Command):
            yield part
        elif part.is_command:
            for line in typed(part.text):
                yield Command(page, part.section, line)


def parts_of(page: str, text: str) -> Iterator[Block | Command]:
    """Go through the blocks of a text, and the commands in its sentences."""
    section = ""
    language: str | None = None
    held: list[str] = []
    before = ""

    def block() -> Iterator[Block]:
        if held:
            yield Block(page, section, language or "", textwrap.dedent("\n".join(held)).strip("\n"))
        held.clear()

    for line in [*text.splitlines(), ""]:
        fence = _FENCE.match(line)
        if language is not None:
            if fence:
                yield from block()
                language = None
            else:
                held.append(line)
        elif fence:
            language = fence[1]
        elif line.startswith("    ") and (held or not before.strip()):
            held.append(line)
        else:
            yield from block()
            if heading := _HEADING.match(line):
                section = heading[1].replace("`", "")
            yield from _in_sentence(page, section, line)
        before = line


def _in_sentence(page: str, section: str, line: str) -> Iterator[Command]:
    for words in _INLINE.findall(line):
        if words.split(maxsplit=1)[0] in PROGRAMS and len(words.split()) >= TYPED_WORDS and "…" not in words:
            yield Command(page, section, words)


def typed(text: str) -> Iterator[str]:
    """Part a block into commands: a line, with those that it goes on in."""
    held: list[str] = []
    until = ""
    for line in text.splitlines():
        held.append(line)
        if until:
            until = "" if line.strip() == until else until
        elif found := _HERE_DOCUMENT.search(line):
            until = found[1]
        if not until and not line.endswith(("\\", "|")):
            yield "\n".join(held)
            held.clear()
    if held:
        yield "\n".join(held)


def claims(root: Path = ROOT / "tests") -> dict[str, Sections]:
    """Return what every module of tests says that it runs, by the module's path."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if f"\n{CONSTANT}" in text and (sections := _constant(text)) is not None:
            found[path.relative_to(root.parent).as_posix()] = sections
    return found


def _constant(text: str) -> Sections | None:
    for node in ast.parse(text).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == CONSTANT and value is not None:
            return dict(ast.literal_eval(value))
    return None


@dataclass(frozen=True)
class Exemption:
    """Commands that no test types, and why that is right."""

    page: str
    start: str  # what such a command begins with; empty for all of the page
    reason: str

    def holds(self, command: Command) -> bool:
        """Tell whether it is about a command."""
        return self.page == command.page and command.text.startswith(self.start)


EXEMPT = (
    Exemption("docs/guide/install.md", "docker ", "the same Dockerfile is built by buildah in the node suite"),
    Exemption("docs/guide/install.md", "kind load", "the kind suite loads an image, where there is a Docker"),
    Exemption("docs/runbooks/operator.md", "kubectl -n mooring-system top", "the metrics server is no part of a lab"),
    Exemption("README.md", "make ", "the demo is a suite of its own, and the other is all suites"),
    Exemption("CONTRIBUTING.md", "make ", "these are the suites themselves; that there are such targets is tested"),
    Exemption(
        "CONTRIBUTING.md", "python -m ", "each writes files that tests compare; a release or a new version does it"
    ),
)


def claimed(sections: Sections, page: str) -> list[str]:
    """Return what of a page a module has to type, in the page's order."""
    found = [command for command in commands(page) if command.section in sections[page]]
    return [command.text for command in found if not any(each.holds(command) for each in EXEMPT)]


def left_out(
    all_commands: Iterable[Command], sections: Iterable[Sections], exempt: Iterable[Exemption]
) -> list[Command]:
    """Return the commands that nobody runs and that nothing exempts."""
    exempt = tuple(exempt)
    run = {(page, section) for each in sections for page, names in each.items() for section in names}
    return [
        command
        for command in all_commands
        if (command.page, command.section) not in run and not any(each.holds(command) for each in exempt)
    ]

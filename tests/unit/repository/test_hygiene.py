"""What must stand nowhere in the repository, and what must be everywhere. Each scan first finds a planted case.

The patterns are put together from pieces, so that this file does not match them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.unit.repository.tree import ROOT, texts

LINES_MAX = 450

Texts = Mapping[str, str]
Scan = Callable[[Texts], list[str]]

_REGISTRIES = (
    ("pypi", "org"), ("pypi", "python", "org"), (f"python{'hosted'}", "org"), ("npmjs", "org"), ("npmjs", "com"),
    ("yarnpkg", "com"), ("proxy", "golang", "org"), ("sum", "golang", "org"), ("goproxy", "io"), ("goproxy", "cn"),
    ("crates", "io"), ("rubygems", "org"), ("repo1", "maven", "org"), ("conda", "anaconda", "org"),
)  # fmt: skip
_REGISTRY = re.compile(
    r"(?<![\w-])(?:" + "|".join(re.escape(".".join(parts)) for parts in _REGISTRIES) + r")(?![\w-])"
    # A mirror has any name; where one is chosen is the reader's affair.
    r"|--(?:extra-)?index" + r"-url|GOPROXY" + r"\s*=\s*[\"']?http|registry" + r"\s*=\s*[\"']?http"
)
_FOLDER = re.compile(r"(?<![\w.$)}>/])/(?:root|Users|home/[a-z]\w*|work|mnt|private)/")
_LEFTOVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|pragma: *no" + r" *cover")
_LOCKS = re.compile(r"(?:^|/)(?:[\w.-]+\.lock|package-lock\.json|pnpm-lock\.yaml|npm-shrinkwrap\.json|go\.sum)$")
_ADDRESS = re.compile(r"\w+://|^(?:-i|-f|--find-links)\s", re.MULTILINE)


def lines_with(pattern: re.Pattern[str], found: Texts) -> list[str]:
    """Return where a pattern stands."""
    return [
        f"{name}:{number}: {match.group()}"
        for name, text in found.items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        for match in [pattern.search(line)]
        if match
    ]


def registries(found: Texts) -> list[str]:
    """Find addresses of package registries."""
    return lines_with(_REGISTRY, found)


def folders(found: Texts) -> list[str]:
    """Find folders of somebody's machine."""
    return lines_with(_FOLDER, found)


def leftovers(found: Texts) -> list[str]:
    """Find what somebody meant to do later, and code that hides from being measured."""
    return lines_with(_LEFTOVER, found)


def locks_with_addresses(found: Texts) -> list[str]:
    """Find pins that say where to fetch from."""
    locks = {name: text for name, text in found.items() if _LOCKS.search(name) or name.startswith("requirements/")}
    return lines_with(_ADDRESS, locks)


def long_files(found: Texts) -> list[str]:
    """Find Python files that nobody reads to the end."""
    counted = {name: text.count("\n") for name, text in found.items() if name.endswith(".py")}
    return [f"{name}: {count} lines" for name, count in counted.items() if count >= LINES_MAX]


def loose_ends(found: Texts) -> list[str]:
    """Find text files that end without a line end, and lines that end with blanks."""
    unended = [name for name, text in found.items() if text and not text.endswith("\n")]
    return unended + lines_with(re.compile(r"[ \t]+$"), found)


PLANTED: dict[Scan, tuple[str, ...]] = {
    registries: ("https://files.python" + "hosted.org/x", "see py" + "pi.org", "pip install --index" + "-url x"),
    folders: (' "/ro' + 'ot/.cache"', "cd /ho" + "me/jane/src", "`/wo" + "rk/main`"),
    leftovers: ("# TO" + "DO: later", "x  # pragma: no" + " cover", "# FIX" + "ME"),
    locks_with_addresses: ('resolved "https' + '://example.com/a.tgz"', "--find-links here"),
    long_files: ("x = 1\n" * LINES_MAX,),
    loose_ends: ("no end", "blank \n"),
}
NAMES: dict[Scan, str] = {locks_with_addresses: "yarn.lock"}


@pytest.fixture(scope="module")
def everything() -> Texts:
    return texts()


@pytest.mark.parametrize("scan", PLANTED, ids=lambda scan: str(scan.__name__))
def test_there_is_none(scan: Scan, everything: Texts) -> None:
    for text in PLANTED[scan]:
        assert scan({NAMES.get(scan, "planted.py"): text}), f"the scan is blind for {text!r}"
    assert scan(everything) == []


@pytest.mark.parametrize(
    ("scan", "text"),
    [
        (registries, f"an Invoice of org.pypi or mypypi{'.'}organic"),
        (folders, f"~/src, /workspace/shop, $(HOME){'/'}work/x, https://github.com/home/x, ./{'work'}/"),
        (leftovers, "a mastodon, TODOS"),
        (locks_with_addresses, "a==1 \\\n    --hash=sha256:00\n    # via b\n"),
    ],
)
def test_and_nothing_else_is_taken_for_one(scan: Scan, text: str) -> None:
    assert scan({NAMES.get(scan, "planted.py"): text}) == []


# --- documents ---

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_ABOUT_MAKE = re.compile(r"`make ((?:[a-z][a-z-]*[ `])+)|^(?: {4})?(?:\$ )?make ([a-z][a-z-]*)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(pages: Texts) -> list[str]:
    """Find relative links that lead nowhere, also within a page."""
    found = ((name, target) for name, text in pages.items() for target in links(text))
    return [f"{name}: {target}" for name, target in found if not leads(name, target, pages)]


def links(text: str) -> Iterator[str]:
    """Go through the relative links of a page."""
    for match in _LINK.finditer(_CODE.sub("", text)):
        target = match.group(1) or match.group(2)
        if not re.match(r"[a-z]+:", target):
            yield target


def leads(page: str, target: str, pages: Texts) -> bool:
    """Tell whether a link from a page leads to something."""
    path, _, anchor = target.partition("#")
    place = (ROOT / page).parent / path if path else ROOT / page
    if not place.resolve().is_relative_to(ROOT) or (path and not place.exists()):
        return False
    text = pages[page] if not path else place.read_text(encoding="utf-8") if anchor else ""
    return not anchor or anchor in anchors(text)


def unknown_targets(pages: Texts, makefile: str) -> list[str]:
    """Find words about `make` that no target answers to."""
    known = set(_TARGET.findall(makefile))
    asked = {
        (name, word)
        for name, text in pages.items()
        for groups in _ABOUT_MAKE.findall(text)
        for word in " ".join(groups).replace("`", " ").split()
    }
    return sorted(f"{name}: make {word}" for name, word in asked if word not in known)


@pytest.fixture(scope="module")
def pages(everything: Texts) -> Texts:
    return {name: text for name, text in everything.items() if name.endswith(".md")}


def test_every_relative_link_leads_somewhere(pages: Texts) -> None:
    fine = "[ok](README.md) [ok](https://example.com) `[x](y)`"
    planted = f"[a](no/such.md) [b](README.md#no-such) ![c](../outside.png) {fine}"
    assert broken_links({"README.md": planted}) == [
        "README.md: no/such.md", "README.md: README.md#no-such", "README.md: ../outside.png",
    ]  # fmt: skip
    assert len(list(links("\n".join(pages.values())))) > 20
    assert broken_links(pages) == []


def test_every_target_that_is_spoken_of_is_in_the_makefile(everything: Texts, pages: Texts) -> None:
    page = "`make test unit` and `make nothing`; make this right\n\n    make nowhere   says\n"
    planted = {"a.md": page, ".ci/run": "make none\n"}
    makefile = "test: tools\nunit:\n"
    assert unknown_targets(planted, makefile) == [".ci/run: make none", "a.md: make nothing", "a.md: make nowhere"]
    assert unknown_targets({**pages, ".ci/run": everything[".ci/run"]}, everything["Makefile"]) == []

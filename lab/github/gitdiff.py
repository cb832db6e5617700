"""Reads what `git diff-tree` and `git log` print: changed files, their patches, and the lists of a push."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lab.github.context import ChangedFile, FileChange

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
DIFF_ARGUMENTS = ("diff-tree", "-r", "-M", "-z", "--raw", "--numstat", "--no-abbrev")
PATCH_ARGUMENTS = ("diff-tree", "-r", "-M", "-p", "--no-color", "--no-ext-diff")
LISTS_ARGUMENTS = (
    "-z",
    "--raw",
    "--no-renames",
    "--no-abbrev",
    "--diff-merges=first-parent",
    "--format=tformat:%x01%H",
)

_CHANGES: dict[str, FileChange] = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}
# GitHub leaves out the patch of a file whose patch is very long.
PATCH_LIMIT = 100_000


@dataclass(slots=True)
class PushedCommit:
    """A commit's lists of files in a push event. A rename is a removal and an addition, as GitHub shows it there."""

    sha: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)


def parse_diff(raw: bytes, patches: bytes) -> tuple[ChangedFile, ...]:
    """Join the output of DIFF_ARGUMENTS and of PATCH_ARGUMENTS for the same two trees."""
    tokens = iter(raw.decode(errors="replace").split("\0")[:-1])
    files: list[ChangedFile] = []
    counts: list[tuple[int, int]] = []
    for token in tokens:
        if token.startswith(":"):
            files.append(_raw_entry(token, tokens))
        else:
            counts.append(_count(token, tokens))
    texts = list(_patches(patches.decode(errors="replace")))
    joined, at = [], 0
    for file, (additions, deletions) in zip(files, counts, strict=True):
        # A file that became a link (or the other way) is printed as two patches.
        width = 2 if file.status == "changed" else 1
        patch = texts[at] if width == 1 and at < len(texts) else None
        at += width
        joined.append(replace(file, additions=additions, deletions=deletions, patch=patch))
    return tuple(joined)


def _raw_entry(token: str, tokens: Iterator[str]) -> ChangedFile:
    *_, before, after, letter = token.split(" ")
    path = next(tokens)
    if letter[0] in "RC":
        status: FileChange = "renamed" if letter[0] == "R" else "copied"
        return ChangedFile(path=next(tokens), status=status, sha=after, previous_path=path)
    status = _CHANGES.get(letter[0], "changed")
    return ChangedFile(path=path, status=status, sha=before if status == "removed" else after)


def _count(token: str, tokens: Iterator[str]) -> tuple[int, int]:
    added, deleted, path = token.split("\t", 2)
    if not path:
        # A rename: its two names follow.
        next(tokens)
        next(tokens)
    return (0, 0) if added == "-" else (int(added), int(deleted))


def _patches(text: str) -> Iterator[str | None]:
    """Give each file's hunks, without git's header; None where there are none (binary, mode only, too long)."""
    if not text:
        return
    for section in ("\n" + text).split("\ndiff --git ")[1:]:
        _, found, hunks = section.partition("\n@@ ")
        patch = ("@@ " + hunks).rstrip("\n") if found else None
        yield patch if patch is None or len(patch) <= PATCH_LIMIT else None


def parse_lists(output: bytes) -> list[PushedCommit]:
    """Read `git log` with LISTS_ARGUMENTS."""
    tokens = iter(output.decode(errors="replace").split("\0"))
    commits: list[PushedCommit] = []
    for token in tokens:
        entry = token.lstrip("\n")
        if entry.startswith("\x01"):
            commits.append(PushedCommit(entry[1:]))
        elif entry.startswith(":"):
            path, letter = next(tokens), entry.rsplit(" ", 1)[1][0]
            lists = {"A": commits[-1].added, "D": commits[-1].removed}
            lists.get(letter, commits[-1].modified).append(path)
    return commits

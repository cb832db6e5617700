"""Git's own objects and refs as files: what needs no `git` process, because a lab seeds thousands of repositories.

Objects are written loose; those that a push packed are read by `git cat-file` (see `gitstore`). Everything here is
short, local file work, so it is plain synchronous code.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lab.github.context import GitCommit, Signature

ObjectKind = Literal["blob", "tree", "commit", "tag"]
# Keeps an object and returns its name; finds one by its name.
Save = Callable[[ObjectKind, bytes], str]
Read = Callable[[str], "tuple[str, bytes] | None"]

FULL_SHA = re.compile(r"[0-9a-f]{40}")
FILE_MODE = b"100644"
TREE_MODE = b"40000"
# What git refuses in the name of a ref (see git-check-ref-format).
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./]|[./]$|\.lock(/|$)|^@$|^-")
_SIGNATURE = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<at>-?\d+) [+-]\d{4}")


@dataclass(frozen=True, slots=True)
class TreeItem:
    """One line of a tree object."""

    mode: bytes
    name: str
    sha: str

    @property
    def is_tree(self) -> bool:
        """Tell whether it is a folder."""
        return self.mode == TREE_MODE


def valid_ref(name: str) -> bool:
    """Tell whether git would take this as the name of a branch or tag."""
    return 0 < len(name.encode()) <= 244 and _REFUSED.search(name) is None


def whole_object(kind: str, data: bytes) -> tuple[str, bytes]:
    """Return an object's name, and all that is hashed for it."""
    whole = b"%s %d\0%s" % (kind.encode(), len(data), data)
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest(), whole


def write_object(store: Path, kind: str, data: bytes) -> str:
    """Write an object unless it is there; returns its name."""
    sha, whole = whole_object(kind, data)
    path = store / sha[:2] / sha[2:]
    if path.exists():
        return sha
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f"tmp_obj_{sha[2:10]}_{os.getpid()}")
    temporary.write_bytes(zlib.compress(whole, 1))
    temporary.replace(path)
    return sha


def read_loose(store: Path, sha: str) -> tuple[str, bytes] | None:
    """Read an object that is not packed; returns its kind and bytes."""
    try:
        whole = zlib.decompress((store / sha[:2] / sha[2:]).read_bytes())
    except FileNotFoundError:
        return None
    header, _, data = whole.partition(b"\0")
    return header.split(b" ")[0].decode(), data


# Refs


def read_ref(repository: Path, ref: str) -> str | None:
    """Return what a full ref such as refs/heads/main points at."""
    try:
        return (repository / ref).read_text("ascii").strip() or None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return packed_refs(repository).get(ref)


def packed_refs(repository: Path) -> dict[str, str]:
    """Return the refs that git has packed into one file."""
    try:
        lines = (repository / "packed-refs").read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split(" ", 1) for line in lines if line[:1] not in "#^")
    return {name: sha for sha, name in pairs}


def write_ref(repository: Path, ref: str, sha: str) -> None:
    """Point a ref at a commit, under git's own lock file; ValueError when another ref is in the way."""
    path = repository / ref
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            # Left behind by branches such as a/b; it is only in the way while one of them exists.
            path.rmdir()
        with lock.open("x", encoding="ascii") as file:
            file.write(f"{sha}\n")
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY}:
            raise ValueError(f"{ref} can't be written: another ref is in its way or being written") from error
        raise
    lock.replace(path)


# Trees


def parse_tree(data: bytes) -> list[TreeItem]:
    """Read a tree object."""
    items, at = [], 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        items.append(TreeItem(mode, name.decode(errors="surrogateescape"), data[end + 1 : end + 21].hex()))
        at = end + 21
    return items


def write_tree(save: Save, items: list[TreeItem]) -> str:
    """Write a tree object; git sorts folders as if their names ended in a slash."""
    ordered = sorted(items, key=lambda item: os.fsencode(item.name) + (b"/" if item.is_tree else b""))
    lines = [b"%s %s\0%s" % (item.mode, os.fsencode(item.name), bytes.fromhex(item.sha)) for item in ordered]
    return save("tree", b"".join(lines))


def change_tree(save: Save, read: Read, tree: str | None, changes: Mapping[str, bytes | None]) -> str | None:
    """Write the tree that `changes` make of `tree`; None when nothing is left in it."""
    items = {} if tree is None else {item.name: item for item in parse_tree(_data(read, tree))}
    below: dict[str, dict[str, bytes | None]] = {}
    for path, content in changes.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        elif content is None:
            items.pop(name, None)
        else:
            items[name] = TreeItem(_mode_of(items.get(name)), name, save("blob", content))
    for name, inner in below.items():
        folder = items.get(name)
        changed = change_tree(save, read, folder.sha if folder is not None and folder.is_tree else None, inner)
        if changed is None:
            items.pop(name, None)
        else:
            items[name] = TreeItem(TREE_MODE, name, changed)
    return write_tree(save, list(items.values())) if items else None


def _mode_of(present: TreeItem | None) -> bytes:
    """Keep an executable file executable, as GitHub does when its contents change."""
    return b"100755" if present is not None and present.mode == b"100755" else FILE_MODE


def _data(read: Read, sha: str) -> bytes:
    found = read(sha)
    if found is None:
        raise LookupError(f"object {sha} is missing")
    return found[1]


# Commits


def write_commit(save: Save, tree: str, parents: tuple[str, ...], message: str, author: Signature) -> str:
    """Write a commit; author and committer are one, as with GitHub's contents API when no committer is named."""
    signature = f"{_clean(author.name)} <{_clean(author.email)}> {int(author.at.timestamp())} +0000"
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {signature}",
        f"committer {signature}",
    ]
    return save("commit", ("\n".join(lines) + "\n\n" + message.rstrip("\n") + "\n").encode())


def parse_commit(sha: str, data: bytes) -> GitCommit:
    """Read a commit object, without its files."""
    header, _, message = data.decode(errors="replace").partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in header.split("\n"):
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value)
    return GitCommit(
        sha=sha,
        tree_sha=fields["tree"][0],
        message=message.rstrip("\n"),
        author=_signature(fields["author"][0]),
        committer=_signature(fields["committer"][0]),
        parents=tuple(fields.get("parent", ())),
    )


def tagged(data: bytes) -> str:
    """Return what an annotated tag points at."""
    return data.split(b"\n", 1)[0].removeprefix(b"object ").decode()


def _clean(text: str) -> str:
    return re.sub(r"[<>\n\x00]", "", text).strip() or "unknown"


def _signature(line: str) -> Signature:
    match = _SIGNATURE.match(line)
    if match is None:
        return Signature(line, "", datetime.fromtimestamp(0, UTC))
    return Signature(match["name"], match["email"], datetime.fromtimestamp(int(match["at"]), UTC))

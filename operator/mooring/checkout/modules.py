"""Where submodules are: the same origin as the repository itself, whatever `.gitmodules` says."""

from __future__ import annotations

import os

from mooring.checkout.failures import BadRequest, Failed
from mooring.checkout.request import repository_url
from mooring.checkout.words import named
from mooring.domain import origins


def parse(listing: bytes) -> dict[str, str]:
    """Read `git config -z --list` of a `.gitmodules`: URLs by path."""
    paths: dict[str, str] = {}
    urls: dict[str, str] = {}
    for line in listing.split(b"\0"):
        key, _, value = os.fsdecode(line).partition("\n")
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "submodule" and variable in {"path", "url"}:
            (paths if variable == "path" else urls)[name] = value
    return {path: urls[name] for name, path in paths.items() if name in urls}


def address(path: str, url: str | None, parent: str) -> str:
    """Return the URL of a submodule of the repository at `parent`; raise Failed where it is another origin's."""
    shown = f"the submodule {named(path)}"
    if url is None:
        raise Failed(f"{shown} has no URL in .gitmodules. Add it there")
    if url.startswith(("./", "../")):
        url = _joined(parent, url, shown)
    try:
        found = repository_url(url, shown)
    except BadRequest as problem:
        raise Failed(f"{problem} (it is {named(url)}). Write it relative, as ../name.git") from None
    if origins.host_of(found) != origins.host_of(parent):
        raise Failed(
            f"{shown} is at {origins.host_of(found)}: submodules are fetched from the repository's own origin"
            f" {origins.host_of(parent)} alone. Move it there, or turn spec.source.submodules off"
        )
    return found


def _joined(parent: str, url: str, shown: str) -> str:
    """Resolve as git does: against the repository's URL, as if that were a folder."""
    origin = f"https://{origins.host_of(parent)}"
    parts = parent.removeprefix(origin).strip("/").split("/")
    for part in url.split("/"):
        if part == "..":
            if not parts:
                raise Failed(f"{shown} has the URL {named(url)}, which leads out of the host. Correct .gitmodules")
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join((origin, *parts))

"""Where symbolic links lead. Whoever reads or writes through one that leads out of the tree touches another's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

MAX_HOPS = 256
"""More than any kernel or library follows; what takes more of them leads nowhere at all."""


def first_leading_out(links: Mapping[str, str], check: Callable[[], None]) -> str | None:
    """Return the first of these links (path to target) that leads out of the tree, None where all stay inside.

    `check` is called for each, since a stranger decides how many there are.
    """
    for path in links:
        check()
        if _leads_out(path, links):
            return path
    return None


def _leads_out(path: str, links: Mapping[str, str]) -> bool:
    """Follow a link as the kernel would, through other links; .git is no part of the tree."""
    at, ahead = path.split("/")[:-1], [path.rpartition("/")[2]]
    hops = 0
    while ahead:
        part = ahead.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not at:
                return True
            at.pop()
            continue
        target = links.get("/".join((*at, part)))
        if target is None:
            if part.casefold() == ".git":
                return True
            at.append(part)
            continue
        hops += 1
        if target.startswith("/"):
            return True
        if hops > MAX_HOPS:
            return False
        ahead.extend(reversed(target.split("/")))
    return False

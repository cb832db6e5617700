"""The binaries that the lab runs, and those that its users need: where each comes from, and making it ready.

Sources, in this order: the folder that KUBEBUILDER_ASSETS names, the cache, the official envtest archive, a build.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from lab.binaries import archive, build
from lab.binaries.progress import say
from lab.binaries.tools import API_SERVERS, TOOLS, Tool
from lab.errors import UsageError

__all__ = ["API_SERVERS", "NEWEST", "TOOLS", "USUAL", "ensure", "find", "present"]

NEWEST = next(iter(API_SERVERS))
# What is made where nobody names anything.
USUAL = tuple(name for name, tool in TOOLS.items() if not tool.by_name_alone)


def find(name: str) -> Path:
    """The path of one binary, which is made ready first where it is not."""
    return ensure([name])[name]


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """The paths of several. What has to be made is made under a lock, so that two labs never do the same work."""
    tools = [_tool(name) for name in names]
    found = {tool.name: path for tool in tools if (path := _present(tool))}
    missing = [tool for tool in tools if tool.name not in found]
    if missing:
        with build.lock():
            found |= _make([tool for tool in missing if not _present(tool)])
            found |= {tool.name: path for tool in missing if (path := _present(tool))}
    return {tool.name: found[tool.name] for tool in tools}


def present(names: Iterable[str]) -> bool:
    """Whether all of them are there, so that nothing would have to be made."""
    return all(_present(_tool(name)) for name in names)


def _make(missing: list[Tool]) -> dict[str, Path]:
    """Bring the missing ones into the cache."""
    if any(tool.in_archive for tool in missing):
        problem = archive.fetch()
        if problem:
            say(f"the envtest archive is no help ({problem})")
        missing = [tool for tool in missing if not _present(tool)]
    return build.build(missing) if missing else {}


def _present(tool: Tool) -> Path | None:
    """Where the tool is, if it is anywhere."""
    places = [tool.cached(), archive.folder() / tool.name]
    if assets := _assets():
        places.insert(0, assets / tool.name)
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def _assets() -> Path | None:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if not named:
        return None
    if not Path(named).is_dir():
        raise UsageError(f"KUBEBUILDER_ASSETS names {named}, which is no folder: correct it or unset it")
    return Path(named).absolute()


def _tool(name: str) -> Tool:
    if name not in TOOLS:
        raise UsageError(f"the lab has no binary {name!r}: choose from {', '.join(TOOLS)}")
    return TOOLS[name]

"""Prints what an image is made of, as CycloneDX: Python's packages of this environment and Debian's of this system.

It runs inside the image while that is built, so it lists what is there, not what was asked for. The same image gives
the same text: there is neither a time nor a number of its own in it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]


def of_python() -> list[Component]:
    """Return the distributions of this environment."""
    return [
        _component(name := _normal(found.name), found.version, f"pkg:pypi/{name}@{quote(found.version)}")
        for found in metadata.distributions()
    ]


def of_debian() -> list[Component]:
    """Return the packages that dpkg knows of; none where there is no dpkg."""
    query = shutil.which("dpkg-query")
    if query is None:
        return []
    form = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    command = [query, "--show", "--showformat", form]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - none is a stranger's
    packages = [words[1:] for line in told.splitlines() if (words := line.split())[0] == "installed"]
    return [
        _component(name, version, f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}")
        for name, version, architecture in packages
    ]


def document() -> dict[str, Any]:
    """Return the whole."""
    components = {one["purl"]: one for one in (*of_python(), *of_debian())}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [components[purl] for purl in sorted(components)],
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
    sys.stdout.write("\n")
